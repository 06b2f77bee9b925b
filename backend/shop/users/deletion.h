/*
 * DELETE /users/{id}: one row of the set-based command delete_users (shop/sql), and what its
 * event UserDeleted makes the groups do, each on its own:
 *
 *   access    the user is gone for the API (410)
 *   privacy   what is personal goes out of users, of the events kept as history and of dead letters
 *   billing   the subscription is cancelled       flags   what the user saw is deleted
 *
 * The table deletions is the record of it.  Of what comes later for such a user, no mail goes out
 * and nothing is charged.  Copies in Redis end with the stream's trimming.
 */
#ifndef WEIR_DELETION_H
#define WEIR_DELETION_H

#include "domain.h"

extern const weir_endpoints_t weir_deletion_endpoints;

extern const weir_group_t weir_access_group;
extern const weir_group_t weir_privacy_group;

#endif
