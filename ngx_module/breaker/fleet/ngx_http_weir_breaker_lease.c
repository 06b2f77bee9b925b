/* One edge at a time probes; see ngx_http_weir_breaker_lease.h. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "breaker/fleet/ngx_http_weir_breaker_lease.h"
#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_park.h"
#include "record/ngx_http_weir_record.h"


/* An edge that others keep from probing asks again after so many ms. */
#define NGX_HTTP_WEIR_BREAKER_LEASE_AGAIN  1000

#define NGX_HTTP_WEIR_BREAKER_LEASE_KEY                                       \
    (sizeof("weir:breaker:probe::") - 1)


/* A request that asks; in its pool. */
typedef struct {
    ngx_http_request_t               *request;
    ngx_http_weir_breaker_t          *breaker;
    ngx_http_weir_breaker_ticket_t    ticket;
    ngx_http_weir_breaker_verdict_t   verdict;
    ngx_http_weir_redis_command_t     command;
    ngx_uint_t                        answered;  /* bool */
} ngx_http_weir_breaker_lease_t;


static ngx_int_t ngx_http_weir_breaker_lease_send(
    ngx_http_weir_breaker_lease_t *lease, ngx_http_weir_breaker_key_t *key);
static void ngx_http_weir_breaker_lease_handler(
    ngx_http_weir_redis_command_t *cmd, ngx_int_t rc,
    ngx_http_weir_redis_reply_t *reply);
static void ngx_http_weir_breaker_lease_judge(
    ngx_http_weir_breaker_verdict_t *verdict, ngx_str_t *word, int64_t ttl);
static void ngx_http_weir_breaker_lease_cleanup(void *data);
static void ngx_http_weir_breaker_lease_key(u_char *p, ngx_str_t *name,
    ngx_shm_zone_t *zone, u_char *key, size_t len);


/*
 * Takes the lease, or returns the word that is there and how many ms it lives; a
 * key without an end gets one.
 */
static ngx_str_t  ngx_http_weir_breaker_lease_take = ngx_string(
    "local v=redis.call('GET',KEYS[1])"
    " if v and v~=ARGV[1] then"
    " local t=redis.call('PTTL',KEYS[1])"
    " if t<0 then redis.call('PEXPIRE',KEYS[1],ARGV[2]) t=tonumber(ARGV[2]) end"
    " return {v,t} end"
    " redis.call('SET',KEYS[1],ARGV[1],'PX',ARGV[2]) return 0");

/* Bool: Redis has refused a command; logged once in a process. */
static ngx_uint_t  ngx_http_weir_breaker_lease_refused;


/* Ends the time in which others may take the upstream for well. */
static ngx_str_t  ngx_http_weir_breaker_lease_forget = ngx_string(
    "local v=redis.call('GET',KEYS[1])"
    " if v and string.sub(v,1,4)=='well' then redis.call('DEL',KEYS[1]) end"
    " return 0");


ngx_int_t
ngx_http_weir_breaker_lease_ask(ngx_http_request_t *r,
    ngx_http_weir_breaker_t *breaker, ngx_http_weir_breaker_key_t *key,
    ngx_http_weir_breaker_ticket_t *ticket)
{
    ngx_int_t                       rc;
    ngx_pool_cleanup_t             *cln;
    ngx_http_weir_breaker_lease_t  *lease;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_weir_breaker_lease_t));
    if (cln == NULL) {
        return NGX_DECLINED;
    }

    lease = cln->data;
    ngx_memzero(lease, sizeof(ngx_http_weir_breaker_lease_t));
    lease->request = r;
    lease->breaker = breaker;
    lease->ticket = *ticket;

    if (ngx_http_weir_breaker_lease_send(lease, key) != NGX_OK) {
        return NGX_DECLINED;
    }

    cln->handler = ngx_http_weir_breaker_lease_cleanup;

    rc = ngx_http_weir_park(r);

    if (rc != NGX_AGAIN) {
        ngx_http_weir_redis_cancel(&lease->command);
        return rc;
    }

    ngx_http_set_ctx(r, lease, ngx_http_weir_breaker_module);
    ngx_http_weir_record_enter(r, NGX_HTTP_WEIR_PHASE_REDIS);

    return NGX_AGAIN;
}


static ngx_int_t
ngx_http_weir_breaker_lease_send(ngx_http_weir_breaker_lease_t *lease,
    ngx_http_weir_breaker_key_t *key)
{
    u_char                         *p, edge[16], ms[NGX_INT64_LEN];
    ngx_str_t                       argv[6];
    ngx_shm_zone_t                 *zone;
    ngx_http_request_t             *r;
    ngx_http_weir_redis_command_t  *cmd;

    r = lease->request;
    zone = lease->breaker->zone;
    cmd = &lease->command;

    p = ngx_pnalloc(r->pool, NGX_HTTP_WEIR_BREAKER_LEASE_KEY
                             + zone->shm.name.len + key->text.len);
    if (p == NULL) {
        return NGX_DECLINED;
    }

    cmd->pool = r->pool;
    cmd->handler = ngx_http_weir_breaker_lease_handler;
    cmd->data = lease;
    cmd->log = r->connection->log;
    cmd->usage = ngx_http_weir_usage(r);

    ngx_str_set(&argv[0], "EVAL");
    argv[1] = ngx_http_weir_breaker_lease_take;
    ngx_str_set(&argv[2], "1");
    ngx_http_weir_breaker_lease_key(p, &argv[3], zone, key->text.data,
                                    key->text.len);
    argv[4].data = edge;
    argv[4].len = ngx_sprintf(edge, "%016xL",
                              ngx_http_weir_breaker_zone_edge(zone)) - edge;
    argv[5].data = ms;
    argv[5].len = ngx_sprintf(ms, "%uL", lease->breaker->settings.open) - ms;

    return ngx_http_weir_redis_command(ngx_http_weir_breaker_zone_redis(zone),
                                       cmd, 6, argv);
}


static void
ngx_http_weir_breaker_lease_handler(ngx_http_weir_redis_command_t *cmd,
    ngx_int_t rc, ngx_http_weir_redis_reply_t *reply)
{
    ngx_http_weir_redis_reply_t   **part;
    ngx_http_weir_breaker_lease_t  *lease;

    lease = cmd->data;
    lease->answered = 1;

    if (reply && reply->type == NGX_HTTP_WEIR_REDIS_ARRAY
        && reply->nelements == 2)
    {
        part = reply->elements;

        if (part[0]->type == NGX_HTTP_WEIR_REDIS_STRING
            && part[1]->type == NGX_HTTP_WEIR_REDIS_INTEGER)
        {
            ngx_http_weir_breaker_lease_judge(&lease->verdict, &part[0]->str,
                                              part[1]->integer);
        }

    } else if (reply && reply->type == NGX_HTTP_WEIR_REDIS_ERROR) {

        if (!ngx_http_weir_breaker_lease_refused) {
            ngx_log_error(NGX_LOG_WARN, cmd->log, 0,
                          "weir_breaker_zone \"%V\": this edge probes without"
                          " the others, as Redis answered \"%V\"",
                          &lease->breaker->zone->shm.name, &reply->str);
        }

        ngx_http_weir_breaker_lease_refused = 1;
    }

    if (reply && reply->type != NGX_HTTP_WEIR_REDIS_ERROR) {
        ngx_http_weir_breaker_lease_refused = 0;
    }

    ngx_http_weir_resume(lease->request);
}


/* Redis may say anything: all that is not understood is another edge's probe. */

static void
ngx_http_weir_breaker_lease_judge(ngx_http_weir_breaker_verdict_t *verdict,
    ngx_str_t *word, int64_t ttl)
{
    ngx_int_t  n;

    verdict->who = NGX_HTTP_WEIR_BREAKER_OTHERS;
    verdict->ms = ngx_min(ngx_max(ttl, 1), NGX_HTTP_WEIR_BREAKER_LEASE_AGAIN);

    if (word->len > 4 && ngx_strncmp(word->data, "ill:", 4) == 0) {
        n = ngx_atoi(word->data + 4, word->len - 4);
        verdict->reopened = (n > 0 && n < 64) ? n : 0;
        return;
    }

    if (word->len > 5 && ngx_strncmp(word->data, "well:", 5) == 0) {
        n = ngx_atoi(word->data + 5, word->len - 5);

        if (n != NGX_ERROR && ttl >= 0 && n >= ttl) {
            verdict->who = NGX_HTTP_WEIR_BREAKER_RECOVERED;
            verdict->ms = n - ttl;
        }
    }
}


ngx_int_t
ngx_http_weir_breaker_lease_read(ngx_http_request_t *r,
    ngx_http_weir_breaker_ticket_t *ticket,
    ngx_http_weir_breaker_verdict_t *verdict)
{
    ngx_http_weir_breaker_lease_t  *lease;

    lease = ngx_http_get_module_ctx(r, ngx_http_weir_breaker_module);

    if (lease == NULL) {
        return NGX_DECLINED;
    }

    if (!lease->answered) {
        return NGX_AGAIN;
    }

    *ticket = lease->ticket;
    *verdict = lease->verdict;

    ngx_http_set_ctx(r, NULL, ngx_http_weir_breaker_module);

    return NGX_OK;
}


/* The request ends, and need not have its reply. */

static void
ngx_http_weir_breaker_lease_cleanup(void *data)
{
    ngx_http_weir_breaker_lease_t  *lease = data;

    if (!lease->answered) {
        ngx_http_weir_redis_cancel(&lease->command);
    }
}


void
ngx_http_weir_breaker_lease_tell(ngx_http_weir_breaker_t *breaker,
    ngx_http_weir_breaker_change_t *change, ngx_log_t *log)
{
    size_t                          n;
    u_char                          word[NGX_INT64_LEN + 8], ms[NGX_INT64_LEN];
    uint64_t                        life;
    ngx_str_t                       argv[5];
    ngx_http_weir_redis_t          *redis;
    ngx_http_weir_redis_command_t   cmd;
    u_char                          key[NGX_HTTP_WEIR_BREAKER_LEASE_KEY
                                        + NGX_HTTP_WEIR_BREAKER_KEY_MAX + 256];

    redis = ngx_http_weir_breaker_zone_redis(breaker->zone);

    if (redis == NULL || change->heard
        || (change->is == WEIR_BREAKER_OPEN
            && change->rule == WEIR_BREAKER_BY_OPERATOR)
        || breaker->zone->shm.name.len > 256
        || (change->was == WEIR_BREAKER_HALF_OPEN
            ? change->is == WEIR_BREAKER_HALF_OPEN
            : change->is != WEIR_BREAKER_OPEN))
    {
        return;
    }

    ngx_memzero(&cmd, sizeof(ngx_http_weir_redis_command_t));
    cmd.log = log;

    if (change->was != WEIR_BREAKER_HALF_OPEN) {
        ngx_str_set(&argv[0], "EVAL");
        argv[1] = ngx_http_weir_breaker_lease_forget;
        ngx_str_set(&argv[2], "1");
        ngx_http_weir_breaker_lease_key(key, &argv[3], breaker->zone,
                                        change->key, change->len);
        n = 4;

    } else {
        ngx_str_set(&argv[0], "SET");
        ngx_http_weir_breaker_lease_key(key, &argv[1], breaker->zone,
                                        change->key, change->len);

        if (change->is == WEIR_BREAKER_OPEN) {
            life = change->open;
            argv[2].len = ngx_sprintf(word, "ill:%uD", change->reopened) - word;

        } else {
            life = breaker->settings.ramp + ngx_max(breaker->settings.open,
                                                    breaker->settings.max_open);
            argv[2].len = ngx_sprintf(word, "well:%uL", life) - word;
        }

        argv[2].data = word;
        ngx_str_set(&argv[3], "PX");
        argv[4].data = ms;
        argv[4].len = ngx_sprintf(ms, "%uL", life) - ms;
        n = 5;
    }

    /* a word that is lost costs the others a probe */

    (void) ngx_http_weir_redis_command(redis, &cmd, n, argv);
}


/* p has room for NGX_HTTP_WEIR_BREAKER_LEASE_KEY bytes and both names. */

static void
ngx_http_weir_breaker_lease_key(u_char *p, ngx_str_t *name,
    ngx_shm_zone_t *zone, u_char *key, size_t len)
{
    name->data = p;

    p = ngx_cpymem(p, "weir:breaker:probe:", sizeof("weir:breaker:probe:") - 1);
    p = ngx_cpymem(p, zone->shm.name.data, zone->shm.name.len);
    *p++ = ':';
    p = ngx_cpymem(p, key, len);

    name->len = p - name->data;
}
