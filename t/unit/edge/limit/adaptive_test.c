// needs: ngx_module/limit/slots/adaptive.c
/*
 * An adaptive limit before a simulated upstream with servers and a queue of its own, in simulated
 * time. Requests that find no slot wait 100 ms in a queue of 50, the newest first.
 */
#include "limit/slots/adaptive.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define EVENTS 4096
#define QUEUE 50
#define WAIT 100.0 /* ms */

typedef struct {
    double at;
    double began; /* ms: it got its slot; < 0: an arrival */
} event_t;

static event_t heap[EVENTS];
static int events;

typedef struct {
    double servers, service; /* ms */
    bool exponential;        /* else within 20% around it */
    double load;             /* share of the capacity */
} upstream_t;

typedef struct {
    double goodput; /* share of the capacity */
    double limit;   /* mean */
    uint64_t refused;
} result_t;

static struct {
    weir_adaptive_t adaptive;
    double now, inside[EVENTS], waiting[QUEUE];
    int head, tail, busy, in_use, waits;
    uint64_t random, done, refused;
} sim;

static void push(event_t event)
{
    int i = events++;

    assert_true(events < EVENTS);
    for (; i > 0 && heap[(i - 1) / 2].at > event.at; i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = event;
}

static event_t pop(void)
{
    event_t first = heap[0], last = heap[--events];
    int i = 0;

    for (int c = 1; c < events; c = 2 * i + 1) {
        c += c + 1 < events && heap[c + 1].at < heap[c].at;
        if (last.at <= heap[c].at)
            break;
        heap[i] = heap[c];
        i = c;
    }
    heap[i] = last;

    return first;
}

/* Above 0 and below 1 (xorshift64). */
static double fraction(void)
{
    sim.random ^= sim.random << 13;
    sim.random ^= sim.random >> 7;
    sim.random ^= sim.random << 17;

    return ((double)(sim.random >> 11) + 0.5) / 9007199254740992.0;
}

static void serve(const upstream_t *up, double began)
{
    double took = up->exponential ? -log(fraction()) : 0.8 + 0.4 * fraction();

    sim.busy++;
    push((event_t){sim.now + up->service * took, began});
}

static void pass(const upstream_t *up)
{
    sim.in_use++;
    if (sim.busy < up->servers) {
        serve(up, sim.now);
    } else {
        sim.inside[sim.tail] = sim.now;
        sim.tail = (sim.tail + 1) % EVENTS;
    }
}

static void expire(void)
{
    int kept = 0;

    for (int i = 0; i < sim.waits; i++)
        if (sim.now - sim.waiting[i] <= WAIT)
            sim.waiting[kept++] = sim.waiting[i];
    sim.refused += (uint64_t)(sim.waits - kept);
    sim.waits = kept;
}

static void arrive(const upstream_t *up)
{
    push((event_t){sim.now - log(fraction()) * up->service / (up->load * up->servers), -1});

    if ((uint32_t)sim.in_use >= weir_adaptive_limit(&sim.adaptive))
        weir_adaptive_reached(&sim.adaptive, (uint32_t)sim.in_use);

    expire();
    if ((uint32_t)sim.in_use < weir_adaptive_limit(&sim.adaptive))
        pass(up);
    else if (sim.waits < QUEUE)
        sim.waiting[sim.waits++] = sim.now;
    else
        sim.refused++;
}

static void complete(const upstream_t *up, double began)
{
    sim.done++;
    sim.busy--;
    weir_adaptive_sample(&sim.adaptive, (uint32_t)((sim.now - began) * 1000), (uint32_t)sim.in_use,
                         (uint64_t)sim.now + 1);
    sim.in_use--;

    if (sim.head != sim.tail && sim.busy < up->servers) {
        double next = sim.inside[sim.head];

        sim.head = (sim.head + 1) % EVENTS;
        serve(up, next);
    }

    expire();
    while (sim.waits > 0 && (uint32_t)sim.in_use < weir_adaptive_limit(&sim.adaptive)) {
        sim.waits--;
        pass(up);
    }
}

static void start(const upstream_t *up, uint64_t seed)
{
    memset(&sim, 0, sizeof(sim));
    events = 0;
    sim.random = seed * 0x9e3779b97f4a7c15;
    weir_adaptive_init(&sim.adaptive, 10, 1000, seed);
    arrive(up);
}

/* So many seconds with an upstream. */
static result_t run(const upstream_t *up, double seconds)
{
    double end = sim.now + 1000 * seconds, sum = 0, next = sim.now;
    uint64_t done = sim.done, refused = sim.refused;
    int n = 0;

    while (sim.now < end) {
        event_t event = pop();

        sim.now = event.at;
        if (event.began < 0)
            arrive(up);
        else
            complete(up, event.began);

        for (; next < sim.now; next += 10, n++)
            sum += weir_adaptive_limit(&sim.adaptive);
    }

    return (result_t){
        (double)(sim.done - done) / (1000 * seconds) / (up->servers / up->service),
        sum / n,
        sim.refused - refused,
    };
}

static const upstream_t upstreams[] = {
    {20, 10, false, 0}, {100, 50, false, 0}, {50, 5, false, 0}, {400, 100, false, 0},
    {20, 10, true, 0},  {100, 50, true, 0},  {50, 5, true, 0},  {400, 100, true, 0},
};

#define UPSTREAMS (sizeof(upstreams) / sizeof(upstreams[0]))

static upstream_t with_load(size_t i, double load)
{
    upstream_t up = upstreams[i];

    up.load = load;

    return up;
}

/* Within 20% of the best fixed limit, or a few requests. */
static void assert_fits(double limit, const upstream_t *up)
{
    assert_true(limit >= 0.8 * up->servers);
    assert_true(limit <= fmax(1.2 * up->servers, up->servers + 5));
}

static void nothing_is_refused_below_capacity(void **state)
{
    (void)state;
    for (size_t i = 0; i < UPSTREAMS; i++) {
        upstream_t up = with_load(i, 0.8);
        result_t result;

        start(&up, i + 1);
        result = run(&up, 600);
        assert_int_equal(result.refused, 0);
    }
}

/* The best fixed limit is the number of servers. */
static void under_overload_the_limit_is_that_of_the_upstream(void **state)
{
    (void)state;
    for (size_t i = 0; i < UPSTREAMS; i++) {
        upstream_t calm = with_load(i, 0.5), storm = with_load(i, 5);
        result_t result;

        start(&calm, i + 1);
        (void)run(&calm, 20);
        result = run(&storm, 10);
        assert_true(result.goodput >= 0.95);
        result = run(&storm, 50);
        assert_true(result.goodput >= 0.95);
        assert_fits(result.limit, &storm);
    }
}

static void the_limit_follows_when_the_upstream_halves(void **state)
{
    (void)state;
    for (size_t i = 0; i < UPSTREAMS; i++) {
        for (int slower = 0; slower < 2; slower++) {
            upstream_t calm = with_load(i, 0.5), storm = with_load(i, 2), half = storm;
            result_t result;

            start(&calm, i + 1);
            (void)run(&calm, 20);
            (void)run(&storm, 20);
            if (slower)
                half.service *= 2;
            else
                half.servers /= 2;
            half.load *= 2;
            (void)run(&half, 20);
            result = run(&half, 20);
            assert_true(result.goodput >= 0.95);
            assert_fits(result.limit, &half);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_refused_below_capacity),
        cmocka_unit_test(under_overload_the_limit_is_that_of_the_upstream),
        cmocka_unit_test(the_limit_follows_when_the_upstream_halves),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
