/*
 * Parses the head of an HTTP/1.x request strictly: request line, fields, and the framing of the
 * body (RFC 9112 sections 2 to 6). Where the RFC lets a recipient repair or refuse a message, the
 * message is refused: two parsers that repair differently disagree about the end of a message
 * (section 11.2).
 *
 * Refused are: a line that ends without CR, NUL and other control characters, whitespace before a
 * colon, a folded line, two Host fields or none (HTTP/1.1), two Content-Length fields or one that
 * is not only digits, Content-Length beside Transfer-Encoding, and every transfer coding except a
 * single "chunked". Plain C, no libevent.
 *
 * The parser works in the caller's buffer. It parses each complete line once, and writes a NUL
 * after each name and value. Time and memory are linear in the bytes received.
 */
#ifndef WEIR_HEAD_H
#define WEIR_HEAD_H

#include "common/text/str.h"

#include <stdbool.h>
#include <stdint.h>

#define WEIR_HEAD_MAX 16384      /* bytes of a head, the empty line included; more is a 431 */
#define WEIR_HEAD_LINE_MAX 8192  /* bytes of a request line; more is a 414 */
#define WEIR_HEAD_FIELDS_MAX 100 /* fields; more is a 431 */

/* Offsets into the head's text. */
typedef struct {
    uint16_t name, name_len;
    uint16_t value, value_len;
} weir_field_t;

typedef enum { WEIR_BODY_NONE, WEIR_BODY_LENGTH, WEIR_BODY_CHUNKED } weir_framing_t;

typedef struct {
    const char *text; /* the caller's buffer; the caller updates it when the buffer moves */
    size_t len;       /* bytes of parsed lines; of the whole head when it is complete */
    size_t searched;  /* bytes that were searched for the end of the next line */
    bool has_line;    /* the request line was parsed */

    uint16_t method; /* offsets of strings that end with a NUL */
    uint16_t path;   /* 0: the request target is "*" or an absolute URI without a path */
    uint16_t query;  /* after the "?"; 0 when there is none */
    int minor;       /* of the version HTTP/1.x */

    weir_field_t fields[WEIR_HEAD_FIELDS_MAX];
    unsigned n_fields;
    bool has_host;
    unsigned singletons; /* bits of the fields that the head has */

    weir_framing_t framing;
    uint64_t length; /* bytes, of WEIR_BODY_LENGTH */
    bool close;      /* Connection: close */
    bool keep_alive; /* Connection: keep-alive */
    bool expects_continue;

    int status;      /* the status of the refusal when the head is wrong */
    const char *why; /* a sentence for the client, static */
} weir_head_t;

typedef enum {
    WEIR_HEAD_PARTIAL, /* more bytes are needed */
    WEIR_HEAD_WHOLE,   /* len, and all other members, are final */
    WEIR_HEAD_WRONG    /* status and why are set; the connection must be closed */
} weir_head_result_t;

void weir_head_init(weir_head_t *head);

/*
 * Continues to parse text, which has len bytes and begins with the request line. Bytes of earlier
 * calls must be unchanged.
 */
weir_head_result_t weir_head_parse(weir_head_t *head, char *text, size_t len);

/* The value of the first field of that name, NULL without one; it lives as long as the text. */
const char *weir_head_field(const weir_head_t *head, const char *name);
/* The same for the n-th one, counted from 0. */
const char *weir_head_nth(const weir_head_t *head, const char *name, unsigned n);
/* How many fields have that name. */
unsigned weir_head_count(const weir_head_t *head, const char *name);

/* "?" before the request line was parsed. */
const char *weir_head_method(const weir_head_t *head);
/*
 * The received path without query; "*" for OPTIONS *, and "/" for an absolute URI without a path.
 */
const char *weir_head_path(const weir_head_t *head);
/* NULL when there is none. */
const char *weir_head_query(const weir_head_t *head);

/* True when the connection may be used again after this request (RFC 9112 section 9.3). */
bool weir_head_keeps_connection(const weir_head_t *head);

/* True when the character may be part of a field value (RFC 9110 section 5.5). */
bool weir_is_value(unsigned char c);

#endif
