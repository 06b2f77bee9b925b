/*
 * The settings of the engine: its keys of the configuration, which are read together with those of
 * the domain.  conf/weir-backend.conf shows all.
 */
#ifndef WEIR_SETTINGS_H
#define WEIR_SETTINGS_H

#include "domain.h"
#include "http/idempotency.h"
#include "log/log.h"

typedef struct {
    char *listen;   /* "HOST:PORT", "[HOST]:PORT" or "unix:/PATH" */
    char *database; /* libpq connection string */
    char *redis;
    char *sql; /* no effect; it was the folder with the migrations */
    weir_log_level_t log_level;
    size_t body_limit; /* bytes */
    weir_anonymous_keys_t anonymous_keys;
    char *retry_attempts;  /* limits: "8, GROUP=20" */
    unsigned retry_base;   /* ms */
    unsigned retry_max;    /* ms */
    unsigned batch_max;    /* requests */
    unsigned stream_limit; /* entries */
    unsigned outbox_keep;  /* s */
    char *groups;          /* names with commas between them */

    void *domain;                         /* the domain's own struct */
    weir_config_t *config;                /* where each value came from */
    weir_config_key_t retry_attempts_key; /* its default is the domain's */
} weir_settings_t;

/* Reads file and environment.  False with a message, and nothing to free, when one is wrong. */
bool weir_settings_read(weir_settings_t *settings, const weir_domain_t *domain, const char *file,
                        char *error, size_t error_size) __attribute__((warn_unused_result));
void weir_settings_free(weir_settings_t *settings);

/*
 * Checks what only their users can know of the values, by the very parsers that use them later, so
 * that "-t" finds what start would refuse or what could never work: addresses, groups, and what the
 * domain checks.  False with a message that names the key and its place.
 */
bool weir_settings_check(const weir_settings_t *settings, const weir_domain_t *domain, char *error,
                         size_t error_size) __attribute__((warn_unused_result));

#endif
