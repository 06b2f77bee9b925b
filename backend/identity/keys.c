#include "identity/keys.h"

#include "common/hash/blake2b.h"
#include "log/alloc.h"
#include "log/log.h"
#include "metrics/series.h"
#include "outbound/client.h"
#include "outbound/transfer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIGEST 32 /* bytes */

struct weir_identity_keys {
    weir_verifier_t *verifier;
    char *source;
    uint8_t digest[DIGEST]; /* of the document in use; 0: none is */
    struct event *tick;     /* each second */
    struct stat seen;       /* of the file, when it was read */
    weir_client_t *client;  /* NULL: the source is a file */
    const char *path;       /* of the URL, in source */
    bool asking;            /* the URL has not answered yet */
    bool missed;            /* a key is not known */
    bool failing;           /* this was logged */
    int wait_s;             /* until the URL is asked again */
    weir_series_t *failures;
};

static bool is_url(const char *source)
{
    return strncmp(source, "http://", 7) == 0 || strncmp(source, "https://", 8) == 0;
}

/* The path of a URL: what follows the host. */
static const char *path_of(const char *url)
{
    const char *host = strstr(url, "://") + 3;

    return host + strcspn(host, "/");
}

static void failed(weir_identity_keys_t *keys, const char *why)
{
    weir_series_add(keys->failures, 1);
    if (!keys->failing)
        weir_log(WEIR_LOG_ERROR, NULL,
                 "the keys of identities cannot be read again; the old ones are used", "{s:s,s:s}",
                 "identity_jwks", keys->source, "error", why);
    keys->failing = true;
}

/*
 * A document that is in use already changes nothing: new keys make the verifier forget all tokens,
 * and whoever sends an unknown kid makes it be read each second.
 */
static bool take(weir_identity_keys_t *keys, weir_str_t document)
{
    char why[WEIR_JWKS_WHY_MAX];
    uint8_t digest[DIGEST];

    weir_blake2b(digest, DIGEST, (weir_str_t){NULL, 0}, WEIR_STR("weir jwks"), document);
    if (memcmp(digest, keys->digest, DIGEST) == 0 && !keys->failing)
        return true;
    if (!weir_verifier_keys(keys->verifier, document, why)) {
        failed(keys, why);
        return false;
    }
    memcpy(keys->digest, digest, DIGEST);
    weir_log(WEIR_LOG_INFO, NULL, "the keys of identities were read", "{s:s}", "identity_jwks",
             keys->source);
    keys->failing = false;

    return true;
}

/* --- a file ---------------------------------------------------------------------------------- */

/* The file's text, for free(), and what stat says of it; NULL with the reason. */
static char *read_file(const char *file, size_t *len, struct stat *seen, char *why, size_t size)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *text = NULL;
    ssize_t n = -1;

    if (fd >= 0 && fstat(fd, seen) == 0 && S_ISREG(seen->st_mode)) {
        /* one byte more than allowed, so that the parser refuses what is larger */
        text = weir_alloc(WEIR_JWKS_MAX + 2);
        n = read(fd, text, WEIR_JWKS_MAX + 1);
    } else if (fd >= 0) {
        errno = EINVAL;
    }
    if (n < 0) {
        snprintf(why, size, "the file cannot be read: %s", strerror(errno));
        free(text);
        text = NULL;
    }
    if (fd >= 0)
        close(fd);
    *len = n > 0 ? (size_t)n : 0;

    return text;
}

static bool has_changed(const struct stat *a, const struct stat *b)
{
    return a->st_ino != b->st_ino || a->st_dev != b->st_dev || a->st_size != b->st_size ||
           a->st_mtim.tv_sec != b->st_mtim.tv_sec || a->st_mtim.tv_nsec != b->st_mtim.tv_nsec;
}

static void look_at_file(weir_identity_keys_t *keys)
{
    struct stat now = {0};
    char why[WEIR_JWKS_WHY_MAX], *text;
    size_t len;

    if (stat(keys->source, &now) == 0 && !has_changed(&now, &keys->seen))
        return;

    text = read_file(keys->source, &len, &now, why, sizeof(why));
    if (text == NULL) {
        failed(keys, why);
        return;
    }
    keys->seen = now;
    take(keys, (weir_str_t){text, len});
    free(text);
}

/* --- a URL ----------------------------------------------------------------------------------- */

static void on_answer(const weir_client_answer_t *answer, void *arg)
{
    weir_identity_keys_t *keys = arg;
    char why[64];

    keys->asking = false;
    keys->wait_s = 1;
    if (answer->status != 200) {
        snprintf(why, sizeof(why), "the status is %ld", answer->status);
        failed(keys, answer->error != NULL ? answer->error : why);
        return;
    }
    if (take(keys, (weir_str_t){answer->body, answer->len}))
        keys->wait_s = WEIR_IDENTITY_KEYS_REFRESH_S;
}

static void ask(weir_identity_keys_t *keys)
{
    const weir_client_request_t request = {.path = keys->path, .answer_max = WEIR_JWKS_MAX + 1};

    assert(!keys->asking);
    keys->asking = true;
    keys->missed = false;
    weir_client_send(keys->client, &request, on_answer, keys);
}

static void look_at_url(weir_identity_keys_t *keys)
{
    if (keys->asking)
        return;
    if (keys->wait_s > 0)
        keys->wait_s--;
    if (keys->wait_s == 0 || keys->missed)
        ask(keys);
}

/* --- both ------------------------------------------------------------------------------------ */

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    weir_identity_keys_t *keys = arg;

    (void)fd;
    (void)what;
    if (keys->client != NULL)
        look_at_url(keys);
    else
        look_at_file(keys);
}

void weir_identity_keys_missed(weir_identity_keys_t *keys)
{
    keys->missed = true;
}

bool weir_identity_keys_check(const char *source, char *why, size_t size)
{
    const char *wrong;
    weir_jwks_t keys;
    struct stat seen;
    char *text;
    bool good;
    size_t len;

    assert(size >= WEIR_JWKS_WHY_MAX);
    if (is_url(source)) {
        wrong = weir_transfer_check_url(source);
        if (wrong == NULL && *path_of(source) != '\0')
            return true;
        snprintf(why, size, "%s", wrong != NULL ? wrong : "the URL has no path");
        return false;
    }

    text = read_file(source, &len, &seen, why, size);
    if (text == NULL)
        return false;
    good = weir_jwks_parse((weir_str_t){text, len}, &keys, why);
    free(text);
    if (good)
        weir_jwks_release(&keys);

    return good;
}

weir_identity_keys_t *weir_identity_keys_new(struct event_base *base, const char *source,
                                             weir_verifier_t *verifier, char *error, size_t size)
{
    static const struct timeval second = {1, 0};
    weir_identity_keys_t *keys = weir_alloc(sizeof(*keys));

    keys->verifier = verifier;
    keys->source = weir_alloc_text(source);
    keys->failures = weir_series(WEIR_IDENTITY_KEYS_FAILED, NULL);

    if (is_url(source)) {
        char *host = weir_alloc_bytes(source, (size_t)(path_of(source) - source));

        keys->path = path_of(keys->source);
        keys->client = weir_client_new(base, host, WEIR_IDENTITY_KEYS_TIMEOUT_MS, 1);
        free(host);
        ask(keys);
    } else {
        look_at_file(keys);
        if (keys->failing) {
            snprintf(error, size, "identity_jwks %s cannot be used", source);
            weir_identity_keys_free(keys);
            return NULL;
        }
    }
    keys->tick = weir_alloc_check(event_new(base, -1, EV_PERSIST, on_tick, keys));
    event_add(keys->tick, &second);

    return keys;
}

void weir_identity_keys_free(weir_identity_keys_t *keys)
{
    if (keys == NULL)
        return;
    if (keys->tick != NULL)
        event_free(keys->tick);
    if (keys->client != NULL)
        weir_client_free(keys->client);
    free(keys->source);
    free(keys);
}
