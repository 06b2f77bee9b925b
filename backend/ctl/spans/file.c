#include "ctl/spans/file.h"

#include "log/alloc.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct weir_spans_file {
    char *path, *old; /* old: what path becomes */
    size_t limit;
    int fd; /* -1: to be opened again */
};

static bool fail(const char *what, const char *path, char *error, size_t size)
{
    snprintf(error, size, "cannot %s %s: %s", what, path, strerror(errno));

    return false;
}

/* Not a FIFO or a device, which would keep a reader waiting; -1 with errno. */
static int open_regular(const char *path, int flags, struct stat *st)
{
    int fd = open(path, flags | O_NONBLOCK | O_CLOEXEC, 0600), why;

    if (fd >= 0 && (fstat(fd, st) != 0 || !S_ISREG(st->st_mode))) {
        why = EINVAL;
        close(fd);
        errno = why;
        fd = -1;
    }

    return fd;
}

/* --- writing --------------------------------------------------------------------------------- */

static void forget(weir_spans_file_t *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}

/* Ends a line that a crash has cut off. */
static bool end_line(const weir_spans_file_t *file)
{
    off_t end = lseek(file->fd, 0, SEEK_END);
    char last = '\n';

    if (end < 0 || (end > 0 && pread(file->fd, &last, 1, end - 1) != 1))
        return false;

    return last == '\n' || write(file->fd, "\n", 1) == 1;
}

static bool open_file(weir_spans_file_t *file, char *error, size_t size)
{
    struct stat st;

    file->fd = open_regular(file->path, O_RDWR | O_APPEND | O_CREAT, &st);
    if (file->fd < 0)
        return fail("open", file->path, error, size);
    if (flock(file->fd, LOCK_EX | LOCK_NB) != 0) {
        snprintf(error, size, "another process writes %s", file->path);
        forget(file);
        return false;
    }
    if (!end_line(file)) {
        fail("write", file->path, error, size);
        forget(file);
        return false;
    }

    return true;
}

weir_spans_file_t *weir_spans_file_open(const char *path, size_t limit, char *error, size_t size)
{
    weir_spans_file_t *file = weir_alloc(sizeof(*file));

    assert(limit > 1);
    file->path = weir_alloc_text(path);
    file->old = weir_alloc_format("%s.1", path);
    file->limit = limit;
    if (!open_file(file, error, size)) {
        weir_spans_file_close(file);
        return NULL;
    }

    return file;
}

void weir_spans_file_close(weir_spans_file_t *file)
{
    forget(file);
    free(file->path);
    free(file->old);
    free(file);
}

/* The file under the path, with room for len bytes; *before is its length. */
static bool settle(weir_spans_file_t *file, size_t len, off_t *before, char *error, size_t size)
{
    struct stat now, own;

    if (file->fd >= 0 && (stat(file->path, &now) != 0 || fstat(file->fd, &own) != 0 ||
                          now.st_ino != own.st_ino || now.st_dev != own.st_dev))
        forget(file);
    if (file->fd < 0 && !open_file(file, error, size))
        return false;
    if (fstat(file->fd, &own) != 0)
        return fail("read", file->path, error, size);

    if (own.st_size > 0 && (size_t)own.st_size + len > file->limit / 2) {
        if (rename(file->path, file->old) != 0)
            return fail("rename", file->path, error, size);
        forget(file);
        if (!open_file(file, error, size))
            return false;
        own.st_size = 0;
    }
    *before = own.st_size;

    return true;
}

bool weir_spans_file_append(weir_spans_file_t *file, weir_str_t lines, char *error, size_t size)
{
    off_t before;

    assert(lines.len <= file->limit / 2);
    if (lines.len == 0)
        return true;
    assert(lines.data[lines.len - 1] == '\n');
    if (!settle(file, lines.len, &before, error, size))
        return false;

    while (lines.len > 0) {
        ssize_t n = write(file->fd, lines.data, lines.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            fail("write", file->path, error, size);
            /* If this fails, too, the part of a line is ended when the file is opened again. */
            if (ftruncate(file->fd, before) != 0)
                forget(file);
            return false;
        }
        lines.data += n;
        lines.len -= (size_t)n;
    }

    return true;
}

/* --- reading --------------------------------------------------------------------------------- */

/* Reads lines from the offset on, which it moves behind the last whole line. */
static bool read_lines(int fd, off_t *offset, const weir_spans_reader_t *reader)
{
    size_t room = 64 * 1024, len = 0, searched = 0;
    char *buf = weir_alloc(room);
    ssize_t n;

    while ((n = pread(fd, buf + len, room - len, *offset + (off_t)len)) > 0) {
        size_t begin = 0;
        const char *feed;

        len += (size_t)n;
        while ((feed = memchr(buf + searched, '\n', len - searched)) != NULL) {
            size_t end = (size_t)(feed - buf);

            reader->line((weir_str_t){buf + begin, end - begin}, reader->arg);
            begin = searched = end + 1;
        }
        memmove(buf, buf + begin, len - begin);
        *offset += (off_t)begin;
        len -= begin;
        searched = len;
        if (len == room)
            buf = weir_alloc_resize(buf, room *= 2, 1);
    }
    free(buf);

    return n == 0;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

/*
 * The part before the current file (-1: there is none), unless that is the file itself, which was
 * renamed since it was opened.
 */
static bool read_old(const char *path, int current, bool *renamed,
                     const weir_spans_reader_t *reader)
{
    char *old = weir_alloc_format("%s.1", path);
    struct stat st, own;
    int fd = open_regular(old, O_RDONLY, &st);
    off_t offset = 0;
    bool ok = fd >= 0 || errno == ENOENT;

    *renamed = fd >= 0 && current >= 0 && fstat(current, &own) == 0 && is_same(&st, &own);
    if (fd >= 0 && !*renamed)
        ok = read_lines(fd, &offset, reader);
    if (fd >= 0)
        close(fd);
    free(old);

    return ok;
}

/* True if the file, which st is of, has the place. */
static bool has_place(const struct stat *st, const weir_spans_place_t *place)
{
    struct stat own;

    return place->fd >= 0 && fstat(place->fd, &own) == 0 && is_same(st, &own) &&
           st->st_size >= place->offset;
}

void weir_spans_place_close(weir_spans_place_t *place)
{
    if (place->fd >= 0)
        close(place->fd);
    *place = WEIR_SPANS_PLACE_FIRST;
}

void weir_spans_place_settle(weir_spans_place_t *place)
{
    struct stat st;

    if (place->fd >= 0 && (fstat(place->fd, &st) != 0 || st.st_nlink == 0))
        weir_spans_place_close(place);
}

bool weir_spans_file_read(const char *path, weir_spans_place_t *place,
                          const weir_spans_reader_t *reader, char *error, size_t size)
{
    bool ok = true, renamed = false;
    struct stat st;
    int fd = open_regular(path, O_RDONLY, &st);

    if (fd < 0 && errno != ENOENT)
        return fail("read", path, error, size);
    if (fd < 0 || !has_place(&st, place)) {
        weir_spans_place_close(place);
        if (reader->restart != NULL)
            reader->restart(reader->arg);
        place->fd = fd;
        ok = read_old(path, fd, &renamed, reader);
    } else {
        close(fd);
    }
    if (place->fd >= 0)
        ok = read_lines(place->fd, &place->offset, reader) && ok;
    if (renamed && ok) {
        /* What has been read is the old part; now the new one. */
        weir_spans_place_close(place);
        place->fd = open_regular(path, O_RDONLY, &st);
        if (place->fd >= 0)
            ok = read_lines(place->fd, &place->offset, reader);
    }

    if (!ok) {
        fail("read", path, error, size);
        weir_spans_place_close(place);
    }

    return ok;
}
