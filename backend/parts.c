#include "parts.h"

#include "log/alloc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/*
 * The most requests of one batch, and the most that may wait for a batch; further requests get a
 * 503.
 */
#define BATCH_MAX 256
#define WAITING_MAX 2048
/*
 * Batches of commands run one after the other, so that they grow; batches of queries do not wait
 * for a disk, so two may run.
 */
#define COMMANDS_IN_FLIGHT 1
#define QUERIES_IN_FLIGHT 2

typedef struct table table_t;

/* An endpoint of a table, with its statement. */
typedef struct {
    table_t *table;
    const weir_endpoint_t *endpoint;
    weir_batch_t *query; /* or NULL; then the endpoint has a command: */
    weir_command_t *command;
} row_t;

struct table {
    const weir_runtime_t *runtime;
    const weir_api_t *api;
    weir_db_t *db;
    size_t count;
    row_t rows[];
};

/* Each part at its index in the domain's list: a table, or the result of its open(). */
struct weir_parts {
    const weir_domain_t *domain;
    void *opened[WEIR_ENDPOINTS_MAX];
};

/* --- endpoints that are rows of a table ----------------------------------------------- */

static void answer(weir_call_t *call, PGresult *result, int row)
{
    const row_t *r = call->part;

    assert(r->endpoint->answer != NULL);
    r->endpoint->answer(call, result, row);
    if (r->command != NULL)
        weir_relay_wake(r->table->runtime->relay);
}

static void handle(weir_http_request_t *request, void *arg)
{
    row_t *row = arg;
    const char *values[WEIR_BATCH_WIDTH_MAX] = {NULL};
    weir_call_t *call = weir_call_begin(request, row, row->table->api, row->endpoint->operation);

    if (call == NULL)
        return;

    call->settings = row->table->runtime->settings;
    row->endpoint->bind(call, values);
    if (row->command != NULL)
        weir_call_command(call, row->command, values, answer);
    else
        weir_call_query(call, row->query, values, answer);
}

static void add_row(table_t *table, const weir_endpoint_t *endpoint)
{
    row_t *row = &table->rows[table->count++];

    assert(endpoint->bind != NULL && endpoint->answer != NULL && endpoint->sql != NULL);
    assert(endpoint->width > 0 && endpoint->width <= WEIR_BATCH_WIDTH_MAX);
    row->table = table;
    row->endpoint = endpoint;
    if (strcmp(endpoint->operation->method, "GET") == 0) {
        row->query = weir_batch_new(table->db, endpoint->sql, endpoint->width, BATCH_MAX,
                                    WAITING_MAX, QUERIES_IN_FLIGHT);
    } else {
        assert(endpoint->width <= WEIR_COMMAND_WIDTH_MAX);
        row->command = weir_command_new(table->db, endpoint->sql, endpoint->width, BATCH_MAX,
                                        WAITING_MAX, COMMANDS_IN_FLIGHT);
    }
    weir_openapi_route(table->runtime->openapi, endpoint->operation, handle, row);
}

static table_t *open_table(const weir_endpoints_t *part, const weir_api_t *api,
                           const weir_runtime_t *runtime)
{
    size_t count = 0;
    table_t *table;

    assert(runtime->openapi != NULL && runtime->base != NULL);
    while (part->endpoints[count].operation != NULL)
        count++;
    table = weir_alloc(sizeof(*table) + count * sizeof(table->rows[0]));
    table->runtime = runtime;
    table->api = api;
    table->db = weir_db_new(runtime->base, runtime->database, part->session, NULL, NULL);
    for (size_t i = 0; i < count; i++)
        add_row(table, &part->endpoints[i]);
    assert(table->count == count);

    return table;
}

static void close_table(table_t *table)
{
    weir_db_free(table->db);
    for (size_t i = 0; i < table->count; i++) {
        if (table->rows[i].command != NULL)
            weir_command_free(table->rows[i].command);
        else
            weir_batch_free(table->rows[i].query);
    }
    free(table);
}

/* --- all parts ------------------------------------------------------------------------- */

weir_parts_t *weir_parts_open(const weir_domain_t *domain, const weir_runtime_t *runtime)
{
    weir_parts_t *parts = weir_alloc(sizeof(*parts));

    assert(domain->endpoints != NULL && runtime != NULL);
    parts->domain = domain;
    for (size_t i = 0; domain->endpoints[i] != NULL; i++) {
        const weir_endpoints_t *part = domain->endpoints[i];

        assert(i < WEIR_ENDPOINTS_MAX);
        assert((part->endpoints != NULL) != (part->open != NULL));
        if (part->endpoints != NULL)
            parts->opened[i] = open_table(part, domain->api, runtime);
        else
            parts->opened[i] = part->open(runtime);
    }

    return parts;
}

void weir_parts_close(weir_parts_t *parts)
{
    if (parts == NULL)
        return;

    for (size_t i = 0; parts->domain->endpoints[i] != NULL; i++) {
        const weir_endpoints_t *part = parts->domain->endpoints[i];

        if (part->endpoints != NULL)
            close_table(parts->opened[i]);
        else
            part->close(parts->opened[i]);
    }
    free(parts);
}
