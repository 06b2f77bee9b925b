/*
 * The interface between the engine and a domain. A domain is a folder that `make DOMAIN=…` names.
 * It has endpoints, consumer groups and keys of the configuration, and defines weir_domain, the
 * name by which main.c and weirctl find them. A second name, weir_domain_commands, is for weirctl
 * alone (ctl/cli.h).
 *
 * The engine includes no header of a domain: this file is the whole interface.
 */
#ifndef WEIR_DOMAIN_H
#define WEIR_DOMAIN_H

#include "api/call.h"
#include "config/config.h"
#include "db/migrate.h"
#include "events/events.h"

#define WEIR_GROUPS_MAX 16
#define WEIR_ENDPOINTS_MAX 32

/* Passed to the parts of a domain. It outlives them. */
typedef struct {
    struct event_base *base;
    const char *database;    /* libpq connection string */
    const char *redis;       /* as in redis/redis.h */
    const void *settings;    /* the domain's struct, with the values of its keys */
    weir_openapi_t *openapi; /* NULL in a process without the role api */
    weir_relay_t *relay;     /* to wake after a command; NULL when another process runs the relay */
} weir_runtime_t;

/*
 * An operation of which each request is one row of a set-based statement: a query for GET, a
 * command for other methods.
 */
typedef struct {
    const weir_operation_t *operation;
    const char *sql; /* as for weir_batch_new(), with width parameters */
    int width;
    /* Sets the parameters. Their texts must live as long as the call. */
    void (*bind)(weir_call_t *call, const char **values);
    /* Answers the request from its row. After the answer to a command the relay is woken. */
    weir_call_answer_fn answer;
} weir_endpoint_t;

/*
 * A part of the API: endpoints that share a session, or two functions for a part with other needs.
 */
typedef struct {
    const char *session;              /* the session's name, for the log and for PostgreSQL */
    const weir_endpoint_t *endpoints; /* ends with {0}; or NULL, and the part has: */

    /* Opens the part's sessions, and adds its operations to openapi. Never fails. */
    void *(*open)(const weir_runtime_t *runtime);
    /* Answers unfinished requests with a 503. Called before weir_http_free(). */
    void (*close)(void *part);
} weir_endpoints_t;

/* A consumer group. */
typedef struct {
    weir_consumer_t
        consumer; /* without self, and without retry_attempts, which the configuration has */
    /*
     * Creates the handler's self; returns NULL with a message on failure. open is NULL if the
     * handler has no self.
     */
    void *(*open)(const weir_runtime_t *runtime, char *error, size_t error_size);
    /* Called after the worker has stopped. */
    void (*close)(void *self);
} weir_group_t;

typedef struct {
    const weir_api_t *api;
    const char *event_source; /* the attribute "source" of its events (CloudEvents) */

    const weir_sql_line_t *sql; /* its tables and functions: weir_sql_NAME, from its folder sql/ */

    const weir_endpoints_t *const *endpoints; /* this list and the next end with NULL */
    const weir_group_t *const *groups;

    /* The keys of the configuration, or NULL, and the size of the struct of their values. */
    const weir_config_key_t *keys; /* ends with {0} */
    size_t settings_size;
    const char
        *retry_attempts; /* default of the engine's key of this name: "8", or "8, GROUP=20" */
    /* Checks rules that the kinds of keys cannot express; returns false with a message. Or NULL. */
    bool (*check)(const void *settings, const weir_config_t *config, char *error,
                  size_t error_size);
} weir_domain_t;

extern const weir_domain_t weir_domain;

#endif
