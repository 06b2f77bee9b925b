#include "export/settings.h"

#include "common/text/hex.h"
#include "common/text/token.h"
#include "common/text/utf8.h"
#include "log/alloc.h"
#include "log/log.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TIMEOUT_MS 10000 /* OTLP's default */
#define TIMEOUT_MAX_MS 60000
#define VALUE_MAX 4096
#define PATH "/v1/traces"

/* A value, and how to take it: returns NULL, or what is wrong. */
typedef const char *(*take_fn)(weir_export_settings_t *s, const char *value);

/* --- one value each -------------------------------------------------------------------------- */

static const char *take_url(weir_export_settings_t *s, const char *value)
{
    size_t scheme = strncasecmp(value, "http://", 7) == 0    ? 7
                    : strncasecmp(value, "https://", 8) == 0 ? 8
                                                             : 0;

    if (scheme == 0 || value[scheme] == '\0' || value[scheme] == '/')
        return "must be off, http://HOST[:PORT][/PATH] or https://HOST[:PORT][/PATH]";
    for (const char *p = value; *p != '\0'; p++) {
        if (*p <= ' ' || *p > '~')
            return "must have no blanks and no characters outside of ASCII";
    }
    if (strchr(value, '@') != NULL)
        return "must not have a user; credentials belong into traces_headers";
    if (strchr(value, '#') != NULL)
        return "must not have a fragment";
    free(s->url);
    s->url = weir_alloc_text(value);
    s->on = true;

    return NULL;
}

/* The base of all signals' addresses. */
static const char *take_base(weir_export_settings_t *s, const char *value)
{
    size_t len = strlen(value);
    char *url;
    const char *wrong;

    while (len > 0 && value[len - 1] == '/')
        len--;
    url = weir_alloc_format("%.*s" PATH, (int)len, value);
    wrong = take_url(s, url);
    free(url);

    return wrong;
}

static const char *take_protocol(weir_export_settings_t *s, const char *value)
{
    if (strcmp(value, "http/protobuf") == 0)
        s->format = WEIR_SPAN_FORMAT_PROTOBUF;
    else if (strcmp(value, "http/json") == 0)
        s->format = WEIR_SPAN_FORMAT_JSON;
    else
        return "must be http/protobuf or http/json (gRPC is not supported)";

    return NULL;
}

static const char *take_timeout_of_key(weir_export_settings_t *s, const char *value)
{
    char *end;
    unsigned long n;

    errno = 0;
    n = isdigit((unsigned char)*value) ? strtoul(value, &end, 10) : 0;
    if (n > 0 && errno == 0 && strcmp(end, "s") == 0 && n <= TIMEOUT_MAX_MS / 1000)
        n *= 1000;
    else if (n == 0 || errno != 0 || strcmp(end, "ms") != 0)
        n = 0;
    if (n < 1 || n > TIMEOUT_MAX_MS)
        return "must be a time from 1ms to 60s with its unit: ms or s";
    s->timeout_ms = (unsigned)n;

    return NULL;
}

/* In milliseconds, without a unit. */
static const char *take_timeout_of_variable(weir_export_settings_t *s, const char *value)
{
    char *ms = weir_alloc_format("%sms", value);
    const char *wrong = take_timeout_of_key(s, ms);

    free(ms);

    return wrong != NULL ? "must be a number of milliseconds from 1 to 60000" : NULL;
}

static const char *take_compression(weir_export_settings_t *s, const char *value)
{
    if (strcmp(value, "gzip") != 0 && strcmp(value, "none") != 0)
        return "must be none or gzip";
    s->gzip = *value == 'g';

    return NULL;
}

static bool take_file(char **file, const char *value)
{
    FILE *opened = fopen(value, "re");

    if (opened == NULL)
        return false;
    fclose(opened);
    free(*file);
    *file = weir_alloc_text(value);

    return true;
}

static const char *take_certificate(weir_export_settings_t *s, const char *value)
{
    return take_file(&s->certificate, value) ? NULL
                                             : "must be a file with certificates that can be read";
}

static const char *take_client_certificate(weir_export_settings_t *s, const char *value)
{
    return take_file(&s->client_certificate, value) ? NULL
                                                    : "must be a file with a certificate that can "
                                                      "be read";
}

static const char *take_client_key(weir_export_settings_t *s, const char *value)
{
    return take_file(&s->client_key, value) ? NULL : "must be a file with a key that can be read";
}

static const char *take_sampler(weir_export_settings_t *s, const char *value)
{
    static const char *const names[] = {
        [WEIR_SAMPLER_PARENTBASED_ALWAYS_ON] = "parentbased_always_on",
        [WEIR_SAMPLER_PARENTBASED_ALWAYS_OFF] = "parentbased_always_off",
        [WEIR_SAMPLER_PARENTBASED_TRACEIDRATIO] = "parentbased_traceidratio",
        [WEIR_SAMPLER_ALWAYS_ON] = "always_on",
        [WEIR_SAMPLER_ALWAYS_OFF] = "always_off",
        [WEIR_SAMPLER_TRACEIDRATIO] = "traceidratio",
    };

    for (int i = 0; i < WEIR_SAMPLERS; i++) {
        if (strcmp(value, names[i]) != 0)
            continue;
        s->sampler = (weir_sampler_t)i;
        return NULL;
    }

    return "must be always_on, always_off, traceidratio, or parentbased_ and one of these";
}

static const char *take_sampler_arg(weir_export_settings_t *s, const char *value)
{
    char *end;
    double ratio = strtod(value, &end);

    if (end == value || *end != '\0' || !(ratio >= 0 && ratio <= 1) ||
        value[strspn(value, "0123456789.eE+-")] != '\0')
        return "must be a number from 0 to 1";
    s->ratio = ratio;

    return NULL;
}

static bool is_utf8(const char *text)
{
    size_t len = strlen(text);

    for (size_t i = 0, n; i < len; i += n) {
        n = weir_utf8_sequence(text + i, len - i);
        if (n == 0)
            return false;
    }

    return true;
}

static const char *take_service_name(weir_export_settings_t *s, const char *value)
{
    if (!is_utf8(value))
        return "must be UTF-8";
    free(s->service_name);
    s->service_name = weir_alloc_text(value);

    return NULL;
}

/* --- lists: name=value,name=value, with percent-encoded values (W3C Baggage) ----------------- */

/* Decodes in place; false if a % is not followed by two digits, or for a NUL. */
static bool decode(char *text)
{
    char *out = text;

    for (const char *p = text; *p != '\0'; p++) {
        int high, low;

        if (*p != '%') {
            *out++ = *p;
            continue;
        }
        high = weir_unhex(p[1], 1);
        low = high >= 0 ? weir_unhex(p[2], 1) : -1;
        if (low < 0 || high + low == 0)
            return false;
        *out++ = (char)(high << 4 | low);
        p += 2;
    }
    *out = '\0';

    return true;
}

static char *trim(char *text)
{
    size_t len;

    text += strspn(text, " \t");
    len = strlen(text);
    while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
        text[--len] = '\0';

    return text;
}

typedef const char *(*put_fn)(weir_export_settings_t *s, const char *name, const char *value);

static const char *take_list(weir_export_settings_t *s, const char *list, put_fn put)
{
    char *copy = weir_alloc_text(list), *rest = copy, *member;
    const char *wrong = NULL;

    while (wrong == NULL && (member = strsep(&rest, ",")) != NULL) {
        char *value = strchr(member, '=');

        if (*trim(member) == '\0')
            continue;
        if (value == NULL) {
            wrong = "must be a list like name=value,name=value";
            break;
        }
        *value++ = '\0';
        member = trim(member);
        value = trim(value);
        if (*member == '\0' || !decode(value))
            wrong = "must be a list like name=value,name=value, with % as %25 and a comma as %2C";
        else
            wrong = put(s, member, value);
    }
    free(copy);

    return wrong;
}

static size_t count_headers(const weir_export_settings_t *s)
{
    size_t n = 0;

    while (s->headers != NULL && s->headers[n] != NULL)
        n++;

    return n;
}

static const char *put_header(weir_export_settings_t *s, const char *name, const char *value)
{
    size_t n = count_headers(s);

    for (const char *p = name; *p != '\0'; p++) {
        if (!weir_is_tchar(*p))
            return "must have names of HTTP fields";
    }
    for (const char *p = value; *p != '\0'; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            return "must have values without control characters";
    }
    s->headers = weir_alloc_resize(s->headers, n + 2, sizeof(*s->headers));
    s->headers[n] = weir_alloc_format("%s: %s", name, value);
    s->headers[n + 1] = NULL;

    return NULL;
}

static const char *take_headers(weir_export_settings_t *s, const char *value)
{
    return take_list(s, value, put_header);
}

static const char *put_attribute(weir_export_settings_t *s, const char *name, const char *value)
{
    size_t i;

    if (!is_utf8(name) || !is_utf8(value))
        return "must be UTF-8";
    if (strcmp(name, "service.name") == 0)
        return s->service_name != NULL ? NULL : take_service_name(s, value);
    for (i = 0; i < s->n_attributes && strcmp(s->names[i], name) != 0; i++)
        ;
    if (i == WEIR_EXPORT_ATTRIBUTES_MAX)
        return "must have at most 64 attributes";
    if (i == s->n_attributes) {
        s->names[i] = weir_alloc_text(name);
        s->n_attributes++;
    }
    free(s->values[i]);
    s->values[i] = weir_alloc_text(value);

    return NULL;
}

static const char *take_attributes(weir_export_settings_t *s, const char *value)
{
    return take_list(s, value, put_attribute);
}

/* --- keys, and the environment --------------------------------------------------------------- */

static bool take_variable(weir_export_settings_t *s, const char *name, take_fn take)
{
    const char *value = getenv(name), *wrong;

    if (value == NULL || *value == '\0')
        return false;
    wrong = strlen(value) <= VALUE_MAX ? take(s, value) : "has more than 4096 bytes";
    if (wrong == NULL)
        return true;
    weir_log(WEIR_LOG_WARN, NULL, "an environment variable has a wrong value and is ignored",
             "{s:s,s:s}", "variable", name, "reason", wrong);

    return false;
}

/* The variable of traces, else that of all signals; both are "OTEL_EXPORTER_OTLP_" and these. */
static void take_either(weir_export_settings_t *s, const char *name, take_fn take)
{
    char variable[64];

    snprintf(variable, sizeof(variable), "OTEL_EXPORTER_OTLP_TRACES_%s", name);
    if (take_variable(s, variable, take))
        return;
    snprintf(variable, sizeof(variable), "OTEL_EXPORTER_OTLP_%s", name);
    take_variable(s, variable, take);
}

static bool is_set(const char *key)
{
    return key != NULL && *key != '\0';
}

static const char *take_keys(weir_export_settings_t *s, const weir_export_keys_t *keys,
                             const char **wrong)
{
    const struct {
        const char *key, *value;
        take_fn take;
    } all[] = {
        {"service_name", keys->service_name, take_service_name},
        {"traces_protocol", keys->protocol, take_protocol},
        {"traces_headers", keys->headers, take_headers},
        {"traces_timeout", keys->timeout, take_timeout_of_key},
        {"traces_compression", keys->compression, take_compression},
        {"traces_certificate", keys->certificate, take_certificate},
        {"traces_client_certificate", keys->client_certificate, take_client_certificate},
        {"traces_client_key", keys->client_key, take_client_key},
        {"traces_sampler", keys->sampler, take_sampler},
        {"traces_sampler_arg", keys->sampler_arg, take_sampler_arg},
        {"resource_attributes", keys->resource_attributes, take_attributes},
    };

    if (is_set(keys->endpoint) && strcmp(keys->endpoint, "off") != 0 &&
        (*wrong = take_url(s, keys->endpoint)) != NULL)
        return "traces_endpoint";
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (is_set(all[i].value) && (*wrong = all[i].take(s, all[i].value)) != NULL)
            return all[i].key;
    }

    return NULL;
}

static void take_environment(weir_export_settings_t *s, const weir_export_keys_t *keys)
{
    if (!is_set(keys->service_name))
        take_variable(s, "OTEL_SERVICE_NAME", take_service_name);
    if (!is_set(keys->endpoint) &&
        !take_variable(s, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", take_url))
        take_variable(s, "OTEL_EXPORTER_OTLP_ENDPOINT", take_base);
    if (!is_set(keys->protocol))
        take_either(s, "PROTOCOL", take_protocol);
    if (!is_set(keys->headers))
        take_either(s, "HEADERS", take_headers);
    if (!is_set(keys->timeout))
        take_either(s, "TIMEOUT", take_timeout_of_variable);
    if (!is_set(keys->compression))
        take_either(s, "COMPRESSION", take_compression);
    if (!is_set(keys->certificate))
        take_either(s, "CERTIFICATE", take_certificate);
    if (!is_set(keys->client_certificate))
        take_either(s, "CLIENT_CERTIFICATE", take_client_certificate);
    if (!is_set(keys->client_key))
        take_either(s, "CLIENT_KEY", take_client_key);
    if (!is_set(keys->sampler))
        take_variable(s, "OTEL_TRACES_SAMPLER", take_sampler);
    if (!is_set(keys->sampler_arg))
        take_variable(s, "OTEL_TRACES_SAMPLER_ARG", take_sampler_arg);
    if (!is_set(keys->resource_attributes))
        take_variable(s, "OTEL_RESOURCE_ATTRIBUTES", take_attributes);
}

static bool is_variable(const char *name, const char *value)
{
    const char *is = getenv(name);

    return is != NULL && strcasecmp(is, value) == 0;
}

const char *weir_export_settings_read(weir_export_settings_t *s, const weir_export_keys_t *keys,
                                      char *why, size_t size)
{
    const char *wrong = NULL, *key;

    *s = (weir_export_settings_t){.timeout_ms = TIMEOUT_MS, .ratio = 1};
    key = take_keys(s, keys, &wrong);
    if (key != NULL) {
        snprintf(why, size, "%s", wrong);
        weir_export_settings_free(s);
        return key;
    }
    take_environment(s, keys);
    if (s->service_name == NULL)
        s->service_name = weir_alloc_text("weir-backend");
    if (is_variable("OTEL_SDK_DISABLED", "true") || is_variable("OTEL_TRACES_EXPORTER", "none") ||
        (keys->endpoint != NULL && strcmp(keys->endpoint, "off") == 0))
        s->on = false;

    return NULL;
}

void weir_export_settings_free(weir_export_settings_t *s)
{
    for (size_t i = 0; i < count_headers(s); i++)
        free(s->headers[i]);
    free(s->headers);
    for (size_t i = 0; i < s->n_attributes; i++) {
        free(s->names[i]);
        free(s->values[i]);
    }
    free(s->url);
    free(s->certificate);
    free(s->client_certificate);
    free(s->client_key);
    free(s->service_name);
    *s = (weir_export_settings_t){0};
}
