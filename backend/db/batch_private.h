/*
 * What batch.c (gathering, sending) and part.c (what a lock holds up) share; nobody else includes it.
 */
#ifndef WEIR_BATCH_PRIVATE_H
#define WEIR_BATCH_PRIVATE_H

#include "db/batch.h"

#define WEIR_BATCH_LOCKED "55P03" /* lock_not_available */

typedef struct {
    char *text;
    size_t len, cap;
} weir_batch_array_t;

typedef struct {
    weir_batch_cb cb; /* NULL: it has its outcome */
    void *arg;
} weir_batch_request_t;

typedef struct weir_batch_group {
    struct weir_batch_group *next;
    weir_batch_t *batch;
    int count;
    unsigned refs;                  /* the batch in flight, and each part */
    weir_batch_array_t *arrays;     /* width of them: {"a","b" without the closing brace */
    size_t *ends;                   /* where request r ends in array a: [r * width + a] */
    weir_batch_request_t *requests; /* max of them */
} weir_batch_group_t;

typedef struct weir_parts weir_parts_t;

struct weir_batch {
    weir_db_t *db;
    const char *sql;
    int width, max, limit, in_flight;
    int waiting; /* requests */
    int running; /* groups */
    weir_batch_group_t *head, **tail;
    weir_batch_group_t *last;
    weir_batch_group_t *spare;
    weir_parts_t *parts; /* made when a lock holds a group up for the first time */
};

/* --- batch.c: outcomes for the requests [from, to) of a group that have none yet ---------- */

void weir_batch_answer(weir_batch_group_t *group, int from, int to, PGresult *result);
void weir_batch_fail(weir_batch_group_t *group, int from, int to, const char *error,
                     const char *sqlstate);
void weir_batch_unref(weir_batch_group_t *group);

/* --- part.c ---------------------------------------------------------------------------------- */

/* Takes over a group that a lock has held up; the caller's reference becomes the part's. */
void weir_parts_take(weir_batch_group_t *group);
/* Fails what is left. */
void weir_parts_free(weir_parts_t *parts);

#endif
