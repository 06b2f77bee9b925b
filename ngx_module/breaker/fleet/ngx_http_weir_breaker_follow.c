/* The stream weir:breaker; see ngx_http_weir_breaker_follow.h. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "breaker/fleet/breaker_message.h"
#include "breaker/fleet/ngx_http_weir_breaker_follow.h"
#include "breaker/fleet/ngx_http_weir_breaker_publish.h"
#include "common/problem.h"
#include "redis/follow/ngx_http_weir_follow_log.h"


/* Of a worker, for each Redis. */
typedef struct {
    ngx_http_weir_follow_log_t          log;
    ngx_http_weir_redis_t              *redis;
    ngx_http_weir_breaker_main_conf_t  *conf;
    ngx_uint_t                          listens;  /* bool: what is read is new */
} ngx_http_weir_breaker_follower_t;


static ngx_int_t ngx_http_weir_breaker_follow_redis(ngx_cycle_t *cycle,
    ngx_http_weir_breaker_main_conf_t *bmcf, ngx_shm_zone_t *zone);
static void ngx_http_weir_breaker_follow_message(
    ngx_http_weir_follow_log_t *log, weir_position_t position,
    weir_str_t *texts, size_t n);
static void ngx_http_weir_breaker_follow_event(
    ngx_http_weir_breaker_follower_t *f, ngx_shm_zone_t *zone,
    weir_breaker_message_t *message);
static void ngx_http_weir_breaker_follow_order(
    ngx_http_weir_breaker_follower_t *f, ngx_shm_zone_t *zone,
    weir_breaker_message_t *message, uint64_t rest);
static weir_breaker_settings_t *ngx_http_weir_breaker_follow_settings(
    ngx_http_weir_breaker_main_conf_t *bmcf, ngx_shm_zone_t *zone,
    ngx_str_t *key);
static void ngx_http_weir_breaker_follow_log_order(ngx_shm_zone_t *zone,
    weir_breaker_message_t *message, uint64_t rest, ngx_int_t rc);
static uint64_t ngx_http_weir_breaker_follow_now(void);
static void ngx_http_weir_breaker_follow_restarted(
    ngx_http_weir_follow_log_t *log);
static void ngx_http_weir_breaker_follow_caught_up(
    ngx_http_weir_follow_log_t *log);
static void ngx_http_weir_breaker_follow_lost(ngx_http_weir_follow_log_t *log);
static void ngx_http_weir_breaker_follow_complain(
    ngx_http_weir_follow_log_t *log, char *what, ngx_str_t *text);
static ngx_uint_t ngx_http_weir_breaker_follow_is(weir_str_t a, ngx_str_t *b);


static ngx_array_t  ngx_http_weir_breaker_followers;  /* of pointers */


ngx_int_t
ngx_http_weir_breaker_follow(ngx_cycle_t *cycle)
{
    ngx_uint_t                           i, j;
    ngx_shm_zone_t                     **zone;
    ngx_http_weir_redis_t               *redis;
    ngx_http_weir_breaker_main_conf_t   *bmcf;

    ngx_memzero(&ngx_http_weir_breaker_followers, sizeof(ngx_array_t));

    bmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_weir_breaker_module);

    if (bmcf == NULL || bmcf->zones.nelts == 0) {
        return NGX_OK;
    }

    if (ngx_array_init(&ngx_http_weir_breaker_followers, cycle->pool, 2,
                       sizeof(ngx_http_weir_breaker_follower_t *))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    zone = bmcf->zones.elts;

    for (i = 0; i < bmcf->zones.nelts; i++) {

        redis = ngx_http_weir_breaker_zone_redis(zone[i]);

        for (j = 0; j < i; j++) {
            if (ngx_http_weir_breaker_zone_redis(zone[j]) == redis) {
                break;
            }
        }

        if (redis && j == i
            && ngx_http_weir_breaker_follow_redis(cycle, bmcf, zone[i])
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* The zone is the first one of its Redis, and has the state of the follower. */

static ngx_int_t
ngx_http_weir_breaker_follow_redis(ngx_cycle_t *cycle,
    ngx_http_weir_breaker_main_conf_t *bmcf, ngx_shm_zone_t *zone)
{
    ngx_http_weir_follow_log_t         *log;
    ngx_http_weir_breaker_follower_t   *f, **all;

    f = ngx_pcalloc(cycle->pool, sizeof(ngx_http_weir_breaker_follower_t));
    all = ngx_array_push(&ngx_http_weir_breaker_followers);

    if (all == NULL) {
        return NGX_ERROR;
    }

    *all = f;

    if (f == NULL) {
        return NGX_ERROR;
    }

    f->redis = ngx_http_weir_breaker_zone_redis(zone);
    f->conf = bmcf;

    log = &f->log;

    ngx_str_set(&log->name, NGX_HTTP_WEIR_BREAKER_STREAM);
    log->sh = ngx_http_weir_breaker_steer_log(zone, &log->mutex);
    log->data = f;
    log->message = ngx_http_weir_breaker_follow_message;
    log->restarted = ngx_http_weir_breaker_follow_restarted;
    log->caught_up = ngx_http_weir_breaker_follow_caught_up;
    log->lost = ngx_http_weir_breaker_follow_lost;
    log->complain = ngx_http_weir_breaker_follow_complain;

    return ngx_http_weir_follow_log_add(f->redis, log);
}


void
ngx_http_weir_breaker_follow_exit(ngx_cycle_t *cycle)
{
    ngx_uint_t                          i;
    ngx_http_weir_breaker_follower_t  **f;

    f = ngx_http_weir_breaker_followers.elts;

    for (i = 0; i < ngx_http_weir_breaker_followers.nelts; i++) {
        if (f[i]) {
            ngx_http_weir_follow_log_remove(&f[i]->log);
        }
    }
}


static void
ngx_http_weir_breaker_follow_message(ngx_http_weir_follow_log_t *log,
    weir_position_t position, weir_str_t *texts, size_t n)
{
    uint64_t                            rest;
    ngx_str_t                           host;
    ngx_uint_t                          i;
    const char                         *wrong;
    ngx_shm_zone_t                    **zone;
    weir_breaker_message_t              message;
    ngx_http_weir_breaker_follower_t   *f = log->data;

    if (!f->listens) {
        /* the stream may have been made anew while Redis was away */
        ngx_http_weir_breaker_follow_restarted(log);
    }

    wrong = weir_breaker_message_read(texts, n, &message);

    if (wrong) {
        if (f->listens) {
            ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                          "weir_breaker: the entry \"%uL-%uL\" of the stream"
                          " \"%V\" means nothing: %s", position.ms,
                          position.seq, &log->name, wrong);
        }

        return;
    }

    host = ngx_cycle->hostname;

    /* one that comes while the follower listens is new, whatever the clocks say */

    rest = weir_breaker_message_rest(&message, position.ms,
                                     f->listens
                                     ? position.ms
                                     : ngx_http_weir_breaker_follow_now());
    zone = f->conf->zones.elts;

    for (i = 0; i < f->conf->zones.nelts; i++) {

        if (ngx_http_weir_breaker_zone_redis(zone[i]) != f->redis
            || (message.zone.len
                && !ngx_http_weir_breaker_follow_is(message.zone,
                                                    &zone[i]->shm.name)))
        {
            continue;
        }

        if (message.kind < WEIR_BREAKER_MESSAGE_STEER_OPEN) {
            ngx_http_weir_breaker_follow_event(f, zone[i], &message);

        } else if ((message.edge.len == 0
                    || ngx_http_weir_breaker_follow_is(message.edge, &host))
                   && ngx_http_weir_breaker_steer_is_new(zone[i], position))
        {
            ngx_http_weir_breaker_follow_order(f, zone[i], &message, rest);
        }
    }
}


/* What this edge has told itself, and what is old, has no effect. */

static void
ngx_http_weir_breaker_follow_event(ngx_http_weir_breaker_follower_t *f,
    ngx_shm_zone_t *zone, weir_breaker_message_t *message)
{
    u_char                           id[16];
    ngx_str_t                        own;
    ngx_http_weir_breaker_key_t      key;
    ngx_http_weir_breaker_change_t   change;

    own.data = id;
    own.len = ngx_sprintf(id, "%016xL", ngx_http_weir_breaker_zone_edge(zone))
              - id;

    if (!f->listens || message->kind == WEIR_BREAKER_MESSAGE_EVENT_OTHER
        || ngx_http_weir_breaker_follow_is(message->id, &own))
    {
        return;
    }

    key.text.data = (u_char *) message->key.data;
    key.text.len = message->key.len;
    key.hash = ngx_crc32_short(key.text.data, key.text.len);

    (void) ngx_http_weir_breaker_steer(zone, &key, NULL,
                   message->kind == WEIR_BREAKER_MESSAGE_EVENT_OPEN
                   ? NGX_HTTP_WEIR_BREAKER_STEER_HINT
                   : NGX_HTTP_WEIR_BREAKER_STEER_HURRY, 0, &change);
}


static void
ngx_http_weir_breaker_follow_order(ngx_http_weir_breaker_follower_t *f,
    ngx_shm_zone_t *zone, weir_breaker_message_t *message, uint64_t rest)
{
    ngx_int_t                        rc;
    weir_breaker_settings_t         *settings;
    ngx_http_weir_breaker_key_t      key;
    ngx_http_weir_breaker_order_e    order;
    ngx_http_weir_breaker_change_t   change;

    order = message->kind == WEIR_BREAKER_MESSAGE_STEER_OPEN
            ? NGX_HTTP_WEIR_BREAKER_STEER_OPEN
            : message->kind == WEIR_BREAKER_MESSAGE_STEER_CLOSE
              ? NGX_HTTP_WEIR_BREAKER_STEER_CLOSE
              : NGX_HTTP_WEIR_BREAKER_STEER_AUTO;

    if ((order != NGX_HTTP_WEIR_BREAKER_STEER_AUTO && rest == 0)
        || message->key.len > NGX_HTTP_WEIR_BREAKER_KEY_MAX)
    {
        return;
    }

    key.text.data = (u_char *) message->key.data;
    key.text.len = message->key.len;
    key.hash = ngx_crc32_short(key.text.data, key.text.len);

    settings = ngx_http_weir_breaker_follow_settings(f->conf, zone, &key.text);

    if (settings == NULL) {
        /* no location uses the zone, or none a key that clients make */
        return;
    }

    rc = ngx_http_weir_breaker_steer(zone, &key, settings, order, rest,
                                     &change);

    ngx_http_weir_breaker_follow_log_order(zone, message, rest, rc);

    ngx_http_weir_breaker_log(&change, zone, ngx_cycle->log);

    if (f->listens) {
        ngx_http_weir_breaker_publish(zone, &change, ngx_cycle->log);
    }
}


/*
 * Those of the configuration's breaker of that key; else, as a key may be made of
 * variables, those of another one with variables.  NULL: the zone has no such.
 */

static weir_breaker_settings_t *
ngx_http_weir_breaker_follow_settings(ngx_http_weir_breaker_main_conf_t *bmcf,
    ngx_shm_zone_t *zone, ngx_str_t *key)
{
    ngx_uint_t                    i;
    weir_breaker_settings_t      *settings;
    ngx_http_weir_breaker_use_t  *use;

    use = bmcf->keys.elts;
    settings = NULL;

    for (i = 0; i < bmcf->keys.nelts; i++) {

        if (use[i].breaker->zone != zone) {
            continue;
        }

        if (use[i].variable) {
            settings = &use[i].breaker->settings;

        } else if (use[i].key.len == key->len
                   && ngx_memcmp(use[i].key.data, key->data, key->len) == 0)
        {
            return &use[i].breaker->settings;
        }
    }

    return settings;
}


static void
ngx_http_weir_breaker_follow_log_order(ngx_shm_zone_t *zone,
    weir_breaker_message_t *message, uint64_t rest, ngx_int_t rc)
{
    ngx_str_t   by;
    ngx_uint_t  level;
    u_char     name[6 * NGX_HTTP_WEIR_BREAKER_KEY_MAX + 2], who[6 * 64 + 2];

    static char  *orders[] = { "open", "closed", "as its calls have it" };

    by.data = who;
    by.len = weir_json_string((char *) who, sizeof(who),
                              (weir_str_t) { message->by.data,
                                             ngx_min(message->by.len, 64) });

    level = (rc == NGX_ERROR) ? NGX_LOG_ERR : NGX_LOG_NOTICE;

    ngx_log_error(level, ngx_cycle->log, 0,
                  "weir_breaker %*s of zone \"%V\": order of %V to be %s for"
                  " %uL s%s",
                  weir_json_string((char *) name, sizeof(name), message->key),
                  name, &zone->shm.name, &by,
                  orders[message->kind - WEIR_BREAKER_MESSAGE_STEER_OPEN],
                  rest / 1000,
                  rc == NGX_ERROR ? "; the zone has no room for it"
                                  : rc == NGX_DECLINED ? "; it is closed" : "");
}


static uint64_t
ngx_http_weir_breaker_follow_now(void)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    return (uint64_t) tp->sec * 1000 + tp->msec;
}


static void
ngx_http_weir_breaker_follow_restarted(ngx_http_weir_follow_log_t *log)
{
    ngx_uint_t                          i;
    ngx_shm_zone_t                    **zone;
    ngx_http_weir_breaker_follower_t   *f = log->data;

    zone = f->conf->zones.elts;

    for (i = 0; i < f->conf->zones.nelts; i++) {
        if (ngx_http_weir_breaker_zone_redis(zone[i]) == f->redis) {
            ngx_http_weir_breaker_steer_again(zone[i], log->stream.info.last);
        }
    }
}


static void
ngx_http_weir_breaker_follow_caught_up(ngx_http_weir_follow_log_t *log)
{
    ngx_http_weir_breaker_follower_t  *f = log->data;

    f->listens = 1;
}


static void
ngx_http_weir_breaker_follow_lost(ngx_http_weir_follow_log_t *log)
{
    ngx_http_weir_breaker_follower_t  *f = log->data;

    f->listens = 0;
}


static void
ngx_http_weir_breaker_follow_complain(ngx_http_weir_follow_log_t *log,
    char *what, ngx_str_t *text)
{
    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "weir_breaker cannot read orders and what other edges tell:"
                  " Redis answered %s with \"%V\"", what, text);
}


static ngx_uint_t
ngx_http_weir_breaker_follow_is(weir_str_t a, ngx_str_t *b)
{
    return a.len == b->len && ngx_memcmp(a.data, b->data, a.len) == 0;
}
