/* Proactive negotiation, RFC 9110 sections 5.6 (syntax), 12.4.2 and 12.5.1. */

#include "negotiate.h"

#include "common/text/token.h"

/*
 * The precision with which a range matches an offered type; the order is the
 * precedence of section 12.5.1, with a version by name above types without one.
 */
enum { MATCH_NONE, MATCH_ANY, MATCH_TYPE, MATCH_UNVERSIONED, MATCH_VERSION };

typedef struct {
    weir_str_t type;
    weir_str_t subtype;
    int q; /* 1/1000, 0 to 1000 */
} range_t;

typedef struct {
    const char *p;
    const char *end;
    const char *unquotable; /* no quoted string that begins before this address ends, see below */
} cursor_t;

static void skip_ows(cursor_t *c)
{
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\t')) {
        c->p++;
    }
}

static int take(cursor_t *c, char want)
{
    if (c->p == c->end || *c->p != want)
        return 0;

    c->p++;
    return 1;
}

static weir_str_t take_token(cursor_t *c)
{
    const char *start = c->p;

    while (c->p < c->end && weir_is_tchar(*c->p)) {
        c->p++;
    }

    return (weir_str_t){start, (size_t)(c->p - start)};
}

/*
 * Reads the content of a quoted string, with its escapes.  Returns 0 if it is
 * unterminated or contains a forbidden byte (section 5.6.4).
 *
 * If one quoted string fails, every other that begins inside it fails at the
 * same place: the quotes in between were escaped, so both read the same
 * characters from there on.  The place is remembered, because otherwise a
 * header full of such quotes would take quadratic time.
 */
static int skip_quoted_string(cursor_t *c)
{
    if (c->p < c->unquotable || !take(c, '"'))
        return 0;

    while (c->p < c->end) {
        unsigned char ch = (unsigned char)*c->p++;

        if (ch == '"')
            return 1;

        if (ch == '\\') {
            if (c->p == c->end)
                break;
            ch = (unsigned char)*c->p++;
        }

        if ((ch < 0x20 && ch != '\t') || ch == 0x7f)
            break;
    }

    c->unquotable = c->p;
    return 0;
}

/*
 * Reads "0.5" as 500; -1 if invalid (section 12.4.2: at most three digits, at
 * most 1).  ".5", which Java's HttpURLConnection sends, is read as "0.5".
 */
static int parse_q(weir_str_t s)
{
    int q, scale = 100;

    if (s.len >= 2 && s.len <= 4 && s.data[0] == '.') {
        q = 0;
        for (size_t i = 1; i < s.len; i++, scale /= 10) {
            if (s.data[i] < '0' || s.data[i] > '9')
                return -1;
            q += (s.data[i] - '0') * scale;
        }
        return q;
    }

    if (s.len == 0 || s.len > 5 || (s.data[0] != '0' && s.data[0] != '1'))
        return -1;

    q = (s.data[0] - '0') * 1000;

    if (s.len > 1 && s.data[1] != '.')
        return -1;

    for (size_t i = 2; i < s.len; i++, scale /= 10) {
        if (s.data[i] < '0' || s.data[i] > '9')
            return -1;
        q += (s.data[i] - '0') * scale;
    }

    return q <= 1000 ? q : -1;
}

/* type "/" subtype; "*" alone, which Java's HttpURLConnection sends, is read as any type. */
static int parse_type(cursor_t *c, range_t *range)
{
    range->type = take_token(c);

    if (c->p < c->end && *c->p == '/') {
        c->p++;
        range->subtype = take_token(c);
        return range->type.len != 0 && range->subtype.len != 0;
    }

    range->subtype = range->type;
    return weir_str_eq(range->type, WEIR_STR("*"));
}

/* Reads a media range with its parameters, up to the next comma or the end. */
static int parse_range(cursor_t *c, range_t *range)
{
    range->q = 1000;
    if (!parse_type(c, range))
        return 0;

    for (;;) {
        weir_str_t name, value;

        skip_ows(c);
        if (c->p == c->end || *c->p == ',')
            return 1;
        if (!take(c, ';'))
            return 0;
        skip_ows(c);
        if (c->p == c->end || *c->p == ',' || *c->p == ';')
            continue; /* an empty parameter is allowed, section 5.6.6 */

        name = take_token(c);
        if (name.len == 0)
            return 0;
        if (!take(c, '=')) {
            /* accept-ext of RFC 7231 may have no value */
            continue;
        }
        if (c->p < c->end && *c->p == '"') {
            value = (weir_str_t){NULL, 0};
            if (!skip_quoted_string(c))
                return 0;
        } else {
            value = take_token(c);
            if (value.len == 0)
                return 0;
        }

        if (weir_str_caseeq(name, WEIR_STR("q"))) {
            range->q = parse_q(value);
            if (range->q < 0)
                return 0;
        }
    }
}

/* Skips to the comma that ends this element, ignoring commas in quoted strings. */
static void skip_element(cursor_t *c)
{
    while (c->p < c->end && *c->p != ',') {
        const char *start = c->p;

        if (*start == '"' && skip_quoted_string(c))
            continue;
        c->p = start + 1;
    }
}

/* Reads the ranges of an Accept; *elements is the number of non-empty elements. */
static size_t parse_accept(weir_str_t accept, range_t *ranges, size_t *elements)
{
    cursor_t c = {accept.data, accept.data + accept.len, accept.data};
    size_t n = 0;

    *elements = 0;

    while (n < WEIR_NEGOTIATE_RANGES_MAX) {
        skip_ows(&c);
        if (c.p == c.end)
            break;
        if (take(&c, ','))
            continue;

        (*elements)++;
        const char *start = c.p;

        if (parse_range(&c, &ranges[n])) {
            n++;
        } else {
            c.p = start;
            skip_element(&c);
        }
    }

    return n;
}

enum { VENDOR_NOT, VENDOR_UNVERSIONED, VENDOR_VERSION, VENDOR_UNKNOWN };

static int find_version(const weir_negotiate_api_t *api, weir_str_t name, size_t *version)
{
    for (size_t i = 0; i < api->nversions; i++) {
        if (weir_str_caseeq(api->versions[i], name)) {
            *version = i;
            return 1;
        }
    }

    return 0;
}

/* Decides whether type/subtype is one of the API's vendor types, and which one. */
static int vendor_type(const weir_negotiate_api_t *api, weir_str_t type, weir_str_t subtype,
                       size_t *version)
{
    weir_str_t rest, vendor = api->media_type;
    weir_str_t json = WEIR_STR("+json");

    if (vendor.len <= type.len + 1 || !weir_str_caseeq((weir_str_t){vendor.data, type.len}, type) ||
        vendor.data[type.len] != '/')
        return VENDOR_NOT;

    vendor = (weir_str_t){vendor.data + type.len + 1, vendor.len - type.len - 1};

    if (subtype.len < vendor.len ||
        !weir_str_caseeq((weir_str_t){subtype.data, vendor.len}, vendor))
        return VENDOR_NOT;

    rest = (weir_str_t){subtype.data + vendor.len, subtype.len - vendor.len};

    if (weir_str_caseeq(rest, json))
        return VENDOR_UNVERSIONED;

    if (rest.len == 0 || rest.data[0] == '+')
        return VENDOR_UNKNOWN;
    if (rest.data[0] != '.')
        return VENDOR_NOT;

    if (rest.len > 2 + json.len && (rest.data[1] == 'v' || rest.data[1] == 'V') &&
        weir_str_caseeq((weir_str_t){rest.data + rest.len - json.len, json.len}, json) &&
        find_version(api, (weir_str_t){rest.data + 2, rest.len - 2 - json.len}, version))
        return VENDOR_VERSION;

    return VENDOR_UNKNOWN;
}

/* The meaning of each range for this API, computed once so that matching is fast. */
typedef struct {
    int wildcard; /* MATCH_ANY, MATCH_TYPE or MATCH_NONE */
    int vendor;   /* VENDOR_... */
    int json;     /* application/json */
    size_t version;
} meaning_t;

static meaning_t meaning_of(const weir_negotiate_api_t *api, const range_t *range)
{
    meaning_t m = {MATCH_NONE, VENDOR_NOT, 0, 0};
    weir_str_t star = WEIR_STR("*");

    if (weir_str_eq(range->subtype, star)) {
        if (weir_str_eq(range->type, star))
            m.wildcard = MATCH_ANY;
        else if (weir_str_caseeq(range->type, WEIR_STR("application")))
            m.wildcard = MATCH_TYPE; /* weir_api accepts application/ types only */
        return m;
    }

    m.vendor = vendor_type(api, range->type, range->subtype, &m.version);
    m.json = weir_str_caseeq(range->type, WEIR_STR("application")) &&
             weir_str_caseeq(range->subtype, WEIR_STR("json"));
    return m;
}

typedef struct {
    int q;
    int match;
    int is_default;
    size_t place; /* index of the deciding range */
    weir_negotiated_t what;
} candidate_t;

static int better(const candidate_t *a, const candidate_t *b)
{
    if (a->q != b->q)
        return a->q > b->q;
    if (a->match != b->match)
        return a->match > b->match;
    if (a->is_default != b->is_default)
        return a->is_default;
    return a->place < b->place;
}

static int match(const meaning_t *m, weir_negotiated_form_t form, size_t version)
{
    if (m->wildcard != MATCH_NONE)
        return m->wildcard;

    switch (form) {
    case WEIR_NEGOTIATED_VERSION:
        return m->vendor == VENDOR_VERSION && m->version == version ? MATCH_VERSION : MATCH_NONE;
    case WEIR_NEGOTIATED_UNVERSIONED:
        return m->vendor == VENDOR_UNVERSIONED ? MATCH_UNVERSIONED : MATCH_NONE;
    default:
        return m->json ? MATCH_UNVERSIONED : MATCH_NONE;
    }
}

static void consider(const range_t *ranges, const meaning_t *meanings, size_t n,
                     weir_negotiated_form_t form, candidate_t *candidate, candidate_t *best)
{
    candidate->match = MATCH_NONE;

    for (size_t i = 0; i < n; i++) {
        int how = match(&meanings[i], form, candidate->what.version);

        if (how > candidate->match) {
            candidate->match = how;
            candidate->q = ranges[i].q;
            candidate->place = i;
        }
    }

    if (candidate->match != MATCH_NONE && candidate->q > 0 && better(candidate, best)) {
        candidate->what.form = form;
        *best = *candidate;
    }
}

/*
 * Reads the version that the request fixes apart from Accept: by the header,
 * then by Content-Type.
 */
static weir_negotiate_result_t find_pin(const weir_negotiate_api_t *api,
                                        const weir_negotiate_request_t *request, int *pinned,
                                        size_t *version)
{
    *pinned = 0;

    if (request->version_header.data != NULL) {
        weir_str_t name = request->version_header;

        if (!find_version(api, name, version)) {
            if (name.len < 2 || (name.data[0] != 'v' && name.data[0] != 'V') ||
                !find_version(api, (weir_str_t){name.data + 1, name.len - 1}, version))
                return WEIR_NEGOTIATE_UNKNOWN_VERSION;
        }
        *pinned = 1;
    }

    if (request->content_type.data != NULL) {
        cursor_t c = {request->content_type.data,
                      request->content_type.data + request->content_type.len,
                      request->content_type.data};
        weir_str_t type = take_token(&c), subtype = {NULL, 0};
        size_t of_body = 0;

        if (take(&c, '/'))
            subtype = take_token(&c);

        switch (vendor_type(api, type, subtype, &of_body)) {
        case VENDOR_UNKNOWN:
            return WEIR_NEGOTIATE_UNSUPPORTED_BODY;
        case VENDOR_VERSION:
            if (*pinned && *version != of_body)
                return WEIR_NEGOTIATE_CONFLICT;
            *pinned = 1;
            *version = of_body;
            break;
        default:
            break;
        }
    }

    return WEIR_NEGOTIATE_OK;
}

weir_negotiate_result_t weir_negotiate(const weir_negotiate_api_t *api,
                                       const weir_negotiate_request_t *request,
                                       weir_negotiated_t *out)
{
    range_t ranges[WEIR_NEGOTIATE_RANGES_MAX];
    meaning_t meanings[WEIR_NEGOTIATE_RANGES_MAX];
    candidate_t candidate = {0}, best = {0};
    size_t n, elements, pin = api->default_version;
    int pinned, other_named = 0;
    weir_negotiate_result_t result = find_pin(api, request, &pinned, &pin);

    if (result != WEIR_NEGOTIATE_OK)
        return result;

    *out = (weir_negotiated_t){pin, WEIR_NEGOTIATED_VERSION};

    if (request->accept.len == 0 || weir_str_eq(request->accept, WEIR_STR("*/*")))
        return WEIR_NEGOTIATE_OK;

    n = parse_accept(request->accept, ranges, &elements);
    if (elements == 0)
        return WEIR_NEGOTIATE_OK;
    if (n == 0)
        return WEIR_NEGOTIATE_MALFORMED_ACCEPT;

    for (size_t i = 0; i < n; i++) {
        meanings[i] = meaning_of(api, &ranges[i]);
        if (pinned && meanings[i].vendor == VENDOR_VERSION && meanings[i].version != pin &&
            ranges[i].q > 0)
            other_named = 1;
    }

    for (size_t v = 0; v < api->nversions; v++) {
        if (pinned && v != pin)
            continue;

        candidate.what.version = v;
        candidate.is_default = (v == pin);
        consider(ranges, meanings, n, WEIR_NEGOTIATED_VERSION, &candidate, &best);
        if (v == pin) {
            consider(ranges, meanings, n, WEIR_NEGOTIATED_UNVERSIONED, &candidate, &best);
            consider(ranges, meanings, n, WEIR_NEGOTIATED_JSON, &candidate, &best);
        }
    }

    if (best.match == MATCH_NONE)
        return other_named ? WEIR_NEGOTIATE_CONFLICT : WEIR_NEGOTIATE_NOT_ACCEPTABLE;

    /*
     * A version named in Accept is a conflict, too, if only a wildcard matches
     * the pinned version.
     */
    if (other_named && best.match < MATCH_UNVERSIONED)
        return WEIR_NEGOTIATE_CONFLICT;

    *out = best.what;
    return WEIR_NEGOTIATE_OK;
}
