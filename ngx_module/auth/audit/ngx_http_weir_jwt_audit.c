/* Refused requests for the audit log; see ngx_http_weir_jwt_audit.h. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "auth/audit/ngx_http_weir_jwt_audit.h"
#include "common/audit/refused.h"


#define NGX_HTTP_WEIR_JWT_AUDIT_TICK  1000  /* ms */


/* Of this worker, from the first refusal on. */
typedef struct {
    weir_refused_flood_t     flood;
    ngx_http_weir_redis_t   *redis;
    ngx_atomic_t            *counts;
    ngx_event_t              timer;    /* set while a window is open */
} ngx_http_weir_jwt_auditor_t;


static void ngx_http_weir_jwt_audit_describe(ngx_http_request_t *r,
    const char *outcome, const json_t *claims, weir_refused_t *refused);
static void ngx_http_weir_jwt_audit_send(ngx_http_weir_jwt_auditor_t *auditor,
    const weir_refused_t *refused, uint64_t n);
static void ngx_http_weir_jwt_audit_handler(ngx_event_t *ev);


static ngx_http_weir_jwt_auditor_t  *ngx_http_weir_jwt_auditor;


void
ngx_http_weir_jwt_audit(ngx_http_request_t *r, ngx_http_weir_redis_t *redis,
    ngx_atomic_t *counts, const char *outcome, const json_t *claims)
{
    weir_refused_t                refused;
    ngx_http_weir_jwt_auditor_t  *auditor;

    auditor = ngx_http_weir_jwt_auditor;

    if (auditor == NULL) {
        auditor = ngx_calloc(sizeof(ngx_http_weir_jwt_auditor_t),
                             r->connection->log);
        if (auditor == NULL) {
            (void) ngx_atomic_fetch_add(
                              &counts[NGX_HTTP_WEIR_JWT_AUDIT_DROPPED], 1);
            return;
        }

        auditor->timer.handler = ngx_http_weir_jwt_audit_handler;
        auditor->timer.data = auditor;
        auditor->timer.cancelable = 1;
        ngx_http_weir_jwt_auditor = auditor;
    }

    auditor->redis = redis;
    auditor->counts = counts;

    ngx_http_weir_jwt_audit_describe(r, outcome, claims, &refused);

    if (weir_refused_note(&auditor->flood, &refused, ngx_time())) {
        ngx_http_weir_jwt_audit_send(auditor, &refused, 0);

    } else {
        (void) ngx_atomic_fetch_add(&counts[NGX_HTTP_WEIR_JWT_AUDIT_COUNTED],
                                    1);
    }

    if (!auditor->timer.timer_set) {
        auditor->timer.log = ngx_cycle->log;
        ngx_add_timer(&auditor->timer, NGX_HTTP_WEIR_JWT_AUDIT_TICK);
    }
}


/* The location's name, not the path, which may have personal data. */

static void
ngx_http_weir_jwt_audit_describe(ngx_http_request_t *r, const char *outcome,
    const json_t *claims, weir_refused_t *refused)
{
    u_char                    *p;
    const char                *text;
    const json_t              *sub;
    ngx_http_core_loc_conf_t  *clcf;
    u_char                     buf[sizeof(refused->subject)];

    static const char  anonymous[] = "anonymous";

    ngx_memzero(refused, sizeof(weir_refused_t));

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);
    sub = json_object_get(claims, "sub");
    text = json_is_string(sub) ? json_string_value(sub) : NULL;

    weir_refused_put(refused->outcome, sizeof(refused->outcome), outcome,
                     ngx_strlen(outcome));

    p = ngx_snprintf(buf, sizeof(buf), "%V %V", &r->method_name, &clcf->name);
    weir_refused_put(refused->object, sizeof(refused->object),
                     (const char *) buf, p - buf);

    if (text) {
        p = ngx_snprintf(buf, sizeof(buf), "sub:%s", text);
        weir_refused_put(refused->subject, sizeof(refused->subject),
                         (const char *) buf, p - buf);
    } else {
        weir_refused_put(refused->subject, sizeof(refused->subject),
                         anonymous, sizeof(anonymous) - 1);
    }

    p = ngx_snprintf(buf, sizeof(buf), "edge:%V", &ngx_cycle->hostname);
    weir_refused_put(refused->actor, sizeof(refused->actor),
                     (const char *) buf, p - buf);
    weir_refused_put(refused->address, sizeof(refused->address),
                     (const char *) r->connection->addr_text.data,
                     r->connection->addr_text.len);
}


/* A record of one request, or of n. */

static void
ngx_http_weir_jwt_audit_send(ngx_http_weir_jwt_auditor_t *auditor,
    const weir_refused_t *refused, uint64_t n)
{
    char                           *text;
    json_t                         *row;
    ngx_int_t                       rc;
    ngx_uint_t                      i;
    ngx_str_t                       argv[8];
    ngx_http_weir_redis_command_t   cmd;

    static char  *words[] = {
        "XADD", NGX_HTTP_WEIR_JWT_AUDIT_STREAM, "MAXLEN", "~",
        NGX_HTTP_WEIR_JWT_AUDIT_MAXLEN, "*", "refused"
    };

    rc = NGX_DECLINED;

    /* NULL if a text is no UTF-8, as the name of a location may be */

    row = json_pack("{s:s,s:s,s:s,s:s,s:s}", "outcome", refused->outcome,
                    "object", refused->object, "subject", refused->subject,
                    "actor", refused->actor, "address", refused->address);

    if (row && n) {
        (void) json_object_set_new(row, "count", json_integer(n));
    }

    text = row ? json_dumps(row, JSON_COMPACT) : NULL;

    if (text) {
        for (i = 0; i < 7; i++) {
            argv[i].data = (u_char *) words[i];
            argv[i].len = ngx_strlen(words[i]);
        }

        argv[7].data = (u_char *) text;
        argv[7].len = ngx_strlen(text);

        ngx_memzero(&cmd, sizeof(ngx_http_weir_redis_command_t));
        cmd.log = ngx_cycle->log;

        rc = ngx_http_weir_redis_command(auditor->redis, &cmd, 8, argv);
    }

    (void) ngx_atomic_fetch_add(&auditor->counts[rc == NGX_OK
                                            ? NGX_HTTP_WEIR_JWT_AUDIT_SENT
                                            : NGX_HTTP_WEIR_JWT_AUDIT_DROPPED],
                                1);

    free(text);
    json_decref(row);
}


static void
ngx_http_weir_jwt_audit_handler(ngx_event_t *ev)
{
    uint64_t                      n;
    const weir_refused_t         *refused;
    ngx_http_weir_jwt_auditor_t  *auditor = ev->data;

    while ((n = weir_refused_sum(&auditor->flood, ngx_exiting, ngx_time(),
                                 &refused)))
    {
        ngx_http_weir_jwt_audit_send(auditor, refused, n);
    }

    if (weir_refused_is_open(&auditor->flood)) {
        ngx_add_timer(ev, NGX_HTTP_WEIR_JWT_AUDIT_TICK);
    }
}


void
ngx_http_weir_jwt_audit_end(ngx_http_weir_redis_t *redis)
{
    ngx_http_weir_jwt_auditor_t  *auditor;

    auditor = ngx_http_weir_jwt_auditor;

    if (auditor == NULL || auditor->redis != redis) {
        return;
    }

    if (auditor->timer.timer_set) {
        ngx_del_timer(&auditor->timer);
    }

    ngx_free(auditor);
    ngx_http_weir_jwt_auditor = NULL;
}
