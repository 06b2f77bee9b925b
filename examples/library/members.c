#include "library/members.h"

#include <stdio.h>

#define JOIN                                                                                       \
    "SELECT place, outcome, joined_at, ($1::uuid[])[place] AS id "                                 \
    "FROM members_join($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[])"
#define READ "SELECT place, id, name, email, joined_at, fines FROM members_by_id($1::uuid[])"

/* Columns after place. Those of READ are a member's values, in their order. */
enum { JOIN_OUTCOME = 1, JOIN_JOINED_AT, JOIN_ID };
enum { READ_FIRST = 1 };

/* A member's values, and the fields that show them. */
enum { ID, NAME, EMAIL, JOINED_AT, FINES, N_VALUES };

static const weir_field_t fields[] = {
    {"id", WEIR_UUID, ID, .since = 1},
    {"name", WEIR_STRING, NAME, .since = 1},
    {"email", WEIR_EMAIL, EMAIL, .since = 1},
    {"joinedAt", WEIR_TIME, JOINED_AT, .since = 1},
    {"fines", WEIR_INTEGER, FINES, .since = 1, .about = "What the member owes, in cents."},
};
static const weir_resource_t member = WEIR_RESOURCE("Member", fields);

static const weir_field_t join_fields[] = {
    {"name", WEIR_LINE, .since = 1, .min = 1, .max = 100},
    {"email", WEIR_EMAIL, .since = 1},
};
static const weir_resource_t join_body = WEIR_RESOURCE("NewMember", join_fields);

static const weir_operation_t join_operation = {
    "POST",
    "/members",
    "join",
    "Creates a member.",
    .body = &join_body,
    .status = 201,
    .answer = &member,
    .errors = {409, 413, 415, 422},
    .anonymous = 1,
};
static const weir_operation_t get_operation = {
    "GET",         "/members/{id}",   "getMember",     "Shows a member.",         .kind = "member",
    .status = 200, .answer = &member, .errors = {404}, .scope = "library:member", .of_subject = 1,
};

static void on_joined(weir_call_t *call, PGresult *result, int row)
{
    char location[64];

    if (strcmp(PQgetvalue(result, row, JOIN_OUTCOME), "taken") == 0) {
        weir_http_error(call->request, 409, "The e-mail address %s is taken.",
                        weir_call_string(call, "email"));
        return;
    }

    snprintf(location, sizeof(location), "/members/%s", PQgetvalue(result, row, JOIN_ID));
    weir_http_add_header(call->request, "Location", location);
    weir_answer(call->request, 201, &member,
                (const weir_str_t[N_VALUES]){
                    [ID] = weir_column(result, row, JOIN_ID),
                    [NAME] = weir_str(weir_call_string(call, "name")),
                    [EMAIL] = weir_str(weir_call_string(call, "email")),
                    [JOINED_AT] = weir_column(result, row, JOIN_JOINED_AT),
                    [FINES] = WEIR_STR("0"),
                },
                call->version);
}

static void bind_join(weir_call_t *call, const char **values)
{
    values[0] = call->new_id;
    values[1] = weir_call_string(call, "name");
    values[2] = weir_call_string(call, "email");
    values[3] = call->event_id;
    values[4] = call->traceparent;
}

static void on_member(weir_call_t *call, PGresult *result, int row)
{
    weir_str_t values[N_VALUES];

    if (PQgetisnull(result, row, READ_FIRST)) {
        weir_answer_no_such(call->request, "member", weir_str(call->id));
        return;
    }
    for (int i = 0; i < N_VALUES; i++)
        values[i] = weir_column(result, row, READ_FIRST + i);
    weir_answer(call->request, 200, &member, values, call->version);
}

static void bind_get(weir_call_t *call, const char **values)
{
    values[0] = call->id;
}

static const weir_endpoint_t endpoints[] = {
    {&join_operation, JOIN, 5, bind_join, on_joined},
    {&get_operation, READ, 1, bind_get, on_member},
    {0},
};

const weir_endpoints_t library_members = {.session = "members", .endpoints = endpoints};
