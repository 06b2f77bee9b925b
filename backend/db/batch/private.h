/*
 * Shared by batch.c (collecting, sending), part.c (groups that failed because of a lock) and
 * group.c (the requests and their outcomes) and span.c (traces); no other file includes it. batch.c
 * calls part.c, both call group.c, all call span.c.
 */
#ifndef WEIR_BATCH_PRIVATE_H
#define WEIR_BATCH_PRIVATE_H

#include "db/array.h"
#include "db/batch/batch.h"
#include "db/cost/spent.h"
#include "db/summary.h"
#include "metrics/series.h"
#include "trace/tracer.h"

#define WEIR_BATCH_LOCKED "55P03" /* lock_not_available */

typedef struct {
    weir_batch_cb cb; /* NULL: the request has its outcome */
    void *arg;
    uint64_t since_us;      /* weir_clock_us() when it came */
    uint64_t deadline_us;   /* the same clock; 0: none */
    weir_open_span_t span;  /* if its trace is recorded */
    weir_trace_t statement; /* the span of the last statement that had it, if that is recorded */
} weir_batch_request_t;

typedef struct weir_batch_group {
    struct weir_batch_group *next;
    weir_batch_t *batch;
    int count;
    uint64_t sent_us;               /* weir_clock_us() */
    unsigned refs;                  /* one for the batch in flight, one for each part */
    weir_array_t *arrays;           /* width of them: {"a","b" without the closing brace */
    size_t *ends;                   /* where request r ends in array a: [r * width + a] */
    weir_batch_request_t *requests; /* max of them */
} weir_batch_group_t;

typedef struct weir_parts weir_parts_t;

/* Shared by batches of the same statement. */
typedef struct {
    weir_series_t *size, *wait, *duration, *refused, *splits;
} weir_batch_metrics_t;

struct weir_batch {
    weir_db_t *db;
    const char *sql;
    int width, max, limit, in_flight;
    weir_db_summary_t summary;       /* of sql */
    char name[WEIR_DB_WORD_MAX + 1]; /* of the command, for spans */
    weir_batch_metrics_t metrics;
    weir_spent_t *spent;
    int waiting;     /* requests */
    int running;     /* groups */
    bool is_sending; /* send_waiting() runs; it sends what is submitted meanwhile, too */
    weir_batch_group_t *head, **tail;
    weir_batch_group_t *last;
    weir_batch_group_t *spare;
    weir_parts_t *parts; /* created when a group fails for a lock for the first time */
};

/* --- group.c --------------------------------------------------------------------------------- */

/* An empty group, with one reference; the caller puts it into the list. */
weir_batch_group_t *weir_batch_group_new(weir_batch_t *batch);
/* Adds a request to a group that is not full; the values are copied. trace may be NULL. */
void weir_batch_group_add(weir_batch_group_t *group, const weir_trace_t *trace,
                          uint64_t deadline_us, const char *const *values, weir_batch_cb cb,
                          void *arg);
/* Fails the requests of a group that was not sent yet whose deadline has passed, and removes them.
 */
void weir_batch_group_expire(weir_batch_group_t *group, uint64_t now_us);
/*
 * ms until the last deadline of the requests [from, to), at least 1; 0: one of them has none. The
 * time is what a statement for them may take.
 */
unsigned weir_batch_group_bound(const weir_batch_group_t *group, int from, int to, uint64_t now_us);
/* After the last reference the batch keeps the group for the next requests, or frees it. */
void weir_batch_group_unref(weir_batch_group_t *group);
/* NULL is allowed. */
void weir_batch_group_free(weir_batch_group_t *group);

/*
 * Outcomes for those of the requests [from, to) that have none yet: each gets the row with its
 * index.
 */
void weir_batch_group_answer(weir_batch_group_t *group, int from, int to, PGresult *result);
void weir_batch_group_fail(weir_batch_group_t *group, int from, int to, const char *error,
                           const char *sqlstate);

/* --- span.c ---------------------------------------------------------------------------------- */

/* A statement with the requests [from, to) was answered by db. error and sqlstate may be NULL. */
void weir_batch_span_statement(weir_batch_group_t *group, int from, int to, const weir_db_t *db,
                               uint64_t sent_us, const char *error, const char *sqlstate);
/* The request has its outcome. error may be NULL. */
void weir_batch_span_end(const weir_batch_group_t *group, int i, const char *error);

/* --- part.c ---------------------------------------------------------------------------------- */

/* Takes a group that failed because of a lock, and the caller's reference to it. */
void weir_parts_take(weir_batch_group_t *group);
/* Fails the remaining requests. */
void weir_parts_free(weir_parts_t *parts);

#endif
