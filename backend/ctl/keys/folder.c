#include "ctl/keys/folder.h"

#include "log/alloc.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK ".lock"
#define LOCK_TRIES 300 /* of 100 ms: a rotation waits some seconds between its steps */

int weir_keys_folder_lock(const char *dir, char *error, size_t size)
{
    char *file = weir_alloc_format("%s/" LOCK, dir);
    int fd = -1;

    assert(size > 0);
    /* Services of other users look up their own files in it; it shows them no list. */
    if (mkdir(dir, 0711) != 0 && errno != EEXIST) {
        snprintf(error, size, "%s: %s", dir, strerror(errno));
    } else {
        fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            snprintf(error, size, "%s: %s", file, strerror(errno));
    }
    free(file);
    for (int i = 0; fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0; i++) {
        if (errno != EWOULDBLOCK || i == LOCK_TRIES) {
            snprintf(error, size, "%s: another weirctl changes it", dir);
            close(fd);
            return -1;
        }
        usleep(100000);
    }

    return fd;
}

/* Reads the whole of an open file; NULL: it cannot be read, or is too large. */
static char *read_all(int fd)
{
    char *text = weir_alloc(WEIR_KEYS_FILE_MAX + 1);
    size_t len = 0;
    ssize_t n;

    while ((n = read(fd, text + len, WEIR_KEYS_FILE_MAX + 1 - len)) > 0)
        len += (size_t)n;
    if (n < 0 || len > WEIR_KEYS_FILE_MAX) {
        free(text);
        return NULL;
    }
    text[len] = '\0';

    return text;
}

char *weir_keys_folder_read(const char *dir, const char *name, const char *file, char *error,
                            size_t size)
{
    char *path = weir_alloc_format("%s/%s/%s", dir, name, file), *text = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    assert(size > 0);
    *error = '\0';
    if (fd < 0) {
        if (errno != ENOENT)
            snprintf(error, size, "%s: %s", path, strerror(errno));
    } else {
        text = read_all(fd);
        if (text == NULL)
            snprintf(error, size, "%s: it cannot be read, or has more than %d bytes", path,
                     WEIR_KEYS_FILE_MAX);
        close(fd);
    }
    free(path);

    return text;
}

/* --- writing --------------------------------------------------------------------------------- */

static bool complain(const char *path, char *error, size_t size)
{
    snprintf(error, size, "%s: %s", path, strerror(errno));

    return false;
}

static bool write_all(int fd, const char *text)
{
    size_t len = strlen(text), done = 0;
    ssize_t n;

    while (done < len) {
        n = write(fd, text + done, len - done);
        if (n < 0 && errno != EINTR)
            return false;
        done += n > 0 ? (size_t)n : 0;
    }

    return true;
}

/*
 * The owner of the file before this one, or of any secret file of that folder. A folder that root
 * made has files of the services' users.
 */
static bool find_owner(int old, const weir_keys_file_t *files, size_t n, size_t i, struct stat *st)
{
    if (old < 0 || geteuid() != 0)
        return false;
    if (fstatat(old, files[i].name, st, AT_SYMLINK_NOFOLLOW) == 0)
        return true;
    for (size_t j = 0; !files[i].is_public && j < n; j++) {
        if (!files[j].is_public && fstatat(old, files[j].name, st, AT_SYMLINK_NOFOLLOW) == 0)
            return true;
    }

    return false;
}

static bool write_file(int at, int old, const weir_keys_file_t *files, size_t n, size_t i)
{
    int fd = openat(at, files[i].name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    struct stat st;
    bool ok;

    if (fd < 0)
        return false;
    ok = write_all(fd, files[i].text) && fchmod(fd, files[i].is_public ? 0644 : 0600) == 0 &&
         (!find_owner(old, files, n, i, &st) || fchown(fd, st.st_uid, st.st_gid) == 0) &&
         fsync(fd) == 0;

    return close(fd) == 0 && ok;
}

/* Deletes a folder of files. */
static void delete_folder(int at, const char *name)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;

    if (folder == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((entry = readdir(folder)) != NULL)
        unlinkat(fd, entry->d_name, 0);
    closedir(folder);
    unlinkat(at, name, AT_REMOVEDIR);
}

/* Deletes the folders of earlier changes, except the two that are named. */
static void delete_old(int at, const char *name, const char *newest, const char *before)
{
    char *prefix = weir_alloc_format(".%s.", name);
    int fd = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 &&
            strlen(entry->d_name) == strlen(prefix) + 6 && strcmp(entry->d_name, newest) != 0 &&
            strcmp(entry->d_name, before) != 0)
            delete_folder(at, entry->d_name);
    }
    if (dir != NULL)
        closedir(dir);
    free(prefix);
}

/* Moves the link to the new folder. */
static bool switch_link(int at, const char *name, const char *target)
{
    char *link = weir_alloc_format(".%s.link", name);
    bool ok;

    unlinkat(at, link, 0);
    ok = symlinkat(target, at, link) == 0 && renameat(at, link, at, name) == 0 && fsync(at) == 0;
    free(link);

    return ok;
}

static bool write_folder(int at, int old, const char *target, const weir_keys_file_t *files,
                         size_t n)
{
    int fd = openat(at, target, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool ok = fd >= 0 && fchmod(fd, 0755) == 0;

    for (size_t i = 0; ok && i < n; i++)
        ok = write_file(fd, old, files, n, i);
    ok = ok && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);

    return ok;
}

bool weir_keys_folder_write(const char *dir, const char *name, const weir_keys_file_t *files,
                            size_t n, char *error, size_t size)
{
    char *made = weir_alloc_format("%s/.%s.XXXXXX", dir, name), before[PATH_MAX] = "";
    int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), old;
    const char *target;
    ssize_t len;
    bool ok;

    assert(size > 0 && n > 0);
    if (at < 0 || mkdtemp(made) == NULL) {
        complain(dir, error, size);
        free(made);
        if (at >= 0)
            close(at);
        return false;
    }
    target = strrchr(made, '/') + 1;
    len = readlinkat(at, name, before, sizeof(before) - 1);
    before[len > 0 ? len : 0] = '\0';
    old = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    ok = write_folder(at, old, target, files, n) && switch_link(at, name, target);
    if (ok) {
        delete_old(at, name, target, before);
    } else {
        complain(made, error, size);
        delete_folder(at, target);
    }
    if (old >= 0)
        close(old);
    close(at);
    free(made);

    return ok;
}
