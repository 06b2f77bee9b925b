/*
 * Users over HTTP:
 *   POST /signup      one row of the set-based command signup (shop/sql/functions/users/signup.sql)
 *   GET /users/{id}   one row of the set-based query users_by_id
 */
#ifndef WEIR_USERS_H
#define WEIR_USERS_H

#include "api/openapi.h"
#include "events/events.h"

typedef struct weir_users weir_users_t;

/*
 * Opens the sessions and adds the routes.  relay, which may be NULL, is woken
 * after each signup; it must live until weir_users_free().
 */
weir_users_t *weir_users_new(struct event_base *base, const char *database, weir_openapi_t *openapi,
                             weir_relay_t *relay);
/* Requests under way are answered with a 503.  Before weir_http_free(). */
void weir_users_free(weir_users_t *users);

#endif
