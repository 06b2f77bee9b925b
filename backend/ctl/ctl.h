/*
 * weirctl: shows operators the state of events, and changes it.
 *
 * It queries PostgreSQL, which has all durable state, and Redis for its streams. It does not need a
 * running weir-backend: relay and workers read the changes from PostgreSQL. Only "top" asks a
 * backend, for its metrics; "trace" and "top" need no database.
 *
 * cli.h describes commands and options. Results are JSON values; output.c prints them as tables, or
 * with --json as JSON.
 */
#ifndef WEIR_CTL_H
#define WEIR_CTL_H

#include "settings.h"

#include <jansson.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

/* Exit codes; the help text explains them to users. */
typedef enum {
    WEIR_CTL_OK = 0,
    WEIR_CTL_REFUSED = 1, /* the object does not exist, or the answer is no */
    WEIR_CTL_USAGE = 2,   /* wrong arguments or configuration */
    WEIR_CTL_AWAY = 3     /* PostgreSQL, Redis or a URL cannot be reached, or has failed */
} weir_ctl_exit_t;

#define WEIR_CTL_WORDS_MAX 2

/* The arguments of one command; missing ones are NULL, false or the default. */
typedef struct {
    bool json;
    bool all, follow, yes, new_group, mend;
    const char *group, *from, *type, *aggregate, *since, *until;
    const char *listen, *file, *url, *backend, *window;
    const char *key, *heads, *operation, *object, *subject;
    const char *exp, *before, *passwords;
    const char *folder, *reload, *tls, *allow;
    const char *for_time, *edge, *zone;
    bool slow, errors, once, commands, keep_default, fleet;
    int partition;    /* -1: not given */
    int count;        /* of lines */
    int limit;        /* MiB; 0: not given */
    int oldest;       /* partition of the audit log; 0: not given */
    int days;         /* 0: not given */
    int64_t interval; /* ms */
    int64_t wait;     /* ms; -1: not given */
    int64_t overlap;  /* ms; -1: not given */
    const char *words[WEIR_CTL_WORDS_MAX];
    int n_words;
} weir_ctl_args_t;

struct weir_ctl_commands;

typedef struct {
    const struct weir_ctl_commands *commands; /* all commands, for the help; see cli.h */
    weir_settings_t settings;
    const char *database; /* the connection string: that of settings for weirctl */
    PGconn *db;           /* NULL for commands that need none */
    weir_ctl_args_t args;
} weir_ctl_t;

typedef weir_ctl_exit_t (*weir_ctl_run_t)(weir_ctl_t *ctl);

/* --- query.c --------------------------------------------------------------- */

/*
 * Runs one query with text parameters. Returns its rows as an array of objects with the columns in
 * their order; the caller must json_decref() it. On an error exits with the server's message: with
 * WEIR_CTL_USAGE when a value is wrong (SQLSTATE 22xxx), otherwise with WEIR_CTL_AWAY. For the
 * SQLSTATE expected (may be NULL) it returns NULL instead, and *message has the server's message,
 * which the caller frees. sql must be one SELECT; a column data of events must be text.
 */
json_t *weir_ctl_query(weir_ctl_t *ctl, const char *sql, int n, const char *const *values,
                       const char *expected, char **message);
/* The same without an expected error. */
json_t *weir_ctl_rows(weir_ctl_t *ctl, const char *sql, int n, const char *const *values);
/* For statements other than SELECT. */
void weir_ctl_run(weir_ctl_t *ctl, const char *sql, int n, const char *const *values);

/* True when the group exists. Otherwise prints a message with the existing groups. */
bool weir_ctl_group_exists(weir_ctl_t *ctl, const char *group);

/*
 * Who runs weirctl, for the audit log, as audit_put() takes it: the user of the operating system,
 * by the real user id. A constant text.
 */
const char *weir_ctl_caller(const weir_ctl_t *ctl);

/* --- output.c -------------------------------------------------------------- */

/* Writes "weirctl: …" to standard error and returns the code. */
weir_ctl_exit_t weir_ctl_fail(weir_ctl_exit_t code, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * Prints rows: with --json as an array, otherwise as a table with the keys of the first row as its
 * head. Prints the text none when there is no row.
 */
void weir_ctl_print_rows(const weir_ctl_t *ctl, const json_t *rows, const char *none);
/* Prints an object: with --json as JSON, otherwise a line for each member. */
void weir_ctl_print_object(const weir_ctl_t *ctl, const json_t *object);
/* Prints a value in one line, for streams of values. */
void weir_ctl_print_line(const json_t *value);
/* Prints a row with columns of fixed width, for streams of rows. */
void weir_ctl_print_columns(const json_t *row, const int *widths);

#endif
