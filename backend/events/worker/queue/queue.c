#include "events/worker/queue/queue.h"

#include "events/worker/queue/delays.h"
#include "events/worker/queue/positions.h"
#include "log/alloc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define BUCKETS 1024  /* of the table of aggregates; a power of two */
#define KINDS 2       /* of weir_queue_kind_t */
#define REREAD_MAX 64 /* lines that wait to be read again while others stay aside */

/*
 * All events of a line that is ASIDE or EMPTY are parked: the line waits for a time (ASIDE), or for
 * its events to be read again (EMPTY). IDLE is the state between two others, within a call.
 */
typedef enum { IDLE, READY, WAITING, TAKEN, ASIDE, EMPTY } line_state_t;

/* The events of one aggregate. */
struct weir_line {
    struct weir_line *chain; /* in its bucket */
    TAILQ_ENTRY(weir_line) link;
    line_state_t state;
    weir_queue_kind_t kind;
    uint64_t at; /* WAITING or ASIDE until */
    weir_item_t *first, *last;
    unsigned count;
    int64_t parked;      /* the first parked position; 0: none */
    int64_t last_parked; /* the last parked position */
    int64_t again;       /* the first of the positions that were parked while the line is EMPTY */
    char aggregate[];
};

TAILQ_HEAD(lines, weir_line);

/* Lines that are WAITING or ASIDE: a heap with the earliest time on top. */
typedef struct {
    weir_line_t **lines;
    size_t count, cap;
} heap_t;

struct weir_queue {
    unsigned line_max;
    size_t waiting_max;
    void (*release)(void *payload);
    weir_positions_t positions;
    weir_line_t *buckets[BUCKETS];
    struct lines ready[KINDS];
    struct lines empty;
    heap_t waiting[KINDS];
    weir_delays_t delays; /* of events that are not in memory yet */
    size_t count, taken;
    size_t held;    /* events of lines that are WAITING */
    size_t aside;   /* lines that are ASIDE or EMPTY */
    size_t empties; /* lines that are EMPTY */
};

static uint64_t arrivals;

/* --- positions ------------------------------------------------------------------- */

int64_t weir_queue_unseen(const weir_queue_t *q)
{
    return q->positions.unseen;
}

int64_t weir_queue_low(const weir_queue_t *q)
{
    return q->positions.low;
}

void weir_queue_mark(weir_queue_t *q, int64_t position)
{
    if (position > q->positions.low)
        weir_positions_see(&q->positions, position);
}

void weir_queue_handled(weir_queue_t *q, int64_t handled)
{
    weir_positions_handled(&q->positions, handled);
}

bool weir_queue_wants(const weir_queue_t *q, int64_t position)
{
    return weir_positions_wants(&q->positions, position);
}

/* --- lines --------------------------------------------------------------------- */

static size_t bucket(const char *aggregate)
{
    uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */

    assert(aggregate != NULL);
    for (; *aggregate != '\0'; aggregate++)
        h = (h ^ (unsigned char)*aggregate) * UINT64_C(1099511628211);
    return h % BUCKETS;
}

static weir_line_t *line_of(weir_queue_t *q, const char *aggregate)
{
    weir_line_t **head = &q->buckets[bucket(aggregate)], *line = *head;
    size_t size = strlen(aggregate) + 1;

    while (line != NULL && strcmp(line->aggregate, aggregate) != 0)
        line = line->chain;
    if (line == NULL) {
        line = weir_alloc(sizeof(*line) + size);
        memcpy(line->aggregate, aggregate, size);
        line->chain = *head;
        *head = line;
    }
    return line;
}

static void drop_line(weir_queue_t *q, weir_line_t *line)
{
    weir_line_t **p = &q->buckets[bucket(line->aggregate)];

    assert(line->state == IDLE && line->first == NULL && line->parked == 0);
    while (*p != line)
        p = &(*p)->chain;
    *p = line->chain;
    free(line);
}

/* --- waiting -------------------------------------------------------------------- */

static void push(weir_queue_t *q, weir_line_t *line, uint64_t at)
{
    heap_t *heap = &q->waiting[line->kind];
    size_t n = heap->count++;

    assert(line->state == WAITING || line->state == ASIDE);
    if (n == heap->cap) {
        heap->cap = n > 0 ? n * 2 : 64;
        heap->lines = weir_alloc_resize(heap->lines, heap->cap, sizeof(weir_line_t *));
    }
    line->at = at;
    for (; n > 0 && heap->lines[(n - 1) / 2]->at > at; n = (n - 1) / 2)
        heap->lines[n] = heap->lines[(n - 1) / 2];
    heap->lines[n] = line;
}

/* True while the first line is ASIDE, and enough lines wait to be read again. */
static bool is_held_back(const weir_queue_t *q, const heap_t *heap)
{
    return heap->lines[0]->state == ASIDE && q->empties >= REREAD_MAX;
}

/* Removes and returns the first line whose time has come; or NULL. */
static weir_line_t *pop(weir_queue_t *q, heap_t *heap, uint64_t now)
{
    weir_line_t **w = heap->lines, *first, *last;
    size_t n = 0, child;

    if (heap->count == 0 || w[0]->at > now || is_held_back(q, heap))
        return NULL;
    first = w[0];
    last = w[--heap->count];
    while ((child = 2 * n + 1) < heap->count) {
        if (child + 1 < heap->count && w[child + 1]->at < w[child]->at)
            child++;
        if (w[child]->at >= last->at)
            break;
        w[n] = w[child];
        n = child;
    }
    w[n] = last;
    return first;
}

static void note_parked(weir_queue_t *q, weir_line_t *line, int64_t position)
{
    if (line->parked == 0 || position < line->parked)
        line->parked = position;
    if (position > line->last_parked)
        line->last_parked = position;
    weir_positions_park(&q->positions, position);
}

static void park(weir_queue_t *q, weir_line_t *line, int64_t position)
{
    note_parked(q, line, position);
    if (line->state == EMPTY && (line->again == 0 || position < line->again))
        line->again = position;
}

static weir_item_t *take_first(weir_queue_t *q, weir_line_t *line)
{
    weir_item_t *item = line->first;

    assert(line->count <= q->count);
    assert(item != NULL && line->count > 0 && q->count > 0);
    line->first = item->next;
    if (line->first == NULL)
        line->last = NULL;
    line->count--;
    q->count--;
    return item;
}

static void free_item(weir_queue_t *q, weir_item_t *item)
{
    q->release(item->payload);
    free(item);
}

/* Makes the line wait until `at`. Its events are dropped from memory if too many events wait. */
static void wait_until(weir_queue_t *q, weir_line_t *line, uint64_t at)
{
    if (q->held + line->count <= q->waiting_max) {
        line->state = WAITING;
        q->held += line->count;
    } else {
        while (line->first != NULL) {
            weir_item_t *item = take_first(q, line);

            note_parked(q, line, item->position);
            free_item(q, item);
        }
        line->state = ASIDE;
        q->aside++;
    }
    push(q, line, at);
}

static void make_empty(weir_queue_t *q, weir_line_t *line)
{
    assert(line->first == NULL && line->parked != 0 && q->aside > q->empties);
    line->state = EMPTY;
    q->empties++;
    TAILQ_INSERT_TAIL(&q->empty, line, link);
}

/* Makes the first event of a line ready, at once or, if it has failed before, at the time `at`. */
static void start(weir_queue_t *q, weir_line_t *line, uint64_t at)
{
    assert(line->state == IDLE && line->first != NULL);
    if (at > 0) {
        line->kind = WEIR_QUEUE_FAILED;
        wait_until(q, line, at);
    } else {
        line->state = READY;
        TAILQ_INSERT_TAIL(&q->ready[line->kind], line, link);
    }
}

void weir_queue_delay(weir_queue_t *q, int64_t position, uint64_t at)
{
    if (position > q->positions.low)
        weir_delays_put(&q->delays, position, at);
}

weir_queue_result_t weir_queue_add(weir_queue_t *q, int64_t position, const char *aggregate,
                                   void *payload)
{
    weir_line_t *line;
    weir_item_t *item;
    int64_t turn;
    bool is_first;
    uint64_t at;

    assert(aggregate != NULL);
    if (!weir_queue_wants(q, position))
        return WEIR_QUEUE_KNOWN;
    if (position > q->positions.unseen || position - q->positions.low >= WEIR_QUEUE_WINDOW)
        return WEIR_QUEUE_GAP;

    line = line_of(q, aggregate);
    /*
     * A line is read again from its first parked position. The result may lack events that were
     * parked after the query: from these on the line stays parked.
     */
    turn = line->state == EMPTY ? line->parked + 1 : line->parked;
    if (line->count >= q->line_max || line->state == ASIDE ||
        (line->parked != 0 && position >= turn) ||
        (line->state == WAITING && q->held >= q->waiting_max)) {
        park(q, line, position);
        return WEIR_QUEUE_PARKED;
    }
    if (line->state == EMPTY) {
        TAILQ_REMOVE(&q->empty, line, link);
        q->empties--;
        q->aside--;
        line->state = IDLE;
        line->parked = line->again;
        line->again = 0;
    }

    is_first = line->first == NULL;
    at = is_first ? weir_delays_take(&q->delays, position) : 0;
    if (at > 0 && q->held >= q->waiting_max) {
        park(q, line, position);
        line->state = ASIDE;
        line->kind = WEIR_QUEUE_FAILED;
        q->aside++;
        push(q, line, at);
        return WEIR_QUEUE_PARKED;
    }

    weir_positions_see(&q->positions, position);
    item = weir_alloc(sizeof(*item));
    *item =
        (weir_item_t){.position = position, .payload = payload, .order = ++arrivals, .line = line};
    q->count++;
    line->count++;
    if (line->last != NULL)
        line->last->next = item;
    else
        line->first = item;
    line->last = item;
    if (line->state == WAITING)
        q->held++;
    if (is_first)
        start(q, line, at);
    return WEIR_QUEUE_ADDED;
}

static weir_item_t *take(weir_queue_t *q, weir_line_t *line)
{
    assert(line->state == WAITING || line->state == READY);
    assert(line->first != NULL && q->held >= (line->state == WAITING ? line->count : 0));
    if (line->state == WAITING)
        q->held -= line->count;
    else
        TAILQ_REMOVE(&q->ready[line->kind], line, link);
    line->state = TAKEN;
    q->taken++;
    return line->first;
}

static weir_line_t *take_due(weir_queue_t *q, uint64_t now, weir_queue_kind_t kind)
{
    weir_line_t *line;

    while ((line = pop(q, &q->waiting[kind], now)) != NULL && line->state == ASIDE)
        make_empty(q, line);
    return line;
}

weir_item_t *weir_queue_take(weir_queue_t *q, uint64_t now, weir_queue_kind_t kind)
{
    weir_line_t *line = take_due(q, now, kind);

    if (line == NULL)
        line = TAILQ_FIRST(&q->ready[kind]);
    return line != NULL ? take(q, line) : NULL;
}

weir_item_t *weir_queue_take_newest(weir_queue_t *q, uint64_t now)
{
    weir_line_t *line = TAILQ_LAST(&q->ready[WEIR_QUEUE_FRESH], lines);

    if (line == NULL)
        line = take_due(q, now, WEIR_QUEUE_FRESH);
    return line != NULL ? take(q, line) : NULL;
}

uint64_t weir_queue_newest(const weir_queue_t *q, uint64_t now)
{
    const weir_line_t *line = TAILQ_LAST(&q->ready[WEIR_QUEUE_FRESH], lines);

    if (line == NULL)
        return weir_queue_next(q, WEIR_QUEUE_FRESH) <= now;
    return line->first->order;
}

void weir_queue_return(weir_queue_t *q, weir_item_t *item)
{
    weir_line_t *line = item->line;
    const weir_line_t *last = TAILQ_LAST(&q->ready[line->kind], lines);

    assert(line->state == TAKEN && line->first == item && q->taken > 0);
    q->taken--;
    line->state = READY;
    if (last != NULL && last->first->order < item->order)
        TAILQ_INSERT_TAIL(&q->ready[line->kind], line, link);
    else
        TAILQ_INSERT_HEAD(&q->ready[line->kind], line, link);
}

uint64_t weir_queue_next(const weir_queue_t *q, weir_queue_kind_t kind)
{
    const heap_t *heap = &q->waiting[kind];

    if (!TAILQ_EMPTY(&q->ready[kind]))
        return 0;
    return heap->count > 0 && !is_held_back(q, heap) ? heap->lines[0]->at : UINT64_MAX;
}

weir_queue_kind_t weir_queue_kind(const weir_item_t *item)
{
    assert(item->line->state == TAKEN);
    return item->line->kind;
}

void weir_queue_done(weir_queue_t *q, weir_item_t *item)
{
    weir_line_t *line = item->line;

    assert(line->state == TAKEN && line->first == item && q->taken > 0);
    q->taken--;
    free_item(q, take_first(q, line));
    line->state = IDLE;
    line->kind = WEIR_QUEUE_FRESH;
    if (line->first != NULL) {
        start(q, line, weir_delays_take(&q->delays, line->first->position));
    } else if (line->parked != 0) {
        q->aside++;
        make_empty(q, line);
    } else {
        drop_line(q, line);
    }
}

void weir_queue_retry(weir_queue_t *q, weir_item_t *item, uint64_t at)
{
    assert(item->line->state == TAKEN && item->line->first == item && q->taken > 0);
    q->taken--;
    wait_until(q, item->line, at);
}

void weir_queue_fail(weir_queue_t *q, weir_item_t *item, uint64_t at)
{
    item->line->kind = WEIR_QUEUE_FAILED;
    weir_queue_retry(q, item, at);
}

const char *weir_queue_reread(const weir_queue_t *q, int64_t *from, int64_t *to)
{
    const weir_line_t *line = TAILQ_FIRST(&q->empty);

    if (line == NULL)
        return NULL;
    *from = line->parked;
    *to = line->last_parked;
    return line->aggregate;
}

/* --- the rest -------------------------------------------------------------------- */

weir_queue_t *weir_queue_new(int64_t handled, unsigned line_max, size_t waiting_max,
                             void (*release)(void *payload))
{
    weir_queue_t *q = weir_alloc(sizeof(*q));

    assert(line_max > 0 && release != NULL);
    weir_positions_init(&q->positions, handled);
    q->line_max = line_max;
    q->waiting_max = waiting_max;
    q->release = release;
    for (size_t i = 0; i < KINDS; i++)
        TAILQ_INIT(&q->ready[i]);
    TAILQ_INIT(&q->empty);
    return q;
}

void weir_queue_free(weir_queue_t *q)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        while (q->buckets[i] != NULL) {
            weir_line_t *line = q->buckets[i];

            q->buckets[i] = line->chain;
            while (line->first != NULL)
                free_item(q, take_first(q, line));
            free(line);
        }
    }
    weir_delays_clear(&q->delays);
    for (size_t i = 0; i < KINDS; i++)
        free(q->waiting[i].lines);
    weir_positions_clear(&q->positions);
    free(q);
}

size_t weir_queue_count(const weir_queue_t *q)
{
    return q->count;
}

size_t weir_queue_aside(const weir_queue_t *q)
{
    return q->aside;
}

bool weir_queue_has_lost(const weir_queue_t *q)
{
    return q->count == 0 && q->aside == 0 && q->positions.low + 1 < q->positions.unseen &&
           weir_positions_is_parked(&q->positions, q->positions.low + 1);
}
