// needs: backend/db/summary.c
#include "db/summary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void statements_are_named_by_their_function(void **state)
{
    static const struct {
        const char *sql, *operation, *procedure, *text;
    } rows[] = {
        {"SELECT place, id FROM signup($1::uuid[], $2::text[])", "SELECT", "signup",
         "SELECT signup"},
        {"SELECT worker_leave($1::text)", "SELECT", "worker_leave", "SELECT worker_leave"},
        {"select * from  users_by_id($1)", "SELECT", "users_by_id", "SELECT users_by_id"},
        {"SELECT x FROM users WHERE id = $1", "SELECT", "", "SELECT"},
        {"SET lock_timeout = '200ms'", "SET", "", "SET"},
        {"SELECT extract(epoch FROM now()) FROM f(1)", "SELECT", "now", "SELECT now"},
        {"", "", "", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        weir_db_summary_t s;

        weir_db_summarize(rows[i].sql, &s);
        assert_string_equal(s.operation, rows[i].operation);
        assert_string_equal(s.procedure, rows[i].procedure);
        assert_string_equal(s.text, rows[i].text);
    }
}

static void long_names_are_cut(void **state)
{
    static const char sql[] =
        "SELECT aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "(1)";
    weir_db_summary_t s;

    (void)state;
    weir_db_summarize(sql, &s);
    assert_string_equal(s.text, "SELECT");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statements_are_named_by_their_function),
        cmocka_unit_test(long_names_are_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
