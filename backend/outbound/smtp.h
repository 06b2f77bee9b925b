/*
 * Sends mails to one SMTP server, and says of each how its event's delivery ends (events/events.h):
 * which reply is about the mail, which about all mails, and which leaves it open.
 */
#ifndef WEIR_SMTP_H
#define WEIR_SMTP_H

#include "events/events.h"
#include "outbound/mail.h"

typedef struct weir_smtp weir_smtp_t;

/*
 * url is smtp://host:port or smtps://host:port; copied.  A mail may take timeout_ms; at most
 * `connections` mails are under way, what is more waits.
 */
weir_smtp_t *weir_smtp_new(struct event_base *base, const char *url, unsigned timeout_ms,
                           long connections);
/* Deliveries under way end within the call. */
void weir_smtp_free(weir_smtp_t *smtp);

/*
 * Sends the mail, which is copied, and ends the delivery, once, from the event loop: with GIVEN_UP
 * and without an effect when another worker owns the event before the server has the text's end.
 */
void weir_smtp_send(weir_smtp_t *smtp, const weir_mail_t *mail, weir_delivery_t *delivery);

#endif
