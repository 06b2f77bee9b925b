#include "shop/deletion.h"

#include "api/answer.h"
#include "common/uuid7.h"
#include "db/batch.h"
#include "log/alloc.h"
#include "shop/shop_api.h"

#include <stdlib.h>

#define BATCH_MAX 256
#define WAITING_MAX 2048
#define IN_FLIGHT 1

#define DELETE                                                                                     \
    "SELECT place, outcome, requested_at FROM delete_users($1::uuid[], $2::uuid[], $3::text[])"

typedef struct {
    weir_relay_t *relay;
    weir_db_t *db;
    weir_batch_t *batch;
} deletion_t;

static const char *const types[] = {"UserDeleted", NULL};

const weir_group_t weir_access_group = {.consumer = {
    .group = "access",
    .types = types,
    .apply = "access_apply",
    .permanent = "22,23",
}};

const weir_group_t weir_privacy_group = {.consumer = {
    .group = "privacy",
    .types = types,
    .apply = "privacy_apply",
    .permanent = "22,23",
}};

enum { ID, STATUS, REQUESTED_AT, N_VALUES };

static const weir_field_t fields[] = {
    {"id", WEIR_UUID, ID, .since = 1},
    {"status", WEIR_STRING, STATUS, .since = 1, .about = "DELETING."},
    {"requestedAt", WEIR_TIME, REQUESTED_AT, .since = 1},
};
static const weir_resource_t resource = WEIR_RESOURCE("Deletion", fields);

static const weir_operation_t operation = {
    "DELETE",      "/users/{id}",       "deleteUser",         "Has a user deleted.",
    .status = 202, .answer = &resource, .errors = {404, 410},
};

/* A request whose batch is under way. */
typedef struct {
    deletion_t *deletion;
    weir_http_request_t *request;
    int version;
    char id[WEIR_UUID_LEN + 1];
} call_t;

static void on_outcome(PGresult *result, int row, const char *error, const char *sqlstate,
                       void *arg)
{
    call_t *call = arg;
    const char *outcome = result != NULL ? PQgetvalue(result, row, 1) : "";

    if (result == NULL) {
        weir_answer_database_failed(call->request, error, sqlstate);
    } else if (strcmp(outcome, "accepted") == 0) {
        weir_str_t values[N_VALUES] = {
            [ID] = weir_str(call->id),
            [STATUS] = WEIR_STR("DELETING"),
            [REQUESTED_AT] = weir_str(PQgetvalue(result, row, 2)),
        };

        weir_relay_wake(call->deletion->relay);
        weir_answer(call->request, 202, &resource, values, call->version);
    } else if (strcmp(outcome, "gone") == 0) {
        weir_http_error(call->request, 410, "The user %s was deleted.", call->id);
    } else {
        weir_answer_no_such(call->request, "user", weir_str(call->id));
    }
    free(call);
}

static void delete_user(weir_http_request_t *request, void *arg)
{
    deletion_t *deletion = arg;
    char uuid[WEIR_UUID_LEN + 1], event[WEIR_UUID_LEN + 1], traceparent[WEIR_TRACEPARENT_LEN + 1];
    call_t *call;
    int version = weir_version_of(request, &weir_shop_api);

    if (version == 0 || !weir_id_of(request, "user", uuid))
        return;

    call = weir_alloc(sizeof(*call));
    call->deletion = deletion;
    call->request = request;
    call->version = version;
    memcpy(call->id, uuid, sizeof(uuid));
    weir_uuid7(event);
    weir_traceparent_format(weir_http_trace(request), traceparent);
    if (weir_batch_submit(deletion->batch, (const char *[]){uuid, event, traceparent}, on_outcome,
                          call))
        return;
    weir_answer_not_taken(request);
    free(call);
}

static void *open_deletion(const weir_runtime_t *runtime)
{
    deletion_t *deletion = weir_alloc(sizeof(*deletion));

    deletion->relay = runtime->relay;
    deletion->db = weir_db_new(runtime->base, runtime->database, "deletion", NULL, NULL);
    deletion->batch = weir_batch_new(deletion->db, DELETE, 3, BATCH_MAX, WAITING_MAX, IN_FLIGHT);
    weir_openapi_route(runtime->openapi, &operation, delete_user, deletion);
    return deletion;
}

static void close_deletion(void *part)
{
    deletion_t *deletion = part;

    weir_db_free(deletion->db);
    weir_batch_free(deletion->batch);
    free(deletion);
}

const weir_endpoints_t weir_deletion_endpoints = {open_deletion, close_deletion};
