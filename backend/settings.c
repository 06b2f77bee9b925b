#include "settings.h"

#include "common/audit/key.h"
#include "common/metrics/price.h"
#include "common/secret/secret.h"
#include "config/kinds.h"
#include "config/list.h"
#include "database.h"
#include "groups.h"
#include "http/listen.h"
#include "identity/keys.h"
#include "log/alloc.h"
#include "redis/url.h"

#include <openssl/crypto.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- keys -------------------------------------------------------------------------- */

#define FIELD(name) offsetof(weir_settings_t, name)

static const char *const off[] = {WEIR_SETTINGS_OFF, NULL};
static const char *const redis_urls[] = {"redis://", "rediss://", "unix:/", NULL};
static const char *const levels[] = {[WEIR_LOG_DEBUG] = "debug",
                                     [WEIR_LOG_INFO] = "info",
                                     [WEIR_LOG_WARN] = "warn",
                                     [WEIR_LOG_ERROR] = "error",
                                     NULL};
static const char *const off_on[] = {"off", "on", NULL};
static const char *const anonymous_keys[] = {[WEIR_KEYS_ANY] = "any",
                                             [WEIR_KEYS_UNGUESSABLE] = "unguessable",
                                             [WEIR_KEYS_REFUSED] = "refused",
                                             NULL};

static const char *const addresses[] = {[WEIR_CALLER_PEER] = "peer",
                                        [WEIR_CALLER_FORWARDED] = "forwarded",
                                        [WEIR_CALLER_OFF] = WEIR_SETTINGS_OFF,
                                        NULL};

#define DATABASE_ALLOWED "a libpq connection string, such as host=/run/postgresql dbname=weir"
#define DATABASE_OF(name)                                                                          \
    {                                                                                              \
        "database_" #name, &weir_config_text, FIELD(database_##name), "", 0, 1024,                 \
            .allowed = DATABASE_ALLOWED ", or nothing"                                             \
    }

static const weir_config_key_t database_required = {
    "database", &weir_config_text, FIELD(database), NULL, 1, 1024, .allowed = DATABASE_ALLOWED};
static const weir_config_key_t database_optional = {
    "database", &weir_config_text, FIELD(database), "", 0, 1024, .allowed = DATABASE_ALLOWED};

static const weir_config_key_t keys[] = {
    {"listen", &weir_config_listen, FIELD(listen), "127.0.0.1:8081", 1, 65535,
     .allowed = "ADDRESS:PORT with a numeric address, [ADDRESS]:PORT or unix:/PATH"},
    {"metrics_listen", &weir_config_listen, FIELD(metrics_listen), WEIR_SETTINGS_OFF, 1, 65535,
     .allowed = "off, ADDRESS:PORT with a numeric address, [ADDRESS]:PORT or unix:/PATH",
     .choices = off},
    {"tls_certificate", &weir_config_text, FIELD(tls_certificate), "", 0, 1024,
     .allowed = "the name of a file, at most 1024 bytes, or nothing"},
    {"tls_key", &weir_config_text, FIELD(tls_key), "", 0, 1024,
     .allowed = "the name of a file, at most 1024 bytes, or nothing"},
    {"tls_client_ca", &weir_config_text, FIELD(tls_client_ca), "", 0, 1024,
     .allowed = "the name of a file, at most 1024 bytes, or nothing"},
    {"tls_allowed_names", &weir_config_text, FIELD(tls_allowed_names), "", 0, 4095,
     .allowed = "names of certificates", .privacy = WEIR_CONFIG_SHOWN},
    {"tls_metrics", &weir_config_choice, FIELD(tls_metrics), "on", 0, 0, .allowed = "off or on",
     .choices = off_on},
    {"tls_metrics_names", &weir_config_text, FIELD(tls_metrics_names), "", 0, 4095,
     .allowed = "names of certificates", .privacy = WEIR_CONFIG_SHOWN},
    DATABASE_OF(api),
    DATABASE_OF(relay),
    DATABASE_OF(worker),
    DATABASE_OF(ctl),
    DATABASE_OF(migrate),
    {"database_password_file", &weir_config_text, FIELD(database_password_file), "", 0, 1024,
     .allowed = "the name of a file, at most 1024 bytes, or nothing"},
    {"redis", &weir_config_url, FIELD(redis), "redis://127.0.0.1:6379/0", 1, 1024,
     .allowed = "redis://[USER:PASSWORD@]HOST:PORT[/DB], rediss://… for TLS, or unix:/PATH",
     .choices = redis_urls},
    {"redis_user", &weir_config_text, FIELD(redis_user), "", 0, 128,
     .allowed = "the name of a user of Redis, at most 128 bytes, or nothing"},
    {"redis_password_file", &weir_config_text, FIELD(redis_password_file), "", 0, 1024,
     .allowed = "the name of a file, at most 1024 bytes, or nothing"},
    {"redis_ca", &weir_config_text, FIELD(redis_ca), "", 0, 1024,
     .allowed = "the name of a file, at most 1024 bytes, or nothing"},
    {"redis_certificate", &weir_config_text, FIELD(redis_certificate), "", 0, 1024,
     .allowed = "the name of a file, at most 1024 bytes, or nothing"},
    {"redis_key", &weir_config_text, FIELD(redis_key), "", 0, 1024,
     .allowed = "the name of a file, at most 1024 bytes, or nothing"},
    {"sql", &weir_config_text, FIELD(sql), "", 0, 1024, .allowed = "at most 1024 bytes"},
    {"log_level", &weir_config_choice, FIELD(log_level), "info", 0, 0,
     .allowed = "debug, info, warn or error", .choices = levels},
    {"sandbox", &weir_config_choice, FIELD(sandbox), "on", 0, 0, .allowed = "off or on",
     .choices = off_on},
    {"body_limit", &weir_config_size, FIELD(body_limit), "64k", 1024, 16777216,
     .allowed = "a number of bytes from 1k to 16m, with k or m after it or nothing"},
    {"anonymous_keys", &weir_config_choice, FIELD(anonymous_keys), "any", 0, 0,
     .allowed = "any, unguessable or refused", .choices = anonymous_keys},
    {"identity_jwks", &weir_config_text, FIELD(identity_jwks), WEIR_SETTINGS_OFF, 1, 1024,
     .allowed = "off, a file, or a URL (http://, https://)"},
    {"identity_issuer", &weir_config_text, FIELD(identity_issuer), "weir", 1, 255,
     .allowed = "1 to 255 bytes", .privacy = WEIR_CONFIG_SHOWN},
    {"identity_audience", &weir_config_text, FIELD(identity_audience), "", 0, 255,
     .allowed = "at most 255 bytes", .privacy = WEIR_CONFIG_SHOWN},
    {"identity_callers", &weir_config_text, FIELD(identity_callers), "", 0, 1024,
     .allowed = "issuers with blanks between them, at most 1024 bytes, or nothing",
     .privacy = WEIR_CONFIG_SHOWN},
    {"retry_base", &weir_config_time, FIELD(retry_base), "200ms", 1, 3600000,
     .allowed = "a time from 1ms to 60m with its unit: ms, s or m"},
    {"retry_max", &weir_config_time, FIELD(retry_max), "30s", 1, 86400000,
     .allowed = "a time from 1ms to 1440m with its unit: ms, s or m"},
    {"batch_max", &weir_config_count, FIELD(batch_max), "256", 1, 256,
     .allowed = "a number from 1 to 256"},
    {"stream_limit", &weir_config_count, FIELD(stream_limit), "100000", 100, 10000000,
     .allowed = "a number from 100 to 10000000"},
    {"outbox_keep", &weir_config_seconds, FIELD(outbox_keep), "30d", 1, 315360000,
     .allowed = "a time from 1s to 3650d with its unit: s, m, h or d"},
    {"audit_key", &weir_config_text, FIELD(audit_key), "", 0, 1024,
     .allowed = "the path of a private key in PEM (Ed25519 or P-256), or nothing"},
    {"audit_heads", &weir_config_text, FIELD(audit_heads), "", 0, 1024,
     .allowed = "the path of a file, or nothing"},
    {"audit_interval", &weir_config_time, FIELD(audit_interval), "1m", 1000, 3600000,
     .allowed = "a time from 1s to 60m with its unit: ms, s or m"},
    {"audit_address", &weir_config_choice, FIELD(audit_address), "peer", 0, 0,
     .allowed = "peer, forwarded or off", .choices = addresses},
    {"traces_endpoint", &weir_config_text, FIELD(traces_endpoint), "", 0, 1024,
     .allowed = "at most 1024 bytes"},
    {"traces_protocol", &weir_config_text, FIELD(traces_protocol), "", 0, 64,
     .allowed = "at most 64 bytes"},
    {"traces_headers", &weir_config_text, FIELD(traces_headers), "", 0, 2048,
     .allowed = "at most 2048 bytes", .privacy = WEIR_CONFIG_SECRET},
    {"traces_timeout", &weir_config_text, FIELD(traces_timeout), "", 0, 64,
     .allowed = "at most 64 bytes"},
    {"traces_compression", &weir_config_text, FIELD(traces_compression), "", 0, 64,
     .allowed = "at most 64 bytes"},
    {"traces_certificate", &weir_config_text, FIELD(traces_certificate), "", 0, 1024,
     .allowed = "at most 1024 bytes"},
    {"traces_client_certificate", &weir_config_text, FIELD(traces_client_certificate), "", 0, 1024,
     .allowed = "at most 1024 bytes"},
    {"traces_client_key", &weir_config_text, FIELD(traces_client_key), "", 0, 1024,
     .allowed = "at most 1024 bytes"},
    {"traces_sampler", &weir_config_text, FIELD(traces_sampler), "", 0, 64,
     .allowed = "at most 64 bytes"},
    {"traces_sampler_arg", &weir_config_text, FIELD(traces_sampler_arg), "", 0, 64,
     .allowed = "at most 64 bytes"},
    {"traces_late_buffer", &weir_config_size, FIELD(traces_late_buffer), "16m", 0, 1073741824,
     .allowed = "a number of bytes from 0 to 1024m, with k or m after it or nothing"},
    {"traces_late_hold", &weir_config_time, FIELD(traces_late_hold), "1m", 1000, 3600000,
     .allowed = "a time from 1s to 60m with its unit: ms, s or m"},
    {"traces_late_remember", &weir_config_time, FIELD(traces_late_remember), "15m", 1000, 86400000,
     .allowed = "a time from 1s to 1440m with its unit: ms, s or m"},
    {"service_name", &weir_config_text, FIELD(service_name), "", 0, 256,
     .allowed = "at most 256 bytes"},
    {"resource_attributes", &weir_config_text, FIELD(resource_attributes), "", 0, 2048,
     .allowed = "at most 2048 bytes"},
    {"cost_currency", &weir_config_text, FIELD(cost_currency), "", 0, 3,
     .allowed = "three capital letters, such as EUR"},
    {"cost_database", &weir_config_price, FIELD(cost_database), WEIR_SETTINGS_OFF, 0, 0,
     .allowed = "off, or a price such as 0.25, at most 1000000000"},
    {"cost_wal", &weir_config_price, FIELD(cost_wal), WEIR_SETTINGS_OFF, 0, 0,
     .allowed = "off, or a price such as 0.25, at most 1000000000"},
    {"groups", &weir_config_groups, FIELD(groups), "all", 1, 1024,
     .allowed = "\"all\", or names of consumer groups with commas between them"},
};

/* --- checks ------------------------------------------------------------------------- */

static bool check_listen(const weir_settings_t *settings, char *error, size_t size)
{
    char why[256];
    const char *key = NULL;

    if (!weir_listen_check(settings->listen, why, sizeof(why)))
        key = "listen";
    else if (strcmp(settings->metrics_listen, WEIR_SETTINGS_OFF) != 0 &&
             !weir_listen_check(settings->metrics_listen, why, sizeof(why)))
        key = "metrics_listen";
    if (key != NULL) {
        weir_config_complain(settings->config, key, why, error, size);
        return false;
    }
    if (strcmp(settings->metrics_listen, settings->listen) != 0)
        return true;
    weir_config_complain(settings->config, "metrics_listen", "must not be the address of listen",
                         error, size);
    return false;
}

weir_tls_settings_t weir_settings_tls(const weir_settings_t *s, const char *use)
{
    weir_tls_settings_t tls = {.use = use};

    if (strcmp(use, "redis") == 0) {
        tls.certificate = s->redis_certificate;
        tls.key = s->redis_key;
        tls.ca = s->redis_ca;
        return tls;
    }
    tls.is_server = true;
    tls.certificate = s->tls_certificate;
    tls.key = s->tls_key;
    tls.ca = s->tls_client_ca;
    tls.names = strcmp(use, "metrics") == 0 && *s->tls_metrics_names != '\0' ? s->tls_metrics_names
                                                                             : s->tls_allowed_names;

    return tls;
}

static bool check_listen_tls(const weir_settings_t *s, char *error, size_t size)
{
    const struct {
        const char *key, *value;
    } together[] = {{"tls_certificate", s->tls_certificate},
                    {"tls_key", s->tls_key},
                    {"tls_client_ca", s->tls_client_ca},
                    {"tls_allowed_names", s->tls_allowed_names}};
    static const char *const keys_of[] = {[WEIR_TLS_CERTIFICATE] = "tls_certificate",
                                          [WEIR_TLS_KEY] = "tls_key",
                                          [WEIR_TLS_CA] = "tls_client_ca",
                                          [WEIR_TLS_NAMES] = "tls_allowed_names"};
    const char *const uses[] = {"listen", "metrics"};
    char why[512];
    int given = 0;

    for (int i = 0; i < 4; i++)
        given += *together[i].value != '\0';
    if (given == 0)
        return true;
    for (int i = 0; i < 4; i++) {
        if (*together[i].value != '\0')
            continue;
        weir_config_complain(s->config, together[i].key,
                             "must be given with tls_certificate, tls_key, tls_client_ca and "
                             "tls_allowed_names: all of them, or none",
                             error, size);
        return false;
    }
    for (int i = 0; i < 2; i++) {
        weir_tls_settings_t tls = weir_settings_tls(s, uses[i]);
        weir_tls_fault_t fault = weir_tls_check(&tls, why, sizeof(why));

        if (fault == WEIR_TLS_NO_FAULT)
            continue;
        weir_config_complain(s->config,
                             tls.names == s->tls_metrics_names && fault == WEIR_TLS_NAMES
                                 ? "tls_metrics_names"
                                 : keys_of[fault],
                             why, error, size);
        return false;
    }

    return true;
}

static bool check_redis_tls(const weir_settings_t *s, char *error, size_t size)
{
    static const char *const keys_of[] = {[WEIR_TLS_CERTIFICATE] = "redis_certificate",
                                          [WEIR_TLS_KEY] = "redis_key",
                                          [WEIR_TLS_CA] = "redis_ca"};
    weir_tls_settings_t tls = weir_settings_tls(s, "redis");
    weir_tls_fault_t fault = WEIR_TLS_NO_FAULT;
    char why[512] = "needs redis_certificate and redis_key, or none of them";

    if ((*tls.certificate == '\0') != (*tls.key == '\0'))
        fault = *tls.certificate == '\0' ? WEIR_TLS_KEY : WEIR_TLS_CERTIFICATE;
    else if (strncmp(s->redis, "rediss://", 9) == 0)
        fault = weir_tls_check(&tls, why, sizeof(why));
    if (fault != WEIR_TLS_NO_FAULT)
        weir_config_complain(s->config, keys_of[fault], why, error, size);

    return fault == WEIR_TLS_NO_FAULT;
}

static bool check_identity(const weir_settings_t *settings, char *error, size_t size)
{
    char why[WEIR_JWKS_WHY_MAX];

    if (strcmp(settings->identity_jwks, WEIR_SETTINGS_OFF) == 0) {
        if (settings->identity_audience[0] == '\0')
            return true;
        weir_config_complain(settings->config, "identity_audience",
                             "has no effect without identity_jwks", error, size);
        return false;
    }
    if (settings->identity_audience[0] == '\0') {
        weir_config_complain(settings->config, "identity_audience",
                             "must be the audience of weir_identity, since identity_jwks is set",
                             error, size);
        return false;
    }
    if (weir_identity_keys_check(settings->identity_jwks, why, sizeof(why)))
        return true;
    weir_config_complain(settings->config, "identity_jwks", why, error, size);
    return false;
}

/* Returns NULL, or what is wrong with the file. */
static const char *check_password(const char *file)
{
    char text[WEIR_SECRET_FILE_MAX + 1];
    const char *why = weir_secret_read(file, text);

    OPENSSL_cleanse(text, sizeof(text));

    return why;
}

static bool check_redis(const weir_settings_t *settings, char *error, size_t size)
{
    weir_redis_url_t url;
    const char *why = weir_redis_url_parse(&url, settings->redis), *key = "redis";
    bool has_password = url.password != NULL;

    weir_redis_url_clear(&url);
    if (why == NULL && *settings->redis_password_file != '\0') {
        key = "redis_password_file";
        why = has_password ? "must be empty, since the URL of redis has a password"
                           : check_password(settings->redis_password_file);
    } else if (why == NULL && *settings->redis_user != '\0') {
        key = "redis_user";
        why = "needs redis_password_file";
    }
    if (why != NULL)
        weir_config_complain(settings->config, key, why, error, size);
    return why == NULL;
}

static bool check_cost(const weir_settings_t *settings, char *error, size_t size)
{
    bool has_price = settings->cost_database >= 0 || settings->cost_wal >= 0;
    weir_str_t currency = weir_str(settings->cost_currency);

    if (currency.len == 0 ? !has_price : weir_currency_is_valid(currency))
        return true;
    weir_config_complain(settings->config, "cost_currency",
                         "must be three capital letters, such as EUR, where there is a price",
                         error, size);
    return false;
}

static bool check_audit(const weir_settings_t *settings, char *error, size_t size)
{
    if (settings->audit_key[0] != '\0' || settings->audit_heads[0] == '\0')
        return true;
    weir_config_complain(settings->config, "audit_heads",
                         "needs audit_key: without a key there are no heads", error, size);
    return false;
}

bool weir_settings_check_key(const weir_settings_t *settings, char *error, size_t size)
{
    weir_audit_key_t key;
    char why[512];

    if (settings->audit_key[0] == '\0')
        return true;
    if (!weir_audit_key_read(&key, settings->audit_key, why, sizeof(why))) {
        weir_config_complain(settings->config, "audit_key", why, error, size);
        return false;
    }
    weir_audit_key_release(&key);
    return true;
}

const char *weir_settings_database(const weir_settings_t *settings, weir_settings_part_t part)
{
    const char *const own[] = {
        [WEIR_SETTINGS_API] = settings->database_api,
        [WEIR_SETTINGS_RELAY] = settings->database_relay,
        [WEIR_SETTINGS_WORKER] = settings->database_worker,
        [WEIR_SETTINGS_CTL] = settings->database_ctl,
        [WEIR_SETTINGS_MIGRATE] = settings->database_migrate,
    };

    return *own[part] != '\0' ? own[part] : settings->database;
}

static bool check_databases(const weir_settings_t *s, char *error, size_t size)
{
    const struct {
        const char *key, *value;
    } all[] = {
        {"database", s->database},
        {"database_api", s->database_api},
        {"database_relay", s->database_relay},
        {"database_worker", s->database_worker},
        {"database_ctl", s->database_ctl},
        {"database_migrate", s->database_migrate},
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (!weir_database_check(s->config, all[i].key, all[i].value, error, size))
            return false;
    }

    return true;
}

static bool check_groups(const weir_settings_t *settings, const weir_domain_t *domain, char *error,
                         size_t size)
{
    const char *key = NULL;
    char why[512];

    if (!weir_groups_check(domain, settings->groups, why, sizeof(why)))
        key = "groups";
    else if (!weir_groups_check_limits(domain, settings->retry_attempts, why, sizeof(why)))
        key = "retry_attempts";
    if (key != NULL)
        weir_config_complain(settings->config, key, why, error, size);

    return key == NULL;
}

static bool check_traces(weir_settings_t *s, char *error, size_t size)
{
    const weir_export_keys_t texts = {
        .endpoint = s->traces_endpoint,
        .protocol = s->traces_protocol,
        .headers = s->traces_headers,
        .timeout = s->traces_timeout,
        .compression = s->traces_compression,
        .certificate = s->traces_certificate,
        .client_certificate = s->traces_client_certificate,
        .client_key = s->traces_client_key,
        .sampler = s->traces_sampler,
        .sampler_arg = s->traces_sampler_arg,
        .service_name = s->service_name,
        .resource_attributes = s->resource_attributes,
    };
    char why[256];
    const char *key = weir_export_settings_read(&s->export, &texts, why, sizeof(why));

    if (key != NULL)
        weir_config_complain(s->config, key, why, error, size);
    s->export.late_redis = s->redis;
    s->export.late_bytes = s->traces_late_buffer;
    s->export.late_hold_ms = s->traces_late_hold;
    s->export.late_remember_ms = s->traces_late_remember;
    return key == NULL;
}

bool weir_settings_check(weir_settings_t *settings, const weir_domain_t *domain, char *error,
                         size_t size)
{
    assert(settings->config != NULL && size > 0);
    return check_listen(settings, error, size) && check_listen_tls(settings, error, size) &&
           check_identity(settings, error, size) && check_redis(settings, error, size) &&
           check_redis_tls(settings, error, size) && check_cost(settings, error, size) &&
           check_audit(settings, error, size) && check_databases(settings, error, size) &&
           check_groups(settings, domain, error, size) && check_traces(settings, error, size) &&
           (domain->check == NULL ||
            domain->check(settings->domain, settings->config, error, size));
}

/* --- reading -------------------------------------------------------------------------- */

static size_t count_keys(const weir_config_key_t *of)
{
    size_t n = 0;

    while (of != NULL && of[n].name != NULL)
        n++;

    return n;
}

/* database_key: of the two */
static bool read_with(weir_settings_t *settings, const weir_config_key_t *database_key,
                      const weir_domain_t *domain, const char *file, char *error, size_t error_size)
{
    weir_config_table_t tables[] = {
        {database_key, 1, settings},
        {keys, sizeof(keys) / sizeof(keys[0]), settings},
        {&settings->retry_attempts_key, 1, settings},
        {domain->keys, count_keys(domain->keys), NULL},
    };

    *settings = (weir_settings_t){
        .domain = weir_alloc(domain->settings_size + 1),
        .retry_attempts_key =
            {"retry_attempts", &weir_config_limits, FIELD(retry_attempts), domain->retry_attempts,
             1, WEIR_CONFIG_LIMIT_MAX,
             .allowed = "a number from 1 to 100, followed by GROUP=NUMBER for each group "
                        "with another number"},
    };
    assert(domain->retry_attempts != NULL);
    tables[3].values = settings->domain;

    settings->config =
        weir_config_read(tables, sizeof(tables) / sizeof(tables[0]), file, error, error_size);
    if (settings->config != NULL && settings->retry_max >= settings->retry_base)
        return true;

    if (settings->config != NULL)
        weir_config_complain(settings->config, "retry_max", "must not be less than retry_base",
                             error, error_size);
    weir_settings_free(settings);

    return false;
}

bool weir_settings_read(weir_settings_t *settings, const weir_domain_t *domain, const char *file,
                        char *error, size_t error_size)
{
    return read_with(settings, &database_required, domain, file, error, error_size);
}

bool weir_settings_read_partly(weir_settings_t *settings, const weir_domain_t *domain,
                               const char *file, char *error, size_t error_size)
{
    return read_with(settings, &database_optional, domain, file, error, error_size);
}

void weir_settings_free(weir_settings_t *settings)
{
    weir_config_free(settings->config);
    weir_export_settings_free(&settings->export);
    free(settings->domain);
    *settings = (weir_settings_t){0};
}
