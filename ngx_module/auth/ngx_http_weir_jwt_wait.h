/*
 * Requests that wait in the access phase, until something happens or their time
 * has passed.
 *
 * There is one list for each cause: one fetch of keys, one turn of the worker's
 * verifications.  A list is bounded in number and in time.  It belongs to one
 * worker, and is used in that worker only.
 *
 * The handler of the access phase that gets NGX_AGAIN returns it, and is called
 * again when the wait has ended: by ngx_http_weir_jwt_wait_wake(), or because
 * the time of the list has passed.  It finds out which by the wait's state, and
 * looks at its cause again.  Requests are resumed from events of the list only,
 * never from the caller of ngx_http_weir_jwt_wait_wake().  A variable that is
 * read before the access phase cannot wait.
 *
 * A request that ends while it waits (its client leaves, its stream is reset)
 * leaves the list by a cleanup.
 */

#ifndef _NGX_HTTP_WEIR_JWT_WAIT_H_INCLUDED_
#define _NGX_HTTP_WEIR_JWT_WAIT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>


typedef enum {
    NGX_HTTP_WEIR_JWT_WAIT_NONE = 0,  /* has not waited, or has gone */
    NGX_HTTP_WEIR_JWT_WAIT_WAITING,   /* in list->waiting */
    NGX_HTTP_WEIR_JWT_WAIT_READY,     /* in list->ready: resumed very soon */
    NGX_HTTP_WEIR_JWT_WAIT_WOKEN,     /* resumed by a wake */
    NGX_HTTP_WEIR_JWT_WAIT_EXPIRED    /* resumed, as its time has passed */
} ngx_http_weir_jwt_wait_state_e;


typedef struct {
    ngx_queue_t                     waiting;   /* of ngx_http_weir_jwt_wait_t,
                                                  the oldest first */
    ngx_queue_t                     ready;     /* the same; to be resumed */
    ngx_uint_t                      n;         /* in both */
    ngx_uint_t                      max;       /* that may be in both */
    ngx_msec_t                      timeout;   /* ms; > 0 */
    ngx_event_t                     timer;     /* of the oldest that waits */
    ngx_event_t                     wake;      /* posted if any is ready */
} ngx_http_weir_jwt_wait_list_t;


/*
 * The wait of a request, in zeroed memory of its pool.  A request waits for one
 * cause at a time, and may wait for others, or again, afterwards.
 */
typedef struct {
    ngx_queue_t                     queue;
    ngx_http_request_t             *request;   /* NULL: no cleanup yet */
    ngx_http_weir_jwt_wait_list_t  *list;      /* it waits or waited in; NULL:
                                                  none */
    ngx_http_weir_jwt_wait_state_e  state;
    ngx_uint_t                      expired;   /* bool, while READY */
    ngx_int_t                       handler;   /* r->phase_handler */
    ngx_msec_t                      since;     /* ngx_current_msec */
} ngx_http_weir_jwt_wait_t;


/*
 * Makes an empty list of that bound, in memory that lives as long as the worker,
 * or as the requests of its configuration.  May be called before the worker is
 * forked.
 */
void ngx_http_weir_jwt_wait_init(ngx_http_weir_jwt_wait_list_t *list,
    ngx_uint_t max, ngx_msec_t timeout);

/*
 * Parks the main request r behind those that wait in the list; called in its
 * access phase.  Returns NGX_AGAIN; NGX_BUSY if the list is full, or NGX_ERROR
 * if the request cannot be parked: it goes on then, with the state NONE.
 */
ngx_int_t ngx_http_weir_jwt_wait(ngx_http_request_t *r,
    ngx_http_weir_jwt_wait_t *wait, ngx_http_weir_jwt_wait_list_t *list);

/*
 * The state of the wait, if its last one was in that list; NONE otherwise.  In
 * the handler of the access phase it is NONE, WOKEN or EXPIRED.
 */
static ngx_inline ngx_http_weir_jwt_wait_state_e ngx_http_weir_jwt_wait_state(
    ngx_http_weir_jwt_wait_t *wait, ngx_http_weir_jwt_wait_list_t *list);

/* Resumes all that wait in the list now, in their order, by a posted event. */
void ngx_http_weir_jwt_wait_wake(ngx_http_weir_jwt_wait_list_t *list);

/* The same for one of them. */
void ngx_http_weir_jwt_wait_wake_one(ngx_http_weir_jwt_wait_t *wait);


static ngx_inline ngx_http_weir_jwt_wait_state_e
ngx_http_weir_jwt_wait_state(ngx_http_weir_jwt_wait_t *wait,
    ngx_http_weir_jwt_wait_list_t *list)
{
    return wait->list == list ? wait->state : NGX_HTTP_WEIR_JWT_WAIT_NONE;
}


#endif /* _NGX_HTTP_WEIR_JWT_WAIT_H_INCLUDED_ */
