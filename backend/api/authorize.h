/*
 * What an identity may do. The row of an operation (openapi.h) says which scope its callers need,
 * and whether anonymous ones may call it; api.h names the scope of operators, who may call all
 * operations for all owners. Without identities (http/caller/identity.h) anybody may do everything.
 *
 *   an anonymous caller              401, with WWW-Authenticate: Bearer
 *   a caller without the scope       403, which names the scope (RFC 6750 section 3)
 *   a request that names an owner,   403: the caller has sent who the owner is
 *   and is not the owner's
 *   an object of another owner       404, as for one that does not exist
 */
#ifndef WEIR_AUTHORIZE_H
#define WEIR_AUTHORIZE_H

#include "api/api.h"
#include "api/openapi.h"
#include "http/http.h"

/* True if the caller may call the operation; otherwise the request has been answered. */
bool weir_authorize(weir_http_request_t *request, const weir_api_t *api,
                    const weir_operation_t *operation);

/* True if the caller is that owner, or an operator. May be called while the request is. */
bool weir_is_owner(const weir_http_request_t *request, const weir_api_t *api, weir_str_t owner);

/* The same for an owner that the request names; if false, it has been answered with a 403. */
bool weir_authorize_owner(weir_http_request_t *request, const weir_api_t *api, weir_str_t owner);

#endif
