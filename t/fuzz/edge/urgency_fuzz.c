// needs: ngx_module/limit/urgency.c
/*
 * Values of weir_priority: any bytes. The result is a number from 0 to 7, and a member of another
 * name before them does not change it.
 */
#include "budget.h"
#include "limit/urgency.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The value is read once. */
static const budget_t budget = {4000, 40, 4000, 4};

static void run(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 2);
    uint8_t urgency;

    assert(text != NULL);
    memcpy(text, "i,", 2);
    memcpy(text + 2, data, size);

    urgency = weir_urgency((weir_str_t){text + 2, size});
    assert(urgency <= WEIR_URGENCY_MAX);

    /* a single digit is a number only alone */
    if (size != 1)
        assert(weir_urgency((weir_str_t){text, size + 2}) == urgency);

    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    budget_check(run, data, size, &budget);

    return 0;
}
