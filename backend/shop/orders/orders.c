#include "shop/orders/orders.h"

#include "api/answer.h"
#include "api/authorize.h"
#include "common/ids/uuid7.h"
#include "db/batch/batch.h"
#include "http/idempotency.h"
#include "log/alloc.h"
#include "shop/orders/order_input.h"
#include "shop/shop_api.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * The most requests of one batch, and the most that may wait for a batch; further requests get a
 * 503.
 */
#define BATCH_MAX 256
#define WAITING_MAX 2048
#define COMMANDS_IN_FLIGHT 1

#define CREATE                                                                                     \
    "SELECT place, outcome, item, currency, total, items, created_at, ($1::uuid[])[place] AS id "  \
    "FROM orders_create($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::text[])"
#define READ                                                                                       \
    "SELECT place, id, user_id, status, currency, total, items, created_at "                       \
    "FROM orders_by_id($1::uuid[])"

/* Columns of CREATE; those of READ are place, then the fields of an order in their order. */
enum {
    CREATE_OUTCOME = 1,
    CREATE_ITEM,
    CREATE_CURRENCY,
    CREATE_TOTAL,
    CREATE_ITEMS,
    CREATE_CREATED_AT,
    CREATE_ID
};
enum { READ_FIRST = 1 };

typedef struct {
    weir_relay_t *relay;
    weir_db_t *commands_db;
    weir_command_t *commands;
} orders_t;

enum { PRODUCT, QUANTITY, UNIT_PRICE };

static const weir_field_t item_fields[] = {
    {"productId", WEIR_UUID, PRODUCT, .since = 1},
    {"quantity", WEIR_INTEGER, QUANTITY, .since = 1},
    {"price", WEIR_INTEGER, UNIT_PRICE, .since = 1, .deprecated = 2, .removed = 3,
     .replaced_by = "unitPrice"},
    {"unitPrice", WEIR_INTEGER, UNIT_PRICE, .since = 2,
     .about = "Of one piece, when the order was made; in minor units of the order's currency."},
};
static const weir_resource_t item = WEIR_RESOURCE("OrderItem", item_fields);

static const weir_field_t fields[] = {
    {"id", WEIR_UUID, WEIR_ORDER_ID, .since = 1},
    {"userId", WEIR_UUID, WEIR_ORDER_USER, .since = 1},
    {"status", WEIR_STRING, WEIR_ORDER_STATUS, .since = 1,
     .about = "PLACED, or of an order with a checkout: PENDING, PAID, FAILED, REFUNDED."},
    {"currency", WEIR_CURRENCY, WEIR_ORDER_CURRENCY, .since = 1},
    {"total", WEIR_INTEGER, WEIR_ORDER_TOTAL, .since = 1,
     .about = "In minor units of the currency."},
    {"items", WEIR_LIST, WEIR_ORDER_ITEMS, .since = 1, .of = &item},
    {"createdAt", WEIR_TIME, WEIR_ORDER_CREATED_AT, .since = 1},
};
const weir_resource_t weir_order_resource = WEIR_RESOURCE("Order", fields);

static const weir_operation_t post_operation = {
    "POST",
    "/orders",
    "placeOrder",
    "Places an order.",
    .body = &weir_order_body,
    .status = 201,
    .answer = &weir_order_resource,
    .errors = {409, 413, 415, 422},
    .scope = "shop:orders",
};
static const weir_operation_t get_operation = {
    "GET",
    "/orders/{id}",
    "getOrder",
    "Shows an order.",
    .status = 200,
    .answer = &weir_order_resource,
    .errors = {404},
    .kind = "order",
    .scope = "shop:orders",
};

/* A request whose batch is in flight. */
typedef struct {
    orders_t *orders;
    weir_http_request_t *request;
    int version;
    char id[WEIR_UUID_LEN + 1];
    char user[WEIR_UUID_LEN + 1]; /* of a new order */
} call_t;

static call_t *new_call(orders_t *orders, weir_http_request_t *request, int version)
{
    call_t *call = weir_alloc(sizeof(*call));

    call->orders = orders;
    call->request = request;
    call->version = version;

    return call;
}

/* --- POST /orders -------------------------------------------------------------------------- */

static void created(call_t *call, PGresult *result, int row)
{
    const char *id = PQgetvalue(result, row, CREATE_ID);
    char location[64];
    weir_str_t values[WEIR_ORDER_N_VALUES] = {
        [WEIR_ORDER_ID] = weir_str(id),
        [WEIR_ORDER_USER] = weir_str(call->user),
        [WEIR_ORDER_STATUS] = WEIR_STR("PLACED"),
        [WEIR_ORDER_CURRENCY] = weir_column(result, row, CREATE_CURRENCY),
        [WEIR_ORDER_TOTAL] = weir_column(result, row, CREATE_TOTAL),
        [WEIR_ORDER_ITEMS] = weir_column(result, row, CREATE_ITEMS),
        [WEIR_ORDER_CREATED_AT] = weir_column(result, row, CREATE_CREATED_AT),
    };

    weir_relay_wake(call->orders->relay);
    snprintf(location, sizeof(location), "/orders/%s", id);
    weir_http_add_header(call->request, "Location", location);
    weir_answer(call->request, 201, &weir_order_resource, values, call->version);
}

static void on_order(PGresult *result, int row, const char *error, const char *sqlstate, void *arg)
{
    call_t *call = arg;

    if (result == NULL && error != NULL) {
        weir_answer_database_failed(call->request, error, sqlstate);
    } else if (result != NULL && strcmp(PQgetvalue(result, row, CREATE_OUTCOME), "created") == 0) {
        created(call, result, row);
    } else if (result != NULL) {
        weir_input_error_t wrong =
            weir_order_outcome_error(PQgetvalue(result, row, CREATE_OUTCOME),
                                     (int)weir_column_int(result, row, CREATE_ITEM));

        weir_answer_wrong_fields(call->request, &wrong, 1);
    }

    free(call);
}

static weir_command_result_t submit_order(call_t *call, const weir_idempotency_t *idempotency,
                                          const weir_order_input_t *input)
{
    char event_id[WEIR_UUID_LEN + 1], traceparent[WEIR_TRACE_TEXT];
    const char *values[] = {call->id,          input->user, input->products,
                            input->quantities, event_id,    traceparent};

    weir_uuid7(call->id);
    weir_uuid7(event_id);
    weir_http_trace_text(call->request, traceparent);

    return weir_command_submit(call->orders->commands, call->request, idempotency, values, on_order,
                               call);
}

int weir_order_request(weir_http_request_t *request, bool key_required,
                       weir_idempotency_t *idempotency, weir_order_input_t *input)
{
    weir_input_error_t errors[WEIR_INPUT_ERRORS_MAX];
    char why[512];
    weir_str_t body;
    int version = weir_version_of(request, &weir_shop_api), n;

    if (version == 0 || !weir_idempotency_read(request, key_required, version, idempotency))
        return 0;

    body = weir_json_body(request);
    if (body.data == NULL)
        return 0;

    n = weir_order_read(body, version, input, errors, why, sizeof(why));
    if (n != 0) {
        weir_answer_wrong_body(request, n, errors, why);
        return 0;
    }

    return weir_authorize_owner(request, &weir_shop_api, weir_str(input->user)) ? version : 0;
}

static void post_order(weir_http_request_t *request, void *arg)
{
    weir_idempotency_t idempotency;
    weir_command_result_t taken;
    weir_order_input_t input;
    call_t *call;
    int version = weir_order_request(request, false, &idempotency, &input);

    if (version == 0)
        return;

    call = new_call(arg, request, version);
    memcpy(call->user, input.user, sizeof(call->user));
    taken = submit_order(call, &idempotency, &input);
    if (taken == WEIR_COMMAND_TAKEN)
        return;

    if (taken == WEIR_COMMAND_REFUSED)
        weir_answer_not_taken(request);
    free(call);
}

/* --- life ------------------------------------------------------------------------------------- */

static void *open_orders(const weir_runtime_t *runtime)
{
    orders_t *orders = weir_alloc(sizeof(*orders));

    orders->relay = runtime->relay;
    orders->commands_db = weir_db_new(runtime->base, runtime->database, "orders", NULL, NULL);
    orders->commands = weir_command_new(orders->commands_db, CREATE, 6, BATCH_MAX, WAITING_MAX,
                                        COMMANDS_IN_FLIGHT);

    weir_openapi_route(runtime->openapi, &post_operation, post_order, orders);

    return orders;
}

static void close_orders(void *part)
{
    orders_t *orders = part;

    weir_db_free(orders->commands_db);
    weir_command_free(orders->commands);
    free(orders);
}

const weir_endpoints_t weir_orders_endpoints = {.open = open_orders, .close = close_orders};

/* --- GET /orders/{id} ------------------------------------------------------------------------ */

static void bind_order(weir_call_t *call, const char **values)
{
    values[0] = call->id;
}

static void on_read(weir_call_t *call, PGresult *result, int row)
{
    weir_str_t values[WEIR_ORDER_N_VALUES];

    /* An order of another user is answered like one that does not exist. */
    if (PQgetisnull(result, row, READ_FIRST) ||
        !weir_is_owner(call->request, &weir_shop_api,
                       weir_column(result, row, READ_FIRST + WEIR_ORDER_USER))) {
        weir_answer_no_such(call->request, "order", weir_str(call->id));
        return;
    }
    for (int i = 0; i < WEIR_ORDER_N_VALUES; i++)
        values[i] = weir_column(result, row, READ_FIRST + i);
    weir_answer(call->request, 200, &weir_order_resource, values, call->version);
}

static const weir_endpoint_t reads[] = {
    {&get_operation, READ, 1, bind_order, on_read},
    {0},
};

const weir_endpoints_t weir_order_endpoints = {.session = "order-reads", .endpoints = reads};
