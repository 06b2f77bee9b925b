/*
 * What the engine knows of a domain.  A domain is a folder that `make DOMAIN=…` names; it has its
 * endpoints, its consumer groups, its keys of the configuration, and defines weir_domain, the
 * one name by which main.c and weirctl find them.  (The other is weir_domain_commands, for weirctl
 * alone: ctl/cli.h.)
 *
 * Nothing but this file is between the two: the engine includes no header of a domain.
 */
#ifndef WEIR_DOMAIN_H
#define WEIR_DOMAIN_H

#include "api/call.h"
#include "config/config.h"
#include "db/migrate.h"
#include "events/events.h"

#define WEIR_GROUPS_MAX 16
#define WEIR_ENDPOINTS_MAX 32

/* What the parts of a domain get; lives longer than they. */
typedef struct {
    struct event_base *base;
    const char *database;    /* libpq connection string */
    const char *redis;       /* as in redis/redis.h */
    const void *settings;    /* the domain's struct, as its keys have filled it in */
    weir_openapi_t *openapi; /* NULL in a process without the role api */
    weir_relay_t *relay;     /* to be woken after a command; NULL when it is another process' */
} weir_runtime_t;

/* An operation that is one row of a set-based statement: a query for GET, else a command. */
typedef struct {
    const weir_operation_t *operation;
    const char *sql; /* as for weir_batch_new(), with width parameters */
    int width;
    /* Fills in the parameters, which must live as long as the call. */
    void (*bind)(weir_call_t *call, const char **values);
    /* Makes the answer of the row.  After that of a command the relay is woken. */
    weir_call_answer_fn answer;
} weir_endpoint_t;

/*
 * A part of the API: endpoints that share a session; or, for a part that needs more than that, two
 * functions.
 */
typedef struct {
    const char *session;              /* its name, for the log and for PostgreSQL */
    const weir_endpoint_t *endpoints; /* ends with {0}; or NULL, and: */

    /* Opens its sessions, and adds its operations to openapi.  Does not fail. */
    void *(*open)(const weir_runtime_t *runtime);
    /* Requests under way are answered with a 503.  Before weir_http_free(). */
    void (*close)(void *part);
} weir_endpoints_t;

/* A consumer group. */
typedef struct {
    weir_consumer_t consumer; /* without retry_attempts, which are configured, and self */
    /* Makes what the handler works with, its self; NULL with a message.  Or NULL: it has none. */
    void *(*open)(const weir_runtime_t *runtime, char *error, size_t error_size);
    /* After the worker has stopped. */
    void (*close)(void *self);
} weir_group_t;

typedef struct {
    const weir_api_t *api;
    const char *event_source; /* the attribute "source" of its events (CloudEvents) */

    const weir_sql_line_t *sql; /* its tables and functions: weir_sql_NAME of its folder sql/ */

    const weir_endpoints_t *const *endpoints; /* ends with NULL, as does the next */
    const weir_group_t *const *groups;

    /* The configuration: its keys, or NULL, and the size of the struct that they fill in. */
    const weir_config_key_t *keys; /* ends with {0} */
    size_t settings_size;
    const char *retry_attempts; /* default of that key of the engine: "8", or "8, GROUP=20" */
    /* Checks what the kinds of keys cannot.  False with a message.  Or NULL. */
    bool (*check)(const void *settings, const weir_config_t *config, char *error,
                  size_t error_size);
} weir_domain_t;

extern const weir_domain_t weir_domain;

#endif
