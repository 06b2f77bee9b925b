/*
 * The group email: sends every new user a welcome mail, and who has paid a receipt, over SMTP.  Who
 * has asked to be deleted meanwhile gets none.
 *
 * The Message-ID is made of the event's id, so that a mail which is sent again after a crash
 * (between the server's 250 and our commit) can be recognised as the same one.
 */
#ifndef WEIR_EMAIL_H
#define WEIR_EMAIL_H

#include "domain.h"

extern const weir_group_t weir_email_group;

#endif
