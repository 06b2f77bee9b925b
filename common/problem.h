/*
 * Problem details (RFC 9457): the body of every error response that Weir itself produces, the same
 * on the edge and in the backend.
 */
#ifndef WEIR_PROBLEM_H
#define WEIR_PROBLEM_H

#include "common/text/str.h"

#define WEIR_PROBLEM_MEDIA_TYPE "application/problem+json"

typedef struct {
    const char *type;       /* URI reference; NULL means "about:blank" */
    const char *title;      /* short, the same for every occurrence of the type */
    int status;             /* HTTP status code */
    weir_str_t detail;      /* of this occurrence; omitted if empty */
    weir_str_t instance;    /* URI reference of this occurrence; omitted if empty */
    const char *extensions; /* further members as JSON text without braces, already
                             * valid JSON ("\"a\":1,\"b\":[2]"), or NULL */
} weir_problem_t;

/*
 * Writes the problem as JSON into buf and escapes what JSON requires. Bytes that are not valid
 * UTF-8 are replaced by U+FFFD, so the result is always valid.
 *
 * Returns the length of the whole document without a NUL. Nothing is written beyond cap; if the
 * result is greater than cap, the text is incomplete and the caller must call again with that much
 * room. buf may be NULL if cap is 0.
 */
size_t weir_problem_json(char *buf, size_t cap, const weir_problem_t *problem);

/* Writes s as a JSON string with its quotes, by the same rules. */
size_t weir_json_string(char *buf, size_t cap, weir_str_t s);

#endif
