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

#include "cache/policy/cache_control.h"

#include <stdbool.h>
#include <stdint.h>

/* A date header that isn't there, and one that is no date ("Expires: 0"). */
#define WEIR_DATE_ABSENT (-1)
#define WEIR_DATE_INVALID (-2)

/* The longest heuristic lifetime. */
#define WEIR_HEURISTIC_MAX (24 * 60 * 60)

typedef struct {
    int status;
    const weir_cache_control_t *cc; /* of the response */
    int64_t expires;                /* or WEIR_DATE_* */
    int64_t date;                   /* or WEIR_DATE_* */
    int64_t age;                    /* value of Age; -1 when absent or malformed */
    int64_t valid;                  /* weir_cache_valid for the status; -1 when there is none */
    bool named;                     /* weir_cache_valid names the status itself */
    int64_t last_modified;          /* or WEIR_DATE_* */
    int heuristic;                  /* percent of the time since last_modified; 0: off */
    bool validator;                 /* it has an ETag or a Last-Modified */
    bool set_cookie;                /* Set-Cookie that the operator has not said to ignore */
    bool part;                      /* a 206 of which it is known what it holds */
    bool post;                      /* answers a POST: only what it says itself makes it fresh */
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
    bool no_cache;        /* never without validation (section 5.2.2.4) */
} weir_cache_freshness_t;

/*
 * Whether responses of that status speak of the one request that they answer
 * (its conditions, range, framing, rate; RFC 9110 section 15, RFC 6585), which
 * no key and no Vary names.  They are stored only when the operator has named
 * the status; 206 by rules of its own (section 3.3), 304 never.
 */
bool weir_cache_is_about_request(int status);

/*
 * Decides about storing (section 3).  Returns NULL when the response may be
 * stored, with *freshness filled in; otherwise the reason in a few words, a
 * constant string.  A response that is never fresh is worth storing when it can
 * be validated or may be served stale.
 */
const char *weir_cache_refuses_storing(const weir_cache_response_t *response,
                                       weir_cache_freshness_t *freshness);

typedef enum {
    WEIR_CACHE_FRESH = 0,
    WEIR_CACHE_STALE,        /* its lifetime has passed, or it says no-cache */
    WEIR_CACHE_REFUSED,      /* the request's directives want the origin asked */
    WEIR_CACHE_ALLOWED_STALE /* stale, but by no more than the request's max-stale */
} weir_cache_use_t;

/*
 * Whether a stored response of that age (current_age, section 4.2.3) may answer
 * a request with the directives request (section 5.2.1) without validation.
 */
weir_cache_use_t weir_cache_use(const weir_cache_freshness_t *freshness, int64_t age,
                                const weir_cache_control_t *request);

/*
 * Whether the response may be served stale for a reason that the response or
 * the operator allows for window seconds after its lifetime (RFC 9111 section
 * 4.2.4); what must be validated never is.
 */
bool weir_cache_may_be_stale(const weir_cache_freshness_t *freshness, int64_t age, int64_t window);

#endif
