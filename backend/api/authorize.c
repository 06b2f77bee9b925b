#include "api/authorize.h"

#include "audit/refused.h"
#include "metrics/series.h"

#include <stdio.h>

static void denied(const weir_http_request_t *request, const char *reason)
{
    weir_audit_refused(request, reason);
    weir_series_add(weir_series(WEIR_IDENTITY_DENIALS, &reason), 1);
}

static bool is_operator(const weir_identity_t *identity, const weir_api_t *api)
{
    return api->operator_scope != NULL && weir_identity_has(identity, api->operator_scope);
}

bool weir_authorize(weir_http_request_t *request, const weir_api_t *api,
                    const weir_operation_t *operation)
{
    const weir_identity_t *identity = weir_http_identity(request);
    char challenge[256];

    if (identity == NULL || operation->anonymous)
        return true;

    /* What a caller must prove something for, no cache may give to another one. */
    weir_http_be_private(request);

    if (identity->anonymous) {
        denied(request, "anonymous");
        weir_http_add_header(request, "WWW-Authenticate", "Bearer");
        weir_http_error(request, 401, "This operation needs a token.");
        return false;
    }
    if (operation->scope == NULL || weir_identity_has(identity, operation->scope) ||
        is_operator(identity, api))
        return true;

    denied(request, "scope");
    snprintf(challenge, sizeof(challenge), "Bearer error=\"insufficient_scope\", scope=\"%s\"",
             operation->scope);
    weir_http_add_header(request, "WWW-Authenticate", challenge);
    weir_http_error(request, 403, "This operation needs the scope %s.", operation->scope);

    return false;
}

bool weir_is_owner(const weir_http_request_t *request, const weir_api_t *api, weir_str_t owner)
{
    const weir_identity_t *identity = weir_http_identity(request);

    if (identity == NULL || is_operator(identity, api) ||
        (!identity->anonymous && weir_str_eq(weir_str(identity->subject), owner)))
        return true;
    denied(request, "owner");

    return false;
}

bool weir_authorize_owner(weir_http_request_t *request, const weir_api_t *api, weir_str_t owner)
{
    if (weir_is_owner(request, api, owner))
        return true;
    weir_http_error(request, 403, "The token is not that of this user.");

    return false;
}
