/* Refuses entries that no edge stores; see entry_check.h. */

#include "cache/entry_check.h"

#include "cache/policy/cache_control.h"
#include "cache/policy/range.h"
#include "cache/policy/tags.h"
#include "cache/policy/vary.h"

#include "common/text/token.h"

bool weir_entry_field_is_sound(weir_str_t name, weir_str_t value)
{
    if (name.len == 0)
        return false;

    for (size_t i = 0; i < name.len; i++) {
        if (!weir_is_tchar(name.data[i]))
            return false;
    }

    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.data[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }

    return true;
}

bool weir_entry_field_is_barred(weir_str_t name)
{
    static const weir_str_t barred[] = {
        {"Connection", 10},
        {"Keep-Alive", 10},
        {"Proxy-Connection", 16},
        {"TE", 2},
        {"Trailer", 7},
        {"Transfer-Encoding", 17},
        {"Upgrade", 7},
        {"Proxy-Authenticate", 18},
        {"Proxy-Authentication-Info", 25},
        {"Proxy-Authorization", 19},
        {"Content-Length", 14},
        {"Accept-Ranges", 13}, /* nginx cuts ranges out of stored responses */
        {"Age", 3},
        {"Set-Cookie", 10},
        {"Weir-Invalidate", 15},
        {"Weir-Position", 13},
    };

    for (size_t i = 0; i < sizeof(barred) / sizeof(barred[0]); i++) {
        if (weir_str_caseeq(barred[i], name))
            return true;
    }

    return false;
}

static const char *check_pointer(const weir_entry_t *e)
{
    char names[WEIR_VARY_FIELDS_MAX * (WEIR_VARY_NAME_MAX + 1)];
    size_t len;

    if (e->flags != WEIR_ENTRY_VARY_POINTER)
        return "wrong flags";

    if (e->headers.len != 0 || e->body.len != 0 || e->tags.len != 0)
        return "a pointer with a response";

    /* vary.c writes the list sorted, in lower case, joined by commas */

    if (e->vary.len == 0 || e->vary.len > sizeof(names) ||
        !weir_vary_fields(&e->vary, 1, names, &len) ||
        !weir_str_eq(e->vary, (weir_str_t){names, len}))
        return "wrong field names";

    return NULL;
}

static const char *check_headers(const weir_entry_t *e)
{
    weir_str_t name, value, content_range = {NULL, 0};
    size_t pos = 0, types = 0, ranges = 0;
    weir_range_t range;
    bool part;

    while (weir_entry_next_header(e->headers, &pos, &name, &value)) {
        if (!weir_entry_field_is_sound(name, value))
            return "an invalid header";

        if (weir_entry_field_is_barred(name))
            return "a header that is never stored";

        if (weir_str_caseeq(name, WEIR_STR("Content-Type")))
            types++;

        if (weir_str_caseeq(name, WEIR_STR("Content-Range"))) {
            content_range = value;
            ranges++;
        }
    }

    part = ranges == 1 && weir_content_range_parse(content_range, &range);

    /*
     * Content-Range has no meaning outside a 206 (RFC 9110 section 14.4),
     * except that a media type may name a part.
     */
    if (types > 1 || part != (e->status == 206))
        return "headers that contradict the response";

    if (part && (uint64_t)(range.last - range.first) + 1 < e->body.len)
        return "a wrong Content-Range";

    return NULL;
}

static const char *check_response(const weir_entry_t *e)
{
    if (e->flags & ~(WEIR_ENTRY_MUST_REVALIDATE | WEIR_ENTRY_NO_CACHE | WEIR_ENTRY_VARIANT))
        return "wrong flags";

    /* final statuses that have a meaning without their request (RFC 9110 section 15) */
    if (e->status < 200 || e->status > 599 || e->status == 304)
        return "wrong status";

    if ((e->status == 204 || e->status == 205) && e->body.len != 0)
        return "a body where none can be";

    if (e->tags.len % 8 != 0 || e->tags.len > (size_t)WEIR_TAGS_MAX * 8)
        return "wrong tags";

    return check_headers(e);
}

const char *weir_entry_check(const weir_entry_t *e, int64_t now)
{
    if (e->stored < 0 || e->stored > now + WEIR_ENTRY_CLOCK_SKEW)
        return "a wrong time";

    if (e->initial_age > WEIR_CACHE_SECONDS_MAX || e->lifetime > WEIR_CACHE_SECONDS_MAX ||
        e->stale_while_revalidate > WEIR_CACHE_SECONDS_MAX ||
        e->stale_if_error > WEIR_CACHE_SECONDS_MAX)
        return "a wrong lifetime";

    return e->flags & WEIR_ENTRY_VARY_POINTER ? check_pointer(e) : check_response(e);
}
