/* How processes tell each other that there is news in a zone of weir_limit. */

#ifndef _NGX_HTTP_WEIR_LIMIT_WAKE_H_INCLUDED_
#define _NGX_HTTP_WEIR_LIMIT_WAKE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "limit/slots/slots.h"


/*
 * wake: news is called in each process that is woken.  prepare is called for each
 * configuration before processes are started; begin and end by each process.
 */
void ngx_http_weir_limit_wake_prepare(ngx_cycle_t *cycle);
ngx_int_t ngx_http_weir_limit_wake_begin(ngx_cycle_t *cycle,
    void (*news)(void));
void ngx_http_weir_limit_wake_end(void);

/* wake: wakes the processes of these seats, and this one by a posted event. */
void ngx_http_weir_limit_wake(weir_slots_wakes_t *wakes);

/* wake: the seat of this process. */
#define ngx_http_weir_limit_wake_seat()  ((uint16_t) ngx_process_slot)

/* Interval in which a process that is not woken looks itself, ms. */
#define NGX_HTTP_WEIR_LIMIT_WAKE_LOOK  5

/*
 * wake: others, or those of an older configuration, cannot wake this process;
 * requests must look themselves.
 */
ngx_uint_t ngx_http_weir_limit_wake_is_deaf(void);


#endif /* _NGX_HTTP_WEIR_LIMIT_WAKE_H_INCLUDED_ */
