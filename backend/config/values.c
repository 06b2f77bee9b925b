#include "config/private.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *weir_config_set_text(void *field, const char *value, const setting_t *key)
{
    size_t len = strlen(value);

    if (len < key->min || len > key->max)
        return key->allowed;

    *(char **)field = strdup(value);

    return *(char **)field != NULL ? NULL : "less text: out of memory";
}

static bool has_prefix(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0 && s[strlen(prefix)] != '\0';
}

/* Reads digits only; returns what stands behind them, NULL if there are none or too many. */
static const char *read_digits(const char *s, unsigned long *out)
{
    char *end;

    if (!isdigit((unsigned char)*s))
        return NULL;

    errno = 0;
    *out = strtoul(s, &end, 10);

    return errno == 0 ? end : NULL;
}

const char *weir_config_set_listen(void *field, const char *value, const setting_t *key)
{
    static const setting_t text = {.min = 1, .max = 1024};
    const char *colon = strrchr(value, ':'), *end;
    unsigned long port;

    if (has_prefix(value, "unix:"))
        return value[5] == '/' ? weir_config_set_text(field, value, &text) : key->allowed;

    if (colon == NULL || colon == value)
        return key->allowed;

    /* A colon more belongs to an IPv6 address, which needs its brackets. */
    if (memchr(value, ':', (size_t)(colon - value)) != NULL &&
        (value[0] != '[' || colon[-1] != ']'))
        return key->allowed;

    end = read_digits(colon + 1, &port);
    if (end == NULL || *end != '\0' || port < key->min || port > key->max)
        return key->allowed;

    return weir_config_set_text(field, value, &text);
}

const char *weir_config_set_redis(void *field, const char *value, const setting_t *key)
{
    return has_prefix(value, "redis://") || has_prefix(value, "unix:/")
               ? weir_config_set_text(field, value, key)
               : key->allowed;
}

const char *weir_config_set_smtp(void *field, const char *value, const setting_t *key)
{
    return has_prefix(value, "smtp://") || has_prefix(value, "smtps://")
               ? weir_config_set_text(field, value, key)
               : key->allowed;
}

const char *weir_config_set_url(void *field, const char *value, const setting_t *key)
{
    return has_prefix(value, "http://") || has_prefix(value, "https://")
               ? weir_config_set_text(field, value, key)
               : key->allowed;
}

const char *weir_config_set_groups(void *field, const char *value, const setting_t *key)
{
    if (value[strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789-_, ")] != '\0' ||
        value[strspn(value, ", ")] == '\0')
        return key->allowed;

    return weir_config_set_text(field, value, key);
}

const char *weir_config_set_limits(void *field, const char *value, const setting_t *key)
{
    static const setting_t text = {.min = 1, .max = 1024};
    weir_config_limit_t limit, other;
    const char *rest = value, *before;

    while ((rest = weir_config_next_limit(rest, &limit)) != NULL) {
        if (limit.count < key->min)
            return key->allowed;

        /* The first is the one without a name; no name comes twice. */
        before = weir_config_next_limit(value, &other);
        if (other.len != 0)
            return key->allowed;
        for (; before != rest; before = weir_config_next_limit(before, &other)) {
            if (other.len == limit.len && memcmp(other.group, limit.group, limit.len) == 0)
                return key->allowed;
        }
    }

    return value[strspn(value, ", \t")] != '\0' ? weir_config_set_text(field, value, &text) : key->allowed;
}

const char *weir_config_set_level(void *field, const char *value, const setting_t *key)
{
    return weir_log_level_by_name(value, field) == 0 ? NULL : key->allowed;
}

const char *weir_config_set_keys(void *field, const char *value, const setting_t *key)
{
    static const char *const names[] = {[WEIR_KEYS_ANY] = "any",
                                        [WEIR_KEYS_UNGUESSABLE] = "unguessable",
                                        [WEIR_KEYS_REFUSED] = "refused"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(value, names[i]) != 0)
            continue;
        *(weir_anonymous_keys_t *)field = (weir_anonymous_keys_t)i;
        return NULL;
    }

    return key->allowed;
}

const char *weir_config_set_count(void *field, const char *value, const setting_t *key)
{
    unsigned long n;
    const char *end = read_digits(value, &n);

    if (end == NULL || *end != '\0' || n < key->min || n > key->max)
        return key->allowed;

    *(unsigned *)field = (unsigned)n;

    return NULL;
}

typedef struct {
    const char *name; /* NULL ends a list */
    unsigned long size;
} unit_t;

static const char *set_with_unit(void *field, const char *value, const setting_t *key,
                                 const unit_t *units)
{
    unsigned long n;
    const char *end = read_digits(value, &n);

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

const char *weir_config_set_time(void *field, const char *value, const setting_t *key)
{
    static const unit_t ms[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {NULL, 0}};

    return set_with_unit(field, value, key, ms);
}

const char *weir_config_set_seconds(void *field, const char *value, const setting_t *key)
{
    static const unit_t s[] = {{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}, {NULL, 0}};

    return set_with_unit(field, value, key, s);
}

const char *weir_config_set_size(void *field, const char *value, const setting_t *key)
{
    unsigned long n, unit;
    const char *end = read_digits(value, &n);

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
