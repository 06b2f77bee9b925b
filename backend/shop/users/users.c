#include "shop/users/users.h"

#include "api/answer.h"
#include "api/formats.h"
#include "common/uuid7.h"
#include "db/batch/batch.h"
#include "http/idempotency.h"
#include "log/alloc.h"
#include "shop/shop_api.h"

#include <stdio.h>
#include <stdlib.h>

/* Requests in one batch, and those that may wait for the next ones: past it they get a 503. */
#define BATCH_MAX 256
#define WAITING_MAX 2048
/* Commands one after the other, so that batches grow; reads don't wait for a disk. */
#define COMMANDS_IN_FLIGHT 1
#define READS_IN_FLIGHT 2

#define DISPLAY_NAME_MAX 100 /* characters */

#define SIGNUP                                                                                     \
    "SELECT place, outcome, created_at, ($1::uuid[])[place] AS id "                                \
    "FROM signup($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[])"
#define READ                                                                                       \
    "SELECT place, id, email, display_name, status, created_at FROM users_by_id($1::uuid[])"

/* Columns of SIGNUP; those of READ are place, then the fields of a user in their order. */
enum { SIGNUP_OUTCOME = 1, SIGNUP_CREATED_AT, SIGNUP_ID };
enum { READ_FIRST = 1 };

typedef struct {
    weir_relay_t *relay;
    weir_db_t *commands_db;
    weir_db_t *reads_db;
    weir_command_t *signups;
    weir_batch_t *reads;
} users_t;

/* A user's values, and the fields that show them. */
enum { ID, EMAIL, DISPLAY_NAME, STATUS, CREATED_AT, N_VALUES };

static const weir_field_t fields[] = {
    {"id", WEIR_UUID, ID, .since = 1},
    {"email", WEIR_EMAIL, EMAIL, .since = 1},
    {"name", WEIR_STRING, DISPLAY_NAME, .since = 1, .deprecated = 2, .removed = 3,
     .replaced_by = "displayName"},
    {"displayName", WEIR_STRING, DISPLAY_NAME, .since = 2},
    {"status", WEIR_STRING, STATUS, .since = 1,
     .about = "PENDING, ACTIVE when all is set up, or DELETING."},
    {"createdAt", WEIR_TIME, CREATED_AT, .since = 1},
};
static const weir_resource_t user = WEIR_RESOURCE("User", fields);

static const weir_field_t signup_fields[] = {
    {"email", WEIR_EMAIL, .since = 1, .min = 1, .max = WEIR_EMAIL_MAX},
    {"displayName", WEIR_LINE, .since = 1, .min = 1, .max = DISPLAY_NAME_MAX},
};
static const weir_resource_t signup = WEIR_RESOURCE("Signup", signup_fields);

static const weir_operation_t post_operation = {
    "POST",          "/signup",     "signUp",        "Makes a user.",
    .body = &signup, .status = 201, .answer = &user, .errors = {409, 413, 415, 422},
};
static const weir_operation_t get_operation = {
    "GET",           "/users/{id}",        "getUser", "Shows a user.", .status = 200,
    .answer = &user, .errors = {404, 410},
};

/* A request whose batch is under way. */
typedef struct {
    users_t *users;
    weir_http_request_t *request;
    int version;
    char id[WEIR_UUID_LEN + 1];
    json_t *body;        /* of a signup; owns the next two */
    const char *email, *display_name;
    char *if_none_match; /* of a read, or NULL */
} call_t;

/* --- POST /signup ------------------------------------------------------------------------ */

static void created(call_t *call, const char *created_at, const char *id)
{
    char location[64];
    weir_str_t values[N_VALUES] = {
        [ID] = weir_str(id),
        [EMAIL] = weir_str(call->email),
        [DISPLAY_NAME] = weir_str(call->display_name),
        [STATUS] = WEIR_STR("PENDING"),
        [CREATED_AT] = weir_str(created_at),
    };

    weir_relay_wake(call->users->relay);
    snprintf(location, sizeof(location), "/users/%s", id);
    weir_http_add_header(call->request, "Location", location);
    weir_answer(call->request, 201, &user, values, call->version);
}

static void on_signup(PGresult *result, int row, const char *error, const char *sqlstate, void *arg)
{
    call_t *call = arg;

    if (result == NULL && error != NULL)
        weir_answer_database_failed(call->request, error, sqlstate);
    else if (result != NULL && strcmp(PQgetvalue(result, row, SIGNUP_OUTCOME), "taken") == 0)
        weir_http_error(call->request, 409, "The e-mail address %s is taken.", call->email);
    else if (result != NULL)
        created(call, PQgetvalue(result, row, SIGNUP_CREATED_AT),
                PQgetvalue(result, row, SIGNUP_ID));

    json_decref(call->body);
    free(call);
}

static call_t *new_call(users_t *users, weir_http_request_t *request, int version)
{
    call_t *call = weir_alloc(sizeof(*call));

    call->users = users;
    call->request = request;
    call->version = version;

    return call;
}

static void submit_signup(call_t *call, const weir_idempotency_t *idempotency)
{
    weir_command_result_t taken;
    char event_id[WEIR_UUID_LEN + 1], traceparent[WEIR_TRACEPARENT_LEN + 1];
    const char *values[] = {call->id, call->email, call->display_name, event_id,
                            traceparent};

    weir_uuid7(call->id);
    weir_uuid7(event_id);
    weir_traceparent_format(weir_http_trace(call->request), traceparent);

    taken = weir_command_submit(call->users->signups, call->request, idempotency, values, on_signup,
                                call);
    if (taken == WEIR_COMMAND_TAKEN)
        return;

    if (taken == WEIR_COMMAND_REFUSED)
        weir_answer_not_taken(call->request);
    json_decref(call->body);
    free(call);
}

static void post_signup(weir_http_request_t *request, void *arg)
{
    int version = weir_version_of(request, &weir_shop_api);
    weir_idempotency_t idempotency;
    json_t *body;
    call_t *call;

    if (version == 0 || !weir_idempotency_read(request, false, &idempotency))
        return;

    body = weir_body_of(request, &signup, version);
    if (body == NULL)
        return;

    call = new_call(arg, request, version);
    call->body = body;
    call->email = json_string_value(json_object_get(body, "email"));
    call->display_name = json_string_value(json_object_get(body, "displayName"));
    submit_signup(call, &idempotency);
}

/* --- GET /users/{id} ----------------------------------------------------------------------- */

static void show_user(call_t *call, PGresult *result, int row)
{
    weir_str_t values[N_VALUES];
    char tag[64];

    for (int i = 0; i < N_VALUES; i++)
        values[i] = weir_column(result, row, i + 1);

    snprintf(tag, sizeof(tag), "user:%s", call->id);
    weir_answer_cached(call->request, &user, values, call->version, "max-age=5", tag,
                       call->if_none_match);
}

static void on_user(PGresult *result, int row, const char *error, const char *sqlstate, void *arg)
{
    call_t *call = arg;

    if (result == NULL)
        weir_answer_database_failed(call->request, error, sqlstate);
    else if (PQgetisnull(result, row, READ_FIRST))
        weir_answer_no_such(call->request, "user", weir_str(call->id));
    else if (strcmp(PQgetvalue(result, row, READ_FIRST + STATUS), "DELETED") == 0)
        weir_http_error(call->request, 410, "The user %s was deleted.", call->id);
    else
        show_user(call, result, row);

    free(call->if_none_match);
    free(call);
}

static void get_user(weir_http_request_t *request, void *arg)
{
    users_t *users = arg;
    char uuid[WEIR_UUID_LEN + 1];
    const char *values[] = {uuid};
    call_t *call;
    int version = weir_version_of(request, &weir_shop_api);

    if (version == 0 || !weir_id_of(request, "user", uuid))
        return;

    call = new_call(users, request, version);
    memcpy(call->id, uuid, sizeof(uuid));
    call->if_none_match = weir_if_none_match(request);
    if (weir_batch_submit(users->reads, values, on_user, call))
        return;

    weir_answer_not_taken(request);
    free(call->if_none_match);
    free(call);
}

/* --- life ------------------------------------------------------------------------------------ */

static void *open_users(const weir_runtime_t *runtime)
{
    users_t *users = weir_alloc(sizeof(*users));

    users->relay = runtime->relay;
    users->commands_db = weir_db_new(runtime->base, runtime->database, "commands", NULL, NULL);
    users->reads_db = weir_db_new(runtime->base, runtime->database, "reads", NULL, NULL);
    users->signups =
        weir_command_new(users->commands_db, SIGNUP, 5, BATCH_MAX, WAITING_MAX, COMMANDS_IN_FLIGHT);
    users->reads =
        weir_batch_new(users->reads_db, READ, 1, BATCH_MAX, WAITING_MAX, READS_IN_FLIGHT);

    weir_openapi_route(runtime->openapi, &post_operation, post_signup, users);
    weir_openapi_route(runtime->openapi, &get_operation, get_user, users);

    return users;
}

static void close_users(void *part)
{
    users_t *users = part;

    weir_db_free(users->commands_db);
    weir_db_free(users->reads_db);
    weir_command_free(users->signups);
    weir_batch_free(users->reads);
    free(users);
}

const weir_endpoints_t weir_users_endpoints = {.open = open_users, .close = close_users};
