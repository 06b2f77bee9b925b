#include "shop/users/deletion.h"

#include <string.h>

#define DELETE                                                                                     \
    "SELECT place, outcome, requested_at FROM delete_users($1::uuid[], $2::uuid[], $3::text[], "   \
    "$4::text[])"

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
    "DELETE",
    "/users/{id}",
    "deleteUser",
    "Has a user deleted.",
    .status = 202,
    .answer = &resource,
    .errors = {404, 410},
    .kind = "user",
    .scope = "shop:users",
    .of_subject = 1,
};

/* Columns of the statement; place is the batch's. */
enum { DELETE_OUTCOME = 1, DELETE_REQUESTED_AT };

static void on_outcome(weir_call_t *call, PGresult *result, int row)
{
    const char *outcome = PQgetvalue(result, row, DELETE_OUTCOME);
    const weir_str_t values[N_VALUES] = {
        [ID] = weir_str(call->id),
        [STATUS] = WEIR_STR("DELETING"),
        [REQUESTED_AT] = weir_column(result, row, DELETE_REQUESTED_AT),
    };

    if (strcmp(outcome, "accepted") == 0)
        weir_answer(call->request, 202, &resource, values, call->version);
    else if (strcmp(outcome, "gone") == 0)
        weir_http_error(call->request, 410, "The user %s was deleted.", call->id);
    else
        weir_answer_no_such(call->request, "user", weir_str(call->id));
}

static void bind_deletion(weir_call_t *call, const char **values)
{
    values[0] = call->id;
    values[1] = call->event_id;
    values[2] = call->traceparent;
    values[3] = call->caller;
}

static const weir_endpoint_t endpoints[] = {
    {&operation, DELETE, 4, bind_deletion, on_outcome},
    {0},
};

const weir_endpoints_t weir_deletion_endpoints = {.session = "deletion", .endpoints = endpoints};
