#include "common/secret/secret.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bytes that were read, or -1 with *why. */
static ssize_t read_all(int fd, char *text, const char **why)
{
    struct stat info;
    ssize_t len = 0, n = 1;

    /* a FIFO or a device could make us wait, or never end */
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        *why = "it is not a regular file";
        return -1;
    }
    while (n != 0 && len <= WEIR_SECRET_FILE_MAX) {
        n = read(fd, text + len, (size_t)(WEIR_SECRET_FILE_MAX + 1 - len));
        if (n < 0 && errno != EINTR) {
            *why = strerror(errno);
            return -1;
        }
        len += n > 0 ? n : 0;
    }

    return len;
}

/* NULL, or what is wrong. */
static const char *check(const char *text, size_t size)
{
    const char *at = text;
    size_t len, n = 0;

    if (size > WEIR_SECRET_FILE_MAX)
        return "it is larger than 4096 bytes";
    if (memchr(text, '\0', size) != NULL)
        return "it has a byte 0";
    for (; weir_secret_next(&at, &len) != NULL; n++) {
        if (len > WEIR_SECRET_MAX)
            return "it has a password of more than 512 bytes";
    }

    return n > 0 ? NULL : "it has no password";
}

const char *weir_secret_read(const char *file, char text[WEIR_SECRET_FILE_MAX + 1])
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    const char *why = NULL;
    ssize_t len;

    text[0] = '\0';
    if (fd < 0)
        return strerror(errno);
    len = read_all(fd, text, &why);
    close(fd);
    if (len >= 0) {
        if (len <= WEIR_SECRET_FILE_MAX)
            text[len] = '\0';
        why = check(text, (size_t)len);
    }
    if (why != NULL)
        explicit_bzero(text, WEIR_SECRET_FILE_MAX + 1);

    return why;
}

const char *weir_secret_next(const char **at, size_t *len)
{
    const char *line, *end;

    assert(*at != NULL);
    for (line = *at; *line != '\0'; line = *at) {
        end = line + strcspn(line, "\n");
        *at = *end == '\n' ? end + 1 : end;
        *len = (size_t)(end - line);
        if (*len > 0 && line[*len - 1] == '\r')
            (*len)--;
        if (*len > 0)
            return line;
    }

    return NULL;
}
