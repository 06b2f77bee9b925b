#include "config/kinds.h"

#include "common/metrics/price.h"
#include "config/list.h"

#include "log/alloc.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const char *set_text(void *field, const char *value, const weir_config_key_t *key)
{
    size_t len = strlen(value);

    assert(key->min <= key->max && key->allowed != NULL);
    if (len < key->min || len > key->max)
        return key->allowed;

    *(char **)field = weir_alloc_text(value);

    return NULL;
}

static bool has_prefix(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0 && s[strlen(prefix)] != '\0';
}

/* Parses digits. Returns the text after them; NULL if there are none, or too many for the type. */
static const char *read_digits(const char *s, unsigned long *out)
{
    char *end;

    if (!isdigit((unsigned char)*s))
        return NULL;

    errno = 0;
    *out = strtoul(s, &end, 10);

    return errno == 0 ? end : NULL;
}

static const char *set_listen(void *field, const char *value, const weir_config_key_t *key)
{
    const weir_config_key_t text = {.min = 1, .max = 1024, .allowed = key->allowed};
    const char *colon = strrchr(value, ':'), *end;
    unsigned long port;

    assert(key->max <= 65535);
    for (const char *const *word = key->choices; word != NULL && *word != NULL; word++) {
        if (strcmp(value, *word) == 0)
            return set_text(field, value, &text);
    }
    if (has_prefix(value, "unix:"))
        return value[5] == '/' ? set_text(field, value, &text) : key->allowed;

    if (colon == NULL || colon == value)
        return key->allowed;

    /* Another colon is part of an IPv6 address, which needs brackets. */
    if (memchr(value, ':', (size_t)(colon - value)) != NULL &&
        (value[0] != '[' || colon[-1] != ']'))
        return key->allowed;

    end = read_digits(colon + 1, &port);
    if (end == NULL || *end != '\0' || port < key->min || port > key->max)
        return key->allowed;

    return set_text(field, value, &text);
}

static const char *set_url(void *field, const char *value, const weir_config_key_t *key)
{
    assert(key->choices != NULL);
    for (const char *const *beginning = key->choices; *beginning != NULL; beginning++) {
        if (has_prefix(value, *beginning))
            return set_text(field, value, key);
    }

    return key->allowed;
}

static const char *set_groups(void *field, const char *value, const weir_config_key_t *key)
{
    if (value[strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789-_, ")] != '\0' ||
        value[strspn(value, ", ")] == '\0')
        return key->allowed;

    return set_text(field, value, key);
}

static const char *set_limits(void *field, const char *value, const weir_config_key_t *key)
{
    const weir_config_key_t text = {.min = 1, .max = 1024, .allowed = key->allowed};
    weir_config_limit_t limit, other;
    const char *rest = value, *before;

    assert(key->min > 0 && key->max <= WEIR_CONFIG_LIMIT_MAX);
    while ((rest = weir_config_next_limit(rest, &limit)) != NULL) {
        if (limit.count < key->min)
            return key->allowed;

        /* The first limit has no name; no name is given twice. */
        before = weir_config_next_limit(value, &other);
        if (other.len != 0)
            return key->allowed;
        for (; before != rest; before = weir_config_next_limit(before, &other)) {
            if (other.len == limit.len && memcmp(other.group, limit.group, limit.len) == 0)
                return key->allowed;
        }
    }

    return value[strspn(value, ", \t")] != '\0' ? set_text(field, value, &text) : key->allowed;
}

static const char *set_choice(void *field, const char *value, const weir_config_key_t *key)
{
    assert(key->choices != NULL);
    for (unsigned i = 0; key->choices[i] != NULL; i++) {
        if (strcmp(value, key->choices[i]) != 0)
            continue;
        *(unsigned *)field = i; /* the type that gcc and clang give an enum */
        return NULL;
    }

    return key->allowed;
}

static const char *set_count(void *field, const char *value, const weir_config_key_t *key)
{
    unsigned long n;
    const char *end = read_digits(value, &n);

    assert(key->min <= key->max && key->max <= UINT_MAX);
    if (end == NULL || *end != '\0' || n < key->min || n > key->max)
        return key->allowed;

    *(unsigned *)field = (unsigned)n;

    return NULL;
}

typedef struct {
    const char *name; /* NULL ends a list */
    unsigned long size;
} unit_t;

static const char *set_with_unit(void *field, const char *value, const weir_config_key_t *key,
                                 const unit_t *units)
{
    unsigned long n;
    const char *end = read_digits(value, &n);

    assert(key->min <= key->max && key->max <= UINT_MAX);
    for (; end != NULL && units->name != NULL; units++) {
        if (strcmp(end, units->name) != 0)
            continue;
        if (n > key->max / units->size || n * units->size < key->min)
            return key->allowed;
        *(unsigned *)field = (unsigned)(n * units->size);
        return NULL;
    }

    return key->allowed;
}

static const char *set_time(void *field, const char *value, const weir_config_key_t *key)
{
    static const unit_t ms[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {NULL, 0}};

    return set_with_unit(field, value, key, ms);
}

static const char *set_seconds(void *field, const char *value, const weir_config_key_t *key)
{
    static const unit_t s[] = {{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}, {NULL, 0}};

    return set_with_unit(field, value, key, s);
}

static const char *set_size(void *field, const char *value, const weir_config_key_t *key)
{
    unsigned long n, unit;
    const char *end = read_digits(value, &n);

    assert(key->min <= key->max);
    if (end == NULL)
        return key->allowed;

    unit = *end == 'k' || *end == 'K' ? 1024 : *end == 'm' || *end == 'M' ? 1048576 : 1;
    if (unit > 1)
        end++;
    if (*end != '\0' || n > key->max / unit || n * unit < key->min)
        return key->allowed;

    *(size_t *)field = n * unit;

    return NULL;
}

static const char *set_price(void *field, const char *value, const weir_config_key_t *key)
{
    if (strcmp(value, "off") == 0)
        *(double *)field = -1;
    else if (!weir_price_read(weir_str(value), field))
        return key->allowed;

    return NULL;
}

/* --- the kinds --------------------------------------------------------------------- */

const weir_config_kind_t weir_config_text = {set_text, true};
const weir_config_kind_t weir_config_listen = {set_listen, true};
const weir_config_kind_t weir_config_url = {set_url, true};
const weir_config_kind_t weir_config_groups = {set_groups, true};
const weir_config_kind_t weir_config_limits = {set_limits, true};
const weir_config_kind_t weir_config_choice = {set_choice, false};
const weir_config_kind_t weir_config_count = {set_count, false};
const weir_config_kind_t weir_config_time = {set_time, false};
const weir_config_kind_t weir_config_seconds = {set_seconds, false};
const weir_config_kind_t weir_config_price = {set_price, false};
const weir_config_kind_t weir_config_size = {set_size, false};
