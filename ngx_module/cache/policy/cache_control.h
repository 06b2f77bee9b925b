/*
 * Cache-Control (RFC 9111 section 5.2) of requests and of responses.
 *
 * The grammar is #( token [ "=" ( token / quoted-string ) ] ).  Names are
 * compared without regard to case.  Unknown directives are skipped.  The first
 * of two equal directives counts (section 4.2.1).  A directive with an invalid
 * number (sign, fraction, space, single quotes) counts as 0 seconds, so that
 * such a response is stale and never fresh by accident (section 4.2.1).  A
 * number above 2^31 counts as 2^31 (section 1.2.2).
 *
 * The parser allocates no memory; strings point into the input.
 */

#ifndef WEIR_CACHE_CONTROL_H
#define WEIR_CACHE_CONTROL_H

#include "common/text/str.h"

#include <stdbool.h>
#include <stdint.h>

#define WEIR_CACHE_SECONDS_MAX 2147483648LL

enum {
    WEIR_CC_NO_CACHE = 1 << 0, /* without field names */
    WEIR_CC_NO_STORE = 1 << 1,
    WEIR_CC_NO_TRANSFORM = 1 << 2,
    WEIR_CC_ONLY_IF_CACHED = 1 << 3,
    WEIR_CC_MUST_REVALIDATE = 1 << 4,
    WEIR_CC_PROXY_REVALIDATE = 1 << 5,
    WEIR_CC_MUST_UNDERSTAND = 1 << 6,
    WEIR_CC_PRIVATE = 1 << 7, /* without field names */
    WEIR_CC_PUBLIC = 1 << 8,
    WEIR_CC_IMMUTABLE = 1 << 9 /* RFC 8246 */
};

typedef struct {
    unsigned flags; /* WEIR_CC_* */

    /* seconds; -1 when absent */
    int64_t max_age;
    int64_t s_maxage;
    int64_t min_fresh;
    int64_t max_stale;              /* WEIR_CACHE_SECONDS_MAX without a number */
    int64_t stale_while_revalidate; /* RFC 5861 section 3 */
    int64_t stale_if_error;         /* RFC 5861 section 4 */

    /* the field names of no-cache="..." and private="...", comma separated, or empty */
    weir_str_t no_cache_fields;
    weir_str_t private_fields;
} weir_cache_control_t;

/* Sets every directive to absent. */
void weir_cache_control_init(weir_cache_control_t *cc);

/*
 * Adds the directives of one header line.  Lines are added in their order.
 * Returns the number of directives read, known or unknown.
 */
size_t weir_cache_control_parse(weir_cache_control_t *cc, weir_str_t line);

/*
 * Reads a targeted field such as CDN-Cache-Control (RFC 9213), which is a
 * Dictionary of Structured Fields (RFC 8941).  lines are in the order of the
 * message.  Returns false if the field is empty or is no valid Dictionary; the
 * field is then to be ignored, and cc is as after weir_cache_control_init().
 */
bool weir_cache_control_parse_targeted(weir_cache_control_t *cc, const weir_str_t *lines, size_t n);

/*
 * delta-seconds (RFC 9111 section 1.2.2) without any other text.  Returns -1 if
 * s is no such number, and WEIR_CACHE_SECONDS_MAX if the number is greater.
 */
int64_t weir_cache_delta_seconds(weir_str_t s);

/* The same for the first member of a list, as Age needs it (RFC 9111 section 5.1). */
int64_t weir_cache_first_delta_seconds(weir_str_t list);

/* True if a comma separated list of field names contains the name, in any case. */
int weir_cache_lists_field(weir_str_t list, weir_str_t name);

#endif
