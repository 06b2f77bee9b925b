#include "shop/products/products.h"

#include "api/answer.h"
#include "common/ids/uuid7.h"
#include "db/batch/batch.h"
#include "log/alloc.h"
#include "shop/shop_api.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define BATCH_MAX 256
#define WAITING_MAX 2048
#define CHANGES_IN_FLIGHT 1
#define READS_IN_FLIGHT 2

#define PAGE "100" /* products */
#define MAX_AGE "max-age=60"

#define PRODUCT_NAME_MAX 100 /* characters */
/* Minor units. The total of the largest order stays below 2^53, which every JSON reader can count.
 */
#define PRODUCT_PRICE_MAX 1000000000

#define PUT                                                                                        \
    "SELECT place, outcome, updated_at "                                                           \
    "FROM products_put($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::uuid[], $6::text[],"  \
    " $7::text[])"
#define READ "SELECT place, id, name, price, currency, updated_at FROM products_by_id($1::uuid[])"
#define LIST "SELECT place, products, next FROM products_page($1::uuid[], $2::int[])"

/* Columns of PUT and LIST; those of READ are place, then the fields of a product in their order. */
enum { PUT_OUTCOME = 1, PUT_UPDATED_AT };
enum { LIST_PRODUCTS = 1, LIST_NEXT };
enum { READ_FIRST = 1 };

typedef struct {
    weir_relay_t *relay;
    weir_db_t *db;
    weir_batch_t *puts;
    weir_batch_t *reads;
    weir_batch_t *lists;
} products_t;

enum { ID, NAME, PRICE, CURRENCY, UPDATED_AT, N_VALUES };

static const weir_field_t fields[] = {
    {"id", WEIR_UUID, ID, .since = 1},
    {"name", WEIR_STRING, NAME, .since = 1},
    {"price", WEIR_INTEGER, PRICE, .since = 1, .about = "In minor units of the currency."},
    {"currency", WEIR_CURRENCY, CURRENCY, .since = 1},
    {"updatedAt", WEIR_TIME, UPDATED_AT, .since = 2},
};
static const weir_resource_t product = WEIR_RESOURCE("Product", fields);

enum { PRODUCTS, NEXT, N_PAGE_VALUES };

static const weir_field_t page_fields[] = {
    {"products", WEIR_LIST, PRODUCTS, .since = 1, .of = &product},
    {"next", WEIR_UUID, NEXT, .since = 1, .optional = 1,
     .about = "There are more: ask with after={next}."},
};
static const weir_resource_t page = WEIR_RESOURCE("Products", page_fields);

static const weir_field_t put_fields[] = {
    {"name", WEIR_LINE, .since = 1, .min = 1, .max = PRODUCT_NAME_MAX},
    {"price", WEIR_INTEGER, .since = 1, .min = 0, .max = PRODUCT_PRICE_MAX,
     .unit = "in minor units of the currency"},
    {"currency", WEIR_CURRENCY, .since = 1},
};
static const weir_resource_t put_body = WEIR_RESOURCE("ProductChange", put_fields);

static const weir_field_t query_fields[] = {
    {"after", WEIR_UUID, .since = 1, .about = "Only products with an id above this one."},
};
static const weir_resource_t query = WEIR_RESOURCE("After", query_fields);

static const weir_operation_t list_operation = {
    "GET",           "/products",   "listProducts",  "Shows products, in the order of their ids.",
    .query = &query, .status = 200, .answer = &page, .anonymous = 1,
};
static const weir_operation_t get_operation = {
    "GET",         "/products/{id}",   "getProduct",    "Shows a product.",
    .status = 200, .answer = &product, .errors = {404}, .anonymous = 1,
};
static const weir_operation_t put_operation = {
    "PUT",
    "/products/{id}",
    "putProduct",
    "Creates a product (201) or changes it (200).",
    .body = &put_body,
    .status = 200,
    .also = 201,
    .answer = &product,
    .errors = {404, 413, 415, 422},
    .scope = "shop:admin",
};

/* A request whose batch is in flight. */
typedef struct {
    products_t *products;
    weir_http_request_t *request;
    int version;
    char id[WEIR_UUID_LEN + 1];
    json_t *body; /* of a PUT; owns the next two members */
    const char *name, *currency;
    long long price;
    char *if_none_match; /* of a read, or NULL */
} call_t;

static call_t *new_call(products_t *products, weir_http_request_t *request, int version)
{
    call_t *call = weir_alloc(sizeof(*call));

    call->products = products;
    call->request = request;
    call->version = version;

    return call;
}

static void free_call(call_t *call)
{
    assert(call->request != NULL);
    json_decref(call->body);
    free(call->if_none_match);
    free(call);
}

/* --- GET ------------------------------------------------------------------------------- */

static void on_product(PGresult *result, int row, const char *error, const char *sqlstate,
                       void *arg)
{
    call_t *call = arg;
    weir_str_t values[N_VALUES];
    char tag[64];

    if (result == NULL) {
        weir_answer_database_failed(call->request, error, sqlstate);
    } else if (PQgetisnull(result, row, READ_FIRST)) {
        weir_answer_no_such(call->request, "product", weir_str(call->id));
    } else {
        for (int i = 0; i < N_VALUES; i++)
            values[i] = weir_column(result, row, READ_FIRST + i);
        snprintf(tag, sizeof(tag), "product:%s", call->id);
        weir_answer_cached(call->request, &product, values, call->version, MAX_AGE, tag,
                           call->if_none_match);
    }

    free_call(call);
}

static void get_product(weir_http_request_t *request, void *arg)
{
    products_t *products = arg;
    char uuid[WEIR_UUID_LEN + 1];
    call_t *call;
    int version = weir_version_of(request, &weir_shop_api);

    if (version == 0 || !weir_id_of(request, "product", uuid))
        return;

    call = new_call(products, request, version);
    memcpy(call->id, uuid, sizeof(uuid));
    call->if_none_match = weir_if_none_match(request);
    if (weir_batch_submit(products->reads, weir_http_trace(request), weir_http_deadline(request),
                          (const char *[]){uuid}, on_product, call))
        return;

    weir_answer_not_taken(request);
    free_call(call);
}

static void on_page(PGresult *result, int row, const char *error, const char *sqlstate, void *arg)
{
    call_t *call = arg;

    if (result == NULL) {
        weir_answer_database_failed(call->request, error, sqlstate);
    } else {
        weir_str_t values[N_PAGE_VALUES] = {
            [PRODUCTS] = weir_column(result, row, LIST_PRODUCTS),
            [NEXT] = weir_column(result, row, LIST_NEXT),
        };

        weir_answer_cached(call->request, &page, values, call->version, MAX_AGE, "products",
                           call->if_none_match);
    }

    free_call(call);
}

static void get_products(weir_http_request_t *request, void *arg)
{
    products_t *products = arg;
    weir_str_t after = weir_http_query(request, "after");
    char uuid[WEIR_UUID_LEN + 1] = "00000000-0000-0000-0000-000000000000";
    call_t *call;
    int version = weir_version_of(request, &weir_shop_api);

    if (version == 0)
        return;

    if (after.data != NULL && weir_uuid_parse(after, uuid) != 0) {
        weir_http_error(request, 400, "after is \"%.*s\"; it must be the UUID of a product.",
                        after.len < 64 ? (int)after.len : 64, after.data);
        return;
    }

    call = new_call(products, request, version);
    call->if_none_match = weir_if_none_match(request);
    if (weir_batch_submit(products->lists, weir_http_trace(request), weir_http_deadline(request),
                          (const char *[]){uuid, PAGE}, on_page, call))
        return;

    weir_answer_not_taken(request);
    free_call(call);
}

/* --- PUT /products/{id} ---------------------------------------------------------------- */

static void show_change(call_t *call, const char *outcome, weir_str_t updated_at)
{
    char price[24], tags[64];
    weir_str_t values[N_VALUES] = {
        [ID] = weir_str(call->id),
        [NAME] = weir_str(call->name),
        [PRICE] = {price, (size_t)snprintf(price, sizeof(price), "%lld", call->price)},
        [CURRENCY] = weir_str(call->currency),
        [UPDATED_AT] = updated_at,
    };
    bool is_new = strcmp(outcome, "created") == 0;

    assert(call->name != NULL && call->currency != NULL);
    if (strcmp(outcome, "unchanged") != 0)
        weir_relay_wake(call->products->relay);

    /* Also when nothing was changed: a repeated PUT repairs what the first one's lost answer left.
     */
    snprintf(tags, sizeof(tags), "products, product:%s", call->id);
    weir_http_add_header(call->request, "Weir-Invalidate", tags);
    weir_answer(call->request, is_new ? 201 : 200, &product, values, call->version);
}

static void on_put(PGresult *result, int row, const char *error, const char *sqlstate, void *arg)
{
    call_t *call = arg;

    if (result == NULL)
        weir_answer_database_failed(call->request, error, sqlstate);
    else
        show_change(call, PQgetvalue(result, row, PUT_OUTCOME),
                    weir_column(result, row, PUT_UPDATED_AT));

    free_call(call);
}

static bool submit_put(call_t *call)
{
    char price[24], event_id[WEIR_UUID_LEN + 1], traceparent[WEIR_TRACE_TEXT];
    char caller[WEIR_CALLER_TEXT];
    const char *values[] = {call->id, call->name,  price, call->currency,
                            event_id, traceparent, caller};

    assert(call->id[0] != '\0');
    snprintf(price, sizeof(price), "%lld", call->price);
    weir_uuid7(event_id);
    weir_http_trace_text(call->request, traceparent);
    weir_caller_text(call->request, caller);

    return weir_batch_submit(call->products->puts, weir_http_trace(call->request),
                             weir_http_deadline(call->request), values, on_put, call);
}

static void put_product(weir_http_request_t *request, void *arg)
{
    weir_str_t id = weir_http_param(request, 0);
    int version = weir_version_of(request, &weir_shop_api);
    char uuid[WEIR_UUID_LEN + 1];
    json_t *body;
    call_t *call;

    if (version == 0)
        return;

    if (weir_uuid_parse(id, uuid) != 0) {
        weir_http_error(request, 404, "A product's id is a UUID, which %.*s is not.",
                        id.len < 64 ? (int)id.len : 64, id.data);
        return;
    }

    body = weir_body_of(request, &put_body, version);
    if (body == NULL)
        return;

    call = new_call(arg, request, version);
    memcpy(call->id, uuid, sizeof(uuid));
    call->body = body;
    call->name = json_string_value(json_object_get(body, "name"));
    call->currency = json_string_value(json_object_get(body, "currency"));
    call->price = json_integer_value(json_object_get(body, "price"));
    if (submit_put(call))
        return;

    weir_answer_not_taken(request);
    free_call(call);
}

/* --- life -------------------------------------------------------------------------------- */

static void *open_products(const weir_runtime_t *runtime)
{
    products_t *products = weir_alloc(sizeof(*products));

    products->relay = runtime->relay;
    products->db = weir_db_new(runtime->base, runtime->database, "products", NULL, NULL);
    products->puts =
        weir_batch_new(products->db, PUT, 7, BATCH_MAX, WAITING_MAX, CHANGES_IN_FLIGHT);
    products->reads =
        weir_batch_new(products->db, READ, 1, BATCH_MAX, WAITING_MAX, READS_IN_FLIGHT);
    products->lists =
        weir_batch_new(products->db, LIST, 2, BATCH_MAX, WAITING_MAX, READS_IN_FLIGHT);

    weir_openapi_route(runtime->openapi, &list_operation, get_products, products);
    weir_openapi_route(runtime->openapi, &get_operation, get_product, products);
    weir_openapi_route(runtime->openapi, &put_operation, put_product, products);

    return products;
}

static void close_products(void *part)
{
    products_t *products = part;

    weir_db_free(products->db);
    weir_batch_free(products->puts);
    weir_batch_free(products->reads);
    weir_batch_free(products->lists);
    free(products);
}

const weir_endpoints_t weir_products_endpoints = {.open = open_products, .close = close_products};
