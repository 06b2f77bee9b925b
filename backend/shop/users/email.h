/*
 * The group email sends a welcome mail to every new user, and a receipt to every user who has paid,
 * over SMTP. A user who has requested deletion gets no mail.
 *
 * The Message-ID contains the event's id, so that a mail that is sent again after a crash (between
 * the server's 250 and our commit) can be recognised as a duplicate.
 */
#ifndef WEIR_EMAIL_H
#define WEIR_EMAIL_H

#include "domain.h"

extern const weir_group_t weir_email_group;

#endif
