/*
 * Internet messages (RFC 5322, with MIME) as text. A name or subject cannot inject a header field:
 * control characters become blanks, and text that is not ASCII is encoded (RFC 2047).
 */
#ifndef WEIR_MAIL_H
#define WEIR_MAIL_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    const char *from_name; /* or NULL */
    const char *from;      /* address */
    const char *to_name;   /* or NULL */
    const char *to;        /* address */
    const char *subject;
    const char *message_id;  /* without <> */
    const char *time;        /* RFC 3339, becomes Date */
    const char *traceparent; /* a header field of its own, or NULL */
    const char *body;        /* UTF-8, lines end with \n */
} weir_mail_t;

/*
 * True when s can be used unchanged as an address in SMTP and in a header field: one @ with text on
 * both sides, printable ASCII without blanks and <>()[],;:\". Addresses that need SMTPUTF8 (RFC
 * 6531) are refused.
 */
bool weir_mail_is_address(const char *s);

/*
 * Splits "Name <address>" or "address" into a name (NULL if there is none) and an address; the
 * caller frees both. Returns false when there is no valid address.
 */
bool weir_mail_split(const char *mailbox, char **name, char **address);

/* The message with CRLF line ends, which the caller frees. The addresses must be valid. */
char *weir_mail_text(const weir_mail_t *mail, size_t *len);

#endif
