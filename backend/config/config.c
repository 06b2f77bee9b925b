#include "config/config.h"

#include "log/alloc.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 4096

#define ENVIRONMENT_MAX 64 /* bytes of a variable's name, with its NUL */

/* A key, and the origin of its value. */
typedef struct {
    const weir_config_key_t *key;
    void *field;
    int line; /* of the file; 0 if the value is not from the file */
    char environment[ENVIRONMENT_MAX];
    char *value;
    bool is_set; /* the field has its value */
} origin_t;

struct weir_config {
    char *file;
    origin_t *of;
    size_t count;
};

/* --- the origin of values ------------------------------------------------------ */

static bool complain(char *error, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static bool complain(char *error, size_t size, const char *format, ...)
{
    va_list ap;

    assert(size > 0);
    va_start(ap, format);
    vsnprintf(error, size, format, ap);
    va_end(ap);

    return false;
}

static origin_t *find_key(const weir_config_t *config, const char *name)
{
    for (size_t i = 0; i < config->count; i++) {
        if (strcmp(config->of[i].key->name, name) == 0)
            return &config->of[i];
    }

    return NULL;
}

static void describe_origin(const weir_config_t *config, const origin_t *origin, char *out,
                            size_t size)
{
    assert(size > 0);
    if (origin->environment[0] != '\0')
        snprintf(out, size, "environment %s", origin->environment);
    else if (origin->line > 0)
        snprintf(out, size, "%s:%d", config->file, origin->line);
    else
        snprintf(out, size, "%s", config->file);
}

static bool has_secret(const origin_t *origin)
{
    const char *value = origin->value;

    assert(value != NULL);
    switch (origin->key->privacy) {
    case WEIR_CONFIG_SECRET:
        return *value != '\0';
    case WEIR_CONFIG_SHOWN:
        return false;
    default:
        return strchr(value, '@') != NULL || strcasestr(value, "password") != NULL;
    }
}

bool weir_config_has_secret(const weir_config_t *config, const char *key)
{
    const origin_t *origin = find_key(config, key);

    assert(origin != NULL);

    return has_secret(origin);
}

void weir_config_complain(const weir_config_t *config, const char *key, const char *why,
                          char *error, size_t error_size)
{
    char place[512];
    const origin_t *origin = find_key(config, key);

    assert(origin != NULL && why != NULL);
    describe_origin(config, origin, place, sizeof(place));
    if (has_secret(origin))
        complain(error, error_size, "%s: key \"%s\", whose value is not shown: %s", place, key,
                 why);
    else
        complain(error, error_size, "%s: key \"%s\", value \"%s\": %s", place, key, origin->value,
                 why);
}

static char *strip(char *s)
{
    size_t len;

    s += strspn(s, " \t\r");
    len = strlen(s);
    while (len > 0 && strchr(" \t\r", s[len - 1]) != NULL)
        s[--len] = '\0';

    return s;
}

static void cut_comment(char *s)
{
    for (char *p = s; *p != '\0'; p++) {
        if (*p == '#' && (p == s || p[-1] == ' ' || p[-1] == '\t')) {
            *p = '\0';
            return;
        }
    }
}

static void keep_value(origin_t *origin, const char *value)
{
    assert(value != NULL && value != origin->value);
    free(origin->value);
    origin->value = weir_alloc_text(value);
}

static bool is_unknown(const weir_config_t *config, const char *name, int line, char *error,
                       size_t error_size)
{
    int n = snprintf(error, error_size, "%s:%d: key \"%s\" is unknown; the known keys are",
                     config->file, line, name);

    for (size_t i = 0; i < config->count && n > 0 && (size_t)n < error_size; i++)
        n += snprintf(error + n, error_size - (size_t)n, "%s %s", i > 0 ? "," : "",
                      config->of[i].key->name);

    return false;
}

static bool read_line(weir_config_t *config, char *text, int line, char *error, size_t error_size)
{
    char *name, *equals;
    origin_t *origin;

    cut_comment(text);
    name = strip(text);
    if (*name == '\0')
        return true;

    equals = strchr(name, '=');
    if (equals == NULL)
        return complain(error, error_size, "%s:%d: \"=\" is missing after \"%.*s\"", config->file,
                        line, (int)strcspn(name, " \t"), name);
    *equals = '\0';
    name = strip(name);

    origin = find_key(config, name);
    if (origin == NULL)
        return is_unknown(config, name, line, error, error_size);
    if (origin->line > 0)
        return complain(error, error_size, "%s:%d: key \"%s\" is already given in line %d",
                        config->file, line, name, origin->line);

    assert(line > 0);
    origin->line = line;
    keep_value(origin, strip(equals + 1));

    return true;
}

static bool read_file(weir_config_t *config, FILE *f, char *error, size_t error_size)
{
    const char *file = config->file;
    char text[LINE_MAX_BYTES];
    bool more = true;

    assert(config->file != NULL);
    for (int line = 1; more; line++) {
        size_t len = 0;
        int c;

        while ((c = getc(f)) != EOF && c != '\n') {
            if (len == sizeof(text) - 1)
                return complain(error, error_size, "%s:%d: the line has more than %d bytes", file,
                                line, LINE_MAX_BYTES - 1);
            if (c == '\0')
                return complain(error, error_size, "%s:%d: the line contains a NUL byte", file,
                                line);
            text[len++] = (char)c;
        }

        text[len] = '\0';
        more = c != EOF;
        if (!read_line(config, text, line, error, error_size))
            return false;
    }

    if (ferror(f))
        return complain(error, error_size, "%s: %s", file, strerror(errno));

    return true;
}

static void read_environment(weir_config_t *config)
{
    for (size_t i = 0; i < config->count; i++) {
        origin_t *origin = &config->of[i];
        char name[ENVIRONMENT_MAX];
        const char *value;
        size_t n = (size_t)snprintf(name, sizeof(name), "WEIR_%s", origin->key->name);

        assert(n < sizeof(name));
        for (size_t k = 0; k < n; k++)
            name[k] = (char)toupper((unsigned char)name[k]);

        value = getenv(name);
        if (value == NULL)
            continue;

        memcpy(origin->environment, name, n + 1);
        keep_value(origin, value);
    }
}

static bool set(weir_config_t *config, origin_t *origin, char *error, size_t error_size)
{
    const weir_config_key_t *key = origin->key;
    const char *allowed;
    char why[512];

    if (origin->value == NULL && key->fallback == NULL)
        return complain(error, error_size, "%s: key \"%s\" is missing; it must be %s", config->file,
                        key->name, key->allowed);
    if (origin->value == NULL)
        keep_value(origin, key->fallback);

    assert(!origin->is_set && origin->value != NULL);
    allowed = key->kind->set(origin->field, origin->value, key);
    if (allowed == NULL) {
        origin->is_set = true;
        return true;
    }

    snprintf(why, sizeof(why), "must be %s", allowed);
    weir_config_complain(config, key->name, why, error, error_size);

    return false;
}

static bool set_all(weir_config_t *config, char *error, size_t error_size)
{
    for (size_t i = 0; i < config->count; i++) {
        if (!set(config, &config->of[i], error, error_size))
            return false;
    }

    return true;
}

static weir_config_t *make(const weir_config_table_t *tables, size_t n_tables, const char *file)
{
    weir_config_t *config = weir_alloc(sizeof(*config));
    size_t count = 0;

    for (size_t t = 0; t < n_tables; t++)
        count += tables[t].count;
    config->file = weir_alloc_text(file);
    config->of = weir_alloc_array(count, sizeof(*config->of));

    for (size_t t = 0; t < n_tables; t++) {
        for (size_t i = 0; i < tables[t].count; i++) {
            const weir_config_key_t *key = &tables[t].keys[i];

            assert(find_key(config, key->name) == NULL);
            config->of[config->count++] =
                (origin_t){.key = key, .field = (char *)tables[t].values + key->offset};
        }
    }
    assert(config->count == count);

    return config;
}

weir_config_t *weir_config_read(const weir_config_table_t *tables, size_t n_tables,
                                const char *file, char *error, size_t error_size)
{
    weir_config_t *config;
    FILE *f;
    bool ok;

    assert(tables != NULL && file != NULL && error_size > 0);
    f = fopen(file, "r");
    if (f == NULL) {
        complain(error, error_size, "%s: %s", file, strerror(errno));
        return NULL;
    }

    config = make(tables, n_tables, file);
    ok = read_file(config, f, error, error_size);
    fclose(f);

    if (ok) {
        read_environment(config);
        ok = set_all(config, error, error_size);
    }
    if (ok)
        return config;

    weir_config_free(config);

    return NULL;
}

void weir_config_free(weir_config_t *config)
{
    if (config == NULL)
        return;

    for (size_t i = 0; i < config->count; i++) {
        origin_t *origin = &config->of[i];

        free(origin->value);
        if (origin->is_set && origin->key->kind->is_text) {
            free(*(char **)origin->field);
            *(char **)origin->field = NULL;
        }
    }

    free(config->of);
    free(config->file);
    free(config);
}
