/*
 * The group email: sends every new user a welcome mail, and who has paid a receipt, over SMTP.  Who
 * has asked to be deleted meanwhile gets none.
 *
 * The Message-ID is made of the event's id, so that a mail which is sent again after a crash
 * (between the server's 250 and our commit) can be recognised as the same one.
 */
#ifndef WEIR_EMAIL_H
#define WEIR_EMAIL_H

#include "events/events.h"

typedef struct weir_email weir_email_t;

/*
 * database is a libpq connection string, to ask who gets a mail.  url is smtp://host:port or
 * smtps://…, from the sender as in a From field, "Name <address>" or an address.  The strings are
 * copied.  NULL, with a message in error, when one is wrong.
 */
weir_email_t *weir_email_new(struct event_base *base, const char *database, const char *url,
                             unsigned timeout_ms, const char *from, char *error, size_t error_size);
/* What is wrong with a sender, or NULL. */
const char *weir_email_check_from(const char *from);
/* After the worker has stopped. */
void weir_email_free(weir_email_t *email);

weir_consumer_t weir_email_consumer(weir_email_t *email);

#endif
