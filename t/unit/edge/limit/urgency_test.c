// needs: ngx_module/limit/urgency.c
#include "limit/urgency.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void values_of_the_field_are_read(void **state)
{
    static const struct {
        const char *value;
        uint8_t urgency;
    } rows[] = {
        {"u=0", 0},
        {"u=7", 7},
        {"u=5, i", 5},
        {"i, u=5", 5},
        {"i,u=1", 1},
        {" \t u=1 \t", 1},
        {"u=1;a=b, i", 1},
        {"u=1, u=6", 6},
        {"x=\"a, u=1\", u=2", 2},
        {"x=\"a\\\", u=1\", u=2", 2},
        /* a single number */
        {"0", 0},
        {"7", 7},
        /* what is none is the default */
        {"", 3},
        {"8", 3},
        {"u", 3},
        {"u=", 3},
        {"u=8", 3},
        {"u=-1", 3},
        {"u=12", 3},
        {"u=1.5", 3},
        {"U=1", 3},
        {"uu=1", 3},
        {"u =1", 3},
        {"i", 3},
        {",,,", 3},
        {"\"u=1", 3},
        {"x=\"a\\", 3},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (weir_urgency(weir_str(rows[i].value)) != rows[i].urgency)
            fail_msg("\"%s\"", rows[i].value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_the_field_are_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
