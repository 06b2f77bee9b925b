#include "ctl/new-domain/new_domain.h"

#include "log/alloc.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PLACEHOLDER "@NAME@"
#define NAME_LEN_MAX 32

/* Returns NULL, or why the name is not allowed. */
static const char *check_name(const char *name)
{
    assert(name != NULL);
    /* The engine's lines of migrations. */
    static const char *const taken[] = {"db", "events", "http", "outbound"};

    if (name[0] < 'a' || name[0] > 'z' || strlen(name) > NAME_LEN_MAX ||
        name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")] != '\0')
        return "must begin with a lower-case letter, and have at most 32 of a to z, 0 to 9 and _";
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
        if (strcmp(name, taken[i]) == 0)
            return "is the name of a part of Weir";
    }

    return NULL;
}

/* The text with the name instead of each placeholder; the caller frees it. */
static char *fill_in(const char *text, const char *name)
{
    const size_t len = sizeof(PLACEHOLDER) - 1;
    size_t count = 0, n = 0;
    char *out;

    for (const char *p = text; (p = strstr(p, PLACEHOLDER)) != NULL; p += len)
        count++;
    out = weir_alloc(strlen(text) + count * strlen(name) + 1);
    while (*text != '\0') {
        if (strncmp(text, PLACEHOLDER, len) == 0) {
            memcpy(out + n, name, strlen(name));
            n += strlen(name);
            text += len;
        } else {
            out[n++] = *text++;
        }
    }

    return out;
}

/* Creates the folders in the path of a file after its first len bytes. */
static bool make_folders(char *path, size_t len)
{
    for (char *slash = strchr(path + len + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        bool made;

        *slash = '\0';
        made = mkdir(path, 0777) == 0 || errno == EEXIST;
        *slash = '/';
        if (!made)
            return false;
    }

    return true;
}

static bool write_file(const char *folder, const weir_ctl_file_t *file, const char *name)
{
    char *relative = fill_in(file->path, name), *text = fill_in(file->text, name);
    char *path = weir_alloc_format("%s/%s", folder, relative);
    FILE *f = make_folders(path, strlen(folder)) ? fopen(path, "wx") : NULL;
    bool ok = f != NULL && fputs(text, f) >= 0;

    ok = f != NULL && fclose(f) == 0 && ok;
    if (!ok)
        weir_ctl_fail(WEIR_CTL_REFUSED, "%s: %s", path, strerror(errno));
    free(relative);
    free(text);
    free(path);

    return ok;
}

weir_ctl_exit_t weir_ctl_new_domain(weir_ctl_t *ctl)
{
    const char *folder = ctl->args.words[0], *slash = strrchr(folder, '/');
    const char *name = slash != NULL ? slash + 1 : folder, *wrong = check_name(name);

    if (wrong != NULL)
        return weir_ctl_fail(WEIR_CTL_USAGE, "new-domain \"%s\": the name %s", folder, wrong);
    if (mkdir(folder, 0777) != 0)
        return weir_ctl_fail(WEIR_CTL_REFUSED, "%s: %s", folder, strerror(errno));

    for (const weir_ctl_file_t *file = weir_ctl_template; file->path != NULL; file++) {
        if (!write_file(folder, file, name))
            return WEIR_CTL_REFUSED;
    }
    printf("%s was created. In Weir's folder:\n\n"
           "  make DOMAIN=%s\n"
           "  ./weir test --domain %s\n"
           "  ./weir up --domain %s\n",
           folder, folder, folder, folder);

    return WEIR_CTL_OK;
}
