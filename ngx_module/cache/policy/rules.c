/* Storing and reusing responses in a shared cache, RFC 9111 sections 3 and 4. */

#include "cache/policy/rules.h"

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

bool weir_cache_is_about_request(int status)
{
    switch (status) {
    case 206: /* Partial Content */
    case 304: /* Not Modified */
    case 400: /* Bad Request */
    case 406: /* Not Acceptable */
    case 408: /* Request Timeout */
    case 411: /* Length Required */
    case 412: /* Precondition Failed */
    case 413: /* Content Too Large */
    case 415: /* Unsupported Media Type */
    case 416: /* Range Not Satisfiable */
    case 417: /* Expectation Failed */
    case 421: /* Misdirected Request */
    case 422: /* Unprocessable Content */
    case 425: /* Too Early */
    case 426: /* Upgrade Required */
    case 428: /* Precondition Required */
    case 429: /* Too Many Requests */
    case 431: /* Request Header Fields Too Large */
        return true;
    default:
        return false;
    }
}

bool weir_cache_is_about_client(int status)
{
    return status == 401 || status == 407 || status == 511;
}

/* A final status about the resource, or one that the operator has named. */
static bool is_storable_status(const weir_cache_response_t *r)
{
    if (r->status == 206)
        return r->part;

    return r->status >= 200 && r->status != 304 &&
           (r->named ||
            (!weir_cache_is_about_request(r->status) && !weir_cache_is_about_client(r->status)));
}

/* Statuses whose caching rules this file implements, for must-understand (section 5.2.2.3). */
static bool is_understood_status(int status)
{
    switch (status) {
    case 200:
    case 203:
    case 204:
    case 206:
    case 300:
    case 301:
    case 302:
    case 303:
    case 307:
    case 308:
    case 400:
    case 401:
    case 403:
    case 404:
    case 405:
    case 410:
    case 414:
    case 451:
    case 500:
    case 501:
    case 502:
    case 503:
    case 504:
        return true;
    default:
        return false;
    }
}

/* Heuristically cacheable statuses, RFC 9110 section 15.1. */
static bool is_heuristic_status(int status)
{
    switch (status) {
    case 200:
    case 203:
    case 204:
    case 300:
    case 301:
    case 308:
    case 404:
    case 405:
    case 410:
    case 414:
    case 501:
        return true;
    default:
        return false;
    }
}

/* Section 4.2.2: a fraction of the time since Last-Modified; -1 without Last-Modified. */
static int64_t heuristic_lifetime(const weir_cache_response_t *r)
{
    int64_t date = r->date >= 0 ? r->date : r->response_time, lifetime;

    if (r->heuristic == 0 || r->last_modified < 0 || r->last_modified > date ||
        (!is_heuristic_status(r->status) && (r->cc->flags & WEIR_CC_PUBLIC) == 0))
        return -1;

    lifetime = (date - r->last_modified) * r->heuristic / 100;

    return lifetime < WEIR_HEURISTIC_MAX ? lifetime : WEIR_HEURISTIC_MAX;
}

/* freshness_lifetime, section 4.2.1; -1 if neither the response nor the operator gives one. */
static int64_t freshness_lifetime(const weir_cache_response_t *r)
{
    if (r->cc->s_maxage != -1)
        return r->cc->s_maxage;

    if (r->cc->max_age != -1)
        return r->cc->max_age;

    if (r->expires == WEIR_DATE_INVALID)
        return 0; /* section 5.3: an invalid date is in the past */

    if (r->expires != WEIR_DATE_ABSENT) {
        int64_t left = r->expires - (r->date >= 0 ? r->date : r->response_time);

        /* limits the lifetime, for example with Expires in the year 9999 */
        return left < WEIR_CACHE_SECONDS_MAX ? max64(0, left) : WEIR_CACHE_SECONDS_MAX;
    }

    /* RFC 9110 section 9.3.3 */
    if (r->post)
        return -1;

    return r->valid != -1 ? r->valid : heuristic_lifetime(r);
}

/* corrected_initial_age, section 4.2.3 */
static int64_t initial_age(const weir_cache_response_t *r)
{
    int64_t apparent = r->date >= 0 ? max64(0, r->response_time - r->date) : 0;
    int64_t corrected = max64(0, r->age) + max64(0, r->response_time - r->request_time);

    return max64(apparent, corrected);
}

const char *weir_cache_refuses_storing(const weir_cache_response_t *r, weir_cache_freshness_t *f)
{
    const weir_cache_control_t *cc = r->cc;

    if (!is_storable_status(r))
        return "status";

    /* one caller's refusal, to those who would not be refused */
    if (r->token && (weir_cache_is_about_client(r->status) || r->status == 403))
        return "status";

    if (r->request_no_store)
        return "request no-store";

    if (cc->flags & WEIR_CC_MUST_UNDERSTAND) {
        /* with must-understand, no-store is for caches that do not know the status */
        if (!is_understood_status(r->status))
            return "status not understood";

    } else if (cc->flags & WEIR_CC_NO_STORE) {
        return "no-store";
    }

    if (cc->flags & WEIR_CC_PRIVATE)
        return "private";

    /* section 3.5 */
    if (r->authorization && cc->s_maxage == -1 &&
        (cc->flags & (WEIR_CC_PUBLIC | WEIR_CC_MUST_REVALIDATE)) == 0)
        return "authorization";

    if (r->set_cookie)
        return "set-cookie";

    if (r->vary_any)
        return "vary *";

    f->lifetime = freshness_lifetime(r);
    f->no_cache = (cc->flags & WEIR_CC_NO_CACHE) != 0;

    if (f->lifetime == -1) {
        if (!f->no_cache || r->post)
            return "no lifetime";
        f->lifetime = 0;
    }

    f->initial_age = initial_age(r);
    f->stale_while_revalidate = max64(0, cc->stale_while_revalidate);
    f->stale_if_error = max64(0, cc->stale_if_error);

    /* s-maxage implies proxy-revalidate, section 5.2.2.10 */
    f->must_revalidate = (cc->flags & (WEIR_CC_MUST_REVALIDATE | WEIR_CC_PROXY_REVALIDATE)) != 0 ||
                         cc->s_maxage != -1;

    if (r->validator)
        return NULL;

    if (f->no_cache)
        return "no-cache";

    if (f->lifetime <= f->initial_age &&
        (f->must_revalidate || (f->stale_while_revalidate == 0 && f->stale_if_error == 0)))
        return "expired";

    return NULL;
}

weir_cache_use_t weir_cache_use(const weir_cache_freshness_t *f, int64_t age,
                                const weir_cache_control_t *request)
{
    int64_t left = f->lifetime - age;

    if (request->flags & WEIR_CC_NO_CACHE)
        return WEIR_CACHE_REFUSED;

    if (f->no_cache)
        return WEIR_CACHE_STALE;

    /* max-age=0 asks for a new response, and age has no fraction of a second */
    if (request->max_age != -1 && (age > request->max_age || request->max_age == 0))
        return WEIR_CACHE_REFUSED;

    if (request->min_fresh != -1 && left < request->min_fresh)
        return WEIR_CACHE_REFUSED;

    if (left > 0)
        return WEIR_CACHE_FRESH;

    if (request->max_stale != -1 && !f->must_revalidate && -left <= request->max_stale)
        return WEIR_CACHE_ALLOWED_STALE;

    return WEIR_CACHE_STALE;
}

bool weir_cache_may_be_stale(const weir_cache_freshness_t *f, int64_t age, int64_t window)
{
    return !f->no_cache && !f->must_revalidate && age - f->lifetime < window;
}
