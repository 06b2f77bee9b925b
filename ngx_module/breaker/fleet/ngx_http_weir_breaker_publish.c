/* Changes of state in the stream weir:breaker. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "breaker/fleet/ngx_http_weir_breaker_publish.h"


#define NGX_HTTP_WEIR_BREAKER_PUBLISH_MAX  50   /* in a second */


static ngx_uint_t ngx_http_weir_breaker_publish_may(void);


void
ngx_http_weir_breaker_publish(ngx_shm_zone_t *zone,
    ngx_http_weir_breaker_change_t *change, ngx_log_t *log)
{
    u_char                         *p;
    ngx_str_t                       argv[19];
    ngx_uint_t                      n;
    ngx_http_weir_redis_t          *redis;
    ngx_http_weir_redis_command_t   cmd;
    u_char                          id[16];
    u_char                          reason[NGX_HTTP_WEIR_BREAKER_REASON_MAX];

    redis = ngx_http_weir_breaker_zone_redis(zone);

    if (redis == NULL || change->was == change->is
        || !ngx_http_weir_breaker_publish_may())
    {
        return;
    }

    ngx_str_set(&argv[0], "XADD");
    ngx_str_set(&argv[1], NGX_HTTP_WEIR_BREAKER_STREAM);
    ngx_str_set(&argv[2], "MAXLEN");
    ngx_str_set(&argv[3], "~");
    ngx_str_set(&argv[4], "10000");
    ngx_str_set(&argv[5], "*");
    ngx_str_set(&argv[6], "event");
    argv[7] = *ngx_http_weir_breaker_log_state(change->is);
    ngx_str_set(&argv[8], "zone");
    argv[9] = zone->shm.name;
    ngx_str_set(&argv[10], "key");
    argv[11].data = change->key;
    argv[11].len = change->len;
    ngx_str_set(&argv[12], "edge");
    argv[13] = ngx_cycle->hostname;
    ngx_str_set(&argv[14], "id");
    argv[15].data = id;
    argv[15].len = ngx_sprintf(id, "%016xL",
                               ngx_http_weir_breaker_zone_edge(zone)) - id;
    n = 16;

    if (change->is == WEIR_BREAKER_OPEN && !change->heard) {
        p = ngx_http_weir_breaker_log_reason(reason, reason + sizeof(reason),
                                             change->rule, &change->counts,
                                             change->window, change->cause);
        ngx_str_set(&argv[n], "reason");
        argv[n + 1].data = reason;
        argv[n + 1].len = p - reason;
        n += 2;
    }

    ngx_memzero(&cmd, sizeof(ngx_http_weir_redis_command_t));
    cmd.log = log;

    (void) ngx_http_weir_redis_command(redis, &cmd, n, argv);
}


static ngx_uint_t
ngx_http_weir_breaker_publish_may(void)
{
    static time_t      second;
    static ngx_uint_t  n;

    if (second != ngx_time()) {
        second = ngx_time();
        n = 0;
    }

    return n++ < NGX_HTTP_WEIR_BREAKER_PUBLISH_MAX;
}
