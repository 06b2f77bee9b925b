/*
 * Whether clients of one API can live with another: compares two OpenAPI documents, as
 * GET /openapi.json gives them, of one version in two releases or of two versions (whose
 * numbers in media types, ….v2+json, are not compared).  Representations evolve by
 * addition only:
 *
 *   refused   a path, method, answer or schema that is gone; a field that is gone
 *             (or renamed, which is the same to a client) or has another type,
 *             format or kind of elements; a field of an answer that may be missing
 *             now; a field or parameter that a request must have now; a limit of a
 *             request's value that is tighter
 *   passes    whatever is new; "deprecated"; texts
 *
 * What references lead to is compared, not their names.  Only references into the same
 * document ("#/…") are followed.  A change within allOf, anyOf, oneOf or not is refused
 * without looking what it means.  Plain C over jansson.
 */
#ifndef WEIR_SCHEMA_H
#define WEIR_SCHEMA_H

#include <stdio.h>

#define WEIR_SCHEMA_COMPATIBLE 0
#define WEIR_SCHEMA_REFUSED 1
#define WEIR_SCHEMA_UNREADABLE 2

/*
 * Compares the documents of two files, and writes a line for each change that it found
 * ("refused: …", "added: …") and a last one with the verdict; or, for files that cannot be
 * compared, why.  Returns one of the above, fit to exit with.
 */
int weir_schema_check(const char *old_path, const char *new_path, FILE *out);

#endif
