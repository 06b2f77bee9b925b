/*
 * weir_flag: feature flags, from the stream weir:flags of a Redis.
 *
 * One worker of the edge follows the stream, and keeps the definitions in shared
 * memory (zone).  Each worker has them as nodes (common/flags/flag.h), and reads
 * again what has changed.  Redis may go away, be emptied or be replaced: what
 * was known stays.
 *
 * A request has one variant of a flag, from its first use to its end, also if
 * the flag changes meanwhile (request): so a response is stored under the
 * variant that its upstream was told.
 *
 *     module   directives, variables
 *     ofrep    weir_flags_ofrep
 *     request  the variant for a request
 *     zone     shared memory, the stream, and the flags of a worker
 *
 * Each file calls those below it only.
 */

#ifndef _NGX_HTTP_WEIR_FLAG_H_INCLUDED_
#define _NGX_HTTP_WEIR_FLAG_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/flags/flag.h"
#include "common/hint.h"
#include "redis/follow/ngx_http_weir_follow_log.h"


#define NGX_HTTP_WEIR_FLAG_STREAM  "weir:flags"


extern weir_local ngx_module_t  ngx_http_weir_flag_module;


/* A definition; text NULL: the place is free. */
typedef struct {
    uint64_t                   revision;   /* of its last change */
    u_char                    *text;       /* JSON */
    size_t                     len;
    size_t                     name_len;
    u_char                     name[WEIR_FLAG_NAME_MAX];
} ngx_http_weir_flag_slot_t;


/* Shared by all workers; changed under the mutex. */
typedef struct {
    uint64_t                       layout;
    ngx_atomic_t                   revision;   /* grows with each change; read
                                                  without the mutex */
    ngx_http_weir_follow_log_sh_t  log;
    ngx_http_weir_flag_slot_t      slots[WEIR_FLAGS_MAX];
} ngx_http_weir_flag_sh_t;


typedef struct ngx_http_weir_flag_follower_s  ngx_http_weir_flag_follower_t;

/* A flag of this worker; NULL: none, or no memory. */
typedef struct {
    uint64_t                   revision;
    weir_flag_t               *flag;
} ngx_http_weir_flag_known_t;

typedef struct {
    ngx_http_weir_redis_t     *redis;      /* NULL: there is no weir_flags */
    size_t                     size;
    ngx_slab_pool_t           *shpool;
    ngx_http_weir_flag_sh_t   *sh;
    ngx_uint_t                 used;       /* bool: a location needs it */

    /* of this worker */

    uint64_t                       revision;  /* up to which known is */
    ngx_uint_t                     generation;  /* grows when known may change */
    ngx_uint_t                     evaluating;  /* evaluations under way: known
                                                   stays as it is */
    ngx_http_weir_flag_known_t     known[WEIR_FLAGS_MAX];
    ngx_http_weir_flag_follower_t *follower;

    /* of the configuration */

    ngx_array_t                names;      /* of ngx_str_t: as variables */
    ngx_int_t                  subject;    /* indices of variables */
    ngx_int_t                  version;
    ngx_int_t                  address;
} ngx_http_weir_flag_main_conf_t;


/* Keys of a weir_flag whose answers a worker keeps, a power of 2. */
#define NGX_HTTP_WEIR_FLAG_MEMOS     64
#define NGX_HTTP_WEIR_FLAG_MEMO_KEY  40    /* bytes: an address of IPv6 fits */

/* The answer for a key. */
typedef struct {
    ngx_uint_t                 generation; /* in which it is valid */
    const weir_flag_variant_t *variant;    /* of the flag; NULL: none */
    size_t                     len;        /* of the key; 0: unused */
    u_char                     key[NGX_HTTP_WEIR_FLAG_MEMO_KEY];
} ngx_http_weir_flag_memo_t;

/* A weir_flag. */
typedef struct {
    ngx_str_t                  name;
    ngx_str_t                  variable;   /* the name as that of a variable: in
                                              lower case, "_" for "-" and "." */
    ngx_http_complex_value_t  *key;        /* NULL: subject, else client */
    ngx_int_t                  index;      /* of the variable that key is;
                                              NGX_ERROR: it is not one */
    ngx_str_t                  fallback;   /* the value where there is no
                                              variant */
    ngx_uint_t                 slot;       /* where it was known last */
    weir_flag_t               *known;      /* NULL: not known */
    ngx_uint_t                 generation; /* in which known is valid */
    ngx_http_weir_flag_memo_t  memos[NGX_HTTP_WEIR_FLAG_MEMOS];
} ngx_http_weir_flag_t;

/* A weir_flag_context. */
typedef struct {
    ngx_str_t                  name;
    ngx_http_complex_value_t  *value;
} ngx_http_weir_flag_attribute_t;

typedef struct {
    ngx_array_t               *flags;      /* of ngx_http_weir_flag_t *; NULL */
    ngx_array_t               *context;    /* of _attribute_t; NULL */
} ngx_http_weir_flag_loc_conf_t;


/* zone: adds it, when the configuration was read.  NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_weir_flag_zone_add(ngx_conf_t *cf,
    ngx_http_weir_flag_main_conf_t *fmcf);

/* zone: called in each worker, at its beginning and end. */
ngx_int_t ngx_http_weir_flag_zone_follow(ngx_http_weir_flag_main_conf_t *fmcf);
void ngx_http_weir_flag_zone_leave(ngx_http_weir_flag_main_conf_t *fmcf);

/*
 * zone: the flag of a place, as it is now; NULL: none.  It is valid until the
 * next call for any flag, and as long as evaluating is not 0.
 */
weir_flag_t *ngx_http_weir_flag_zone_at(ngx_http_weir_flag_main_conf_t *fmcf,
    ngx_uint_t slot);

/* zone: the same by name; *slot is where to look first, and where it was. */
weir_flag_t *ngx_http_weir_flag_zone_find(
    ngx_http_weir_flag_main_conf_t *fmcf, ngx_str_t *name, ngx_uint_t *slot);

/* zone: the same of a weir_flag, which is looked for once a change. */
weir_flag_t *ngx_http_weir_flag_zone_get(
    ngx_http_weir_flag_main_conf_t *fmcf, ngx_http_weir_flag_t *wanted);


/*
 * request: the variant of a flag for the request, as its name (empty: none) and
 * its value; they live as long as the request.  NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_http_weir_flag_request(ngx_http_request_t *r,
    ngx_http_weir_flag_t *flag, ngx_str_t *variant, ngx_str_t *value);

/*
 * request: the weir_flag of the location with that name as a variable's, or
 * NULL.
 */
ngx_http_weir_flag_t *ngx_http_weir_flag_request_find(ngx_http_request_t *r,
    u_char *name, size_t len);


/* request: true if the location has a weir_flag. */
static ngx_inline ngx_uint_t
ngx_http_weir_flag_request_any(ngx_http_request_t *r)
{
    ngx_http_weir_flag_loc_conf_t  *flcf;

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_flag_module);

    return flcf->flags != NULL;
}


/* ofrep: the content handler of weir_flags_ofrep. */
ngx_int_t ngx_http_weir_flag_ofrep_handler(ngx_http_request_t *r);


#endif /* _NGX_HTTP_WEIR_FLAG_H_INCLUDED_ */
