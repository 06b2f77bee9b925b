// uses: libevent libpq libcurl jansson hiredis
// needs: backend/api/input.c backend/api/formats.c backend/shop/orders/order_input.c
// needs: common/ids/uuid7.c common/ids/random.c backend/log/alloc.c
// needs: backend/log/log.c common/problem.c
/*
 * JSON that the shop reads, on any bytes: bodies of orders, and the payment gateway's answers.
 */
#include "backend/shop/payments/gateway.c"

#include "shop/orders/order_input.h"

#include "budget.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* jansson is not compiled here: its memory counts, its steps don't. */
static const budget_t budget = {5000, 60, 60000, 1500};

static void check_errors(const weir_input_error_t *errors, int n, const char *why)
{
    assert(n >= -1 && n <= WEIR_INPUT_ERRORS_MAX);
    assert(n != -1 || *why != '\0');
    for (int i = 0; i < n; i++)
        assert(errors[i].pointer[0] == '/' && errors[i].detail[0] != '\0');
}

static void check_order(weir_str_t body)
{
    static weir_order_input_t order;
    weir_input_error_t errors[WEIR_INPUT_ERRORS_MAX];
    char why[512] = "";
    int n = weir_order_read(body, 1, &order, errors, why, sizeof(why));

    check_errors(errors, n, why);
    if (n == 0)
        assert(strlen(order.user) == WEIR_UUID_LEN && strlen(order.products) >= WEIR_UUID_LEN + 2);
}

static void check_gateway(weir_str_t body)
{
    json_t *root = json_loadb(body.data, body.len, 0, NULL);
    weir_gateway_answer_t answer = {0};
    weir_gateway_page_t page = {0};

    if (read_charge(root, &answer))
        assert(answer.charge != NULL && answer.status != NULL && answer.currency != NULL);
    if (read_page(root, &page))
        assert(json_is_array(page.charges));
    json_decref(root);
}

static void run(const uint8_t *data, size_t size)
{
    weir_str_t body = {(const char *)data, size};

    check_order(body);
    check_gateway(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    budget_check(run, data, size, &budget);
    return 0;
}
