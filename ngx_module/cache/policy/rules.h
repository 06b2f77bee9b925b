/*
 * Storing and reusing responses in a shared cache: RFC 9111 sections 3 and 4,
 * RFC 5861, and the operator's weir_cache_valid for responses without a
 * freshness lifetime of their own.
 *
 * Times are seconds since the epoch.  Durations are seconds unless a name says
 * milliseconds.  The functions allocate no memory and read no clock.
 */

#ifndef WEIR_CACHE_RULES_H
#define WEIR_CACHE_RULES_H

#include "cache/policy/cache_control.h"

#include <stdbool.h>
#include <stdint.h>

/* An absent date header, and an invalid one ("Expires: 0"). */
#define WEIR_DATE_ABSENT (-1)
#define WEIR_DATE_INVALID (-2)

/* Upper limit of the heuristic lifetime, seconds. */
#define WEIR_HEURISTIC_MAX (24 * 60 * 60)

typedef struct {
    int status;
    const weir_cache_control_t *cc; /* of the response */
    int64_t expires;                /* or WEIR_DATE_* */
    int64_t date;                   /* or WEIR_DATE_* */
    int64_t age;                    /* value of Age; -1 when absent or malformed */
    int64_t valid;                  /* weir_cache_valid for the status; -1 if not set */
    bool named;                     /* weir_cache_valid names this status explicitly */
    int64_t last_modified;          /* or WEIR_DATE_* */
    int heuristic;                  /* percent of the time since last_modified; 0: off */
    bool validator;                 /* the response has an ETag or a Last-Modified */
    bool set_cookie;                /* the response has Set-Cookie, and the operator has not ignored
                                       it */
    bool part;                      /* a 206 whose range is known */
    bool post;                      /* the response to a POST: only its own fields make it fresh */
    bool vary_any;                  /* Vary contains "*" */
    bool authorization;             /* the request has Authorization, and the operator has not said
                                       who shares the response */
    bool token;                     /* the request has a token, and the operator has said so */
    bool request_no_store;
    int64_t request_time;  /* time at which the request was sent to the upstream */
    int64_t response_time; /* time at which the response header arrived */
} weir_cache_response_t;

typedef struct {
    int64_t initial_age; /* corrected_initial_age, section 4.2.3 */
    int64_t lifetime;    /* freshness lifetime, section 4.2.1; at most WEIR_CACHE_SECONDS_MAX */
    int64_t stale_while_revalidate;
    int64_t stale_if_error;
    bool must_revalidate; /* must-revalidate, proxy-revalidate or s-maxage: never served stale */
    bool no_cache;        /* each use needs validation (section 5.2.2.4) */
} weir_cache_freshness_t;

/*
 * True for statuses that are about one request (its conditions, range, framing
 * or rate; RFC 9110 section 15, RFC 6585), which neither key nor Vary identify.
 * Such responses are stored only if the operator has named the status.  206 has
 * its own rules (section 3.3); 304 is never stored.
 */
bool weir_cache_is_about_request(int status);

/*
 * True for statuses that ask one client to authenticate: a client that has done
 * so would get another response, whatever Vary says.  They are stored only if
 * the operator names them.
 */
bool weir_cache_is_about_client(int status);

/*
 * Decides whether a response may be stored (section 3).  Returns NULL if it
 * may, with *freshness filled in; otherwise the reason as a short constant
 * string.  A response with lifetime 0 is still stored if it can be validated or
 * served stale.
 */
const char *weir_cache_refuses_storing(const weir_cache_response_t *response,
                                       weir_cache_freshness_t *freshness);

typedef enum {
    WEIR_CACHE_FRESH = 0,
    WEIR_CACHE_STALE,        /* the lifetime has passed, or the response has no-cache */
    WEIR_CACHE_REFUSED,      /* the request's directives require the origin */
    WEIR_CACHE_ALLOWED_STALE /* stale, but within the request's max-stale */
} weir_cache_use_t;

/*
 * Decides whether a stored response of that age (current_age, section 4.2.3)
 * may answer a request without validation.  request has the directives of the
 * request (section 5.2.1).
 */
weir_cache_use_t weir_cache_use(const weir_cache_freshness_t *freshness, int64_t age,
                                const weir_cache_control_t *request);

/*
 * True if the response may be served stale.  window is the number of seconds
 * after its lifetime that the response or the operator allows for the reason at
 * hand (RFC 9111 section 4.2.4).  A response that must be validated is never
 * served stale.
 */
bool weir_cache_may_be_stale(const weir_cache_freshness_t *freshness, int64_t age, int64_t window);

#endif
