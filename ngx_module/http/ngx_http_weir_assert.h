/*
 * Assertions of invariants that no input can break.  A build with
 * -DNGX_HTTP_WEIR_ASSERT=1 (used for the tests with AddressSanitizer) aborts
 * the process if one fails; other builds do not evaluate them.
 */

#ifndef _NGX_HTTP_WEIR_ASSERT_H_INCLUDED_
#define _NGX_HTTP_WEIR_ASSERT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#if (NGX_HTTP_WEIR_ASSERT)

#define ngx_http_weir_assert(condition)                                       \
    do {                                                                      \
        if (!(condition)) {                                                   \
            ngx_log_stderr(0, "assertion failed: %s, %s:%d", #condition,      \
                           __FILE__, __LINE__);                               \
            ngx_abort();                                                      \
        }                                                                     \
    } while (0)

#else

#define ngx_http_weir_assert(condition)  ((void) sizeof((condition) ? 1 : 0))

#endif


#endif /* _NGX_HTTP_WEIR_ASSERT_H_INCLUDED_ */
