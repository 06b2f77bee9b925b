/*
 * Users over HTTP:
 *   POST /signup      one row of the set-based command signup (shop/sql/functions/users/signup.sql)
 *   GET /users/{id}   one row of the set-based query users_by_id
 */
#ifndef WEIR_USERS_H
#define WEIR_USERS_H

#include "domain.h"

extern const weir_endpoints_t weir_signup_endpoints;
extern const weir_endpoints_t weir_users_endpoints;

#endif
