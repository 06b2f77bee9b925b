/* A breaker's state in log and status. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "breaker/zone/ngx_http_weir_breaker_log.h"
#include "breaker/zone/ngx_http_weir_breaker_zone.h"
#include "common/problem.h"
#include "http/ngx_http_weir_assert.h"


static u_char *ngx_http_weir_breaker_log_ratio(u_char *p, u_char *last,
    char *of, uint32_t part, weir_breaker_counts_t *counts, uint64_t window);


/* The key may contain a client's text, so it is logged as a JSON string. */

void
ngx_http_weir_breaker_log(ngx_http_weir_breaker_change_t *change,
    ngx_shm_zone_t *shm_zone, ngx_log_t *log)
{
    u_char        *p, *last;
    ngx_uint_t     level;
    u_char         name[6 * NGX_HTTP_WEIR_BREAKER_KEY_MAX + 2];
    u_char         reason[NGX_HTTP_WEIR_BREAKER_REASON_MAX + 2];

    if (change->was == change->is) {
        return;
    }

    level = NGX_LOG_NOTICE;
    p = reason;
    last = reason + sizeof(reason);

    if (change->is == WEIR_BREAKER_OPEN && change->heard) {
        p = ngx_cpymem(p, ": another edge probes",
                       sizeof(": another edge probes") - 1);

    } else if (change->is == WEIR_BREAKER_OPEN) {
        level = (change->was == WEIR_BREAKER_HALF_OPEN) ? NGX_LOG_WARN
                                                        : NGX_LOG_ERR;
        *p++ = ':';
        *p++ = ' ';
        p = ngx_http_weir_breaker_log_reason(p, last, change->rule,
                                             &change->counts, change->window,
                                             change->cause);
    }

    ngx_log_error(level, log, 0,
                  "weir_breaker %*s of zone \"%V\" is %V, was %V%*s",
                  weir_json_string((char *) name, sizeof(name),
                                   (weir_str_t) { (char *) change->key,
                                                  change->len }),
                  name, &shm_zone->shm.name,
                  ngx_http_weir_breaker_log_state(change->is),
                  ngx_http_weir_breaker_log_state(change->was),
                  (size_t) (p - reason), reason);
}


ngx_str_t *
ngx_http_weir_breaker_log_state(weir_breaker_state_t state)
{
    static ngx_str_t  names[] = {
        ngx_string("closed"), ngx_string("open"), ngx_string("half-open"),
        ngx_string("ramping")
    };

    ngx_http_weir_assert(state < sizeof(names) / sizeof(names[0]));

    return &names[state];
}


u_char *
ngx_http_weir_breaker_log_reason(u_char *p, u_char *last,
    weir_breaker_rule_t rule, weir_breaker_counts_t *counts, uint64_t window,
    ngx_uint_t cause)
{
    static char  *causes[] = {
        "an unknown failure", "an error of the connection", "a timeout",
        "a slow answer", "a client that left after waiting too long",
        "a body that broke off"
    };

    switch (rule) {

    case WEIR_BREAKER_BY_NOTHING:
        return p;

    case WEIR_BREAKER_BY_OPERATOR:
        return ngx_slprintf(p, last, "an operator has opened it");

    case WEIR_BREAKER_BY_ROW:
        p = ngx_slprintf(p, last, "%uD calls in a row failed", counts->row);
        break;

    case WEIR_BREAKER_BY_PROBE:
        p = ngx_slprintf(p, last, counts->failed ? "a probe failed"
                                                 : "probes were slow");
        break;

    case WEIR_BREAKER_BY_SLOW:
        p = ngx_http_weir_breaker_log_ratio(p, last, "slow ", counts->slow,
                                            counts, window);
        break;

    default:
        p = ngx_http_weir_breaker_log_ratio(p, last, "", counts->failed,
                                            counts, window);
    }

    if (counts->timeouts && counts->calls > 1) {
        p = ngx_slprintf(p, last, ", %uD timeout%s", counts->timeouts,
                         counts->timeouts > 1 ? "s" : "");
    }

    if (cause < sizeof(causes) / sizeof(causes[0])) {
        return ngx_slprintf(p, last, "; last: %s", causes[cause]);
    }

    if (cause >= NGX_HTTP_WEIR_BREAKER_GRPC
        && cause < NGX_HTTP_WEIR_BREAKER_GRPC + 16)
    {
        return ngx_slprintf(p, last, "; last: gRPC status %ui",
                            cause - NGX_HTTP_WEIR_BREAKER_GRPC);
    }

    return ngx_slprintf(p, last, "; last: status %ui", cause);
}


static u_char *
ngx_http_weir_breaker_log_ratio(u_char *p, u_char *last, char *of,
    uint32_t part, weir_breaker_counts_t *counts, uint64_t window)
{
    uint64_t  hundredths;

    hundredths = counts->calls ? (uint64_t) part * 100 / counts->calls : 0;

    p = ngx_slprintf(p, last, "%sratio %uL.%02uL of %uD in ", of,
                     hundredths / 100, hundredths % 100, counts->calls);

    return window % 1000 ? ngx_slprintf(p, last, "%uL ms", window)
                         : ngx_slprintf(p, last, "%uL s", window / 1000);
}
