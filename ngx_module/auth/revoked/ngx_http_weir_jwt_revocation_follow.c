/*
 * The stream weir:revoked, followed by ngx_http_weir_follow_log.h: what is in it
 * is only ever added to the table.
 *
 *   - If it was deleted, or has lost its end, the table keeps what it has.
 *   - If others have removed entries that were not read here, the edge cannot
 *     know who is revoked: the floor rises to the time of the last one that can
 *     be missing, and older tokens are refused.
 *
 * Edges remove what is older than the longest life of a token ("keep").
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "auth/revoked/ngx_http_weir_jwt_revocation.h"
#include "auth/revoked/revoked_message.h"
#include "http/ngx_http_weir_clock.h"
#include "redis/follow/ngx_http_weir_follow_log.h"


#define NGX_HTTP_WEIR_JWT_REVOCATION_WARN  60000    /* ms between warnings */


struct ngx_http_weir_jwt_follower_s {
    ngx_http_weir_follow_log_t          log;
    ngx_http_weir_jwt_revocation_t     *revocation;
    uint64_t                            warned;  /* ms, of an issuer that is not
                                                    known; 0: never */
};


static void ngx_http_weir_jwt_revocation_message(
    ngx_http_weir_follow_log_t *log, weir_position_t id, weir_str_t *texts,
    size_t n);
static void ngx_http_weir_jwt_revocation_check_issuer(
    ngx_http_weir_jwt_follower_t *f, weir_revoked_message_t *message,
    weir_position_t id);
static void ngx_http_weir_jwt_revocation_add(ngx_http_weir_jwt_follower_t *f,
    weir_revoked_message_t *message, weir_position_t id);
static void ngx_http_weir_jwt_revocation_gap(ngx_http_weir_follow_log_t *log,
    weir_position_t id);
static void ngx_http_weir_jwt_revocation_missing(
    ngx_http_weir_follow_log_t *log, uint64_t n);
static void ngx_http_weir_jwt_revocation_restarted(
    ngx_http_weir_follow_log_t *log);
static void ngx_http_weir_jwt_revocation_complain(
    ngx_http_weir_follow_log_t *log, char *what, ngx_str_t *text);


ngx_int_t
ngx_http_weir_jwt_revocation_follow(ngx_http_weir_jwt_revocation_t *revocation)
{
    ngx_http_weir_follow_log_t    *log;
    ngx_http_weir_jwt_follower_t  *f;

    f = ngx_pcalloc(ngx_cycle->pool, sizeof(ngx_http_weir_jwt_follower_t));
    if (f == NULL) {
        return NGX_ERROR;
    }

    f->revocation = revocation;
    revocation->follower = f;
    log = &f->log;

    ngx_str_set(&log->name, NGX_HTTP_WEIR_JWT_REVOKED_STREAM);
    log->sh = &revocation->sh->log;
    log->mutex = &revocation->shpool->mutex;
    log->keep = revocation->keep;
    log->data = f;
    log->message = ngx_http_weir_jwt_revocation_message;
    log->gap = ngx_http_weir_jwt_revocation_gap;
    log->missing = ngx_http_weir_jwt_revocation_missing;
    log->restarted = ngx_http_weir_jwt_revocation_restarted;
    log->complain = ngx_http_weir_jwt_revocation_complain;

    return ngx_http_weir_follow_log_add(revocation->redis, log);
}


void
ngx_http_weir_jwt_revocation_leave(ngx_http_weir_jwt_revocation_t *revocation)
{
    if (revocation->follower) {
        ngx_http_weir_follow_log_remove(&revocation->follower->log);
        revocation->follower = NULL;
    }
}


static void
ngx_http_weir_jwt_revocation_message(ngx_http_weir_follow_log_t *log,
    weir_position_t id, weir_str_t *texts, size_t n)
{
    const char                    *wrong;
    weir_revoked_message_t         message;
    ngx_http_weir_jwt_follower_t  *f = log->data;

    wrong = weir_revoked_message_read(texts, n, &message);

    if (wrong == NULL) {
        ngx_http_weir_jwt_revocation_check_issuer(f, &message, id);
        ngx_http_weir_jwt_revocation_add(f, &message, id);
        return;
    }

    (void) ngx_atomic_fetch_add(&f->revocation->sh->malformed, 1);

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "weir_jwt_revocation: the entry \"%uL-%uL\" of the stream"
                  " \"%s\" revokes nothing: %s", id.ms, id.seq,
                  NGX_HTTP_WEIR_JWT_REVOKED_STREAM, wrong);
}


/*
 * An issuer that is not written as in its tokens, without the "/" at its end
 * say, revokes nothing.  It may also be one that only other edges know, whose
 * many entries must not fill the log.
 */

static void
ngx_http_weir_jwt_revocation_check_issuer(ngx_http_weir_jwt_follower_t *f,
    weir_revoked_message_t *message, weir_position_t id)
{
    uint64_t    now;
    ngx_str_t   issuer;
    ngx_uint_t  i;

    for (i = 0; i < f->revocation->nissuers; i++) {
        if (weir_str_eq(f->revocation->issuers[i], message->issuer)) {
            return;
        }
    }

    now = ngx_http_weir_ms();

    if (f->warned && now - f->warned < NGX_HTTP_WEIR_JWT_REVOCATION_WARN) {
        return;
    }

    f->warned = now;

    issuer.data = (u_char *) message->issuer.data;
    issuer.len = ngx_min(message->issuer.len, 256);

    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                  "weir_jwt_revocation: the entry \"%uL-%uL\" of the stream"
                  " \"%s\" names the issuer \"%V\", which no weir_jwt_issuer"
                  " has: it revokes nothing here", id.ms, id.seq,
                  NGX_HTTP_WEIR_JWT_REVOKED_STREAM, &issuer);
}


static void
ngx_http_weir_jwt_revocation_add(ngx_http_weir_jwt_follower_t *f,
    weir_revoked_message_t *message, weir_position_t id)
{
    time_t           now, keep;
    uint8_t          digest[WEIR_REVOKED_DIGEST];
    int64_t          before, until, added;
    ngx_uint_t       room, covered;
    weir_revoked_t  *table;

    table = f->revocation->sh->table;
    now = ngx_time();
    keep = f->revocation->keep;
    added = id.ms / 1000;

    weir_revoked_message_times(message, added, now, keep,
                               NGX_HTTP_WEIR_JWT_REVOKED_LEEWAY, &before,
                               &until);

    if (until < now) {
        /* no such token is accepted any more */
        return;
    }

    weir_revoked_digest(table, message->kind, message->issuer, message->name,
                        digest);

    ngx_shmtx_lock(&f->revocation->shpool->mutex);

    covered = weir_revoked_covers(table, message->kind == WEIR_REVOKED_ID
                                         ? added : before, now);
    room = covered
           || weir_revoked_add(table, digest, before, until, now,
                               keep + NGX_HTTP_WEIR_JWT_REVOKED_LEEWAY);

    ngx_shmtx_unlock(&f->revocation->shpool->mutex);

    if (covered) {
        /* all such tokens are below the floor */
        return;
    }

    (void) ngx_atomic_fetch_add(&f->revocation->sh->applied, 1);

    if (!room) {
        (void) ngx_atomic_fetch_add(&f->revocation->sh->full, 1);

        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                      "weir_jwt_revocation: there is no room for another"
                      " revocation beside %uD; all tokens that were issued"
                      " up to now are refused; make \"size\" larger",
                      table->max);
    }
}


/* All tokens that were issued up to the last missing entry are refused. */

static void
ngx_http_weir_jwt_revocation_gap(ngx_http_weir_follow_log_t *log,
    weir_position_t id)
{
    ngx_http_weir_jwt_follower_t    *f = log->data;
    ngx_http_weir_jwt_revocation_t  *revocation;

    revocation = f->revocation;

    /* the IDs of a stream may be of any time; what is missing was added by now */

    weir_revoked_raise(revocation->sh->table,
                       ngx_min(id.ms / 1000, (uint64_t) ngx_time()),
                       revocation->keep + NGX_HTTP_WEIR_JWT_REVOKED_LEEWAY);
}


static void
ngx_http_weir_jwt_revocation_missing(ngx_http_weir_follow_log_t *log,
    uint64_t n)
{
    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "weir_jwt_revocation: %uL entries were removed from the stream"
                  " \"%V\" before they were read; tokens that were issued up to"
                  " then are refused", n, &log->name);
}


static void
ngx_http_weir_jwt_revocation_restarted(ngx_http_weir_follow_log_t *log)
{
    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                  "weir_jwt_revocation: the stream \"%V\" was deleted, or"
                  " Redis has lost its end; what was revoked stays so here,"
                  " and the stream is read from its beginning", &log->name);
}


static void
ngx_http_weir_jwt_revocation_complain(ngx_http_weir_follow_log_t *log,
    char *what, ngx_str_t *text)
{
    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "weir_jwt_revocation cannot read which tokens are revoked:"
                  " Redis answered %s with \"%V\"", what, text);
}
