/*
 * A followed stream whose messages may be applied again without harm.
 *
 * With each connection it is read from its beginning: so it does not matter
 * whether the server was restarted, emptied or replaced, or has lost its end.
 * What was applied stays until other messages change it.
 *
 * If the owner wants it, entries are removed when they are of no use any more.
 * Entries that others have removed, and that were not read here, are a gap.
 */

#ifndef _NGX_HTTP_WEIR_FOLLOW_LOG_H_INCLUDED_
#define _NGX_HTTP_WEIR_FOLLOW_LOG_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "redis/follow/ngx_http_weir_follow.h"


/* In the owner's shared memory, zeroed when it is made. */
typedef struct {
    ngx_http_weir_follow_role_t       role;
    ngx_atomic_t                      synced;    /* ms: read up to; 0: never */
    ngx_atomic_t                      gaps;
    weir_position_t                   position;  /* read up to, ever; under the
                                                    mutex */
} ngx_http_weir_follow_log_sh_t;


typedef struct ngx_http_weir_follow_log_s  ngx_http_weir_follow_log_t;

/* Of a worker; zeroed but for what the owner sets. */
struct ngx_http_weir_follow_log_s {
    ngx_str_t                         name;      /* of the stream */
    ngx_http_weir_follow_log_sh_t    *sh;
    ngx_shmtx_t                      *mutex;     /* of its memory */
    time_t                            keep;      /* s: older entries are removed;
                                                    0: none is */
    void                             *data;

    /* Applies a message; the texts live until it returns. */
    void (*message)(ngx_http_weir_follow_log_t *log, weir_position_t position,
        weir_str_t *texts, size_t n);

    /*
     * Under the mutex: messages up to that position are missing.  NULL: that
     * does not matter.
     */
    void (*gap)(ngx_http_weir_follow_log_t *log, weir_position_t position);

    /* To be logged: so many messages are missing.  NULL where gap is. */
    void (*missing)(ngx_http_weir_follow_log_t *log, uint64_t n);

    /* The stream was deleted, or has lost its end.  May be NULL. */
    void (*restarted)(ngx_http_weir_follow_log_t *log);

    /* All messages were applied, once on each connection.  May be NULL. */
    void (*caught_up)(ngx_http_weir_follow_log_t *log);

    /* The stream cannot be read now.  May be NULL. */
    void (*lost)(ngx_http_weir_follow_log_t *log);

    /* As that of ngx_http_weir_follow_owner_t. */
    void (*complain)(ngx_http_weir_follow_log_t *log, char *what,
        ngx_str_t *text);

    /* private */

    ngx_http_weir_follow_stream_t     stream;
    weir_position_t                   at;        /* read up to, on this
                                                    connection */
    uint64_t                          trimmed;   /* ms, the last XTRIM */
    unsigned                          whole:1;   /* caught_up() was called */
    unsigned                          blamed:1;  /* it is known that the stream
                                                    cannot be trimmed */
};


/* As those of ngx_http_weir_follow.h. */
ngx_int_t ngx_http_weir_follow_log_add(ngx_http_weir_redis_t *redis,
    ngx_http_weir_follow_log_t *log);
void ngx_http_weir_follow_log_remove(ngx_http_weir_follow_log_t *log);


#endif /* _NGX_HTTP_WEIR_FOLLOW_LOG_H_INCLUDED_ */
