#include "shop/payments/secrets.h"

#include "log/alloc.h"
#include "log/log.h"

#include <assert.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OF_CONFIGURATION 2

struct weir_shop_secrets {
    weir_secret_t all[OF_CONFIGURATION + WEIR_SHOP_SECRETS_MAX];
    size_t n, n_fixed; /* n_fixed: those of the configuration */
    const char *file;
    struct stat read; /* of the file in use */
    bool failing;     /* it was logged that the file cannot be used */
    struct event *tick;
};

size_t weir_shop_secrets_read(const char *file, weir_secret_t secrets[WEIR_SHOP_SECRETS_MAX])
{
    /* What is no regular file could make the process wait. */
    int fd = open(file, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    FILE *in = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? fdopen(fd, "r") : NULL;
    char line[256];
    size_t n = 0;
    bool ok = in != NULL;

    if (in == NULL) {
        if (fd >= 0)
            close(fd);
        return 0;
    }
    while (ok && fgets(line, sizeof(line), in) != NULL) {
        line[strcspn(line, "\r\n")] = '\0';
        if (*line != '\0')
            ok = n < WEIR_SHOP_SECRETS_MAX && weir_secret_parse(line, &secrets[n++]);
    }
    fclose(in);
    OPENSSL_cleanse(line, sizeof(line));

    return ok ? n : 0;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* A file that is not good changes nothing. */
static void read_changed(weir_shop_secrets_t *s)
{
    weir_secret_t secrets[WEIR_SHOP_SECRETS_MAX];
    struct stat st = {0};
    size_t n;

    if (stat(s->file, &st) == 0 && is_same(&st, &s->read)) {
        s->failing = false;
        return;
    }
    n = weir_shop_secrets_read(s->file, secrets);
    if (n == 0) {
        if (!s->failing)
            weir_log(WEIR_LOG_ERROR, NULL,
                     "changed webhook secrets cannot be used, the old ones stay in use", "{s:s}",
                     "file", s->file);
        s->failing = true;
        return;
    }
    if (s->read.st_ino != 0)
        weir_log(WEIR_LOG_INFO, NULL, "changed webhook secrets are in use", "{s:s,s:I}", "file",
                 s->file, "secrets", (json_int_t)n);
    memcpy(s->all + s->n_fixed, secrets, n * sizeof(secrets[0]));
    OPENSSL_cleanse(secrets, sizeof(secrets));
    s->n = s->n_fixed + n;
    s->read = st;
    s->failing = false;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    read_changed(arg);
}

weir_shop_secrets_t *weir_shop_secrets_new(struct event_base *base, const char *first,
                                           const char *second, const char *file)
{
    static const struct timeval each = {1, 0};
    weir_shop_secrets_t *s = weir_alloc(sizeof(*s));
    const char *const fixed[OF_CONFIGURATION] = {first, second};

    assert(base != NULL && file != NULL);
    s->file = file;
    for (int i = 0; i < OF_CONFIGURATION; i++) {
        if (weir_secret_parse(fixed[i], &s->all[s->n_fixed]))
            s->n_fixed++;
    }
    s->n = s->n_fixed;
    if (*file != '\0') {
        read_changed(s);
        s->tick = weir_alloc_check(event_new(base, -1, EV_PERSIST, on_tick, s));
        event_add(s->tick, &each);
    }

    return s;
}

void weir_shop_secrets_free(weir_shop_secrets_t *s)
{
    if (s->tick != NULL)
        event_free(s->tick);
    OPENSSL_cleanse(s->all, sizeof(s->all));
    free(s);
}

const weir_secret_t *weir_shop_secrets_all(const weir_shop_secrets_t *s, size_t *n)
{
    *n = s->n;

    return s->all;
}
