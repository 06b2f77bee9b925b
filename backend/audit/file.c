/* The file of signed heads; see file.h. */
#include "audit/file.h"

#include "log/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool fail(const char *path, const char *what, char *error, size_t size)
{
    snprintf(error, size, "%s: %s", path, what);

    return false;
}

/*
 * The end of the last complete line, and (if start is not NULL) its beginning; 0 if there is none.
 * buffer has the file's last bytes, from offset on.
 */
static off_t end_of_lines(const char *buffer, size_t len, off_t offset, size_t *start)
{
    size_t end = len;

    while (end > 0 && buffer[end - 1] != '\n')
        end--;
    if (start != NULL) {
        *start = end > 0 ? end - 1 : 0;
        while (*start > 0 && buffer[*start - 1] != '\n')
            (*start)--;
    }

    return end > 0 ? offset + (off_t)end : 0;
}

/* The file's last bytes: at least a whole line and an incomplete one. False: errno. */
static bool read_tail(int fd, char *buffer, size_t size, off_t *offset, size_t *len)
{
    struct stat st;
    ssize_t n;

    if (fstat(fd, &st) != 0)
        return false;
    if (!S_ISREG(st.st_mode)) {
        errno = EINVAL;
        return false;
    }
    *offset = st.st_size > (off_t)size ? st.st_size - (off_t)size : 0;
    n = pread(fd, buffer, size, *offset);
    *len = n > 0 ? (size_t)n : 0;

    return n >= 0;
}

#define TAIL (2 * WEIR_AUDIT_LINE_MAX)

bool weir_audit_file_last(const char *path, weir_audit_signed_t *head, char *error, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *buffer;
    size_t len, start;
    off_t offset, end;
    json_t *json;
    bool good;

    head->text[0] = '\0';
    if (fd < 0)
        return errno == ENOENT || fail(path, strerror(errno), error, size);
    buffer = weir_alloc(TAIL);
    good = read_tail(fd, buffer, TAIL, &offset, &len);
    if (!good)
        fail(path, strerror(errno), error, size);
    close(fd);
    end = good ? end_of_lines(buffer, len, offset, &start) : 0;
    if (end > 0) {
        json = json_loadb(buffer + start, (size_t)(end - offset) - start, JSON_REJECT_DUPLICATES,
                          NULL);
        good = weir_audit_signed_read(json, head);
        json_decref(json);
        if (!good)
            fail(path, "its last line is no head of the audit log; move the file away", error,
                 size);
    }
    free(buffer);

    return good;
}

static bool write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }

    return true;
}

bool weir_audit_file_append(const char *path, const char *lines, size_t len, char *error,
                            size_t size)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
    char *buffer;
    off_t offset, end;
    size_t tail;
    bool good;

    if (fd < 0)
        return fail(path, strerror(errno), error, size);
    buffer = weir_alloc(TAIL);
    good = read_tail(fd, buffer, TAIL, &offset, &tail);
    end = good ? end_of_lines(buffer, tail, offset, NULL) : 0;
    free(buffer);
    if (!good || ftruncate(fd, end) != 0 || lseek(fd, end, SEEK_SET) != end) {
        fail(path, strerror(errno), error, size);
        close(fd);
        return false;
    }
    good = write_all(fd, lines, len);
    if (!good) {
        fail(path, strerror(errno), error, size);
        if (ftruncate(fd, end) != 0)
            good = false; /* an incomplete line, which the next call replaces */
    }
    if (close(fd) != 0 && good)
        good = fail(path, strerror(errno), error, size);

    return good;
}
