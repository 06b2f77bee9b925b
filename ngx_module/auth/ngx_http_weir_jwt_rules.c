/*
 * The rules of weir_jwt_require.  A token that this worker knows keeps the
 * answer for the location that was asked for last, as its claims do not change.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/ngx_http_weir_jwt_private.h"


static ngx_uint_t ngx_http_weir_jwt_rules_compare(
    ngx_http_weir_jwt_ctx_t *ctx);


ngx_uint_t
ngx_http_weir_jwt_rules_permit(ngx_http_weir_jwt_ctx_t *ctx)
{
    ngx_http_weir_jwt_known_t  *known;

    known = ctx->known;

    if (ctx->conf->rules == NULL) {
        return 1;
    }

    if (known == NULL) {
        return ngx_http_weir_jwt_rules_compare(ctx);
    }

    if (known->conf != ctx->conf) {
        known->may = ngx_http_weir_jwt_rules_compare(ctx);
        known->conf = ctx->conf;
    }

    return known->may;
}


static ngx_uint_t
ngx_http_weir_jwt_rules_compare(ngx_http_weir_jwt_ctx_t *ctx)
{
    ngx_str_t                 *values;
    ngx_uint_t                 i, j, has;
    weir_str_t                 text;
    const json_t              *claim;
    ngx_http_weir_jwt_rule_t  *rule;

    rule = ctx->conf->rules->elts;

    for (i = 0; i < ctx->conf->rules->nelts; i++) {

        if (rule[i].scope.len) {
            text.data = (char *) rule[i].scope.data;
            text.len = rule[i].scope.len;
            has = weir_claims_have_scope(ctx->claims, text);

        } else if (rule[i].values == NULL) {
            claim = weir_claim_find(ctx->claims, rule[i].claim);
            has = claim != NULL && !json_is_null(claim);

        } else {
            values = rule[i].values->elts;
            has = 0;

            for (j = 0; j < rule[i].values->nelts && !has; j++) {
                text.data = (char *) values[j].data;
                text.len = values[j].len;
                has = weir_claim_has(ctx->claims, rule[i].claim, text);
            }
        }

        if (!has) {
            return 0;
        }
    }

    return 1;
}
