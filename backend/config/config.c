#include "config/private.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 4096

#define FIELD(name) offsetof(weir_config_t, name)

static const setting_t keys[] = {
    {"listen", weir_config_set_listen, FIELD(listen), "127.0.0.1:8081", 1, 65535,
     "ADDRESS:PORT with a numeric address, [ADDRESS]:PORT or unix:/PATH"},
    {"database", weir_config_set_text, FIELD(database), NULL, 1, 1024,
     "a libpq connection string, such as host=/run/postgresql dbname=weir"},
    {"redis", weir_config_set_redis, FIELD(redis), "redis://127.0.0.1:6379/0", 1, 1024,
     "redis://[USER:PASSWORD@]HOST:PORT[/DB] or unix:/PATH"},
    {"sql", weir_config_set_text, FIELD(sql), "", 0, 1024, "at most 1024 bytes"},
    {"smtp", weir_config_set_smtp, FIELD(smtp), "smtp://127.0.0.1:25", 1, 1024,
     "smtp://HOST[:PORT] or smtps://HOST[:PORT]"},
    {"smtp_timeout", weir_config_set_time, FIELD(smtp_timeout), "5s", 100, 300000,
     "a time from 100ms to 5m with its unit: ms, s or m"},
    {"mail_from", weir_config_set_text, FIELD(mail_from), "Weir Shop <shop@weir.example>", 3, 256,
     "an address, or NAME <ADDRESS>"},
    {"payments_url", weir_config_set_url, FIELD(payments_url), "http://127.0.0.1:8084", 1, 1024,
     "http://HOST[:PORT] or https://HOST[:PORT]"},
    {"payments_timeout", weir_config_set_time, FIELD(payments_timeout), "5s", 100, 300000,
     "a time from 100ms to 5m with its unit: ms, s or m"},
    {"payments_check", weir_config_set_seconds, FIELD(payments_check), "1h", 0, 2592000,
     "a time up to 30d with its unit: s, m, h or d; 0s: never"},
    {"webhook_secret", weir_config_set_text, FIELD(webhook_secret), "", 0, 256, "at most 256 bytes"},
    {"webhook_secret_old", weir_config_set_text, FIELD(webhook_secret_old), "", 0, 256, "at most 256 bytes"},
    {"log_level", weir_config_set_level, FIELD(log_level), "info", 0, 0, "debug, info, warn or error"},
    {"body_limit", weir_config_set_size, FIELD(body_limit), "64k", 1024, 16777216,
     "a number of bytes from 1k to 16m, with k or m after it or nothing"},
    {"anonymous_keys", weir_config_set_keys, FIELD(anonymous_keys), "any", 0, 0, "any, unguessable or refused"},
    {"retry_attempts", weir_config_set_limits, FIELD(retry_attempts), "8, email=20, payments=20", 1,
     WEIR_CONFIG_LIMIT_MAX,
     "a number from 1 to 100, and after it GROUP=NUMBER for each group that has another"},
    {"retry_base", weir_config_set_time, FIELD(retry_base), "200ms", 1, 3600000,
     "a time from 1ms to 60m with its unit: ms, s or m"},
    {"retry_max", weir_config_set_time, FIELD(retry_max), "30s", 1, 86400000,
     "a time from 1ms to 1440m with its unit: ms, s or m"},
    {"batch_max", weir_config_set_count, FIELD(batch_max), "256", 1, 256, "a number from 1 to 256"},
    {"stream_limit", weir_config_set_count, FIELD(stream_limit), "100000", 100, 10000000,
     "a number from 100 to 10000000"},
    {"outbox_keep", weir_config_set_seconds, FIELD(outbox_keep), "30d", 1, 315360000,
     "a time from 1s to 3650d with its unit: s, m, h or d"},
    {"groups", weir_config_set_groups, FIELD(groups), "all", 1, 1024,
     "\"all\", or names of consumer groups with commas between them"},
};

#define N_KEYS (sizeof(keys) / sizeof(keys[0]))

struct weir_config_origins {
    char *file;
    struct {
        int line; /* of the file; 0 when it is not from there */
        char environment[64];
        char *value;
    } of[N_KEYS];
};

/* --- where they come from ------------------------------------------------------ */

static bool complain(char *error, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static bool complain(char *error, size_t size, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    vsnprintf(error, size, format, ap);
    va_end(ap);

    return false;
}

static int find_key(const char *name)
{
    for (size_t i = 0; i < N_KEYS; i++) {
        if (strcmp(keys[i].name, name) == 0)
            return (int)i;
    }

    return -1;
}

static void describe_origin(const struct weir_config_origins *origins, int i, char *out,
                            size_t size)
{
    if (origins->of[i].environment[0] != '\0')
        snprintf(out, size, "environment %s", origins->of[i].environment);
    else if (origins->of[i].line > 0)
        snprintf(out, size, "%s:%d", origins->file, origins->of[i].line);
    else
        snprintf(out, size, "%s", origins->file);
}

/* Messages go to logs and terminals: secrets, and values that hold a password, stay out of them. */
bool weir_config_has_secret(const char *key, const char *value)
{
    if (strncmp(key, "webhook_secret", 14) == 0)
        return *value != '\0';

    return strcmp(key, "mail_from") != 0 &&
           (strchr(value, '@') != NULL || strcasestr(value, "password") != NULL);
}

void weir_config_complain(const weir_config_t *config, const char *key, const char *why,
                          char *error, size_t error_size)
{
    char origin[512];
    int i = find_key(key);
    const char *value = config->origins->of[i].value;

    describe_origin(config->origins, i, origin, sizeof(origin));
    if (weir_config_has_secret(key, value))
        complain(error, error_size, "%s: key \"%s\", whose value is not shown: %s", origin, key,
                 why);
    else
        complain(error, error_size, "%s: key \"%s\", value \"%s\": %s", origin, key, value, why);
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

static void keep_value(struct weir_config_origins *origins, int i, const char *value)
{
    free(origins->of[i].value);
    origins->of[i].value = strdup(value);
    if (origins->of[i].value == NULL)
        abort();
}

static bool read_line(weir_config_t *config, char *text, int line, char *error, size_t error_size)
{
    struct weir_config_origins *origins = config->origins;
    char *name, *equals;
    int i;

    cut_comment(text);
    name = strip(text);
    if (*name == '\0')
        return true;

    equals = strchr(name, '=');
    if (equals == NULL)
        return complain(error, error_size, "%s:%d: there is no \"=\" after \"%.*s\"", origins->file,
                        line, (int)strcspn(name, " \t"), name);
    *equals = '\0';
    name = strip(name);

    i = find_key(name);
    if (i < 0) {
        int n = snprintf(error, error_size, "%s:%d: key \"%s\" is unknown; known are",
                         origins->file, line, name);

        for (size_t k = 0; k < N_KEYS && n > 0 && (size_t)n < error_size; k++)
            n += snprintf(error + n, error_size - (size_t)n, "%s %s", k > 0 ? "," : "",
                          keys[k].name);
        return false;
    }

    if (origins->of[i].line > 0)
        return complain(error, error_size, "%s:%d: key \"%s\" stands in line %d already",
                        origins->file, line, name, origins->of[i].line);

    origins->of[i].line = line;
    keep_value(origins, i, strip(equals + 1));

    return true;
}

static bool read_file(weir_config_t *config, FILE *f, char *error, size_t error_size)
{
    const char *file = config->origins->file;
    char text[LINE_MAX_BYTES];
    bool more = true;

    for (int line = 1; more; line++) {
        size_t len = 0;
        int c;

        while ((c = getc(f)) != EOF && c != '\n') {
            if (len == sizeof(text) - 1)
                return complain(error, error_size, "%s:%d: the line has more than %d bytes", file,
                                line, LINE_MAX_BYTES - 1);
            if (c == '\0')
                return complain(error, error_size, "%s:%d: there is a NUL byte", file, line);
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

static void read_environment(struct weir_config_origins *origins)
{
    for (size_t i = 0; i < N_KEYS; i++) {
        char name[sizeof(origins->of[i].environment)];
        const char *value;
        size_t n = (size_t)snprintf(name, sizeof(name), "WEIR_%s", keys[i].name);

        for (size_t k = 0; k < n; k++)
            name[k] = (char)toupper((unsigned char)name[k]);

        value = getenv(name);
        if (value == NULL)
            continue;

        memcpy(origins->of[i].environment, name, n + 1);
        keep_value(origins, (int)i, value);
    }
}

static bool set_all(weir_config_t *config, char *error, size_t error_size)
{
    struct weir_config_origins *origins = config->origins;

    for (size_t i = 0; i < N_KEYS; i++) {
        const char *allowed;

        if (origins->of[i].value == NULL) {
            if (keys[i].fallback == NULL)
                return complain(error, error_size, "%s: key \"%s\" is missing; it must be %s",
                                origins->file, keys[i].name, keys[i].allowed);
            keep_value(origins, (int)i, keys[i].fallback);
        }

        allowed = keys[i].set((char *)config + keys[i].offset, origins->of[i].value, &keys[i]);
        if (allowed != NULL) {
            char why[512];

            snprintf(why, sizeof(why), "must be %s", allowed);
            weir_config_complain(config, keys[i].name, why, error, error_size);
            return false;
        }
    }

    if (config->retry_max < config->retry_base) {
        weir_config_complain(config, "retry_max", "must not be less than retry_base", error,
                             error_size);
        return false;
    }

    return true;
}

bool weir_config_read(weir_config_t *config, const char *file, char *error, size_t error_size)
{
    FILE *f = fopen(file, "r");
    bool ok;

    if (f == NULL)
        return complain(error, error_size, "%s: %s", file, strerror(errno));

    memset(config, 0, sizeof(*config));
    config->origins = calloc(1, sizeof(*config->origins));
    if (config->origins == NULL || (config->origins->file = strdup(file)) == NULL)
        abort();

    ok = read_file(config, f, error, error_size);
    fclose(f);

    if (ok) {
        read_environment(config->origins);
        ok = set_all(config, error, error_size);
    }
    if (!ok)
        weir_config_free(config);

    return ok;
}

void weir_config_free(weir_config_t *config)
{
    for (size_t i = 0; i < N_KEYS; i++) {
        free(config->origins->of[i].value);
        if (keys[i].set != weir_config_set_level && keys[i].set != weir_config_set_keys && keys[i].set != weir_config_set_count &&
            keys[i].set != weir_config_set_time && keys[i].set != weir_config_set_seconds && keys[i].set != weir_config_set_size)
            free(*(char **)((char *)config + keys[i].offset));
    }

    free(config->origins->file);
    free(config->origins);
    memset(config, 0, sizeof(*config));
}
