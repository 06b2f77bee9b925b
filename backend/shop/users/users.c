#include "shop/users/users.h"

#include "api/formats.h"
#include "db/batch/batch.h"

#include <stdio.h>
#include <string.h>

#define DISPLAY_NAME_MAX 100 /* characters */

#define SIGNUP                                                                                     \
    "SELECT place, outcome, created_at, ($1::uuid[])[place] AS id "                                \
    "FROM signup($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[])"
#define READ                                                                                       \
    "SELECT place, id, email, display_name, status, created_at FROM users_by_id($1::uuid[])"

/* Columns of SIGNUP; those of READ are place, then the fields of a user in their order. */
enum { SIGNUP_OUTCOME = 1, SIGNUP_CREATED_AT, SIGNUP_ID };
enum { READ_FIRST = 1 };

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
    "POST",          "/signup",     "signUp",        "Creates a user.",
    .body = &signup, .status = 201, .answer = &user, .errors = {409, 413, 415, 422},
    .anonymous = 1,
};
static const weir_operation_t get_operation = {
    "GET",           "/users/{id}",        "getUser",      "Shows a user.",       .status = 200,
    .answer = &user, .errors = {404, 410}, .kind = "user", .scope = "shop:users", .of_subject = 1,
};

/* --- POST /signup ------------------------------------------------------------------------ */

static void bind_signup(weir_call_t *call, const char **values)
{
    values[0] = call->new_id;
    values[1] = weir_call_string(call, "email");
    values[2] = weir_call_string(call, "displayName");
    values[3] = call->event_id;
    values[4] = call->traceparent;
}

static void on_signup(weir_call_t *call, PGresult *result, int row)
{
    const char *email = weir_call_string(call, "email");
    char location[64];
    const weir_str_t values[N_VALUES] = {
        [ID] = weir_column(result, row, SIGNUP_ID),
        [EMAIL] = weir_str(email),
        [DISPLAY_NAME] = weir_str(weir_call_string(call, "displayName")),
        [STATUS] = WEIR_STR("PENDING"),
        [CREATED_AT] = weir_column(result, row, SIGNUP_CREATED_AT),
    };

    if (strcmp(PQgetvalue(result, row, SIGNUP_OUTCOME), "taken") == 0) {
        weir_http_error(call->request, 409, "The e-mail address %s is taken.", email);
        return;
    }
    snprintf(location, sizeof(location), "/users/%s", PQgetvalue(result, row, SIGNUP_ID));
    weir_http_add_header(call->request, "Location", location);
    weir_answer(call->request, 201, &user, values, call->version);
}

/* --- GET /users/{id} ----------------------------------------------------------------------- */

static void bind_user(weir_call_t *call, const char **values)
{
    values[0] = call->id;
}

static void show_user(weir_call_t *call, PGresult *result, int row)
{
    weir_str_t values[N_VALUES];
    char tag[64];

    for (int i = 0; i < N_VALUES; i++)
        values[i] = weir_column(result, row, READ_FIRST + i);

    snprintf(tag, sizeof(tag), "user:%s", call->id);
    weir_answer_cached(call->request, &user, values, call->version, "max-age=5", tag,
                       call->if_none_match);
}

static void on_user(weir_call_t *call, PGresult *result, int row)
{
    if (PQgetisnull(result, row, READ_FIRST))
        weir_answer_no_such(call->request, "user", weir_str(call->id));
    else if (strcmp(PQgetvalue(result, row, READ_FIRST + STATUS), "DELETED") == 0)
        weir_http_error(call->request, 410, "The user %s was deleted.", call->id);
    else
        show_user(call, result, row);
}

/* --- the tables: a session each, so that reads don't wait for a signup's disk ---------------- */

static const weir_endpoint_t commands[] = {
    {&post_operation, SIGNUP, 5, bind_signup, on_signup},
    {0},
};
static const weir_endpoint_t reads[] = {
    {&get_operation, READ, 1, bind_user, on_user},
    {0},
};

const weir_endpoints_t weir_signup_endpoints = {.session = "commands", .endpoints = commands};
const weir_endpoints_t weir_users_endpoints = {.session = "reads", .endpoints = reads};
