// uses: libevent libpq libcurl jansson hiredis
// needs: backend/api/input.c backend/shop/order_input.c backend/shop/product_input.c
// needs: backend/shop/signup_input.c backend/events/cloudevent.c common/uuid7.c common/problem.c
// needs: common/traceparent.c common/random.c backend/log/alloc.c
/*
 * JSON that the backend reads, on any bytes: bodies of requests, the payment gateway's answers, and
 * events; text that was taken is what the database takes, too.
 */
#include "backend/shop/gateway.c"

#include "events/cloudevent.h"
#include "shop/order_input.h"
#include "shop/product_input.h"
#include "shop/signup_input.h"

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
        assert(errors[i].pointer[0] == '/' && errors[i].detail != NULL);
}

static void check_inputs(weir_str_t body)
{
    static weir_order_input_t order;
    weir_input_error_t errors[WEIR_INPUT_ERRORS_MAX];
    weir_signup_input_t signup;
    weir_product_input_t product;
    char why[512] = "";
    int n = weir_order_read(body, &order, errors, why, sizeof(why));

    check_errors(errors, n, why);
    if (n == 0)
        assert(strlen(order.user) == WEIR_UUID_LEN && strlen(order.products) >= WEIR_UUID_LEN + 2);

    n = weir_signup_read(body, &signup, errors, why, sizeof(why));
    check_errors(errors, n, why);
    if (n == 0) {
        assert(strchr(signup.email, '@') != NULL && strlen(signup.email) <= WEIR_EMAIL_MAX);
        for (const char *p = signup.display_name; *p != '\0'; p++)
            assert((unsigned char)*p >= ' ' && *p != 0x7f);
        json_decref(signup.root);
    }

    n = weir_product_read(body, &product, errors, why, sizeof(why));
    check_errors(errors, n, why);
    if (n == 0) {
        assert(product.price >= 0 && product.price <= WEIR_PRICE_MAX && strlen(product.currency) == 3);
        json_decref(product.root);
    }
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

static void check_event(weir_str_t body)
{
    weir_event_t event;
    char trace_id[33];
    json_t *root = weir_cloudevent_parse(body.data, body.len, &event, trace_id);

    if (root == NULL)
        return;
    assert(event.id != NULL && event.type != NULL && event.aggregate != NULL);
    assert(json_is_object(event.data));
    assert((event.trace_id != NULL) == (event.traceparent != NULL));
    if (event.traceparent != NULL)
        assert(strlen(event.traceparent) == 55 && strlen(event.trace_id) == 32);
    json_decref(root);
}

static void run(const uint8_t *data, size_t size)
{
    weir_str_t body = {(const char *)data, size};

    check_inputs(body);
    check_gateway(body);
    check_event(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    budget_check(run, data, size, &budget);
    return 0;
}
