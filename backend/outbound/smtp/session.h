/*
 * A connection to an SMTP server, over which mails are sent one after another (RFC 5321).
 *
 * libcurl resolves the name, connects, makes TLS and logs in. It does not send the mails: it waits
 * for the reply to a text, and for the one to QUIT, in a loop of its own, in which the event loop
 * stands still as long as the server is silent (smtp_done() and smtp_disconnect() of libcurl 7.88
 * and 8.14). So the dialogue from MAIL on is here.
 */
#ifndef WEIR_SMTP_SESSION_H
#define WEIR_SMTP_SESSION_H

#include "outbound/transfer.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct weir_smtp_session weir_smtp_session_t;

typedef enum {
    WEIR_SMTP_SENT,
    WEIR_SMTP_REFUSED,   /* by the reply `code` */
    WEIR_SMTP_LOST,      /* there was no connection, it broke, or the server did not speak SMTP */
    WEIR_SMTP_TIMED_OUT, /* before the last reply */
    WEIR_SMTP_GIVEN_UP   /* by may_end(); the server has no mail */
} weir_smtp_end_t;

/* What became of a mail; valid until the callback uses the session again. */
typedef struct {
    weir_smtp_end_t end;
    bool named;        /* the server may know the recipient: RCPT was sent */
    int code;          /* of the last reply; 0: none */
    const char *error; /* empty if the mail was sent */
    const char *line;  /* the last line of the last reply, or empty */
} weir_smtp_outcome_t;

/* A mail. All that it points to must live until done() is called. */
typedef struct {
    const char *from, *to; /* weir_mail_is_address() */
    const char *text;      /* as of weir_smtp_dotted() */
    size_t len;
    /* Asked directly before the line is sent that ends the text; if false, it is not sent. */
    bool (*may_end)(void *arg);
    /* Called once, from the event loop. The session is free then, and may be used at once. */
    void (*done)(const weir_smtp_outcome_t *outcome, void *arg);
    void *arg;
} weir_smtp_envelope_t;

/* A session without a connection, which its first mail makes. url must outlive it. */
weir_smtp_session_t *weir_smtp_session_new(struct event_base *base, weir_transfers_t *transfers,
                                           const char *url, unsigned timeout_ms);
/*
 * As weir_transfer_use_tls(), and whether a mail is sent over smtp:// only after STARTTLS (RFC
 * 3207). tls must outlive the session.
 */
void weir_smtp_session_use_tls(weir_smtp_session_t *session, weir_tls_t *tls, bool starttls);
/* Its connection must have been closed, and its last mail be done. */
void weir_smtp_session_free(weir_smtp_session_t *session);

/* Sends a mail, for which it has timeout_ms, with a new connection if there is none. */
void weir_smtp_session_send(weir_smtp_session_t *session, const weir_smtp_envelope_t *mail);

/*
 * Closes the connection. A mail under way ends during the call, except when the connection is not
 * made yet: then it ends by weir_transfers_free().
 */
void weir_smtp_session_close(weir_smtp_session_t *session);

/* True when a mail can be sent; and when there is a connection for it already. */
bool weir_smtp_session_is_free(const weir_smtp_session_t *session);
bool weir_smtp_session_is_idle(const weir_smtp_session_t *session);

#endif
