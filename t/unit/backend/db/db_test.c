// needs: backend/db/session.c backend/db/settings.c backend/db/pipeline.c backend/db/batch/batch.c
// needs: backend/db/batch/group.c backend/db/array.c backend/db/batch/part.c backend/log/log.c
// needs: common/problem.c common/ids/random.c backend/log/alloc.c
// needs: backend/db/sqlstate.c backend/db/summary.c
// needs: backend/metrics/series.c backend/metrics/families.c
// needs: common/metrics/exposition.c common/metrics/histogram.c
// needs: backend/db/batch/span.c backend/db/cost/spent.c backend/trace/tracer.c
// needs: backend/trace/late.c
// needs: common/trace/traceparent.c common/trace/context.c common/trace/ids.c
// needs: common/trace/span.c common/trace/encode/otlp.c common/trace/encode/otlp_json.c
// needs: common/trace/encode/zipkin.c common/trace/encode/out.c
// needs: common/trace/sampling.c common/trace/tracestate.c
//
// Needs a PostgreSQL of its own: WEIR_TEST_DATABASE is its connection string. Without it
// all is skipped; t/backend/db/session.t starts one and runs this.
#include "db/batch/batch.h"
#include "log/clock.h"
#include "log/log.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct event_base *base;
static weir_db_t *db;

/* What the callbacks were told, in order: "name=value " or "name!sqlstate ". */
static char told[8192];
static int expected;

static void tell(const char *name, const char *mark, const char *value)
{
    size_t len = strlen(told);

    snprintf(told + len, sizeof(told) - len, "%s%s%s ", name, mark, value);
    if (--expected == 0)
        event_base_loopbreak(base);
}

static void on_result(PGresult *result, const char *error, const char *sqlstate, void *arg)
{
    (void)error;
    if (result == NULL)
        tell(arg, "!", sqlstate);
    else
        tell(arg, "=", PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
}

static void on_row(PGresult *result, int row, const char *error, const char *sqlstate, void *arg)
{
    (void)error;
    if (result == NULL)
        tell(arg, "!", sqlstate);
    else
        tell(arg, "=", PQgetvalue(result, row, 1));
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    fail_msg("waited in vain; told: %s", told);
}

/* Runs the loop until n callbacks have come. */
static void run_until(int n)
{
    static const struct timeval limit = {20, 0};
    struct event *timer = evtimer_new(base, on_timeout, NULL);

    expected = n;
    evtimer_add(timer, &limit);
    event_base_dispatch(base);
    event_free(timer);
}

static void on_state(weir_db_t *session, bool up, void *arg)
{
    (void)session;
    (void)arg;
    tell(up ? "up" : "down", "", "");
}

static int setup(void **state)
{
    const char *conninfo = getenv("WEIR_TEST_DATABASE");

    (void)state;
    told[0] = '\0';
    base = event_base_new();
    db = weir_db_new(base, conninfo, "test", on_state, NULL);
    run_until(1);
    assert_string_equal(told, "up ");
    told[0] = '\0';

    return 0;
}

static int teardown(void **state)
{
    (void)state;
    weir_db_free(db);
    event_base_free(base);
    base = NULL;
    db = NULL;

    return 0;
}

static const char plus_one[] = "SELECT $1::int + 1";
static const char divide[] = "SELECT 1 / $1::int";
static const char insert[] = "INSERT INTO plain VALUES ($1::int)";
static const char insert_late[] = "INSERT INTO late VALUES (1)";
static const char count[] = "SELECT count(*) FROM plain";
static const char unknown[] = "SELECT nowhere($1)";
static const char sleepy[] = "SELECT pg_sleep(0.2)";
static const char terminate[] = "SELECT pg_terminate_backend(pg_backend_pid())";
static const char create_view[] = "CREATE OR REPLACE FUNCTION shape() RETURNS TABLE (a int) "
                                  "LANGUAGE sql AS 'SELECT 1'";
static const char drop_view[] = "DROP FUNCTION shape()";
static const char create_other[] = "CREATE FUNCTION shape() RETURNS TABLE (a text, b text) "
                                   "LANGUAGE sql AS 'SELECT ''x'', ''y'''";
static const char select_view[] = "SELECT * FROM shape()";

static const char *const one[] = {"1"}, *const zero[] = {"0"}, *const null[] = {NULL};

static void query(const char *sql, const char *const *values, const char *name)
{
    assert_true(weir_db_query(db, sql, values != NULL ? 1 : 0, values, on_result, (void *)name));
}

static void an_error_touches_nobody_else(void **state)
{
    (void)state;
    query(plus_one, one, "a");
    query(divide, zero, "b");
    query(plus_one, one, "c");
    query(plus_one, null, "d");
    query(unknown, one, "e");
    query(plus_one, one, "f");
    assert_int_equal(weir_db_in_flight(db), 6);
    assert_string_equal(told, ""); /* nothing from within the call */
    run_until(6);
    assert_string_equal(told, "a=2 b!22012 c=2 d= e!42883 f=2 ");
    assert_int_equal(weir_db_in_flight(db), 0);
}

static void a_transaction_is_whole_or_nothing(void **state)
{
    weir_db_statement_t fails[] = {{insert, 1, one}, {divide, 1, zero}, {insert, 1, one}};
    weir_db_statement_t fails_first[] = {{unknown, 1, one}, {sleepy, 0, NULL}};
    weir_db_statement_t works[] = {{insert, 1, one}, {insert, 1, zero}, {count, 0, NULL}};

    (void)state;
    query("DELETE FROM plain", NULL, "empty");
    assert_true(weir_db_transaction(db, fails, 3, on_result, (void *)"fails"));
    query(count, NULL, "count");
    assert_true(weir_db_transaction(db, works, 3, on_result, (void *)"works"));
    run_until(4);
    assert_string_equal(told, "empty= fails!22012 count=0 works=2 ");

    /* A statement whose Parse was skipped is prepared when it is next needed. */
    told[0] = '\0';
    assert_true(weir_db_transaction(db, fails_first, 2, on_result, (void *)"parse"));
    run_until(1);
    query(sleepy, NULL, "sleepy");
    run_until(1);
    assert_string_equal(told, "parse!42883 sleepy= ");
}

static void a_commit_that_fails_is_a_failure(void **state)
{
    weir_db_statement_t late[] = {{insert, 1, one}, {insert_late, 0, NULL}, {plus_one, 1, one}};

    (void)state;
    query("DELETE FROM plain", NULL, "empty");
    assert_true(weir_db_transaction(db, late, 3, on_result, (void *)"late"));
    query(insert_late, NULL, "alone");
    query(count, NULL, "count");
    run_until(4);
    assert_string_equal(told, "empty= late!23505 alone!23505 count=0 ");
}

static void a_lost_session_fails_what_is_in_flight_and_opens_again(void **state)
{
    (void)state;
    query(plus_one, one, "a");
    query(terminate, NULL, "b");
    query(plus_one, one, "c");
    run_until(5);
    assert_string_equal(told, "a=2 b!08006 c!08006 down up ");
    told[0] = '\0';
    query(plus_one, one, "d");
    run_until(1);
    assert_string_equal(told, "d=2 ");
}

static void a_session_that_is_given_up_refuses_at_once(void **state)
{
    (void)state;
    query(sleepy, NULL, "a");
    weir_db_reset(db);
    assert_false(weir_db_is_up(db));
    assert_false(weir_db_query(db, plus_one, 1, one, on_result, (void *)"b"));
    assert_string_equal(told, "");
    run_until(3);
    assert_string_equal(told, "a!08006 down up ");
}

static void a_plan_whose_result_has_changed_is_made_anew(void **state)
{
    (void)state;
    query(create_view, NULL, "create");
    query(select_view, NULL, "first");
    query(drop_view, NULL, "drop");
    query(create_other, NULL, "other");
    query(select_view, NULL, "stale");
    run_until(5);
    assert_string_equal(told, "create= first=1 drop= other= stale!0A000 ");
    told[0] = '\0';
    query(select_view, NULL, "again");
    query(drop_view, NULL, "drop");
    run_until(2);
    assert_string_equal(told, "again=x drop= ");
}

static void on_result_free(PGresult *result, const char *error, const char *sqlstate, void *arg)
{
    weir_db_t *session = db;

    on_result(result, error, sqlstate, arg);
    db = NULL;
    weir_db_free(session);
}

static void it_may_be_freed_from_within_a_callback(void **state)
{
    (void)state;
    assert_true(weir_db_query(db, plus_one, 1, one, on_result_free, (void *)"a"));
    query(plus_one, one, "b");
    run_until(2);
    assert_string_equal(told, "a=2 b!08006 ");
}

static void there_is_a_limit_in_flight(void **state)
{
    int n = 0;

    (void)state;
    while (weir_db_query(db, plus_one, 1, one, NULL, NULL))
        n++;
    assert_int_equal(n, WEIR_DB_IN_FLIGHT_MAX);
    while (weir_db_in_flight(db) > 0)
        event_base_loop(base, EVLOOP_ONCE);
    query(plus_one, one, "a");
    run_until(1);
    assert_string_equal(told, "a=2 ");
}

/* Much in both directions at once: neither side may wait for the other to read. */
static void large_values_flow_both_ways(void **state)
{
    size_t size = 4000000;
    char *big = malloc(size + 1);
    const char *values[] = {big};

    (void)state;
    memset(big, 'x', size);
    big[size] = '\0';
    for (int i = 0; i < 8; i++)
        assert_true(weir_db_query(db, "SELECT length($1), repeat($1, 2)", 1, values, on_result,
                                  (void *)"n"));
    run_until(8);
    assert_string_equal(told, "n=4000000 n=4000000 n=4000000 n=4000000 n=4000000 n=4000000 "
                              "n=4000000 n=4000000 ");
    free(big);
}

/* --- batches ------------------------------------------------------------------ */

static const char echo[] = "SELECT place, coalesce(t, 'null') || coalesce(u, '') "
                           "FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS x(t, u, place) "
                           "WHERE t IS DISTINCT FROM 'left out' ORDER BY place DESC";

static bool submit(weir_batch_t *batch, const char *t, const char *u, const char *name)
{
    const char *values[] = {t, u};

    return weir_batch_submit(batch, NULL, 0, values, on_row, (void *)name);
}

static void requests_get_their_own_rows(void **state)
{
    weir_batch_t *batch;

    (void)state;
    batch = weir_batch_new(db, echo, 2, 100, 100, 1);
    assert_true(submit(batch, "1", "x", "a")); /* goes at once, the others gather */
    assert_true(submit(batch, "2", "\"\\{},'", "b"));
    assert_true(submit(batch, NULL, NULL, "c"));
    assert_true(submit(batch, "NULL", "", "d"));
    assert_true(submit(batch, "left out", "", "e"));
    assert_int_equal(weir_db_in_flight(db), 1);
    run_until(5);
    assert_string_equal(told, "a=1x d=NULL c=null b=2\"\\{},' e!XX000 ");

    weir_db_free(db);
    db = NULL;
    weir_batch_free(batch);
}

static void batches_have_limits(void **state)
{
    weir_batch_t *batch;

    (void)state;
    batch = weir_batch_new(db, echo, 2, 2, 5, 1);
    for (int i = 0; i < 6; i++) /* one goes, five wait */
        assert_true(submit(batch, "v", NULL, "r"));
    assert_false(submit(batch, "v", NULL, "refused"));
    run_until(6);
    assert_string_equal(told, "r=v r=v r=v r=v r=v r=v ");

    /* A lost session fails all that wait, too; then it refuses until it is open again. */
    told[0] = '\0';
    for (int i = 0; i < 4; i++)
        assert_true(submit(batch, "v", NULL, "r"));
    weir_db_reset(db);
    assert_false(submit(batch, "v", NULL, "refused"));
    run_until(6);
    assert_string_equal(told, "r!08003 r!08003 r!08003 r!08006 down up ");

    told[0] = '\0';
    for (int i = 0; i < 3; i++)
        assert_true(submit(batch, "v", NULL, "r"));
    expected = 3;
    weir_db_free(db);
    db = NULL;
    assert_string_equal(told, "r!08003 r!08003 r!08006 ");
    weir_batch_free(batch);
}

/* In one batch rows come in the opposite order: see echo. */
static void a_ceiling_makes_batches_smaller(void **state)
{
    weir_batch_t *large, *small;

    (void)state;
    large = weir_batch_new(db, echo, 2, 100, 100, 1);
    weir_batch_ceiling(1);
    small = weir_batch_new(db, echo, 2, 100, 100, 1);
    weir_batch_ceiling(INT_MAX);
    for (int i = 0; i < 3; i++)
        assert_true(submit(large, "v", NULL, (const char *[]){"a", "b", "c"}[i]));
    run_until(3);
    assert_string_equal(told, "a=v c=v b=v ");

    told[0] = '\0';
    for (int i = 0; i < 3; i++)
        assert_true(submit(small, "v", NULL, (const char *[]){"a", "b", "c"}[i]));
    run_until(3);
    assert_string_equal(told, "a=v b=v c=v ");

    weir_db_free(db);
    db = NULL;
    weir_batch_free(large);
    weir_batch_free(small);
}

static void an_error_of_the_statement_fails_the_whole_batch(void **state)
{
    static const char ints[] =
        "SELECT place, 'ok' FROM unnest($1::int[]) WITH ORDINALITY AS x(i, place)";
    const char *const good[] = {"1"}, *const bad[] = {"x"};
    weir_batch_t *batch;

    (void)state;
    batch = weir_batch_new(db, ints, 1, 10, 10, 1);
    assert_true(weir_batch_submit(batch, NULL, 0, good, on_row, (void *)"a"));
    assert_true(weir_batch_submit(batch, NULL, 0, good, on_row, (void *)"b"));
    assert_true(weir_batch_submit(batch, NULL, 0, bad, on_row, (void *)"c"));
    run_until(3);
    assert_string_equal(told, "a=ok b!22P02 c!22P02 ");

    weir_db_free(db);
    db = NULL;
    weir_batch_free(batch);
}

/* Deadlines are chosen so that the clock need not be waited for: 1 us, or an hour. */
static void late_requests_are_not_sent(void **state)
{
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    static const char *const texts[] = {"1", "\"2", "3", "4,", "5"};
    static const bool late[] = {true, false, true, false, true};
    weir_batch_t *batch;

    (void)state;
    batch = weir_batch_new(db, echo, 2, 100, 100, 1);
    assert_true(submit(batch, "0", "x", "first"));
    for (int i = 0; i < 5; i++)
        assert_true(weir_batch_submit(batch, NULL, late[i] ? 1 : weir_clock_us() + 3600000000u,
                                      (const char *[]){texts[i], "y"}, on_row, (void *)names[i]));
    run_until(6);
    assert_string_equal(told, "a!57014 c!57014 e!57014 first=0x d=4,y b=\"2y ");

    weir_db_free(db);
    db = NULL;
    weir_batch_free(batch);
}

static weir_batch_t *again;

/* As a pipelined request does, which is begun when the one before has its answer. */
static void on_row_again(PGresult *result, int row, const char *error, const char *sqlstate,
                         void *arg)
{
    on_row(result, row, error, sqlstate, arg);
    assert_true(submit(again, "3", "w", "next"));
}

static void the_callback_of_a_late_request_may_submit(void **state)
{
    (void)state;
    again = weir_batch_new(db, echo, 2, 1, 100, 1);
    assert_true(submit(again, "0", "x", "first"));
    assert_true(
        weir_batch_submit(again, NULL, 1, (const char *[]){"1", "y"}, on_row_again, (void *)"a"));
    assert_true(submit(again, "2", "z", "waits"));
    run_until(4);
    assert_string_equal(told, "a!57014 first=0x waits=2z next=3w ");

    weir_db_free(db);
    db = NULL;
    weir_batch_free(again);
}

static void a_batch_of_late_requests_only_is_left_out(void **state)
{
    weir_batch_t *batch;

    (void)state;
    batch = weir_batch_new(db, echo, 2, 1, 100, 1);
    assert_true(submit(batch, "0", "x", "first"));
    assert_true(weir_batch_submit(batch, NULL, 1, (const char *[]){"1", "y"}, on_row, (void *)"a"));
    assert_true(submit(batch, "2", "z", "last"));
    run_until(3);
    assert_string_equal(told, "a!57014 first=0x last=2z ");

    weir_db_free(db);
    db = NULL;
    weir_batch_free(batch);
}

/* What the session says of its bound, and of a statement that would take longer. */
static void a_statement_ends_with_the_last_deadline_of_its_requests(void **state)
{
    static const char bound[] =
        "SELECT place, current_setting('statement_timeout') FROM unnest($1::text[])"
        " WITH ORDINALITY AS x(t, place), LATERAL (SELECT pg_sleep(t::float) OFFSET 0) s";
    const char *const now[] = {"0"}, *const minute[] = {"60"};
    weir_batch_t *batch;

    (void)state;
    batch = weir_batch_new(db, bound, 1, 1, 100, 1);
    assert_true(
        weir_batch_submit(batch, NULL, weir_clock_us() + 20000500, now, on_row, (void *)"a"));
    assert_true(
        weir_batch_submit(batch, NULL, weir_clock_us() + 60000, minute, on_row, (void *)"b"));
    assert_true(weir_batch_submit(batch, NULL, 0, now, on_row, (void *)"c"));
    assert_true(
        weir_batch_submit(batch, NULL, weir_clock_us() + 3600000000u, now, on_row, (void *)"d"));
    run_until(4);
    assert_string_equal(told, "a=20s b!57014 c=30s d=30s ");

    weir_db_free(db);
    db = NULL;
    weir_batch_free(batch);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_error_touches_nobody_else),
        TEST(a_transaction_is_whole_or_nothing),
        TEST(a_commit_that_fails_is_a_failure),
        TEST(a_lost_session_fails_what_is_in_flight_and_opens_again),
        TEST(a_session_that_is_given_up_refuses_at_once),
        TEST(a_plan_whose_result_has_changed_is_made_anew),
        TEST(it_may_be_freed_from_within_a_callback),
        TEST(there_is_a_limit_in_flight),
        TEST(large_values_flow_both_ways),
        TEST(requests_get_their_own_rows),
        TEST(batches_have_limits),
        TEST(a_ceiling_makes_batches_smaller),
        TEST(an_error_of_the_statement_fails_the_whole_batch),
        TEST(late_requests_are_not_sent),
        TEST(the_callback_of_a_late_request_may_submit),
        TEST(a_batch_of_late_requests_only_is_left_out),
        TEST(a_statement_ends_with_the_last_deadline_of_its_requests),
    };

    if (getenv("WEIR_TEST_DATABASE") == NULL) {
        puts("1..0 # SKIP t/backend/db/session.t runs this with a database");
        return 0;
    }

    weir_log_init(WEIR_LOG_ERROR, "test");
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
