/*
 * Flags in shared memory, the stream from which they come, and the flags of a
 * worker.  See ngx_http_weir_flag.h.
 *
 * With each connection the stream is read from its beginning.  Until all of it
 * was read, what it says is kept aside, and only the last definition of a flag
 * becomes that of the edge: else a flag would take its former values again for a
 * moment.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "flag/ngx_http_weir_flag.h"
#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_clock.h"
#include "object/ngx_http_weir_object.h"


/*
 * As many flags as the zone has, and as many that are to take their places.
 */
#define NGX_HTTP_WEIR_FLAG_STAGED  (2 * WEIR_FLAGS_MAX)


/* What the stream has said of a flag, while it is read; not yet in the zone. */
typedef struct {
    u_char                          name[WEIR_FLAG_NAME_MAX];
    size_t                          name_len;
    u_char                         *text;     /* malloc(); NULL: it is deleted */
    size_t                          len;
} ngx_http_weir_flag_staged_t;


struct ngx_http_weir_flag_follower_s {
    ngx_http_weir_follow_log_t      log;
    ngx_http_weir_flag_main_conf_t *conf;
    ngx_uint_t                      nstaged;
    ngx_http_weir_flag_staged_t     staged[NGX_HTTP_WEIR_FLAG_STAGED];
    unsigned                        full:1;   /* already logged */
};


static ngx_int_t ngx_http_weir_flag_zone_init(ngx_shm_zone_t *shm_zone,
    void *data);
static void ngx_http_weir_flag_zone_message(ngx_http_weir_follow_log_t *log,
    weir_position_t position, weir_str_t *texts, size_t n);
static void ngx_http_weir_flag_zone_stage(ngx_http_weir_flag_follower_t *f,
    weir_str_t name, weir_str_t text);
static void ngx_http_weir_flag_zone_commit(ngx_http_weir_follow_log_t *log);
static void ngx_http_weir_flag_zone_put(ngx_http_weir_flag_follower_t *f,
    weir_str_t name, weir_str_t text);
static u_char *ngx_http_weir_flag_zone_replace(ngx_http_weir_flag_sh_t *sh,
    ngx_http_weir_flag_slot_t *slot, weir_str_t name, u_char *text,
    size_t len);
static ngx_uint_t ngx_http_weir_flag_zone_has(ngx_http_weir_flag_follower_t *f,
    weir_str_t name);
static ngx_http_weir_flag_slot_t *ngx_http_weir_flag_zone_slot(
    ngx_http_weir_flag_sh_t *sh, weir_str_t name);
static void ngx_http_weir_flag_zone_complain(ngx_http_weir_follow_log_t *log,
    char *what, ngx_str_t *text);
static void ngx_http_weir_flag_zone_sync(ngx_http_weir_flag_main_conf_t *fmcf);
static void ngx_http_weir_flag_zone_read(ngx_http_weir_flag_main_conf_t *fmcf,
    ngx_uint_t i);


ngx_int_t
ngx_http_weir_flag_zone_add(ngx_conf_t *cf,
    ngx_http_weir_flag_main_conf_t *fmcf)
{
    u_char          *p;
    ngx_str_t        name, *redis;
    ngx_shm_zone_t  *shm_zone;

    redis = ngx_http_weir_redis_name(fmcf->redis);

    name.data = ngx_pnalloc(cf->pool, sizeof("weir_flags:0123456789abcdef:")
                                      + redis->len);
    if (name.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_sprintf(name.data, "weir_flags:%016xL:%V", ngx_http_weir_layout(),
                    redis);
    name.len = p - name.data;

    shm_zone = ngx_shared_memory_add(cf, &name, fmcf->size,
                                     &ngx_http_weir_flag_module);
    if (shm_zone == NULL) {
        return NGX_ERROR;
    }

    shm_zone->init = ngx_http_weir_flag_zone_init;
    shm_zone->data = fmcf;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_flag_zone_init(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_slab_pool_t                 *shpool;
    ngx_http_weir_flag_main_conf_t  *fmcf;

    fmcf = shm_zone->data;
    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;
    fmcf->shpool = shpool;

    if (data || shm_zone->shm.exists) {
        fmcf->sh = shpool->data;
        return ngx_http_weir_check_layout(shm_zone, fmcf->sh->layout);
    }

    fmcf->sh = ngx_slab_calloc(shpool, sizeof(ngx_http_weir_flag_sh_t));
    if (fmcf->sh == NULL) {
        return NGX_ERROR;
    }

    /* the log has a line of its own for a lack of room */
    shpool->log_nomem = 0;

    fmcf->sh->layout = ngx_http_weir_layout();
    shpool->data = fmcf->sh;

    return NGX_OK;
}


ngx_int_t
ngx_http_weir_flag_zone_follow(ngx_http_weir_flag_main_conf_t *fmcf)
{
    ngx_http_weir_follow_log_t     *log;
    ngx_http_weir_flag_follower_t  *f;

    f = ngx_pcalloc(ngx_cycle->pool, sizeof(ngx_http_weir_flag_follower_t));
    if (f == NULL) {
        return NGX_ERROR;
    }

    f->conf = fmcf;
    fmcf->follower = f;
    log = &f->log;

    ngx_str_set(&log->name, NGX_HTTP_WEIR_FLAG_STREAM);
    log->sh = &fmcf->sh->log;
    log->mutex = &fmcf->shpool->mutex;
    log->data = f;
    log->message = ngx_http_weir_flag_zone_message;
    log->caught_up = ngx_http_weir_flag_zone_commit;
    log->complain = ngx_http_weir_flag_zone_complain;

    return ngx_http_weir_follow_log_add(fmcf->redis, log);
}


void
ngx_http_weir_flag_zone_leave(ngx_http_weir_flag_main_conf_t *fmcf)
{
    ngx_uint_t                      i;
    ngx_http_weir_flag_follower_t  *f;

    f = fmcf->follower;

    if (f == NULL) {
        return;
    }

    fmcf->follower = NULL;
    fmcf->generation++;
    ngx_http_weir_follow_log_remove(&f->log);

    for (i = 0; i < f->nstaged; i++) {
        free(f->staged[i].text);
    }

    for (i = 0; i < WEIR_FLAGS_MAX; i++) {
        weir_flag_free(fmcf->known[i].flag);
        fmcf->known[i].flag = NULL;
    }
}


/* name NAME, and flag JSON or deleted 1; other names are ignored. */

static void
ngx_http_weir_flag_zone_message(ngx_http_weir_follow_log_t *log,
    weir_position_t position, weir_str_t *texts, size_t n)
{
    char                            wrong[128];
    size_t                          i;
    weir_str_t                      name, text;
    weir_flag_t                    *flag;
    ngx_uint_t                      deleted;
    ngx_http_weir_flag_follower_t  *f = log->data;

    name = WEIR_STR("");
    text = WEIR_STR("");
    deleted = 0;

    for (i = 0; i + 1 < n; i += 2) {

        if (weir_str_eq(texts[i], WEIR_STR("name"))) {
            name = texts[i + 1];

        } else if (weir_str_eq(texts[i], WEIR_STR("flag"))) {
            text = texts[i + 1];

        } else if (weir_str_eq(texts[i], WEIR_STR("deleted"))) {
            deleted = weir_str_eq(texts[i + 1], WEIR_STR("1"));
        }
    }

    if (deleted && weir_flag_is_name(name)) {
        text.data = NULL;
        text.len = 0;

    } else {
        flag = weir_flag_read(name, text, wrong, sizeof(wrong));

        if (flag == NULL) {
            weir_str_make_printable(wrong);

            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                          "weir_flags: the entry \"%uL-%uL\" of the stream"
                          " \"%V\" changes nothing: %s", position.ms,
                          position.seq, &log->name, wrong);
            return;
        }

        weir_flag_free(flag);
    }

    if (log->whole) {
        ngx_http_weir_flag_zone_put(f, name, text);

    } else {
        ngx_http_weir_flag_zone_stage(f, name, text);
    }
}


static void
ngx_http_weir_flag_zone_full(ngx_http_weir_flag_follower_t *f,
    weir_str_t *name)
{
    ngx_str_t  text;

    if (f->full) {
        return;
    }

    f->full = 1;

    text.data = (u_char *) name->data;
    text.len = name->len;

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "weir_flags: there is no room for the flag \"%V\", which stays"
                  " as it was: there may be %d flags, and their definitions need"
                  " room in \"size\"", &text, WEIR_FLAGS_MAX);
}


/*
 * The stream names flags that were deleted, for as long as it is kept: they take
 * a place here only if the zone still has them.
 */

static void
ngx_http_weir_flag_zone_stage(ngx_http_weir_flag_follower_t *f,
    weir_str_t name, weir_str_t text)
{
    u_char                       *copy;
    ngx_uint_t                    i;
    ngx_http_weir_flag_staged_t  *s;

    copy = NULL;

    if (text.data) {
        copy = malloc(text.len ? text.len : 1);
        if (copy == NULL) {
            return;
        }

        ngx_memcpy(copy, text.data, text.len);
    }

    for (i = 0; i < f->nstaged; i++) {
        s = &f->staged[i];

        if (s->name_len == name.len
            && ngx_memcmp(s->name, name.data, name.len) == 0)
        {
            free(s->text);
            s->text = copy;
            s->len = text.len;

            if (copy == NULL && !ngx_http_weir_flag_zone_has(f, name)) {
                *s = f->staged[--f->nstaged];
            }

            return;
        }
    }

    if (copy == NULL && !ngx_http_weir_flag_zone_has(f, name)) {
        return;
    }

    if (f->nstaged == NGX_HTTP_WEIR_FLAG_STAGED) {
        free(copy);
        ngx_http_weir_flag_zone_full(f, &name);
        return;
    }

    s = &f->staged[f->nstaged++];
    ngx_memcpy(s->name, name.data, name.len);
    s->name_len = name.len;
    s->text = copy;
    s->len = text.len;
}


static void
ngx_http_weir_flag_zone_commit(ngx_http_weir_follow_log_t *log)
{
    ngx_uint_t                      i, deleted;
    weir_str_t                      name, text;
    ngx_http_weir_flag_staged_t    *s;
    ngx_http_weir_flag_follower_t  *f = log->data;

    f->full = 0;

    /* flags that are deleted make room for others */

    for (i = 0; i < 2 * f->nstaged; i++) {
        deleted = (i < f->nstaged);
        s = &f->staged[deleted ? i : i - f->nstaged];

        if ((s->text == NULL) != deleted) {
            continue;
        }

        name.data = (char *) s->name;
        name.len = s->name_len;
        text.data = (char *) s->text;
        text.len = s->len;

        ngx_http_weir_flag_zone_put(f, name, text);
    }

    for (i = 0; i < f->nstaged; i++) {
        free(f->staged[i].text);
    }

    f->nstaged = 0;
}


/*
 * A process may be killed at any point.  A place has no text while it is changed:
 * its flag is lost then until the next follower has read the stream.  A change
 * that was not told to the workers is told then.  Returns the former text.
 */

static u_char *
ngx_http_weir_flag_zone_replace(ngx_http_weir_flag_sh_t *sh,
    ngx_http_weir_flag_slot_t *slot, weir_str_t name, u_char *text, size_t len)
{
    u_char  *old;

    old = slot->text;
    slot->text = NULL;
    slot->revision = sh->revision + 1;
    ngx_memory_barrier();

    ngx_memcpy(slot->name, name.data, name.len);
    slot->name_len = name.len;
    slot->len = len;
    ngx_memory_barrier();

    slot->text = text;
    sh->revision++;

    return old;
}


static void
ngx_http_weir_flag_zone_put(ngx_http_weir_flag_follower_t *f, weir_str_t name,
    weir_str_t text)
{
    u_char                     *copy, *old;
    ngx_uint_t                  full;
    ngx_slab_pool_t            *shpool;
    ngx_http_weir_flag_sh_t    *sh;
    ngx_http_weir_flag_slot_t  *slot;

    shpool = f->conf->shpool;
    sh = f->conf->sh;
    full = 0;

    ngx_shmtx_lock(&shpool->mutex);

    slot = ngx_http_weir_flag_zone_slot(sh, name);

    if (slot && slot->revision > sh->revision) {
        sh->revision = slot->revision;
    }

    if (slot && slot->text && text.data && slot->len == text.len
        && ngx_memcmp(slot->text, text.data, text.len) == 0)
    {
        goto done;
    }

    if (text.data == NULL) {

        if (slot && slot->text) {
            old = slot->text;
            slot->text = NULL;
            slot->revision = sh->revision + 1;
            sh->revision++;
            ngx_slab_free_locked(shpool, old);
        }

        goto done;
    }

    copy = slot ? ngx_slab_alloc_locked(shpool, text.len ? text.len : 1)
                : NULL;

    if (copy == NULL) {
        full = 1;
        goto done;
    }

    ngx_memcpy(copy, text.data, text.len);

    old = ngx_http_weir_flag_zone_replace(sh, slot, name, copy, text.len);

    if (old) {
        ngx_slab_free_locked(shpool, old);
    }

done:

    ngx_shmtx_unlock(&shpool->mutex);

    if (full) {
        ngx_http_weir_flag_zone_full(f, &name);
    }
}


static ngx_uint_t
ngx_http_weir_flag_zone_has(ngx_http_weir_flag_follower_t *f, weir_str_t name)
{
    ngx_uint_t                  has;
    ngx_http_weir_flag_slot_t  *slot;

    ngx_shmtx_lock(&f->conf->shpool->mutex);

    slot = ngx_http_weir_flag_zone_slot(f->conf->sh, name);
    has = (slot && slot->text);

    ngx_shmtx_unlock(&f->conf->shpool->mutex);

    return has;
}


/* The place of that name, else a free one, else NULL. */

static ngx_http_weir_flag_slot_t *
ngx_http_weir_flag_zone_slot(ngx_http_weir_flag_sh_t *sh, weir_str_t name)
{
    ngx_uint_t                  i;
    ngx_http_weir_flag_slot_t  *slot, *unused;

    unused = NULL;

    for (i = 0; i < WEIR_FLAGS_MAX; i++) {
        slot = &sh->slots[i];

        if (slot->text == NULL) {
            unused = unused ? unused : slot;

        } else if (slot->name_len == name.len
                   && ngx_memcmp(slot->name, name.data, name.len) == 0)
        {
            return slot;
        }
    }

    return unused;
}


static void
ngx_http_weir_flag_zone_complain(ngx_http_weir_follow_log_t *log, char *what,
    ngx_str_t *text)
{
    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "weir_flags cannot read flags, which stay as they are: Redis"
                  " answered %s with \"%V\"", what, text);
}


/* --- the flags of a worker --- */

weir_flag_t *
ngx_http_weir_flag_zone_at(ngx_http_weir_flag_main_conf_t *fmcf,
    ngx_uint_t slot)
{
    ngx_http_weir_flag_zone_sync(fmcf);

    return fmcf->known[slot].flag;
}


weir_flag_t *
ngx_http_weir_flag_zone_find(ngx_http_weir_flag_main_conf_t *fmcf,
    ngx_str_t *name, ngx_uint_t *slot)
{
    ngx_uint_t    i, n;
    weir_str_t    s;
    weir_flag_t  *flag;

    ngx_http_weir_flag_zone_sync(fmcf);

    s.data = (char *) name->data;
    s.len = name->len;

    for (n = 0, i = *slot; n < WEIR_FLAGS_MAX; n++) {
        flag = fmcf->known[i].flag;

        if (flag && weir_str_eq(weir_flag_name(flag), s)) {
            *slot = i;
            return flag;
        }

        i = (i + 1) % WEIR_FLAGS_MAX;
    }

    return NULL;
}


weir_flag_t *
ngx_http_weir_flag_zone_get(ngx_http_weir_flag_main_conf_t *fmcf,
    ngx_http_weir_flag_t *wanted)
{
    ngx_http_weir_flag_zone_sync(fmcf);

    if (wanted->generation != fmcf->generation) {
        wanted->known = ngx_http_weir_flag_zone_find(fmcf, &wanted->name,
                                                     &wanted->slot);
        wanted->generation = fmcf->generation;
    }

    return wanted->known;
}


static void
ngx_http_weir_flag_zone_sync(ngx_http_weir_flag_main_conf_t *fmcf)
{
    uint64_t    revision;
    ngx_uint_t  i;

    revision = fmcf->sh->revision;

    if (fmcf->revision == revision || fmcf->evaluating) {
        return;
    }

    fmcf->generation++;

    for (i = 0; i < WEIR_FLAGS_MAX; i++) {
        ngx_http_weir_flag_zone_read(fmcf, i);
    }

    fmcf->revision = revision;
}


/* Without memory the flag stays as it was. */

static void
ngx_http_weir_flag_zone_read(ngx_http_weir_flag_main_conf_t *fmcf,
    ngx_uint_t i)
{
    char                         wrong[128];
    u_char                      *copy, name[WEIR_FLAG_NAME_MAX];
    ngx_uint_t                   gone;
    weir_str_t                   n, text;
    weir_flag_t                 *flag;
    ngx_http_weir_flag_slot_t   *slot;
    ngx_http_weir_flag_known_t  *known;

    slot = &fmcf->sh->slots[i];
    known = &fmcf->known[i];
    copy = NULL;

    ngx_shmtx_lock(&fmcf->shpool->mutex);

    if (known->revision == slot->revision) {
        ngx_shmtx_unlock(&fmcf->shpool->mutex);
        return;
    }

    known->revision = slot->revision;
    gone = (slot->text == NULL);

    n.data = (char *) name;
    n.len = slot->name_len;
    text.len = slot->len;
    ngx_memcpy(name, slot->name, slot->name_len);

    if (!gone) {
        copy = malloc(text.len ? text.len : 1);

        if (copy) {
            ngx_memcpy(copy, slot->text, text.len);
        }
    }

    ngx_shmtx_unlock(&fmcf->shpool->mutex);

    text.data = (char *) copy;
    flag = copy ? weir_flag_read(n, text, wrong, sizeof(wrong)) : NULL;
    free(copy);

    if (flag || gone) {
        weir_flag_free(known->flag);
        known->flag = flag;
    }
}
