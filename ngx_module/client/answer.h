/*
 * Strict parser of a server's answer, HTTP/1.1 (RFC 9112), for a client that sends one GET or POST
 * at a time.  Plain C; allocates nothing.
 *
 * The server is not trusted: an answer has at most as many bytes, with all its framing, as the
 * caller says, and what RFC 9112 lets a recipient repair (bare LF, folded lines, blanks around a
 * colon, both Transfer-Encoding and Content-Length) is refused.
 */

#ifndef WEIR_ANSWER_H
#define WEIR_ANSWER_H

#include "common/text/str.h"

#include <stdbool.h>
#include <stdint.h>

#define WEIR_ANSWER_LINE_MAX 8192 /* bytes of one line */

typedef enum {
    WEIR_ANSWER_MORE, /* more bytes are needed */
    WEIR_ANSWER_DONE,
    WEIR_ANSWER_BAD /* see fault */
} weir_answer_result_t;

typedef enum {
    WEIR_ANSWER_OTHER, /* or no Content-Type */
    WEIR_ANSWER_PROTOBUF,
    WEIR_ANSWER_JSON,
    WEIR_ANSWER_JWK_SET,
    WEIR_ANSWER_HTML
} weir_answer_type_t;

typedef enum {
    WEIR_ANSWER_IN_STATUS_LINE,
    WEIR_ANSWER_IN_FIELDS,
    WEIR_ANSWER_IN_BODY, /* with Content-Length: left is known */
    WEIR_ANSWER_IN_CHUNK_SIZE,
    WEIR_ANSWER_IN_CHUNK,
    WEIR_ANSWER_IN_CHUNK_END, /* CRLF behind the data */
    WEIR_ANSWER_IN_TRAILERS,
    WEIR_ANSWER_IN_REST, /* until the connection ends */
    WEIR_ANSWER_AT_END,
    WEIR_ANSWER_BROKEN
} weir_answer_state_t;

typedef struct {
    /* valid with WEIR_ANSWER_DONE */
    unsigned status;         /* 200 to 599 */
    bool keep_alive;         /* the connection may be used again */
    bool encoded;            /* has a Content-Encoding */
    weir_answer_type_t type; /* of the body */
    size_t body_len;
    char *body;           /* the caller's */
    char retry_after[40]; /* value of Retry-After; empty: none */
    int64_t max_age;      /* seconds, of Cache-Control; 0 with no-store or no-cache; -1: none */
    int64_t age;          /* seconds, of Age; 0: none */

    const char *fault; /* constant; valid with WEIR_ANSWER_BAD */

    /* private */
    size_t max; /* bytes of the answer */
    weir_answer_state_t state;
    bool chunked;
    bool has_length;
    uint64_t left; /* bytes of body or chunk */
    size_t total;
    size_t line_len;
    char line[WEIR_ANSWER_LINE_MAX];
} weir_answer_t;

/* Before each request. body has room for max bytes, which is the limit of the whole answer. */
void weir_answer_init(weir_answer_t *a, char *body, size_t max);

/*
 * Takes bytes of the connection. *used is how many of them belong to the answer: with
 * WEIR_ANSWER_DONE there may be others behind, which nobody asked for.
 */
weir_answer_result_t weir_answer_feed(weir_answer_t *a, const char *data, size_t len, size_t *used);

/* The server has ended the connection; never WEIR_ANSWER_MORE. */
weir_answer_result_t weir_answer_finish(weir_answer_t *a);

/*
 * Seconds to wait by Retry-After (RFC 9110 section 10.2.3), a number or a date; -1 if there is none
 * or it is invalid. now is in seconds since 1970.
 */
int64_t weir_answer_retry_after(const weir_answer_t *a, int64_t now);

/*
 * Seconds for which the body is fresh by Cache-Control and Age (RFC 9111 section 4.2); 0: it is
 * not, -1: the answer does not say.
 */
int64_t weir_answer_freshness(const weir_answer_t *a);

#endif
