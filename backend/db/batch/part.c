/*
 * Groups that failed because of a lock: some requests need a row that another transaction has
 * locked, perhaps for hours. A second session sends the group again in halves, and each half that
 * fails for the lock in halves again, until the requests that need the row are alone. These are
 * repeated every RETRY ms, after all other parts, until PATIENCE ms have passed since the group
 * came; then they fail.
 *
 * So the batch's own session is delayed by one lock_timeout per group, and no request waits here
 * longer than PATIENCE and one statement.
 */
#include "db/batch/private.h"

#include "log/alloc.h"
#include "log/clock.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

/* Short: each request here has already waited for a lock once. */
#define LOCK_TIMEOUT "SET lock_timeout = '50ms'"
#define PATIENCE 3000 /* ms */
#define RETRY 200
#define TICK_US 50000

typedef struct part {
    TAILQ_ENTRY(part) link;
    weir_parts_t *parts;
    weir_batch_group_t *group;
    int from, to;        /* its requests: [from, to) */
    uint64_t until;      /* ms: the requests fail after this time */
    uint64_t not_before; /* ms */
    uint64_t sent_us;    /* weir_clock_us() */
} part_t;

TAILQ_HEAD(part_list, part);

struct weir_parts {
    weir_batch_t *batch;
    weir_db_t *db;
    struct event *tick;       /* armed while a part waits */
    struct part_list waiting; /* parts to be sent, in the order of arrival */
    struct part_list locked;  /* single requests that need a locked row, in the order of arrival */
    bool in_flight;
    int requests;
};

static void run(weir_parts_t *p);

static void add(weir_parts_t *p, struct part_list *list, weir_batch_group_t *group, int from,
                int to, uint64_t until, uint64_t not_before)
{
    part_t *part = weir_alloc(sizeof(*part));

    assert(from >= 0 && from < to && to <= group->count);
    *part = (part_t){.parts = p,
                     .group = group,
                     .from = from,
                     .to = to,
                     .until = until,
                     .not_before = not_before};
    group->refs++;
    p->requests += to - from;
    TAILQ_INSERT_TAIL(list, part, link);
}

/* Frees a part that is in no list. */
static void drop(part_t *part)
{
    assert(part->parts->requests >= part->to - part->from);
    part->parts->requests -= part->to - part->from;
    weir_batch_group_unref(part->group);
    free(part);
}

static void fail(part_t *part, const char *error, const char *sqlstate)
{
    weir_batch_group_fail(part->group, part->from, part->to, error, sqlstate);
    drop(part);
}

/* Halves and retries come after younger parts, so the list is not ordered by `until`. */
static void expire(struct part_list *list, uint64_t now)
{
    struct part_list over = TAILQ_HEAD_INITIALIZER(over);
    part_t *part, *next;

    for (part = TAILQ_FIRST(list); part != NULL; part = next) {
        next = TAILQ_NEXT(part, link);
        if (part->until > now)
            continue;
        TAILQ_REMOVE(list, part, link);
        TAILQ_INSERT_TAIL(&over, part, link);
    }
    while ((part = TAILQ_FIRST(&over)) != NULL) {
        TAILQ_REMOVE(&over, part, link);
        fail(part, "a row that the request needs is locked by another transaction",
             WEIR_BATCH_LOCKED);
    }
}

/* --- sending --------------------------------------------------------------------------- */

static void on_answer(PGresult *result, const char *error, const char *sqlstate, void *arg)
{
    part_t *part = arg;
    weir_parts_t *p = part->parts;

    assert(p->in_flight);
    p->in_flight = false;
    weir_batch_span_statement(part->group, part->from, part->to, p->db, part->sent_us, error,
                              sqlstate);
    if (result != NULL) {
        unsigned count = (unsigned)(part->to - part->from);

        weir_spent_add(p->batch->spent, count, count, weir_db_spent_us(p->db));
        weir_batch_group_answer(part->group, part->from, part->to, result);
    } else if (strcmp(sqlstate, WEIR_BATCH_LOCKED) != 0) {
        weir_batch_group_fail(part->group, part->from, part->to, error, sqlstate);
    } else if (part->to - part->from == 1) {
        add(p, &p->locked, part->group, part->from, part->to, part->until, weir_clock_ms() + RETRY);
    } else {
        int middle = part->from + (part->to - part->from) / 2;

        add(p, &p->waiting, part->group, part->from, middle, part->until, 0);
        add(p, &p->waiting, part->group, middle, part->to, part->until, 0);
    }
    drop(part);
    run(p);
}

/* The array literal of requests [from, to); a brace or comma precedes each element. */
static char *literal(const weir_batch_group_t *g, int array, int from, int to)
{
    int width = g->batch->width;
    size_t start = from > 0 ? g->ends[(from - 1) * width + array] : 0;
    size_t len = g->ends[(to - 1) * width + array] - start;
    char *text = weir_alloc(len + 2);

    assert(from >= 0 && from < to && to <= g->count);
    assert(array >= 0 && array < width);
    memcpy(text, g->arrays[array].text + start, len);
    text[0] = '{';
    memcpy(text + len, "}", 2);
    return text;
}

static bool send_part(weir_parts_t *p, part_t *part)
{
    char *values[WEIR_BATCH_WIDTH_MAX];
    int width = p->batch->width;

    assert(!p->in_flight);
    part->sent_us = weir_clock_us();
    for (int i = 0; i < width; i++)
        values[i] = literal(part->group, i, part->from, part->to);
    weir_db_bound(p->db, weir_batch_group_bound(part->group, part->from, part->to, part->sent_us));
    p->in_flight =
        weir_db_query(p->db, p->batch->sql, width, (const char *const *)values, on_answer, part);
    for (int i = 0; i < width; i++)
        free(values[i]);
    return p->in_flight;
}

static void run(weir_parts_t *p)
{
    static const struct timeval tick = {0, TICK_US};
    uint64_t now = weir_clock_ms();
    struct part_list *list = &p->waiting;
    part_t *part;

    expire(&p->waiting, now);
    expire(&p->locked, now);
    part = TAILQ_FIRST(list);
    if (part == NULL) {
        list = &p->locked;
        part = TAILQ_FIRST(list);
    }
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): TAILQ_REMOVE() hides the part */
    if (!p->in_flight && part != NULL && part->not_before <= now && weir_db_is_up(p->db)) {
        TAILQ_REMOVE(list, part, link);
        if (!send_part(p, part))
            fail(part, "the database session is not open", "08003");
    }
    if (!TAILQ_EMPTY(&p->waiting) || !TAILQ_EMPTY(&p->locked))
        evtimer_add(p->tick, &tick);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    run(arg);
}

static void on_db(weir_db_t *db, bool up, void *arg)
{
    (void)db;
    if (up)
        run(arg);
}

/* --- life -------------------------------------------------------------------------------- */

static weir_parts_t *make(weir_batch_t *batch)
{
    weir_parts_t *p = weir_alloc(sizeof(*p));

    p->batch = batch;
    TAILQ_INIT(&p->waiting);
    TAILQ_INIT(&p->locked);
    p->tick = evtimer_new(weir_db_base(batch->db), on_tick, p);
    p->db = weir_db_beside(batch->db, "parts", on_db, p);
    weir_db_begin_with(p->db, LOCK_TIMEOUT);
    return p;
}

void weir_parts_take(weir_batch_group_t *group)
{
    weir_batch_t *batch = group->batch;
    weir_parts_t *p = batch->parts != NULL ? batch->parts : (batch->parts = make(batch));
    int middle = group->count / 2;
    uint64_t now = weir_clock_ms();

    assert(group->count > 0 && group->refs > 0);
    if (p->requests + group->count > batch->limit) {
        weir_batch_group_fail(group, 0, group->count, "too many requests wait for locked rows",
                              WEIR_BATCH_LOCKED);
    } else if (group->count == 1) {
        add(p, &p->locked, group, 0, 1, now + PATIENCE, now);
    } else {
        add(p, &p->waiting, group, 0, middle, now + PATIENCE, 0);
        add(p, &p->waiting, group, middle, group->count, now + PATIENCE, 0);
    }
    weir_batch_group_unref(group);
    run(p);
}

void weir_parts_free(weir_parts_t *p)
{
    if (p == NULL)
        return;
    weir_db_free(p->db);
    for (struct part_list *list = &p->waiting;; list = &p->locked) {
        part_t *part;

        while ((part = TAILQ_FIRST(list)) != NULL) {
            TAILQ_REMOVE(list, part, link);
            fail(part, "session closed", "08006");
        }
        if (list == &p->locked)
            break;
    }
    event_free(p->tick);
    free(p);
}
