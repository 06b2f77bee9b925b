/*
 * When a shared cache may keep a response and when it may serve it again: RFC
 * 9111 sections 3 and 4, with RFC 5861 and the operator's weir_cache_valid
 * where the response says nothing.
 *
 * Times are seconds since the epoch; durations are seconds unless a name says
 * milliseconds.  Nothing here allocates or reads a clock.
 */

#ifndef WEIR_CACHE_RULES_H
#define WEIR_CACHE_RULES_H

#include "cache/cache_control.h"

#include <stdbool.h>
#include <stdint.h>

/* A date header that isn't there, and one that is no date ("Expires: 0"). */
#define WEIR_DATE_ABSENT  (-1)
#define WEIR_DATE_INVALID (-2)

typedef struct {
    int status;
    const weir_cache_control_t *cc; /* of the response */
    int64_t expires;                /* or WEIR_DATE_* */
    int64_t date;                   /* or WEIR_DATE_* */
    int64_t age;                    /* value of Age; -1 when absent or malformed */
    int64_t valid;                  /* weir_cache_valid for the status; -1 when there is none */
    bool set_cookie;                /* Set-Cookie that the operator has not said to ignore */
    bool vary_any;                  /* Vary names "*" */
    bool authorization;             /* the request has Authorization */
    bool request_no_store;
    int64_t request_time;  /* the request was sent upstream */
    int64_t response_time; /* the response's header arrived */
} weir_cache_response_t;

typedef struct {
    int64_t initial_age; /* corrected_initial_age, section 4.2.3 */
    int64_t lifetime;    /* freshness lifetime, section 4.2.1; at most WEIR_CACHE_SECONDS_MAX */
    int64_t stale_while_revalidate;
    int64_t stale_if_error;
    bool must_revalidate; /* never stale: must-revalidate, proxy-revalidate, s-maxage */
} weir_cache_freshness_t;

/*
 * Decides about storing (section 3).  Returns NULL when the response may be
 * stored, with *freshness filled in; otherwise the reason in a few words, a
 * constant string.  A response that is never fresh is not worth storing.
 */
const char *weir_cache_refuses_storing(const weir_cache_response_t *response,
                                       weir_cache_freshness_t *freshness);

typedef enum {
    WEIR_CACHE_FRESH = 0,
    WEIR_CACHE_STALE,             /* its lifetime has passed, or was cut short by the request */
    WEIR_CACHE_REFUSED_BY_REQUEST /* the request's directives want the origin asked */
} weir_cache_use_t;

/*
 * Whether a stored response of that age (current_age, section 4.2.3) may answer
 * a request with the directives request (section 5.2.1) without validation.
 */
weir_cache_use_t weir_cache_use(const weir_cache_freshness_t *freshness, int64_t age,
                                const weir_cache_control_t *request);

#endif
