// needs: backend/shop/payments/reconcile.c backend/log/alloc.c backend/log/log.c common/problem.c
#include "shop/payments/reconcile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/*
 * The database and the gateway, in the place of backend/db/pipeline.c and shop/payments/gateway.c:
 * the list has one empty page, and the database answers with the texts of `answers` in turn, or
 * with the error where there is none.
 */
static const char *answers[4];
static unsigned asked;

bool weir_db_query(weir_db_t *db, const char *sql, int n, const char *const *values, weir_db_cb cb,
                   void *arg)
{
    PGresAttDesc column = {.name = "coalesce"};
    const char *text = answers[asked++];
    PGresult *result = NULL;

    (void)db, (void)sql, (void)n, (void)values;
    if (text != NULL) {
        result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
        assert_true(PQsetResultAttrs(result, 1, &column));
        assert_true(PQsetvalue(result, 0, 0, (char *)text, (int)strlen(text)));
    }
    cb(result, text != NULL ? NULL : "the session was lost", text != NULL ? NULL : "08006", arg);
    PQclear(result);
    return true;
}

void weir_gateway_list(weir_gateway_t *gateway, const char *from, const char *before,
                       const char *after, weir_gateway_page_cb cb, void *arg)
{
    json_t *charges = json_array();

    (void)gateway, (void)from, (void)before, (void)after;
    cb(&(weir_gateway_page_t){.result = WEIR_DELIVERY_OK, .charges = charges}, arg);
    json_decref(charges);
}

void weir_gateway_find(weir_gateway_t *gateway, const char *key, const weir_trace_t *trace,
                       weir_gateway_cb cb, void *arg)
{
    (void)gateway, (void)trace;
    assert_string_equal(key, "01968f6e");
    cb(&(weir_gateway_answer_t){.result = WEIR_DELIVERY_OK, .found = false}, arg);
}

static unsigned ended;
static size_t differences_found;
static char said[64];

static void on_end(json_t *differences, size_t compared, const char *error, void *arg)
{
    (void)compared, (void)arg;
    ended++;
    differences_found = json_array_size(differences);
    strncpy(said, error != NULL ? error : "", sizeof(said) - 1);
    json_decref(differences);
}

static int forget(void **state)
{
    (void)state;
    memset(answers, 0, sizeof(answers));
    asked = ended = 0;
    return 0;
}

static void a_payment_without_a_charge_is_a_difference(void **state)
{
    (void)state;
    answers[0] = "[]";
    answers[1] =
        "[{\"payment\":\"01968f6e\",\"charge\":\"ch_1\",\"order_id\":\"7\",\"paid\":true}]";
    weir_reconcile(NULL, NULL, "2026-01-01", "2026-01-02", on_end, NULL);
    assert_int_equal(ended, 1);
    assert_string_equal(said, "");
    assert_int_equal(differences_found, 1);
}

/* The run is over with the first thing that fails, and nothing of it is written to afterwards. */
static void a_comparison_ends_once_wherever_the_database_is_lost(void **state)
{
    (void)state;
    for (unsigned lost = 0; lost < 2; lost++) {
        forget(NULL);
        for (unsigned i = 0; i < lost; i++)
            answers[i] = "[]";
        weir_reconcile(NULL, NULL, "2026-01-01", "2026-01-02", on_end, NULL);
        assert_int_equal(asked, lost + 1);
        assert_int_equal(ended, 1);
        assert_string_equal(said, "the session was lost");
    }
}

static void what_is_no_json_ends_it(void **state)
{
    (void)state;
    answers[0] = "[]";
    answers[1] = "[";
    weir_reconcile(NULL, NULL, "2026-01-01", "2026-01-02", on_end, NULL);
    assert_int_equal(ended, 1);
    assert_string_equal(said, "PostgreSQL sent a value that is not JSON");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_payment_without_a_charge_is_a_difference, forget),
        cmocka_unit_test_setup(a_comparison_ends_once_wherever_the_database_is_lost, forget),
        cmocka_unit_test_setup(what_is_no_json_ends_it, forget),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
