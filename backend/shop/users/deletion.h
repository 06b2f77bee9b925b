/*
 * DELETE /users/{id}: one row of the set-based command delete_users (shop/sql). The groups handle
 * its event UserDeleted independently:
 *
 *   access    the user is gone for the API (410)
 *   privacy   what is personal goes out of users, of the events kept as history and of dead letters
 *   billing   the subscription is cancelled
 *   flags     what the user saw is deleted
 *
 * The table deletions records the progress. After the deletion no mail is sent to the user and
 * nothing is charged. Copies in Redis are removed when the stream is trimmed.
 */
#ifndef WEIR_DELETION_H
#define WEIR_DELETION_H

#include "domain.h"

extern const weir_endpoints_t weir_deletion_endpoints;

extern const weir_group_t weir_access_group;
extern const weir_group_t weir_privacy_group;

#endif
