/*
 * Sends mails to one SMTP server, and decides the result of each delivery (events/events.h):
 * whether a reply concerns the mail, all mails, or either of them.
 */
#ifndef WEIR_SMTP_H
#define WEIR_SMTP_H

#include "events/events.h"
#include "outbound/mail.h"
#include "tls/tls.h"

typedef struct weir_smtp weir_smtp_t;

/*
 * url is smtp://host:port or smtps://host:port; it is copied. A mail may take timeout_ms. At most
 * `connections` mails are in flight; further ones wait.
 */
weir_smtp_t *weir_smtp_new(struct event_base *base, const char *url, unsigned timeout_ms,
                           size_t connections);
/* Deliveries in flight end during the call. */
/*
 * The certificates for the server, as weir_transfer_use_tls(); and whether over smtp:// no mail is
 * sent without STARTTLS. tls must outlive the result of weir_smtp_new(). Before the first mail.
 */
void weir_smtp_use_tls(weir_smtp_t *smtp, weir_tls_t *tls, bool starttls);
void weir_smtp_free(weir_smtp_t *smtp);

/*
 * Sends the mail, which is copied, and ends the delivery once, from the event loop. If another
 * worker owns the event before the server has the end of the text, the result is GIVEN_UP and no
 * mail is sent.
 */
void weir_smtp_send(weir_smtp_t *smtp, const weir_mail_t *mail, weir_delivery_t *delivery);

#endif
