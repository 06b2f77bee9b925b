// needs: common/flags/flag.c common/flags/flag_evaluate.c common/flags/murmur3.c
// uses: jansson
/*
 * Definitions of flags of any bytes: one that is read is evaluated, for several contexts, to one of
 * its variants or to none, each time the same.
 */
#include "budget.h"
#include "common/flags/flag.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Once: the nodes of a targeting, and the texts that rules join. */
static const budget_t budget = {60000, 600, 300000, 1500};

/* The attributes: a text, a number, a boolean, and none. */
static bool lookup(void *data, weir_str_t name, weir_flag_value_t *value)
{
    assert(data == NULL);
    *value = (weir_flag_value_t){.type = WEIR_FLAG_STRING, .text = name};
    switch (name.len % 4) {
    case 0:
        return true;
    case 1:
        value->type = WEIR_FLAG_NUMBER;
        value->number = (double)name.len - 3;
        return true;
    case 2:
        value->type = WEIR_FLAG_BOOL;
        value->truth = name.len % 8 == 2;
        return true;
    default:
        return false;
    }
}

static void evaluate(const weir_flag_t *flag)
{
    const weir_str_t keys[] = {{NULL, 0}, WEIR_STR(""), WEIR_STR("user-1"), WEIR_STR("user-2")};

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        weir_flag_context_t context = {keys[i], 1700000000, lookup, NULL};
        weir_flag_reason_t reason, again;
        const weir_flag_variant_t *variant = weir_flag_evaluate(flag, &context, &reason);

        assert(weir_flag_evaluate(flag, &context, &again) == variant && again == reason);
        assert(weir_flag_reason_name(reason) != NULL);
        if (variant == NULL) {
            assert(reason != WEIR_FLAG_STATIC && reason != WEIR_FLAG_MATCHED);
            continue;
        }
        assert(variant->name.len > 0 && variant->name.len <= WEIR_FLAG_NAME_MAX);
        for (size_t k = 0; k < variant->text.len; k++)
            assert((unsigned char)variant->text.data[k] >= 0x20);
    }
}

static void run(const uint8_t *data, size_t size)
{
    char error[128] = "", *exact = malloc(size ? size : 1);
    weir_flag_t *flag;

    assert(exact != NULL);
    if (size)
        memcpy(exact, data, size);
    flag = weir_flag_read(WEIR_STR("f"), (weir_str_t){exact, size}, error, sizeof(error));
    free(exact);

    assert((flag == NULL) == (error[0] != '\0'));
    if (flag != NULL)
        evaluate(flag);
    weir_flag_free(flag);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    budget_check(run, data, size, &budget);
    return 0;
}
