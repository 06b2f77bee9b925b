/*
 * The slots in shared memory, used by all workers and kept across reloads.  Every
 * call takes the zone's slab mutex for a short time; nginx's master releases that
 * mutex if a worker dies while holding it, and the next call repairs the rest.
 *
 * The zone is one table, laid out once (slots.h).  A process is in it by its
 * place in the master's table of processes.  A worker that begins there ends what
 * its predecessor has left; those of other dead processes are ended when a
 * request finds no slot.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/hash/siphash.h"
#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_clock.h"
#include "limit/ngx_http_weir_limit_wake.h"
#include "limit/ngx_http_weir_limit_zone.h"
#include "object/ngx_http_weir_object.h"


/* Pages that the slab allocator needs itself, and the first structure. */
#define NGX_HTTP_WEIR_LIMIT_ZONE_OWN  2


typedef struct {
    uint64_t               layout;         /* first member: see
                                              ngx_http_weir_object.h */
    uint64_t               configuration;  /* number of times it was read */
    weir_siphash_key_t     secret;
    weir_slots_t          *slots;          /* guarded by shpool->mutex */
} ngx_http_weir_limit_sh_t;


typedef struct {
    ngx_http_weir_limit_sh_t  *sh;
    ngx_slab_pool_t           *shpool;
    uint64_t                   configuration;  /* of this cycle */
    ngx_uint_t                 full;           /* bool, logged by this process */
} ngx_http_weir_limit_zone_t;


static ngx_int_t ngx_http_weir_limit_zone_init(ngx_shm_zone_t *shm_zone,
    void *data);
static weir_slots_t *ngx_http_weir_limit_zone_lock(ngx_shm_zone_t *zone);
static void ngx_http_weir_limit_zone_unlock(ngx_shm_zone_t *zone);
static bool ngx_http_weir_limit_zone_gone(int32_t pid);
static void ngx_http_weir_limit_zone_log(ngx_shm_zone_t *zone);


char *
ngx_http_weir_limit_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ssize_t                           size;
    ngx_str_t                        *value;
    ngx_shm_zone_t                   *shm_zone, **list;
    ngx_http_weir_limit_zone_t       *zone;
    ngx_http_weir_limit_main_conf_t  *lmcf;

    value = cf->args->elts;

    size = ngx_parse_size(&value[2]);

    if (size == NGX_ERROR || size < (ssize_t) (32 * ngx_pagesize)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid size \"%V\" in \"weir_limit_zone\";"
                           " it must be like 1m or 512k, and at least %uzk",
                           &value[2], 32 * ngx_pagesize / 1024);
        return NGX_CONF_ERROR;
    }

    shm_zone = ngx_shared_memory_add(cf, &value[1], size,
                                     &ngx_http_weir_limit_module);
    if (shm_zone == NULL) {
        return NGX_CONF_ERROR;
    }

    if (shm_zone->data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate \"weir_limit_zone\" \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    lmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_limit_module);

    zone = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_limit_zone_t));
    list = ngx_array_push(&lmcf->zones);

    if (zone == NULL || list == NULL) {
        return NGX_CONF_ERROR;
    }

    *list = shm_zone;

    shm_zone->init = ngx_http_weir_limit_zone_init;
    shm_zone->data = zone;

    return NGX_CONF_OK;
}


ngx_uint_t
ngx_http_weir_limit_zone_room(size_t size)
{
    ngx_uint_t  pages;

    /* the slab allocator has a structure for each page */

    pages = size / (ngx_pagesize + sizeof(ngx_slab_page_t));

    return weir_slots_room((pages - NGX_HTTP_WEIR_LIMIT_ZONE_OWN)
                           * ngx_pagesize);
}


static ngx_int_t
ngx_http_weir_limit_zone_init(ngx_shm_zone_t *shm_zone, void *data)
{
    void                        *memory;
    size_t                       size, len;
    ngx_slab_pool_t             *shpool;
    ngx_http_weir_limit_sh_t    *sh;
    ngx_http_weir_limit_zone_t  *zone;

    zone = shm_zone->data;
    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;
    zone->shpool = shpool;

    if (data || shm_zone->shm.exists) {
        zone->sh = shpool->data;

        if (ngx_http_weir_check_layout(shm_zone, zone->sh->layout) != NGX_OK) {
            return NGX_ERROR;
        }

        zone->configuration = ++zone->sh->configuration;
        return NGX_OK;
    }

    sh = ngx_slab_calloc(shpool, sizeof(ngx_http_weir_limit_sh_t));
    if (sh == NULL) {
        return NGX_ERROR;
    }

    len = sizeof(" in weir_limit_zone \"\"") + shm_zone->shm.name.len;

    shpool->log_ctx = ngx_slab_alloc(shpool, len);
    if (shpool->log_ctx == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(shpool->log_ctx, " in weir_limit_zone \"%V\"%Z",
                &shm_zone->shm.name);

    /* all that is left, which is in one piece */

    size = shpool->pfree * ngx_pagesize;
    memory = ngx_slab_alloc(shpool, size);

    if (memory == NULL) {
        return NGX_ERROR;
    }

    sh->layout = ngx_http_weir_layout();
    sh->configuration = 1;
    sh->secret.k0 = ngx_http_weir_random();
    sh->secret.k1 = ngx_http_weir_random();
    sh->slots = weir_slots_init(memory, size);

    if (sh->slots == NULL) {
        return NGX_ERROR;
    }

    shpool->data = sh;
    zone->sh = sh;
    zone->configuration = 1;

    return NGX_OK;
}


uint64_t
ngx_http_weir_limit_zone_hash(ngx_shm_zone_t *zone, ngx_str_t *text)
{
    uint64_t                     hash[2];
    ngx_http_weir_limit_zone_t  *z;

    z = zone->data;

    weir_siphash128(z->sh->secret,
                    (weir_str_t) { (char *) text->data, text->len }, hash);

    return hash[0];
}


/* Different words have different hashes (MurmurHash3's last step). */

uint64_t
ngx_http_weir_limit_zone_mix(ngx_shm_zone_t *zone, uint64_t word)
{
    ngx_http_weir_limit_zone_t  *z;

    z = zone->data;

    word ^= z->sh->secret.k0;
    word = (word ^ (word >> 33)) * 0xff51afd7ed558ccd;
    word ^= z->sh->secret.k1;
    word = (word ^ (word >> 33)) * 0xc4ceb9fe1a85ec53;

    return word ^ (word >> 33);
}


weir_slots_result_t
ngx_http_weir_limit_zone_enter(ngx_shm_zone_t *zone,
    weir_slots_request_t *request, weir_slots_handle_t *ticket,
    uint32_t *retry_after)
{
    weir_slots_t                *slots;
    weir_slots_wakes_t           wakes;
    weir_slots_result_t          result;
    ngx_http_weir_limit_zone_t  *z;

    z = zone->data;

    wakes.n = 0;
    wakes.all = 0;

    request->configuration = z->configuration;
    request->seat = ngx_http_weir_limit_wake_seat();
    request->gone = ngx_http_weir_limit_zone_gone;

    slots = ngx_http_weir_limit_zone_lock(zone);

    result = weir_slots_enter(slots, request, ngx_current_msec, ticket, &wakes);

    if (result == WEIR_SLOTS_REFUSED) {
        *retry_after = weir_slots_retry_after(slots, request->key,
                                              request->hash, ngx_current_msec);
    }

    ngx_http_weir_limit_zone_unlock(zone);

    if (wakes.n) {
        ngx_http_weir_limit_wake(&wakes);
    }

    if (result == WEIR_SLOTS_UNCOUNTED && !z->full) {
        z->full = 1;
        ngx_http_weir_limit_zone_log(zone);
    }

    return result;
}


static void
ngx_http_weir_limit_zone_log(ngx_shm_zone_t *zone)
{
    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                  "\"weir_limit_zone\" \"%V\" is full: requests are passed"
                  " uncounted; make it larger", &zone->shm.name);
}


void
ngx_http_weir_limit_zone_leave(ngx_shm_zone_t *zone,
    weir_slots_handle_t ticket, uint32_t us)
{
    weir_slots_t        *slots;
    weir_slots_wakes_t   wakes;

    wakes.n = 0;
    wakes.all = 0;

    slots = ngx_http_weir_limit_zone_lock(zone);

    weir_slots_leave(slots, ticket, us ? WEIR_SLOTS_ANSWERED : WEIR_SLOTS_USED,
                     us, ngx_current_msec, &wakes);

    ngx_http_weir_limit_zone_unlock(zone);

    if (wakes.n) {
        ngx_http_weir_limit_wake(&wakes);
    }
}


weir_slots_state_t
ngx_http_weir_limit_zone_news(ngx_shm_zone_t *zone,
    ngx_http_weir_limit_hold_t **hold)
{
    weir_slots_t         *slots;
    weir_slots_state_t    state;
    weir_slots_handle_t   ticket;

    state = WEIR_SLOTS_FREE;

    slots = ngx_http_weir_limit_zone_lock(zone);

    *hold = weir_slots_news(slots, ngx_http_weir_limit_wake_seat(), &state,
                            &ticket);

    ngx_http_weir_limit_zone_unlock(zone);

    return state;
}


weir_slots_state_t
ngx_http_weir_limit_zone_expire(ngx_shm_zone_t *zone,
    weir_slots_handle_t ticket)
{
    weir_slots_t        *slots;
    weir_slots_state_t   state;
    weir_slots_wakes_t   wakes;

    wakes.n = 0;
    wakes.all = 0;

    slots = ngx_http_weir_limit_zone_lock(zone);

    weir_slots_reclaim(slots, ngx_http_weir_limit_zone_gone, ngx_current_msec,
                       &wakes);
    state = weir_slots_expire(slots, ticket);

    ngx_http_weir_limit_zone_unlock(zone);

    if (wakes.n) {
        ngx_http_weir_limit_wake(&wakes);
    }

    return state;
}


uint32_t
ngx_http_weir_limit_zone_retry(ngx_shm_zone_t *zone, ngx_str_t *key,
    uint64_t hash)
{
    uint32_t       s;
    weir_slots_t  *slots;

    slots = ngx_http_weir_limit_zone_lock(zone);

    s = weir_slots_retry_after(slots,
                               (weir_str_t) { (char *) key->data, key->len },
                               hash, ngx_current_msec);

    ngx_http_weir_limit_zone_unlock(zone);

    return s;
}


void
ngx_http_weir_limit_zone_sit(ngx_shm_zone_t *zone, ngx_uint_t leave)
{
    weir_slots_t        *slots;
    weir_slots_wakes_t   wakes;

    wakes.n = 0;
    wakes.all = 0;

    slots = ngx_http_weir_limit_zone_lock(zone);

    weir_slots_sit(slots, ngx_http_weir_limit_wake_seat(), leave ? 0 : ngx_pid,
                   ngx_current_msec, &wakes);

    ngx_http_weir_limit_zone_unlock(zone);

    if (wakes.n) {
        ngx_http_weir_limit_wake(&wakes);
    }
}


void
ngx_http_weir_limit_zone_info(ngx_shm_zone_t *zone,
    ngx_http_weir_limit_zone_info_t *info)
{
    weir_slots_t        *slots;
    weir_slots_wakes_t   wakes;

    wakes.n = 0;
    wakes.all = 0;

    slots = ngx_http_weir_limit_zone_lock(zone);

    weir_slots_reclaim(slots, ngx_http_weir_limit_zone_gone, ngx_current_msec,
                       &wakes);

    info->keys = slots->used_keys;
    info->tickets = slots->used_tickets;
    info->forgotten = slots->forgotten;
    info->uncounted = slots->uncounted;
    info->reclaimed = slots->reclaimed;

    ngx_http_weir_limit_zone_unlock(zone);

    if (wakes.n) {
        ngx_http_weir_limit_wake(&wakes);
    }
}


void
ngx_http_weir_limit_zone_key(ngx_http_weir_limit_use_t *use,
    ngx_http_weir_limit_info_t *info)
{
    uint64_t           hash;
    ngx_shm_zone_t    *zone;
    weir_slots_t      *slots;
    weir_slots_key_t  *key;

    zone = use->limit->zone;
    hash = ngx_http_weir_limit_zone_hash(zone, &use->key);

    ngx_memzero(info, sizeof(ngx_http_weir_limit_info_t));
    info->limit = use->limit->settings.concurrent
                  ? use->limit->settings.concurrent : use->limit->settings.min;

    slots = ngx_http_weir_limit_zone_lock(zone);

    key = weir_slots_find(slots, (weir_str_t) { (char *) use->key.data,
                                                use->key.len },
                          hash);

    if (key) {
        info->limit = key->limit;
        info->in_use = key->in_use;
        info->waiting = key->waiting;
        info->counts = key->counts;
    }

    ngx_http_weir_limit_zone_unlock(zone);
}


static weir_slots_t *
ngx_http_weir_limit_zone_lock(ngx_shm_zone_t *zone)
{
    ngx_http_weir_limit_zone_t  *z;

    z = zone->data;

    ngx_shmtx_lock(&z->shpool->mutex);
    weir_slots_begin(z->sh->slots, ngx_current_msec);

    return z->sh->slots;
}


static void
ngx_http_weir_limit_zone_unlock(ngx_shm_zone_t *zone)
{
    ngx_http_weir_limit_zone_t  *z;

    z = zone->data;

    weir_slots_end(z->sh->slots);
    ngx_shmtx_unlock(&z->shpool->mutex);
}


static bool
ngx_http_weir_limit_zone_gone(int32_t pid)
{
    return kill(pid, 0) == -1 && ngx_errno == ESRCH;
}
