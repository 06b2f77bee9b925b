/*
 * What an SMTP server replies (RFC 5321 section 4.2), and how it gets the text of a mail (section
 * 4.5.2). Plain C without I/O.
 */
#ifndef WEIR_SMTP_PROTOCOL_H
#define WEIR_SMTP_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>

#define WEIR_SMTP_REPLY_MAX 65536 /* octets of all lines of a reply */

/* A reply while it arrives. All zero before the first. */
typedef struct {
    int code;       /* of the last whole reply; 0: none */
    char line[512]; /* the beginning of the last line, also of one that has not ended; room for
                       as much as a server may send (section 4.5.3.1.5) */
    size_t len;     /* of the line; more than fits above is not kept */
    size_t octets;  /* of the reply so far */
    int first;      /* code of the reply's first line; 0 while that has not ended */
    bool ended;     /* the line has ended: the next octet begins another */
} weir_smtp_reply_t;

typedef enum {
    WEIR_SMTP_REPLY_PARTIAL,
    WEIR_SMTP_REPLY_WHOLE,
    WEIR_SMTP_REPLY_MALFORMED /* no reply, several codes, or longer than WEIR_SMTP_REPLY_MAX */
} weir_smtp_reply_result_t;

/*
 * Reads octets until a reply is whole; *used is the number that was read, all if it is not whole.
 * `line` ends with NUL; its control characters are replaced, but it need not be UTF-8.
 */
weir_smtp_reply_result_t weir_smtp_reply_read(weir_smtp_reply_t *reply, const char *data,
                                              size_t len, size_t *used);

/* Lets the next octet begin a reply, whatever was read before. Keeps code and line. */
void weir_smtp_reply_next(weir_smtp_reply_t *reply);

/*
 * A text, whose lines end with CRLF, with a second dot before each line that begins with one, and
 * without the line that ends it in DATA. The caller frees it.
 */
char *weir_smtp_dotted(const char *text, size_t len, size_t *dotted_len);

#endif
