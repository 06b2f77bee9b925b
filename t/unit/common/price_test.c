// needs: common/metrics/price.c
#include "common/metrics/price.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void prices_are_read(void **state)
{
    static const struct {
        const char *text;
        double price;
    } cases[] = {
        {"0", 0},
        {"40", 40},
        {"0.085", 0.085},
        {".5", 0.5},
        {"7.", 7},
        {"0.000000000001", 1e-12},
        {"1000000000", 1e9},
        {"000000000000000000001", 1},
        {"0.3333333333333333333333333333333333", 0.333333333333},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        double price = -7;

        assert_true(weir_price_read(weir_str(cases[i].text), &price));
        assert_true(fabs(price - cases[i].price) <= cases[i].price * 1e-12);
    }
}

static void other_text_is_no_price(void **state)
{
    static const char *const cases[] = {"",
                                        ".",
                                        "-1",
                                        "+1",
                                        "1e3",
                                        "1.2.3",
                                        "0x1",
                                        "1 ",
                                        " 1",
                                        "1,5",
                                        "inf",
                                        "nan",
                                        "1a",
                                        "EUR1",
                                        "..1",
                                        "1000000001",
                                        "99999999999999999999"};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        double price = -7;

        assert_false(weir_price_read(weir_str(cases[i]), &price));
        assert_true(price == -7);
    }
    assert_false(weir_price_read((weir_str_t){NULL, 0}, &(double){0}));
}

static void a_currency_has_three_capitals(void **state)
{
    static const char *const wrong[] = {"", "EU", "EURO", "eur", "E R", "E1R", "\303\204UR"};

    (void)state;
    assert_true(weir_currency_is_valid(weir_str("EUR")));
    assert_true(weir_currency_is_valid(weir_str("AZZ")));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_false(weir_currency_is_valid(weir_str(wrong[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prices_are_read),
        cmocka_unit_test(other_text_is_no_price),
        cmocka_unit_test(a_currency_has_three_capitals),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
