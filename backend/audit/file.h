/*
 * The file of signed heads: a line of JSON for each (common/audit/head.h), the oldest first. Only
 * the sealer appends to it; it may be moved away at any time, and is then written again from the
 * database.
 *
 * A write of some hundred bytes goes to the page cache. Nothing waits for the disk: what a crash of
 * the machine loses is appended again.
 */
#ifndef WEIR_AUDIT_FILE_H
#define WEIR_AUDIT_FILE_H

#include "common/audit/head.h"

/*
 * Reads the last head of the file; head->text is empty without a file or in an empty one. An
 * incomplete last line is none. False with a message: it cannot be read, or its last line is no
 * head.
 */
bool weir_audit_file_last(const char *path, weir_audit_signed_t *head, char *error, size_t size)
    __attribute__((warn_unused_result));

/*
 * Appends heads, all or none: an incomplete line at the end of the file is replaced, and if the
 * disk is full, the file becomes as long as it was. False with a message.
 */
bool weir_audit_file_append(const char *path, const char *lines, size_t len, char *error,
                            size_t size) __attribute__((warn_unused_result));

#endif
