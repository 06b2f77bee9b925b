/*
 * The settings of the engine: its keys of the configuration. They are read together with the
 * domain's keys. conf/weir-backend.conf shows all.
 */
#ifndef WEIR_SETTINGS_H
#define WEIR_SETTINGS_H

#include "domain.h"
#include "export/settings.h"
#include "http/caller/caller.h"
#include "http/idempotency.h"
#include "log/log.h"
#include "tls/tls.h"

#define WEIR_SETTINGS_OFF "off"

typedef struct {
    char *listen;         /* "HOST:PORT", "[HOST]:PORT" or "unix:/PATH" */
    char *metrics_listen; /* the same, or WEIR_SETTINGS_OFF */
    /* of the listeners; empty: they are in the clear */
    char *tls_certificate, *tls_key, *tls_client_ca, *tls_allowed_names;
    unsigned tls_metrics;    /* whether metrics_listen has TLS, too */
    char *tls_metrics_names; /* empty: tls_allowed_names */
    char *database;          /* libpq connection string */
    /* the same for a part of the program; empty: that of database */
    char *database_api, *database_relay, *database_worker, *database_ctl, *database_migrate;
    char *database_password_file; /* for database; may be empty */
    char *redis;
    char *redis_user, *redis_password_file;         /* empty: see redis/login.h */
    char *redis_ca, *redis_certificate, *redis_key; /* of rediss:// */
    char *sql; /* has no effect; earlier versions read migrations from this folder */
    weir_log_level_t log_level;
    int sandbox;       /* bool: the process confines itself; see sandbox/ */
    size_t body_limit; /* bytes */
    weir_anonymous_keys_t anonymous_keys;
    char *identity_jwks; /* a file or a URL, or WEIR_SETTINGS_OFF: requests need no identity */
    char *identity_issuer, *identity_audience, *identity_callers;
    char *retry_attempts;          /* limits: "8, GROUP=20" */
    unsigned retry_base;           /* ms */
    unsigned retry_max;            /* ms */
    unsigned batch_max;            /* requests */
    unsigned stream_limit;         /* entries */
    unsigned outbox_keep;          /* s */
    char *audit_key, *audit_heads; /* files; may be empty */
    unsigned audit_interval;       /* ms */
    weir_caller_address_t audit_address;
    /* empty: see export/settings.h, which has the meaning of all */
    char *traces_endpoint, *traces_protocol, *traces_headers, *traces_timeout;
    char *traces_compression, *traces_certificate, *traces_sampler, *traces_sampler_arg;
    char *traces_client_certificate, *traces_client_key;
    size_t traces_late_buffer;     /* bytes */
    unsigned traces_late_hold;     /* ms */
    unsigned traces_late_remember; /* ms */
    char *service_name, *resource_attributes;
    weir_export_settings_t export; /* made of these by weir_settings_check() */
    char *cost_currency;           /* ISO 4217; empty: there are no prices */
    double cost_database;          /* an hour of a session; -1: none */
    double cost_wal;               /* a GiB; -1: none */
    char *groups;                  /* names with commas between them */

    void *domain;                         /* the domain's own struct */
    weir_config_t *config;                /* the origin of each value */
    weir_config_key_t retry_attempts_key; /* the domain gives its default */
} weir_settings_t;

/* Parts of the program that may have a role of their own in the database. */
typedef enum {
    WEIR_SETTINGS_API,
    WEIR_SETTINGS_RELAY, /* and the sealer of the audit log */
    WEIR_SETTINGS_WORKER,
    WEIR_SETTINGS_CTL,
    WEIR_SETTINGS_MIGRATE
} weir_settings_part_t;

/* The connection string of a part; it belongs to settings. */
const char *weir_settings_database(const weir_settings_t *settings, weir_settings_part_t part);

/* The certificates of a listener, and of the connections to Redis; use as in tls/tls.h. */
weir_tls_settings_t weir_settings_tls(const weir_settings_t *settings, const char *use);

/*
 * Reads file and environment. When a value is wrong, returns false with a message; there is nothing
 * to free then.
 */
bool weir_settings_read(weir_settings_t *settings, const weir_domain_t *domain, const char *file,
                        char *error, size_t error_size) __attribute__((warn_unused_result));

/* The same for a program that uses no database: the key may be missing, and is empty then. */
bool weir_settings_read_partly(weir_settings_t *settings, const weir_domain_t *domain,
                               const char *file, char *error, size_t error_size)
    __attribute__((warn_unused_result));
void weir_settings_free(weir_settings_t *settings);

/*
 * Checks values whose rules are in other components (addresses, groups, the domain's keys) with the
 * parsers that use the values later. So "-t" finds values that would fail at start, or could never
 * work. Returns false with a message that names the key and its place.
 */
bool weir_settings_check(weir_settings_t *settings, const weir_domain_t *domain, char *error,
                         size_t error_size) __attribute__((warn_unused_result));

/*
 * The same for the file of audit_key, which only the process that has the role relay may read, and
 * only it needs.
 */
bool weir_settings_check_key(const weir_settings_t *settings, char *error, size_t size)
    __attribute__((warn_unused_result));

#endif
