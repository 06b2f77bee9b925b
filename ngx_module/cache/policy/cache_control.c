/* Cache-Control, RFC 9111 section 5.2; list grammar RFC 9110 section 5.6. */

#include "cache/policy/cache_control.h"

#include "common/text/token.h"

typedef struct {
    weir_str_t name;
    weir_str_t value; /* without quotes; data is NULL without "=" */
    int malformed;    /* the text after "=" is not one token or quoted-string */
    int no_number;    /* the value is of a type other than Integer, whatever its text */
    int absent;       /* the value is the Boolean false */
} directive_t;

static int is_space(char c)
{
    return c == ' ' || c == '\t';
}

static const char *skip_token(const char *p, const char *end)
{
    while (p < end && weir_is_tchar(*p))
        p++;

    return p;
}

/* p is after the opening quote; returns the closing quote, or end if there is none. */
static const char *find_quote(const char *p, const char *end)
{
    while (p < end && *p != '"') {
        if (*p == '\\' && p + 1 < end)
            p++;
        p++;
    }

    return p;
}

/* Reads the next list element; a malformed element ends at the next comma outside quotes. */
static int next_directive(const char **pos, const char *end, directive_t *d)
{
    const char *p = *pos, *start;

    while (p < end && (is_space(*p) || *p == ','))
        p++;

    if (p == end)
        return 0;

    memset(d, 0, sizeof(*d));

    start = p;
    p = skip_token(p, end);
    d->name = (weir_str_t){start, (size_t)(p - start)};

    if (p < end && *p == '=') {
        p++;

        if (p < end && *p == '"') {
            start = p + 1;
            p = find_quote(start, end);
            d->value = (weir_str_t){start, (size_t)(p - start)};

            if (p < end)
                p++;
            else
                d->malformed = 1;

        } else {
            start = p;
            p = skip_token(p, end);
            d->value = (weir_str_t){start, (size_t)(p - start)};
        }
    }

    while (p < end && *p != ',') {
        if (!is_space(*p))
            d->malformed = 1;

        if (*p == '"') {
            p = find_quote(p + 1, end);
            if (p == end)
                break;
        }

        p++;
    }

    *pos = p;

    return 1;
}

int64_t weir_cache_delta_seconds(weir_str_t s)
{
    int64_t n = 0;

    if (s.len == 0)
        return -1;

    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] < '0' || s.data[i] > '9')
            return -1;

        if (n < WEIR_CACHE_SECONDS_MAX)
            n = n * 10 + (s.data[i] - '0');
    }

    return n < WEIR_CACHE_SECONDS_MAX ? n : WEIR_CACHE_SECONDS_MAX;
}

int64_t weir_cache_first_delta_seconds(weir_str_t list)
{
    const char *comma = list.len != 0 ? memchr(list.data, ',', list.len) : NULL;

    if (comma != NULL)
        list.len = (size_t)(comma - list.data);

    while (list.len != 0 && is_space(list.data[list.len - 1]))
        list.len--;

    return weir_cache_delta_seconds(list);
}

static void set_seconds(int64_t *field, const directive_t *d)
{
    int64_t n;

    if (*field != -1)
        return;

    n = d->malformed || d->no_number ? -1 : weir_cache_delta_seconds(d->value);
    *field = n == -1 ? 0 : n;
}

/*
 * no-cache and private apply to the whole response unless they name fields.  A
 * list with escapes applies to the whole response, too: no field name needs an
 * escape, and the text with its escapes would name other fields.
 */
static void set_fields(weir_cache_control_t *cc, unsigned flag, weir_str_t *fields,
                       const directive_t *d)
{
    if (d->value.len == 0 || d->malformed || memchr(d->value.data, '\\', d->value.len) != NULL)
        cc->flags |= flag;
    else if (fields->len == 0)
        *fields = d->value;
    else
        cc->flags |= flag; /* two lists are read as the whole response, which is the stricter
                              meaning */
}

static const struct {
    weir_str_t name;
    unsigned flag;
} flags[] = {
    {{"no-store", 8}, WEIR_CC_NO_STORE},
    {{"no-transform", 12}, WEIR_CC_NO_TRANSFORM},
    {{"only-if-cached", 14}, WEIR_CC_ONLY_IF_CACHED},
    {{"must-revalidate", 15}, WEIR_CC_MUST_REVALIDATE},
    {{"proxy-revalidate", 16}, WEIR_CC_PROXY_REVALIDATE},
    {{"must-understand", 15}, WEIR_CC_MUST_UNDERSTAND},
    {{"public", 6}, WEIR_CC_PUBLIC},
    {{"immutable", 9}, WEIR_CC_IMMUTABLE},
};

static const unsigned allowing = WEIR_CC_PUBLIC | WEIR_CC_MUST_UNDERSTAND | WEIR_CC_IMMUTABLE;

static void apply(weir_cache_control_t *cc, const directive_t *d)
{
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (weir_str_caseeq(d->name, flags[i].name)) {
            /* a malformed directive counts if it forbids, and is ignored if it allows */
            if (!d->malformed || (flags[i].flag & allowing) == 0)
                cc->flags |= flags[i].flag;
            return;
        }
    }

    if (weir_str_caseeq(d->name, WEIR_STR("max-age")))
        set_seconds(&cc->max_age, d);
    else if (weir_str_caseeq(d->name, WEIR_STR("s-maxage")))
        set_seconds(&cc->s_maxage, d);
    else if (weir_str_caseeq(d->name, WEIR_STR("min-fresh")))
        set_seconds(&cc->min_fresh, d);
    else if (weir_str_caseeq(d->name, WEIR_STR("stale-while-revalidate")))
        set_seconds(&cc->stale_while_revalidate, d);
    else if (weir_str_caseeq(d->name, WEIR_STR("stale-if-error")))
        set_seconds(&cc->stale_if_error, d);
    else if (weir_str_caseeq(d->name, WEIR_STR("no-cache")))
        set_fields(cc, WEIR_CC_NO_CACHE, &cc->no_cache_fields, d);
    else if (weir_str_caseeq(d->name, WEIR_STR("private")))
        set_fields(cc, WEIR_CC_PRIVATE, &cc->private_fields, d);
    else if (weir_str_caseeq(d->name, WEIR_STR("max-stale"))) {
        if (d->value.data == NULL && !d->malformed && cc->max_stale == -1)
            cc->max_stale = WEIR_CACHE_SECONDS_MAX;
        else
            set_seconds(&cc->max_stale, d);
    }
}

void weir_cache_control_init(weir_cache_control_t *cc)
{
    memset(cc, 0, sizeof(*cc));

    cc->max_age = -1;
    cc->s_maxage = -1;
    cc->min_fresh = -1;
    cc->max_stale = -1;
    cc->stale_while_revalidate = -1;
    cc->stale_if_error = -1;
}

size_t weir_cache_control_parse(weir_cache_control_t *cc, weir_str_t line)
{
    const char *p, *end;
    directive_t d;
    size_t n = 0;

    if (line.len == 0)
        return 0;

    p = line.data;
    end = p + line.len;

    while (next_directive(&p, end, &d)) {
        if (d.name.len == 0)
            continue;

        apply(cc, &d);
        n++;
    }

    return n;
}

int weir_cache_lists_field(weir_str_t list, weir_str_t name)
{
    const char *p, *end;

    if (list.len == 0)
        return 0;

    p = list.data;
    end = p + list.len;

    while (p < end) {
        const char *start, *stop;

        while (p < end && (is_space(*p) || *p == ','))
            p++;

        start = p;

        while (p < end && *p != ',')
            p++;

        stop = p;

        while (stop > start && is_space(stop[-1]))
            stop--;

        if (weir_str_caseeq((weir_str_t){start, (size_t)(stop - start)}, name))
            return 1;
    }

    return 0;
}

/* --- Structured Fields, RFC 8941 section 4.2 --- */

static const char *skip_key(const char *p, const char *end)
{
    if (p < end && ((*p >= 'a' && *p <= 'z') || *p == '*')) {
        do {
            p++;
        } while (p < end && ((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '_' ||
                             *p == '-' || *p == '.' || *p == '*'));
    }

    return p;
}

/*
 * Reads one bare item.  Returns NULL if there is none.  value becomes the text
 * of an integer; its data stays NULL for the Boolean true.  Every other type is
 * malformed, because no directive has a value of that type.
 */
static const char *read_item(const char *p, const char *end, directive_t *d)
{
    const char *start = p;

    if (p == end)
        return NULL;

    if (*p == '?') {
        if (end - p < 2 || (p[1] != '0' && p[1] != '1'))
            return NULL;
        if (p[1] == '0')
            d->absent = 1; /* the Boolean false: the directive is treated as absent */
        return p + 2;
    }

    if (*p == '"') {
        for (p++; p < end && *p != '"'; p++) {
            if (*p == '\\' && (++p == end || (*p != '"' && *p != '\\')))
                return NULL;
            if (*p < 0x20 || *p > 0x7e)
                return NULL;
        }
        if (p == end)
            return NULL;
        d->value = (weir_str_t){start + 1, (size_t)(p - start - 1)};
        d->no_number = 1;
        return p + 1;
    }

    if ((*p >= '0' && *p <= '9') || *p == '-') {
        int fraction = 0;

        for (p++; p < end && ((*p >= '0' && *p <= '9') || *p == '.'); p++)
            fraction |= *p == '.';

        if (p - start > 15 || p[-1] == '-' || p[-1] == '.')
            return NULL;

        d->value = (weir_str_t){start, (size_t)(p - start)};
        d->malformed = fraction || *start == '-';
        return p;
    }

    if ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || *p == '*') {
        while (p < end && (weir_is_tchar(*p) || *p == ':' || *p == '/'))
            p++;
        d->value = (weir_str_t){start, (size_t)(p - start)};
        d->malformed = 1;
        return p;
    }

    return NULL; /* no directive has a byte sequence or an inner list */
}

static const char *read_parameters(const char *p, const char *end)
{
    while (p < end && *p == ';') {
        const char *key;
        directive_t ignored;

        for (p++; p < end && *p == ' '; p++) {
        }

        key = p;
        p = skip_key(p, end);
        if (p == key)
            return NULL;

        if (p < end && *p == '=') {
            memset(&ignored, 0, sizeof(ignored));
            p = read_item(p + 1, end, &ignored);
            if (p == NULL)
                return NULL;
        }
    }

    return p;
}

static const char *read_member(const char *p, const char *end, directive_t *d)
{
    const char *start = p;

    memset(d, 0, sizeof(*d));

    p = skip_key(p, end);
    if (p == start)
        return NULL;

    d->name = (weir_str_t){start, (size_t)(p - start)};

    if (p < end && *p == '=') {
        p = read_item(p + 1, end, d);
        if (p == NULL)
            return NULL;
    }

    return read_parameters(p, end);
}

/* The last of two members with the same name counts, RFC 8941 section 3.2. */
static void forget(weir_cache_control_t *cc, weir_str_t name)
{
    weir_cache_control_t none;

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (weir_str_caseeq(name, flags[i].name))
            cc->flags &= ~flags[i].flag;
    }

    weir_cache_control_init(&none);

    if (weir_str_caseeq(name, WEIR_STR("max-age")))
        cc->max_age = none.max_age;
    else if (weir_str_caseeq(name, WEIR_STR("s-maxage")))
        cc->s_maxage = none.s_maxage;
    else if (weir_str_caseeq(name, WEIR_STR("stale-while-revalidate")))
        cc->stale_while_revalidate = none.stale_while_revalidate;
    else if (weir_str_caseeq(name, WEIR_STR("stale-if-error")))
        cc->stale_if_error = none.stale_if_error;
    else if (weir_str_caseeq(name, WEIR_STR("no-cache"))) {
        cc->flags &= ~(unsigned)WEIR_CC_NO_CACHE;
        cc->no_cache_fields = none.no_cache_fields;
    } else if (weir_str_caseeq(name, WEIR_STR("private"))) {
        cc->flags &= ~(unsigned)WEIR_CC_PRIVATE;
        cc->private_fields = none.private_fields;
    }
}

static bool read_dictionary(weir_cache_control_t *cc, weir_str_t line, size_t *members)
{
    const char *p = line.data, *end = line.data + line.len;
    directive_t d;

    while (p < end && *p == ' ')
        p++;

    while (p < end) {
        p = read_member(p, end, &d);
        if (p == NULL)
            return false;

        forget(cc, d.name);
        if (!d.absent)
            apply(cc, &d);
        (*members)++;

        while (p < end && is_space(*p))
            p++;
        if (p == end)
            return true;
        if (*p++ != ',')
            return false;
        while (p < end && is_space(*p))
            p++;
        if (p == end)
            return false; /* a Dictionary must not end with a comma */
    }

    return true;
}

bool weir_cache_control_parse_targeted(weir_cache_control_t *cc, const weir_str_t *lines, size_t n)
{
    size_t members = 0;
    bool valid = true;

    weir_cache_control_init(cc);

    for (size_t i = 0; i < n && valid; i++)
        valid = lines[i].len == 0 || read_dictionary(cc, lines[i], &members);

    if (!valid || members == 0) {
        weir_cache_control_init(cc);
        return false;
    }

    return true;
}
