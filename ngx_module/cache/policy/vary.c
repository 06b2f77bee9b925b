/* Vary, RFC 9111 section 4.1. */

#include "cache/policy/vary.h"

#include "common/text/token.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static int compare(weir_str_t a, weir_str_t b)
{
    size_t n = a.len < b.len ? a.len : b.len;

    for (size_t i = 0; i < n; i++) {
        int d = (unsigned char)lower(a.data[i]) - (unsigned char)lower(b.data[i]);

        if (d != 0)
            return d;
    }

    return a.len < b.len ? -1 : a.len > b.len;
}

/* Inserts the name in sorted order; returns false if there are too many names. */
static bool insert(weir_str_t *names, size_t *n, weir_str_t name)
{
    size_t i = 0;

    while (i < *n && compare(names[i], name) < 0)
        i++;

    if (i < *n && compare(names[i], name) == 0)
        return true;

    if (*n == WEIR_VARY_FIELDS_MAX)
        return false;

    memmove(&names[i + 1], &names[i], (*n - i) * sizeof(names[0]));
    names[i] = name;
    (*n)++;

    return true;
}

static bool insert_line(weir_str_t *names, size_t *n, weir_str_t line)
{
    const char *p, *end, *start;

    if (line.len == 0)
        return true;

    p = line.data;
    end = p + line.len;

    while (p < end) {
        if (is_space(*p) || *p == ',') {
            p++;
            continue;
        }

        start = p;

        while (p < end && weir_is_tchar(*p))
            p++;

        if (p - start == 0 || p - start > WEIR_VARY_NAME_MAX || (p - start == 1 && *start == '*'))
            return false;

        if (!insert(names, n, (weir_str_t){start, (size_t)(p - start)}))
            return false;

        while (p < end && is_space(*p))
            p++;

        if (p < end && *p != ',')
            return false;
    }

    return true;
}

bool weir_vary_fields(const weir_str_t *lines, size_t n, char *buf, size_t *len)
{
    weir_str_t names[WEIR_VARY_FIELDS_MAX];
    size_t count = 0;
    char *p = buf;

    for (size_t i = 0; i < n; i++) {
        if (!insert_line(names, &count, lines[i]))
            return false;
    }

    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            *p++ = ',';

        for (size_t k = 0; k < names[i].len; k++)
            *p++ = lower(names[i].data[k]);
    }

    *len = (size_t)(p - buf);

    return true;
}

bool weir_vary_next(weir_str_t fields, size_t *pos, weir_str_t *name)
{
    const char *start, *comma;
    size_t left;

    if (*pos >= fields.len)
        return false;

    start = fields.data + *pos;
    left = fields.len - *pos;
    comma = memchr(start, ',', left);

    *name = (weir_str_t){start, comma ? (size_t)(comma - start) : left};
    *pos += name->len + 1;

    return true;
}

size_t weir_vary_normalize(weir_str_t value, char *out)
{
    size_t n = 0;
    bool space = false, comma = false;

    if (value.len == 0)
        return 0;

    /* spaces and commas inside a quoted-string are significant */
    if (memchr(value.data, '"', value.len) != NULL) {
        memcpy(out, value.data, value.len);
        return value.len;
    }

    for (size_t i = 0; i < value.len; i++) {
        char c = value.data[i];

        if (is_space(c)) {
            space = true;
        } else if (c == ',') {
            comma = true;
        } else {
            if (n > 0 && comma)
                out[n++] = ',';
            else if (n > 0 && space)
                out[n++] = ' ';

            out[n++] = c;
            space = comma = false;
        }
    }

    return n;
}

/*
 * Returns the next character of a list member in normalized form: without
 * spaces at its ends and around semicolons, other runs of spaces as one space,
 * in lower case if fold is set. *pos starts at 0; returns -1 at the end.
 */
static int next_char(weir_str_t member, size_t *pos, bool fold)
{
    size_t start = *pos, i = start;

    while (i < member.len && is_space(member.data[i]))
        i++;

    if (i == member.len)
        return -1;

    if (i > start && start > 0 && member.data[start - 1] != ';' && member.data[i] != ';') {
        *pos = i;
        return ' ';
    }

    *pos = i + 1;

    return (unsigned char)(fold ? lower(member.data[i]) : member.data[i]);
}

static int compare_members(weir_str_t a, weir_str_t b, bool fold)
{
    size_t i = 0, k = 0;
    int x, y;

    do {
        x = next_char(a, &i, fold);
        y = next_char(b, &k, fold);
    } while (x == y && x != -1);

    return x - y;
}

static bool is_blank(weir_str_t s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!is_space(s.data[i]))
            return false;
    }

    return true;
}

/* The fields with a known grammar: lists with weights, RFC 9110 section 12.5. */
static const struct {
    weir_str_t name;
    bool fold;
} known[] = {
    {{"accept", 6}, false},
    {{"accept-charset", 14}, true},
    {{"accept-encoding", 15}, true},
    {{"accept-language", 15}, true},
};

/* Index of the field in known, or the number of known fields. */
static size_t find_known(weir_str_t name)
{
    size_t field = 0;

    while (field < sizeof(known) / sizeof(known[0]) && !weir_str_eq(name, known[field].name))
        field++;

    return field;
}

bool weir_vary_is_list(weir_str_t name)
{
    return find_known(name) < sizeof(known) / sizeof(known[0]);
}

size_t weir_vary_normalize_field(weir_str_t name, weir_str_t value, char *out)
{
    weir_str_t members[WEIR_VARY_MEMBERS_MAX], member;
    size_t field = find_known(name), count = 0, n = 0;
    int c;

    if (value.len == 0)
        return 0;

    if (field == sizeof(known) / sizeof(known[0])) {
        memcpy(out, value.data, value.len);
        return value.len;
    }

    if (value.len > WEIR_VARY_SORTED_MAX || memchr(value.data, '"', value.len) != NULL)
        return weir_vary_normalize(value, out);

    for (size_t pos = 0; weir_vary_next(value, &pos, &member);) {
        size_t i = count;

        if (is_blank(member))
            continue;

        if (count == WEIR_VARY_MEMBERS_MAX)
            return weir_vary_normalize(value, out);

        while (i > 0 && compare_members(members[i - 1], member, known[field].fold) > 0) {
            members[i] = members[i - 1];
            i--;
        }

        members[i] = member;
        count++;
    }

    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            out[n++] = ',';

        for (size_t k = 0; (c = next_char(members[i], &k, known[field].fold)) != -1;)
            out[n++] = (char)c;
    }

    return n;
}
