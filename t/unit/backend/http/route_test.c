// needs: backend/http/route.c
#include "http/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static weir_routes_t routes;
static int users, user, order;

static int setup(void **state)
{
    (void)state;
    weir_route_add(&routes, "GET", "/users", &users);
    weir_route_add(&routes, "GET", "/users/{id}", &user);
    weir_route_add(&routes, "DELETE", "/users/{id}", &user);
    weir_route_add(&routes, "PUT", "/users/{id}/orders/{order}", &order);

    return 0;
}

typedef struct {
    const char *method, *path;
    void *target;
    const char *first, *second, *allow;
} row_t;

static void the_table_of_routes(void **state)
{
    static const row_t rows[] = {
        {"GET", "/users", &users, NULL, NULL, ""},
        {"HEAD", "/users", &users, NULL, NULL, ""},
        {"GET", "/users/7", &user, "7", NULL, ""},
        {"DELETE", "/users/a%2Fb", &user, "a%2Fb", NULL, ""},
        {"PUT", "/users/{id}/orders/\xff", &order, "{id}", "\xff", ""},
        {"POST", "/users", NULL, NULL, NULL, "GET, HEAD"},
        {"POST", "/users/7", NULL, NULL, NULL, "GET, HEAD, DELETE"},
        {"HEAD", "/users/7/orders/8", NULL, NULL, NULL, "PUT"},
        {"get", "/users", NULL, NULL, NULL, "GET, HEAD"},
        {"GET", "", NULL, NULL, NULL, ""},
        {"GET", "*", NULL, NULL, NULL, ""},
        {"GET", "/", NULL, NULL, NULL, ""},
        {"GET", "users", NULL, NULL, NULL, ""},
        {"GET", "/users/", NULL, NULL, NULL, ""},
        {"GET", "/users/7/", NULL, NULL, NULL, ""},
        {"GET", "//users", NULL, NULL, NULL, ""},
        {"GET", "/Users", NULL, NULL, NULL, ""},
        {"GET", "/usersx", NULL, NULL, NULL, ""},
        {"GET", "/user", NULL, NULL, NULL, ""},
        {"PUT", "/users//orders/8", NULL, NULL, NULL, ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const row_t *row = &rows[i];
        size_t len = strlen(row->path);
        char *exact = malloc(len > 0 ? len : 1); /* so that a sanitizer sees one byte too far */
        weir_str_t params[WEIR_ROUTE_PARAMS_MAX];
        char allow[64];
        const weir_route_t *found;

        memcpy(exact, row->path, len);
        found = weir_route_find(&routes, row->method, (weir_str_t){exact, len}, params, allow,
                                sizeof(allow));

        if ((found != NULL ? found->target : NULL) != row->target ||
            (found == NULL && strcmp(allow, row->allow) != 0))
            fail_msg("%s %s: %s, allowed: %s", row->method, row->path,
                     found != NULL ? found->pattern : "nothing", allow);
        if (row->first != NULL)
            assert_true(weir_str_eq(params[0], (weir_str_t){row->first, strlen(row->first)}));
        if (row->second != NULL)
            assert_true(weir_str_eq(params[1], (weir_str_t){row->second, strlen(row->second)}));
        free(exact);
    }
}

static void a_short_allow_is_cut(void **state)
{
    weir_str_t params[WEIR_ROUTE_PARAMS_MAX];
    char allow[6] = "#####";

    (void)state;
    assert_null(weir_route_find(&routes, "POST", WEIR_STR("/users/7"), params, allow, 5));
    assert_memory_equal(allow, "GET,\0", 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_of_routes),
        cmocka_unit_test(a_short_allow_is_cut),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, setup, NULL);
}
