#include "shop/payments/checkout.h"

#include "api/answer.h"
#include "common/ids/uuid7.h"
#include "http/idempotency.h"
#include "log/alloc.h"
#include "shop/orders/order_input.h"
#include "shop/orders/orders.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * The most requests of one batch, and the most that may wait for a batch; further requests get a
 * 503.
 */
#define BATCH_MAX 256
#define WAITING_MAX 2048
#define IN_FLIGHT 1

#define CHECKOUT                                                                                   \
    "SELECT place, outcome, item, id, currency, total, items, created_at "                         \
    "FROM checkout($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::uuid[], "       \
    "$7::text[])"
enum {
    CHECKOUT_OUTCOME = 1,
    CHECKOUT_ITEM,
    CHECKOUT_ID,
    CHECKOUT_CURRENCY,
    CHECKOUT_TOTAL,
    CHECKOUT_ITEMS,
    CHECKOUT_CREATED_AT
};

typedef struct {
    weir_relay_t *relay;
    weir_db_t *db;
    weir_command_t *commands;
} checkout_t;

static const weir_operation_t operation = {
    "POST",
    "/checkout",
    "checkOut",
    "Makes an order and has it paid. Idempotency-Key is required.",
    .body = &weir_order_body,
    .status = 202,
    .answer = &weir_order_resource,
    .needs_key = 1,
    .errors = {409, 413, 415, 422},
    .scope = "shop:orders",
};

/* A request whose batch is in flight. */
typedef struct {
    checkout_t *checkout;
    weir_http_request_t *request;
    int version;
    char user[WEIR_UUID_LEN + 1];
} call_t;

static void accepted(call_t *call, PGresult *result, int row)
{
    char location[64];
    weir_str_t values[WEIR_ORDER_N_VALUES] = {
        [WEIR_ORDER_ID] = weir_column(result, row, CHECKOUT_ID),
        [WEIR_ORDER_USER] = {call->user, strlen(call->user)},
        [WEIR_ORDER_STATUS] = WEIR_STR("PENDING"),
        [WEIR_ORDER_CURRENCY] = weir_column(result, row, CHECKOUT_CURRENCY),
        [WEIR_ORDER_TOTAL] = weir_column(result, row, CHECKOUT_TOTAL),
        [WEIR_ORDER_ITEMS] = weir_column(result, row, CHECKOUT_ITEMS),
        [WEIR_ORDER_CREATED_AT] = weir_column(result, row, CHECKOUT_CREATED_AT),
    };

    weir_relay_wake(call->checkout->relay);
    snprintf(location, sizeof(location), "/orders/%s", PQgetvalue(result, row, CHECKOUT_ID));
    weir_http_add_header(call->request, "Location", location);
    weir_answer(call->request, 202, &weir_order_resource, values, call->version);
}

static void on_outcome(PGresult *result, int row, const char *error, const char *sqlstate,
                       void *arg)
{
    call_t *call = arg;

    if (result == NULL && error != NULL) {
        weir_answer_database_failed(call->request, error, sqlstate);
    } else if (result != NULL &&
               strcmp(PQgetvalue(result, row, CHECKOUT_OUTCOME), "created") == 0) {
        accepted(call, result, row);
    } else if (result != NULL) {
        weir_input_error_t wrong =
            weir_order_outcome_error(PQgetvalue(result, row, CHECKOUT_OUTCOME),
                                     (int)weir_column_int(result, row, CHECKOUT_ITEM));

        weir_answer_wrong_fields(call->request, &wrong, 1);
    }
    free(call);
}

static weir_command_result_t submit(call_t *call, const weir_idempotency_t *idempotency,
                                    const weir_order_input_t *input)
{
    char order[WEIR_UUID_LEN + 1], payment[WEIR_UUID_LEN + 1], event[WEIR_UUID_LEN + 1];
    char traceparent[WEIR_TRACE_TEXT];
    const char *values[] = {order,   input->user, input->products, input->quantities,
                            payment, event,       traceparent};

    assert(call->request != NULL);
    weir_uuid7(order);
    weir_uuid7(payment);
    weir_uuid7(event);
    weir_http_trace_text(call->request, traceparent);
    return weir_command_submit(call->checkout->commands, call->request, idempotency, values,
                               on_outcome, call);
}

static void post_checkout(weir_http_request_t *request, void *arg)
{
    weir_idempotency_t idempotency;
    weir_command_result_t taken;
    weir_order_input_t input;
    call_t *call;
    int version = weir_order_request(request, true, &idempotency, &input);

    if (version == 0)
        return;

    call = weir_alloc(sizeof(*call));
    call->checkout = arg;
    call->request = request;
    call->version = version;
    memcpy(call->user, input.user, sizeof(call->user));
    taken = submit(call, &idempotency, &input);
    if (taken == WEIR_COMMAND_TAKEN)
        return;
    if (taken == WEIR_COMMAND_REFUSED)
        weir_answer_not_taken(request);
    free(call);
}

static void *open_checkout(const weir_runtime_t *runtime)
{
    checkout_t *checkout = weir_alloc(sizeof(*checkout));

    assert(runtime->openapi != NULL);
    checkout->relay = runtime->relay;
    checkout->db = weir_db_new(runtime->base, runtime->database, "checkout", NULL, NULL);
    checkout->commands =
        weir_command_new(checkout->db, CHECKOUT, 7, BATCH_MAX, WAITING_MAX, IN_FLIGHT);
    weir_openapi_route(runtime->openapi, &operation, post_checkout, checkout);
    return checkout;
}

static void close_checkout(void *part)
{
    checkout_t *checkout = part;

    weir_db_free(checkout->db);
    weir_command_free(checkout->commands);
    free(checkout);
}

const weir_endpoints_t weir_checkout_endpoints = {.open = open_checkout, .close = close_checkout};
