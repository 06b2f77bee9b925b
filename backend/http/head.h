/*
 * The head of an HTTP/1.x request: request line, fields, and how its body is framed
 * (RFC 9112 sections 2 to 6), in the strict reading of the grammar.  Where the RFC lets a
 * recipient choose between repairing a message and refusing it, the message is refused: two
 * parsers that repair differently disagree about where a message ends (section 11.2).
 *
 * Refused are: a line that ends without CR, NUL and other control characters, whitespace before
 * a colon, a folded line, two Host fields or none (HTTP/1.1), two Content-Length fields or one
 * that is not only digits, Content-Length beside Transfer-Encoding, and every transfer coding but
 * one "chunked".  Plain C, no libevent.
 *
 * The parser works in the caller's buffer: it reads each line when it is complete, once, and
 * writes a NUL behind each name and value.  Time and memory are linear in the bytes received.
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
    const char *text; /* the caller's buffer; the caller sets it again when the buffer moves */
    size_t len;       /* bytes of lines that were read; of the whole head at its end */
    size_t searched;  /* bytes in which the next line's end was looked for */
    bool has_line;    /* the request line was read */

    uint16_t method; /* offsets of strings that end with a NUL */
    uint16_t path;   /* 0 is the request target "*" or an absolute URI without a path */
    uint16_t query;  /* behind the "?"; 0 when there is none */
    int minor;       /* of the version HTTP/1.x */

    weir_field_t fields[WEIR_HEAD_FIELDS_MAX];
    unsigned n_fields;
    bool has_host;
    unsigned singletons; /* bits of those fields that were given */

    weir_framing_t framing;
    uint64_t length; /* bytes, of WEIR_BODY_LENGTH */
    bool close;      /* Connection: close */
    bool keep_alive; /* Connection: keep-alive */
    bool expects_continue;

    int status;      /* that refuses the request when it is wrong */
    const char *why; /* a sentence for the client, static */
} weir_head_t;

typedef enum {
    WEIR_HEAD_PARTIAL, /* more bytes are needed */
    WEIR_HEAD_WHOLE,   /* len, and all other members, are final */
    WEIR_HEAD_WRONG    /* status and why say what is; the connection must be closed */
} weir_head_result_t;

void weir_head_init(weir_head_t *head);

/*
 * Reads on in text, which has len bytes and begins with the request line.  Bytes read in an
 * earlier call must be as that call left them.
 */
weir_head_result_t weir_head_parse(weir_head_t *head, char *text, size_t len);

/* The value of the first field of that name, NULL without one; it lives as long as the text. */
const char *weir_head_field(const weir_head_t *head, const char *name);
/* How many fields have that name. */
unsigned weir_head_count(const weir_head_t *head, const char *name);

/* "?" when the request line was not read. */
const char *weir_head_method(const weir_head_t *head);
/* Without query, as it came; "*" of OPTIONS *, and "/" of an absolute URI without a path. */
const char *weir_head_path(const weir_head_t *head);
/* NULL when there is none. */
const char *weir_head_query(const weir_head_t *head);

/* Whether the connection may be used again after this request (RFC 9112 section 9.3). */
bool weir_head_keeps_connection(const weir_head_t *head);

/* Whether the character may stand in a field value (RFC 9110 section 5.5). */
bool weir_is_value(unsigned char c);

#endif
