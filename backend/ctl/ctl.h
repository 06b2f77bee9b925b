/*
 * weirctl: what an operator sees of events and does about them.
 *
 * It asks PostgreSQL, where all truth is, and Redis for its streams; it needs no
 * running weir-backend and talks to none: what it changes there, relay and
 * workers find by themselves.
 *
 * cli.h has the command line.  Answers are JSON values inside; output.c prints
 * them as tables for people or as they are for programs.
 */
#ifndef WEIR_CTL_H
#define WEIR_CTL_H

#include "settings.h"

#include <hiredis/hiredis.h>
#include <jansson.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

/* Exit codes; the help text explains them to users. */
typedef enum {
    WEIR_CTL_OK = 0,
    WEIR_CTL_REFUSED = 1, /* the thing is not there, or the answer is no */
    WEIR_CTL_USAGE = 2,   /* wrong arguments or configuration */
    WEIR_CTL_AWAY = 3     /* PostgreSQL or Redis cannot be reached, or fail */
} weir_ctl_exit_t;

#define WEIR_CTL_WORDS_MAX 2

/* The arguments of one command; absent ones are NULL, false or the default. */
typedef struct {
    bool json;
    bool all, follow, yes, new_group, mend;
    const char *group, *from, *type, *aggregate, *since, *until;
    int partition;    /* -1: none was given */
    int count;        /* of lines */
    int64_t interval; /* ms */
    const char *words[WEIR_CTL_WORDS_MAX];
    int n_words;
} weir_ctl_args_t;

struct weir_ctl_commands;

typedef struct {
    const struct weir_ctl_commands *commands; /* all there are, for the help; see cli.h */
    weir_settings_t settings;
    PGconn *db; /* NULL for commands that need none */
    weir_ctl_args_t args;
} weir_ctl_t;

typedef weir_ctl_exit_t (*weir_ctl_run_t)(weir_ctl_t *ctl);

/* --- arguments.c ----------------------------------------------------------- */

/* "PARTITION/POSITION" into its numbers; false when it is none. */
bool weir_ctl_place(const char *text, int *partition, int64_t *position);

/* --- query.c --------------------------------------------------------------- */

/*
 * Runs one query with text parameters and returns its rows as an array of
 * objects with the columns in their order, to be json_decref()'d by the caller.
 * Ends the program with the server's words when it fails, with WEIR_CTL_USAGE when a value is
 * wrong (SQLSTATE 22xxx), else with WEIR_CTL_AWAY; but for the SQLSTATE expected (may be NULL), at
 * which it returns NULL and *message has the server's words, to be freed.  sql must be one SELECT;
 * its column data, of events, as text.
 */
json_t *weir_ctl_query(weir_ctl_t *ctl, const char *sql, int n, const char *const *values,
                       const char *expected, char **message);
/* The same without an expected error. */
json_t *weir_ctl_rows(weir_ctl_t *ctl, const char *sql, int n, const char *const *values);
/* For statements that are no SELECT. */
void weir_ctl_run(weir_ctl_t *ctl, const char *sql, int n, const char *const *values);

/* False, after a message that names the groups there are, when there is no such group. */
bool weir_ctl_group_exists(weir_ctl_t *ctl, const char *group);

/* --- redis.c ---------------------------------------------------------------- */

/* A connection, for redisFree(), or NULL with what went wrong in error. */
redisContext *weir_ctl_redis(const weir_ctl_t *ctl, char *error, size_t size);
/*
 * Of each partition, in their order, an object with partition, stream_last (the position of the
 * stream's last entry) and stream_length; both are 0 without a stream, and null when Redis does not
 * tell or redis is NULL.  The last reason is in error, which is left alone without one.  To be
 * json_decref()'d.
 *
 * The database is to be asked for the positions afterwards: an event has its position before it
 * gets into its stream, so no stream seems to be ahead because events came between the two looks.
 */
json_t *weir_ctl_streams(weir_ctl_t *ctl, redisContext *redis, char *error, size_t size);

/* --- relay.c ---------------------------------------------------------------- */

/* False, and a line on standard error, when partitions are halted: which, and the command to run.
 */
bool weir_ctl_none_halted(weir_ctl_t *ctl);

/* --- output.c -------------------------------------------------------------- */

/* Writes "weirctl: …" to standard error and returns the code. */
weir_ctl_exit_t weir_ctl_fail(weir_ctl_exit_t code, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * Prints rows: with --json the array, else a table with the keys of the first row
 * as its head, or the words of none when there is no row.
 */
void weir_ctl_print_rows(const weir_ctl_t *ctl, const json_t *rows, const char *none);
/* Prints an object: with --json as it is, else a line for each member. */
void weir_ctl_print_object(const weir_ctl_t *ctl, const json_t *object);
/* One line of a value, for streams of them. */
void weir_ctl_print_line(const json_t *value);
/* Prints a table's row with columns of fixed width, for streams. */
void weir_ctl_print_columns(const json_t *row, const int *widths);

/* --- the commands ------------------------------------------------------------ */

weir_ctl_exit_t weir_ctl_events_tail(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_events_show(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_events_replay(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_relay(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_relay_rebase(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_groups(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_groups_pause(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_groups_resume(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_groups_delete(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_dead_list(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_dead_show(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_dead_replay(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_dead_drop(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_outbox(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_schema_check(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_new_domain(weir_ctl_t *ctl);

#endif
