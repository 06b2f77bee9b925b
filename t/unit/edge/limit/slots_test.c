// needs: ngx_module/limit/slots/slots.c ngx_module/limit/slots/slots_repair.c
// needs: ngx_module/limit/slots/slots_leave.c ngx_module/limit/slots/slots_queue.c
// needs: ngx_module/limit/slots/slots_ticket.c ngx_module/limit/slots/slots_key.c
// needs: ngx_module/limit/slots/slots_source.c ngx_module/limit/slots/adaptive.c
#include "limit/slots/slots.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MEMORY (128 * 1024)

static char memory[MEMORY] __attribute__((aligned(64)));
static weir_slots_t *slots;
static weir_slots_settings_t settings;
static weir_slots_wakes_t wakes;
static uint64_t now;

/* What a test says about the next request. */
static weir_slots_request_t request;

static int set_up(void **state)
{
    (void)state;
    slots = weir_slots_init(memory, sizeof(memory));
    now = 1000000;
    settings = (weir_slots_settings_t){.concurrent = 2, .queue = 3, .wait = 100};
    request = (weir_slots_request_t){.key = WEIR_STR("a"),
                                     .hash = 1,
                                     .settings = &settings,
                                     .configuration = 1,
                                     .urgency = 3,
                                     .may_wait = true};

    return slots ? 0 : -1;
}

static weir_slots_result_t enter(void *owner, weir_slots_handle_t *handle)
{
    weir_slots_result_t result;

    wakes = (weir_slots_wakes_t){0};
    request.owner = owner;
    weir_slots_begin(slots, now);
    result = weir_slots_enter(slots, &request, now, handle, &wakes);
    weir_slots_end(slots);
    assert_true(weir_slots_check(slots));

    return result;
}

static void leave(weir_slots_handle_t handle)
{
    wakes = (weir_slots_wakes_t){0};
    weir_slots_begin(slots, now);
    weir_slots_leave(slots, handle, WEIR_SLOTS_USED, 0, now, &wakes);
    weir_slots_end(slots);
    assert_true(weir_slots_check(slots));
}

static void *news(uint16_t seat, weir_slots_state_t *state)
{
    weir_slots_handle_t handle;
    void *owner = weir_slots_news(slots, seat, state, &handle);

    assert_true(weir_slots_check(slots));

    return owner;
}

static weir_slots_key_t *key(void)
{
    return weir_slots_find(slots, WEIR_STR("a"), 1);
}

static void slots_are_given_up_to_the_limit_and_then_in_turn(void **state)
{
    weir_slots_handle_t h[6];
    weir_slots_state_t s;
    int owner[6];

    (void)state;
    assert_int_equal(enter(&owner[0], &h[0]), WEIR_SLOTS_ADMITTED);
    assert_int_equal(enter(&owner[1], &h[1]), WEIR_SLOTS_ADMITTED);
    for (int i = 2; i < 5; i++)
        assert_int_equal(enter(&owner[i], &h[i]), WEIR_SLOTS_QUEUED);
    assert_int_equal(enter(&owner[5], &h[5]), WEIR_SLOTS_REFUSED);
    assert_int_equal(key()->counts.refused[WEIR_SLOTS_BY_FULL], 1);

    leave(h[0]);
    assert_int_equal(wakes.n, 1);
    assert_ptr_equal(news(0, &s), &owner[2]);
    assert_int_equal(s, WEIR_SLOTS_HELD);
    assert_null(news(0, &s));

    leave(h[3]);
    leave(h[1]);
    assert_ptr_equal(news(0, &s), &owner[4]);
    leave(h[2]);
    leave(h[4]);
    assert_int_equal(key()->in_use + key()->waiting, 0);
    assert_int_equal(slots->used_tickets, 0);
}

static void a_handle_fits_no_later_ticket(void **state)
{
    weir_slots_handle_t old, h;

    (void)state;
    assert_int_equal(enter(NULL, &old), WEIR_SLOTS_ADMITTED);
    leave(old);
    assert_int_equal(enter(NULL, &h), WEIR_SLOTS_ADMITTED);
    leave(old);
    assert_int_equal(key()->in_use, 1);
}

static void a_slot_that_nobody_took_up_goes_to_the_next(void **state)
{
    weir_slots_handle_t h[4];
    weir_slots_state_t s;
    int owner[4];

    (void)state;
    settings.concurrent = 1;
    for (int i = 0; i < 3; i++)
        (void)enter(&owner[i], &h[i]);
    leave(h[0]);
    leave(h[1]); /* granted, and its client has left */
    assert_ptr_equal(news(0, &s), &owner[2]);
    assert_null(news(0, &s));
}

static void one_source_cannot_keep_others_waiting(void **state)
{
    weir_slots_handle_t h[8];
    weir_slots_state_t s;
    int owner[8];

    (void)state;
    settings.queue = 5;
    request.source = 7;
    for (int i = 0; i < 6; i++)
        (void)enter(&owner[i], &h[i]);
    request.source = 8;
    (void)enter(&owner[6], &h[6]);
    leave(h[0]);
    assert_ptr_equal(news(0, &s), &owner[6]);
    leave(h[1]);
    assert_ptr_equal(news(0, &s), &owner[2]);
}

static void a_full_queue_gives_up_one_of_the_source_with_most(void **state)
{
    weir_slots_handle_t h[8];
    weir_slots_state_t s;
    int owner[8];

    (void)state;
    request.source = 7;
    for (int i = 0; i < 5; i++)
        (void)enter(&owner[i], &h[i]);
    assert_int_equal(enter(&owner[5], &h[5]), WEIR_SLOTS_REFUSED);
    request.source = 8;
    assert_int_equal(enter(&owner[6], &h[6]), WEIR_SLOTS_QUEUED);
    assert_ptr_equal(news(0, &s), &owner[4]);
    assert_int_equal(s, WEIR_SLOTS_SHED);
    leave(h[4]); /* has ended already */
    assert_int_equal(key()->waiting, 3);
}

static void the_least_urgent_is_given_up_first_and_served_last(void **state)
{
    weir_slots_handle_t h[8];
    weir_slots_state_t s;
    int owner[8];

    (void)state;
    for (int i = 0; i < 8; i++)
        owner[i] = i;
    (void)enter(&owner[0], &h[0]);
    (void)enter(&owner[1], &h[1]);
    for (int i = 2; i < 5; i++) {
        request.urgency = (uint8_t)(i == 3 ? 6 : 4);
        request.source = (uint64_t)i;
        (void)enter(&owner[i], &h[i]);
    }
    request.urgency = 7;
    assert_int_equal(enter(&owner[5], &h[5]), WEIR_SLOTS_REFUSED);
    request.urgency = 1;
    request.source = 9;
    assert_int_equal(enter(&owner[6], &h[6]), WEIR_SLOTS_QUEUED);
    assert_ptr_equal(news(0, &s), &owner[3]);
    leave(h[0]);
    assert_ptr_equal(news(0, &s), &owner[6]);
    leave(h[1]);
    assert_ptr_equal(news(0, &s), &owner[2]);
}

/* Of seat 1, which has left the waits of its requests as they are. */
static void a_process_that_does_not_run_gets_no_slots(void **state)
{
    weir_slots_handle_t h[6];
    weir_slots_state_t s;
    int owner[6];

    (void)state;
    enter(&owner[0], &h[0]);
    enter(&owner[1], &h[1]);
    request.seat = 1;
    for (int i = 2; i < 5; i++)
        assert_int_equal(enter(&owner[i], &h[i]), WEIR_SLOTS_QUEUED);
    request.seat = 0;

    now += 351;
    leave(h[0]);
    assert_int_equal(key()->in_use, 1);
    assert_int_equal(key()->waiting, 0);
    assert_int_equal(enter(&owner[5], &h[5]), WEIR_SLOTS_ADMITTED);

    for (int i = 2; i < 5; i++) {
        assert_ptr_equal(news(1, &s), &owner[i]);
        assert_int_equal(s, WEIR_SLOTS_SHED);
    }

    /* nor does it keep the queue full */
    request.seat = 1;
    for (int i = 2; i < 5; i++)
        assert_int_equal(enter(&owner[i], &h[i]), WEIR_SLOTS_QUEUED);
    request.seat = 0;
    now += 351;
    assert_int_equal(enter(&owner[0], &h[0]), WEIR_SLOTS_QUEUED);
    assert_int_equal(key()->waiting, 1);
}

static void under_overload_the_newest_is_first(void **state)
{
    weir_slots_handle_t h[8];
    weir_slots_state_t s;
    int owner[8];

    (void)state;
    for (int i = 0; i < 5; i++) {
        request.source = (uint64_t)i;
        (void)enter(&owner[i], &h[i]);
    }
    now += settings.wait + 1;
    leave(h[0]);
    assert_ptr_equal(news(0, &s), &owner[4]);
    request.source = 5;
    assert_int_equal(enter(&owner[5], &h[5]), WEIR_SLOTS_QUEUED);
    request.source = 6;
    assert_int_equal(enter(&owner[6], &h[6]), WEIR_SLOTS_QUEUED);
    assert_ptr_equal(news(0, &s), &owner[2]);
    assert_int_equal(s, WEIR_SLOTS_SHED);
}

static void reserved_slots_admit_their_flow_only(void **state)
{
    weir_slots_handle_t h[10];

    (void)state;
    settings = (weir_slots_settings_t){
        .concurrent = 4, .queue = 0, .nflows = 1, .flows = {{.name = 5, .reserve = 2}}};

    assert_int_equal(enter(NULL, &h[0]), WEIR_SLOTS_ADMITTED);
    assert_int_equal(enter(NULL, &h[1]), WEIR_SLOTS_ADMITTED);
    assert_int_equal(enter(NULL, &h[2]), WEIR_SLOTS_REFUSED);
    request.flow = 5;
    assert_int_equal(enter(NULL, &h[2]), WEIR_SLOTS_ADMITTED);
    assert_int_equal(enter(NULL, &h[3]), WEIR_SLOTS_ADMITTED);
    assert_int_equal(enter(NULL, &h[4]), WEIR_SLOTS_REFUSED);
    leave(h[0]);
    assert_int_equal(enter(NULL, &h[4]), WEIR_SLOTS_ADMITTED);
    leave(h[2]);
    request.flow = 0;
    assert_int_equal(enter(NULL, &h[0]), WEIR_SLOTS_ADMITTED);
    leave(h[3]);
    assert_int_equal(enter(NULL, &h[3]), WEIR_SLOTS_REFUSED);
    request.flow = 5;
    assert_int_equal(enter(NULL, &h[3]), WEIR_SLOTS_ADMITTED);
}

static void a_new_configuration_changes_limit_and_flows(void **state)
{
    weir_slots_handle_t h[6];
    weir_slots_state_t s;
    int owner[6];

    (void)state;
    request.flow = 5;
    for (int i = 0; i < 3; i++)
        (void)enter(&owner[i], &h[i]);
    assert_int_equal(key()->waiting, 1);

    settings = (weir_slots_settings_t){
        .concurrent = 5, .queue = 1, .nflows = 1, .flows = {{.name = 5, .reserve = 4}}};
    request.configuration = 2;
    request.flow = 0;
    assert_int_equal(enter(&owner[3], &h[3]), WEIR_SLOTS_ADMITTED);
    assert_ptr_equal(news(0, &s), &owner[2]);
    assert_int_equal(key()->unfilled, 1);

    settings.concurrent = 1;
    request.configuration = 1;
    assert_int_equal(enter(&owner[4], &h[4]), WEIR_SLOTS_QUEUED);
    assert_int_equal(key()->limit, 5);
}

static int32_t dead;

static bool gone(int32_t pid)
{
    return pid == dead;
}

static void slots_of_dead_processes_are_reclaimed(void **state)
{
    weir_slots_handle_t h[6];
    weir_slots_state_t s;
    int owner[6];

    (void)state;
    request.gone = gone;
    dead = 0;
    weir_slots_sit(slots, 4, 100, now, &wakes);
    weir_slots_sit(slots, 6, 101, now, &wakes);
    request.seat = 4;
    (void)enter(&owner[0], &h[0]);
    (void)enter(&owner[1], &h[1]);
    (void)enter(&owner[2], &h[2]);
    request.seat = 6;
    dead = 100;
    now += 50;
    assert_int_equal(enter(&owner[3], &h[3]), WEIR_SLOTS_ADMITTED);
    assert_int_equal(key()->in_use, 1);
    assert_int_equal(key()->waiting, 0);
    assert_int_equal(slots->reclaimed, 2);
    assert_null(news(4, &s));

    request.seat = 4;
    weir_slots_sit(slots, 4, 102, now, &wakes);
    (void)enter(&owner[4], &h[4]);
    weir_slots_sit(slots, 4, 103, now, &wakes);
    leave(h[4]);
    assert_int_equal(key()->in_use, 1);
}

static void a_full_zone_refuses_nobody(void **state)
{
    weir_slots_handle_t h;
    uint32_t admitted = 0;

    (void)state;
    settings.concurrent = 100000;
    while (enter(NULL, &h) == WEIR_SLOTS_ADMITTED)
        admitted++;
    assert_int_equal(admitted, weir_slots_room(MEMORY));
    assert_int_equal(slots->uncounted, 1);
}

static void idle_keys_make_room_and_busy_ones_stay(void **state)
{
    char name[16];
    weir_slots_handle_t busy, h;

    (void)state;
    assert_int_equal(enter(NULL, &busy), WEIR_SLOTS_ADMITTED);
    for (uint64_t i = 0; i < 100000; i++) {
        snprintf(name, sizeof(name), "k%lu", (unsigned long)i);
        request.key = (weir_str_t){name, strlen(name)};
        request.hash = i * 0x9e3779b97f4a7c15;
        wakes = (weir_slots_wakes_t){0};
        assert_int_equal(weir_slots_enter(slots, &request, now, &h, &wakes), WEIR_SLOTS_ADMITTED);
        weir_slots_leave(slots, h, WEIR_SLOTS_USED, 0, now, &wakes);
    }
    assert_int_equal(key()->in_use, 1);
    assert_true(slots->forgotten > 0);
    assert_true(weir_slots_check(slots));
}

static void retry_after_follows_the_drain_rate(void **state)
{
    weir_slots_handle_t h[8];

    (void)state;
    assert_int_equal(weir_slots_retry_after(slots, WEIR_STR("a"), 1, now), 1);
    settings = (weir_slots_settings_t){.concurrent = 1, .queue = 5, .wait = 100};

    /* one each half second */
    for (int i = 0; i < 20; i++) {
        (void)enter(NULL, &h[0]);
        now += 500;
        leave(h[0]);
    }
    for (int i = 0; i < 6; i++)
        (void)enter(NULL, &h[i]);
    assert_in_range(weir_slots_retry_after(slots, WEIR_STR("a"), 1, now), 3, 4);

    /* nothing for a while */
    now += 10000;
    assert_int_equal(weir_slots_retry_after(slots, WEIR_STR("a"), 1, now), 60);
}

/* A process dies anywhere: only tickets, which are written first, are trusted afterwards. */
static void lists_are_made_again_from_tickets(void **state)
{
    weir_slots_handle_t h[8];
    weir_slots_state_t s;
    int owner[8];

    (void)state;
    for (int i = 0; i < 5; i++)
        (void)enter(&owner[i], &h[i]);
    leave(h[0]); /* the third has news */

    slots->free_ticket = slots->free_source = slots->idle = 12345;
    memset(slots->key_buckets, 0x5a, (slots->key_mask + 1) * sizeof(uint32_t));
    memset(slots->source_buckets, 0x5a, (slots->source_mask + 1) * sizeof(uint32_t));
    slots->seats[0].tickets = 4711;
    slots->keys[0].in_use = 77;
    slots->changing = true;

    weir_slots_begin(slots, now);
    weir_slots_end(slots);
    assert_true(weir_slots_check(slots));
    assert_int_equal(slots->repairs, 1);
    assert_int_equal(key()->in_use, 2);
    assert_int_equal(key()->waiting, 2);
    assert_ptr_equal(news(0, &s), &owner[2]);
    for (int i = 1; i < 5; i++)
        leave(h[i]);
    assert_int_equal(slots->used_tickets, 0);
}

/* The model: a list of requests with what each is, and the rules of slots.h on that list. */
#define PLAYERS 64

static struct {
    bool here;
    weir_slots_handle_t handle;
    uint64_t flow;
    weir_slots_state_t state;
} players[PLAYERS];

static uint32_t in_state(weir_slots_state_t wanted, uint64_t flow, bool any_flow)
{
    uint32_t n = 0;

    for (int i = 0; i < PLAYERS; i++)
        n += players[i].here && players[i].state == wanted && (any_flow || players[i].flow == flow);

    return n;
}

static bool model_fits(uint64_t flow)
{
    uint32_t used = in_state(WEIR_SLOTS_HELD, 0, true);
    uint32_t flow_used = in_state(WEIR_SLOTS_HELD, 5, false);
    uint32_t unfilled = flow_used < 3 ? 3 - flow_used : 0;

    return (flow == 5 && unfilled > 0) || used + unfilled < settings.concurrent;
}

static void read_news(void)
{
    weir_slots_handle_t handle;
    weir_slots_state_t s;
    void *owner;

    for (uint16_t seat = 0; seat < 3; seat++) {
        while ((owner = weir_slots_news(slots, seat, &s, &handle)) != NULL) {
            uint64_t i = (uintptr_t)owner - 1;

            assert_true(players[i].here);
            assert_int_equal(players[i].state, WEIR_SLOTS_WAITING);
            if (s == WEIR_SLOTS_HELD) {
                assert_true(model_fits(players[i].flow));
                players[i].state = WEIR_SLOTS_HELD;
            } else {
                assert_int_equal(s, WEIR_SLOTS_SHED);
                players[i].here = false;
            }
        }
    }
}

static void player_enters(unsigned i)
{
    weir_slots_result_t result;
    bool fits;

    players[i].flow = rand() % 3 == 0 ? 5 : 0;
    fits = model_fits(players[i].flow);

    request.flow = (uint32_t)players[i].flow;
    request.source = (uint64_t)(rand() % 5);
    request.urgency = (uint8_t)(rand() % 8);
    request.may_wait = rand() % 4 > 0;
    request.seat = (uint16_t)(i % 3);

    request.owner = (void *)(uintptr_t)(i + 1);
    result = weir_slots_enter(slots, &request, now, &players[i].handle, &wakes);

    assert_int_equal(result == WEIR_SLOTS_ADMITTED, fits);
    players[i].here = result != WEIR_SLOTS_REFUSED;
    players[i].state = fits ? WEIR_SLOTS_HELD : WEIR_SLOTS_WAITING;
    if (!request.may_wait)
        assert_int_not_equal(result, WEIR_SLOTS_QUEUED);
}

static void player_goes(unsigned i)
{
    if (players[i].state == WEIR_SLOTS_WAITING && rand() % 2) {
        assert_int_equal(weir_slots_expire(slots, players[i].handle), WEIR_SLOTS_FREE);
    } else {
        weir_slots_leave(slots, players[i].handle, WEIR_SLOTS_USED, 0, now, &wakes);
    }
    players[i].here = false;
}

static void a_million_steps_agree_with_the_model(void **state)
{
    (void)state;
    settings = (weir_slots_settings_t){.concurrent = 8,
                                       .queue = 12,
                                       .wait = 100,
                                       .nflows = 1,
                                       .flows = {{.name = 5, .reserve = 3}}};
    memset(players, 0, sizeof(players));
    srand(16);

    for (int step = 0; step < 1000000; step++) {
        unsigned i = (unsigned)rand() % PLAYERS;

        wakes = (weir_slots_wakes_t){0};
        now += (uint64_t)(rand() % 10);
        weir_slots_begin(slots, now);
        if (players[i].here)
            player_goes(i);
        else
            player_enters(i);
        read_news();
        weir_slots_end(slots);

        assert_true(in_state(WEIR_SLOTS_HELD, 0, true) <= settings.concurrent);
        assert_true(in_state(WEIR_SLOTS_WAITING, 0, true) <= settings.queue);
        assert_int_equal(key()->in_use, in_state(WEIR_SLOTS_HELD, 0, true));
        assert_int_equal(key()->waiting, in_state(WEIR_SLOTS_WAITING, 0, true));
        for (int k = 0; k < PLAYERS; k++)
            assert_false(players[k].here && players[k].state == WEIR_SLOTS_WAITING &&
                         model_fits(players[k].flow));
        if (step % 1000 == 0) {
            assert_true(weir_slots_check(slots));
            slots->changing = rand() % 2;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(slots_are_given_up_to_the_limit_and_then_in_turn, set_up),
        cmocka_unit_test_setup(a_handle_fits_no_later_ticket, set_up),
        cmocka_unit_test_setup(a_slot_that_nobody_took_up_goes_to_the_next, set_up),
        cmocka_unit_test_setup(one_source_cannot_keep_others_waiting, set_up),
        cmocka_unit_test_setup(a_full_queue_gives_up_one_of_the_source_with_most, set_up),
        cmocka_unit_test_setup(the_least_urgent_is_given_up_first_and_served_last, set_up),
        cmocka_unit_test_setup(a_process_that_does_not_run_gets_no_slots, set_up),
        cmocka_unit_test_setup(under_overload_the_newest_is_first, set_up),
        cmocka_unit_test_setup(reserved_slots_admit_their_flow_only, set_up),
        cmocka_unit_test_setup(a_new_configuration_changes_limit_and_flows, set_up),
        cmocka_unit_test_setup(slots_of_dead_processes_are_reclaimed, set_up),
        cmocka_unit_test_setup(a_full_zone_refuses_nobody, set_up),
        cmocka_unit_test_setup(idle_keys_make_room_and_busy_ones_stay, set_up),
        cmocka_unit_test_setup(retry_after_follows_the_drain_rate, set_up),
        cmocka_unit_test_setup(lists_are_made_again_from_tickets, set_up),
        cmocka_unit_test_setup(a_million_steps_agree_with_the_model, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
