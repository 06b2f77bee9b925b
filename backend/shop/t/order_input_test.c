// needs: backend/shop/orders/order_input.c backend/api/input.c backend/api/formats.c
// needs: common/ids/uuid7.c
// needs: common/ids/random.c backend/log/alloc.c backend/log/log.c common/problem.c
#include "shop/orders/order_input.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static weir_input_error_t errors[WEIR_INPUT_ERRORS_MAX];
static weir_order_input_t order;
static char why[512];

static int read_order(const char *body)
{
    return weir_order_read((weir_str_t){body, strlen(body)}, 1, &order, errors, why, sizeof(why));
}

static void an_order_becomes_arrays(void **state)
{
    (void)state;
    assert_int_equal(
        read_order("{\"userId\":\"01900000-0000-7000-8000-00000000000A\",\"items\":["
                   "{\"productId\":\"01900000-0000-7000-8000-000000000001\",\"quantity\":1},"
                   "{\"productId\":\"01900000-0000-7000-8000-00000000000B\",\"quantity\":1000}]}"),
        0);
    assert_string_equal(order.user, "01900000-0000-7000-8000-00000000000a");
    assert_string_equal(
        order.products,
        "{01900000-0000-7000-8000-000000000001,01900000-0000-7000-8000-00000000000b}");
    assert_string_equal(order.quantities, "{1,1000}");
}

/* The largest order has room, one item more is refused, and not all errors are listed. */
static void the_number_of_items_has_a_limit(void **state)
{
    static char body[20000];

    (void)state;
    for (int n = WEIR_ORDER_ITEMS_MAX; n <= WEIR_ORDER_ITEMS_MAX + 1; n++) {
        int len = sprintf(body, "{\"userId\":\"01900000-0000-7000-8000-000000000001\",\"items\":[");

        for (int i = 0; i < n; i++)
            len += sprintf(body + len,
                           "%s{\"productId\":\"01900000-0000-7000-8000-%012d\",\"quantity\":1000}",
                           i > 0 ? "," : "", i);
        sprintf(body + len, "]}");
        assert_int_equal(read_order(body), n == WEIR_ORDER_ITEMS_MAX ? 0 : 1);
    }
    assert_string_equal(errors[0].pointer, "/items");

    assert_int_equal(read_order("{\"userId\":\"01900000-0000-7000-8000-000000000001\",\"items\":["
                                "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}"),
                     WEIR_INPUT_ERRORS_MAX);
    assert_string_equal(errors[WEIR_INPUT_ERRORS_MAX - 1].pointer, "/items/15");
}

/* Every prefix, from memory of exactly its size, so that a sanitizer sees one byte too far. */
static void prefixes_are_read_to_their_end(void **state)
{
    const char *body =
        "{\"userId\":\"01900000-0000-7000-8000-000000000001\",\"items\":[{\"productId\":"
        "\"01900000-0000-7000-8000-000000000001\",\"quantity\":7}]}";
    size_t len = strlen(body);

    (void)state;
    for (size_t n = 0; n <= len; n++) {
        char *exact = malloc(n > 0 ? n : 1);

        memcpy(exact, body, n);
        assert_int_equal(
            weir_order_read((weir_str_t){exact, n}, 1, &order, errors, why, sizeof(why)),
            n < len ? -1 : 0);
        free(exact);
    }
}

static void outcomes_name_their_field(void **state)
{
    weir_input_error_t error = weir_order_outcome_error("unknown_product", 99);

    (void)state;
    assert_string_equal(error.pointer, "/items/99/productId");
    error = weir_order_outcome_error("bad_quantity", 0);
    assert_string_equal(error.pointer, "/items/0/quantity");
    assert_string_equal(weir_order_outcome_error("other_currency", 1).pointer,
                        "/items/1/productId");
    assert_string_equal(weir_order_outcome_error("unknown_user", 0).pointer, "/userId");
    assert_string_equal(weir_order_outcome_error("no_items", 0).pointer, "/items");
}

/* Items are looked at one by one once each is right for itself. */
static void a_product_comes_once(void **state)
{
    (void)state;
    assert_int_equal(
        read_order("{\"userId\":\"01900000-0000-7000-8000-000000000001\",\"items\":["
                   "{\"productId\":\"01900000-0000-7000-8000-00000000000a\",\"quantity\":1},"
                   "{\"productId\":\"01900000-0000-7000-8000-00000000000A\",\"quantity\":2}]}"),
        1);
    assert_string_equal(errors[0].pointer, "/items/1/productId");
    assert_string_equal(errors[0].detail, "is the product of an earlier item already");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_becomes_arrays),
        cmocka_unit_test(the_number_of_items_has_a_limit),
        cmocka_unit_test(prefixes_are_read_to_their_end),
        cmocka_unit_test(outcomes_name_their_field),
        cmocka_unit_test(a_product_comes_once),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
