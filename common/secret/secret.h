/*
 * Files of passwords: a password a line, so that an old and a new one can be valid together. Who
 * logs in uses the first line.
 */
#ifndef WEIR_SECRET_H
#define WEIR_SECRET_H

#include <stddef.h>

/* Bytes of a file, and of a password. */
#define WEIR_SECRET_FILE_MAX 4096
#define WEIR_SECRET_MAX 512

/*
 * Reads a regular file, without waiting for anything but the disk, into text, which gets a NUL
 * behind its end; the caller overwrites it when it is done. Returns NULL, or what is wrong (a
 * constant, or strerror()'s text), which has nothing of the file in it: then text is empty. A file
 * has at least one password; passwords have no NUL and at most WEIR_SECRET_MAX bytes.
 */
const char *weir_secret_read(const char *file, char text[WEIR_SECRET_FILE_MAX + 1]);

/*
 * The next password at *at, which is moved behind it: its start, with its length in len; NULL at
 * the end. Empty lines are skipped; a CR before the end of a line is no part of a password.
 */
const char *weir_secret_next(const char **at, size_t *len);

#endif
