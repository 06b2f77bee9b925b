/*
 * Checks that clients of one API can use another: compares two OpenAPI documents of GET
 * /openapi.json, of one version in two releases or of two versions (the version numbers in media
 * types, ….v2+json, are not compared). Representations evolve by addition only:
 *
 *   refused   a path, method, answer or schema that is gone; a field that is gone
 *             (or renamed, which is the same to a client) or has another type,
 *             format or kind of elements; a field of an answer that may be missing
 *             now; a field or parameter that a request must have now; a limit of a
 *             request's value that is tighter
 *   passes    whatever is new; "deprecated"; texts
 *
 * The targets of references are compared, not their names. Only references into the same document
 * ("#/…") are followed. Any change within allOf, anyOf, oneOf or not is refused. Plain C over
 * jansson.
 */
#ifndef WEIR_SCHEMA_H
#define WEIR_SCHEMA_H

#include <stdio.h>

#define WEIR_SCHEMA_COMPATIBLE 0
#define WEIR_SCHEMA_REFUSED 1
#define WEIR_SCHEMA_UNREADABLE 2

/*
 * Compares the documents of two files. Writes a line for each change ("refused: …", "added: …") and
 * a last line with the verdict; or the reason if the files cannot be compared. Returns one of the
 * constants above, which can be used as exit code.
 */
int weir_schema_check(const char *old_path, const char *new_path, FILE *out);

#endif
