/*
 * The backend's configuration: `key = value` lines of one file, each of which the
 * environment may override as WEIR_KEY in capitals.  The keys, what they allow
 * and their defaults are one table in config.c; conf/weir-backend.conf shows all.
 *
 * A line may be empty or a comment: `#`, at its start or after a blank, begins
 * one.  A key that is unknown, comes twice or has a wrong value is refused with
 * the place, the key, the value and what is allowed.
 */
#ifndef WEIR_CONFIG_H
#define WEIR_CONFIG_H

#include "log/log.h"

#include <stdbool.h>
#include <stddef.h>

/* Which idempotency keys are taken from callers without Authorization, who share one scope. */
typedef enum { WEIR_KEYS_ANY, WEIR_KEYS_UNGUESSABLE, WEIR_KEYS_REFUSED } weir_anonymous_keys_t;

typedef struct {
    char *listen;   /* "HOST:PORT", "[HOST]:PORT" or "unix:/PATH" */
    char *database; /* libpq connection string */
    char *redis;
    char *sql; /* no effect; it was the folder with the migrations */
    char *smtp;
    unsigned smtp_timeout; /* ms */
    char *mail_from;
    char *payments_url;
    unsigned payments_timeout; /* ms */
    unsigned payments_check;   /* s; 0: never */
    char *webhook_secret;      /* whsec_…, or empty */
    char *webhook_secret_old;  /* the same */
    weir_log_level_t log_level;
    size_t body_limit; /* bytes */
    weir_anonymous_keys_t anonymous_keys;
    char *retry_attempts;  /* limits: "8, email=20" */
    unsigned retry_base;   /* ms */
    unsigned retry_max;    /* ms */
    unsigned batch_max;    /* requests */
    unsigned stream_limit; /* entries */
    unsigned outbox_keep;  /* s */
    char *groups;          /* names with commas between them */

    struct weir_config_origins *origins; /* where each value came from */
} weir_config_t;

/*
 * Reads the file and the environment.  Returns false with a message in error, and
 * nothing to free, when something is wrong.
 */
bool weir_config_read(weir_config_t *config, const char *file, char *error, size_t error_size)
    __attribute__((warn_unused_result));

void weir_config_free(weir_config_t *config);

/* True when the value of that key holds, or may hold, a password or a secret: it must not be shown. */
bool weir_config_has_secret(const char *key, const char *value);

/*
 * Writes the message for a value that only its user could find wrong, in the same
 * form; why goes on after "key "groups", value "x": ".
 */
void weir_config_complain(const weir_config_t *config, const char *key, const char *why,
                          char *error, size_t error_size);

/*
 * Finds the next name of a list with commas ("a, b"), without the blanks around
 * it.  Returns what comes after it, NULL when there was none.
 */
const char *weir_config_next_name(const char *list, const char **name, size_t *len);

#define WEIR_CONFIG_LIMIT_MAX 100

/* An element of a list of limits ("8, email=20"): the number of one group, or of all others. */
typedef struct {
    const char *group; /* in the list */
    size_t len;        /* of the group's name; 0: all others */
    unsigned count;    /* 0: this is no number up to WEIR_CONFIG_LIMIT_MAX */
} weir_config_limit_t;

/* Finds the next element.  Returns what comes after it, NULL when there was none. */
const char *weir_config_next_limit(const char *list, weir_config_limit_t *limit);

/* The limit of the group, by a list that was checked. */
unsigned weir_config_limit(const char *list, const char *group);

#endif
