#include "shop/orders/dashboard.h"

#include "api/answer.h"
#include "db/db.h"
#include "log/alloc.h"
#include "shop/shop_api.h"

#include <stdlib.h>

#define DAYS "90" /* the newest */

#define MAX_AGE "max-age=300"

typedef struct {
    weir_db_t *db;
} dashboard_t;

enum { DAY, CURRENCY, ORDERS, ITEMS, REVENUE };

static const weir_field_t day_fields[] = {
    {"day", WEIR_DATE, DAY, .since = 1, .about = "In UTC, on which the orders were made."},
    {"currency", WEIR_CURRENCY, CURRENCY, .since = 1},
    {"orders", WEIR_INTEGER, ORDERS, .since = 1},
    {"items", WEIR_INTEGER, ITEMS, .since = 1, .about = "Pieces."},
    {"revenue", WEIR_INTEGER, REVENUE, .since = 1, .about = "In minor units of the currency."},
};
static const weir_resource_t day = WEIR_RESOURCE("DailyOrders", day_fields);

static const weir_field_t fields[] = {
    {"days", WEIR_LIST, .since = 1, .of = &day, .about = "The newest first."},
};
static const weir_resource_t daily_orders = WEIR_RESOURCE("DailyOrdersDashboard", fields);

static const weir_operation_t operation = {
    "GET",
    "/dashboard/daily-orders",
    "showDailyOrders",
    "Shows what was ordered on each day.",
    .status = 200,
    .answer = &daily_orders,
    .scope = "shop:admin",
};

typedef struct {
    weir_http_request_t *request;
    int version;
    char *if_none_match;
} call_t;

static void free_call(call_t *call)
{
    free(call->if_none_match);
    free(call);
}

static void on_days(PGresult *result, const char *error, const char *sqlstate, void *arg)
{
    call_t *call = arg;

    if (result == NULL) {
        weir_answer_database_failed(call->request, error, sqlstate);
    } else {
        weir_str_t values[] = {weir_column(result, 0, 0)};

        /* With identities Cache-Control is private; operators have it in common at their edge. */
        if (weir_http_identity(call->request) != NULL)
            weir_http_add_header(call->request, "Weir-Cache-Control", MAX_AGE);
        weir_answer_cached(call->request, &daily_orders, values, call->version, MAX_AGE,
                           "daily-orders", call->if_none_match);
    }

    free_call(call);
}

static void get_daily_orders(weir_http_request_t *request, void *arg)
{
    dashboard_t *dashboard = arg;
    int version = weir_version_of(request, &weir_shop_api);
    call_t *call;

    if (version == 0)
        return;

    call = weir_alloc(sizeof(*call));
    call->request = request;
    call->version = version;
    call->if_none_match = weir_if_none_match(request);
    if (weir_db_query(dashboard->db, "SELECT daily_orders($1::int)", 1, (const char *[]){DAYS},
                      on_days, call))
        return;

    weir_answer_not_taken(request);
    free_call(call);
}

static void *open_dashboard(const weir_runtime_t *runtime)
{
    dashboard_t *dashboard = weir_alloc(sizeof(*dashboard));

    dashboard->db = weir_db_new(runtime->base, runtime->database, "dashboard", NULL, NULL);
    weir_openapi_route(runtime->openapi, &operation, get_daily_orders, dashboard);

    return dashboard;
}

static void close_dashboard(void *part)
{
    dashboard_t *dashboard = part;

    weir_db_free(dashboard->db);
    free(dashboard);
}

const weir_endpoints_t weir_dashboard_endpoints = {.open = open_dashboard,
                                                   .close = close_dashboard};
