#include "shop/users.h"

#include "common/uuid7.h"
#include "db/batch.h"
#include "log/log.h"
#include "shop/representation.h"
#include "shop/signup_input.h"

#include <openssl/sha.h>

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* Requests in one batch, and those that may wait for the next ones: past it they get a 503. */
#define BATCH_MAX 256
#define WAITING_MAX 2048
/* Commands one after the other, so that batches grow; reads don't wait for a disk. */
#define COMMANDS_IN_FLIGHT 1
#define READS_IN_FLIGHT 2

#define SIGNUP                                                                                     \
    "SELECT place, outcome, created_at "                                                           \
    "FROM signup($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[])"
#define READ                                                                                       \
    "SELECT place, id, email, display_name, status, created_at FROM users_by_id($1::uuid[])"

struct weir_users {
    weir_relay_t *relay;
    weir_db_t *commands_db;
    weir_db_t *reads_db;
    weir_batch_t *signups;
    weir_batch_t *reads;
};

/* A user's values, and the fields that show them. */
enum { ID, EMAIL, DISPLAY_NAME, STATUS, CREATED_AT, N_VALUES };

static const weir_field_t fields[] = {
    {"id", ID, 1, 0, 0},
    {"email", EMAIL, 1, 0, 0},
    {"name", DISPLAY_NAME, 1, 2, 3},
    {"displayName", DISPLAY_NAME, 2, 0, 0},
    {"status", STATUS, 1, 0, 0},
    {"createdAt", CREATED_AT, 1, 0, 0},
};

#define N_FIELDS (sizeof(fields) / sizeof(fields[0]))

/* The longest: an e-mail, twice a name of 4-byte characters or escapes, and the rest. */
#define REPRESENTATION_MAX 4096

/* A request whose batch is under way. */
typedef struct {
    weir_users_t *users;
    weir_http_request_t *request;
    int version;
    char id[WEIR_UUID_LEN + 1];
    weir_signup_input_t input; /* of a signup */
    char *if_none_match;       /* of a read, or NULL */
} call_t;

static weir_str_t str(const char *s)
{
    return (weir_str_t){s, strlen(s)};
}

/* --- what went wrong ------------------------------------------------------------------ */

static void unavailable(weir_http_request_t *request, const char *detail)
{
    weir_http_add_header(request, "Retry-After", "1");
    weir_http_error(request, 503, "%s", detail);
}

/* Classes of SQLSTATE (manual, appendix A) after which the same may work a moment later. */
static bool is_transient(const char *sqlstate)
{
    static const char *const transient[] = {"08", "40", "53", "57"};

    for (size_t i = 0; i < sizeof(transient) / sizeof(transient[0]); i++) {
        if (strncmp(sqlstate, transient[i], 2) == 0)
            return true;
    }

    return false;
}

static void database_failed(weir_http_request_t *request, const char *error, const char *sqlstate)
{
    bool transient = is_transient(sqlstate);

    /* A session that was lost is in the log already, once. */
    weir_log(transient ? WEIR_LOG_DEBUG : WEIR_LOG_ERROR, weir_http_trace(request)->trace_id,
             "database error", "{s:s,s:s}", "error", error, "sqlstate", sqlstate);

    if (transient)
        unavailable(request, "The database is away; what came of the request is unknown.");
    else
        weir_http_error(request, 500, "The database refused the request.");
}

/* --- POST /signup ------------------------------------------------------------------------ */

/* RFC 9110 section 8.3.1: type/subtype, then parameters. */
static bool is_json(const char *content_type)
{
    size_t len;

    if (content_type == NULL)
        return false;

    len = strcspn(content_type, "; \t");
    if (len < sizeof("application/") || strncasecmp(content_type, "application/", 12) != 0)
        return false;

    return (len == 16 && strncasecmp(content_type + 12, "json", 4) == 0) ||
           (len > 17 && strncasecmp(content_type + len - 5, "+json", 5) == 0);
}

static void refuse_fields(weir_http_request_t *request, const weir_input_error_t *errors, int n)
{
    weir_problem_t problem = {.status = 422, .detail = WEIR_STR("Fields of the body are wrong.")};
    char extensions[1024];
    size_t len = (size_t)snprintf(extensions, sizeof(extensions), "\"errors\":[");

    for (int i = 0; i < n; i++)
        len += (size_t)snprintf(extensions + len, sizeof(extensions) - len,
                                "%s{\"pointer\":\"%s\",\"detail\":\"%s\"}", i > 0 ? "," : "",
                                errors[i].pointer, errors[i].detail);
    snprintf(extensions + len, sizeof(extensions) - len, "]");
    problem.extensions = extensions;
    weir_http_problem(request, &problem);
}

static void reply_with_user(call_t *call, int status, const weir_str_t *values)
{
    char body[REPRESENTATION_MAX];
    size_t len = weir_represent(body, sizeof(body), fields, N_FIELDS, values, call->version);

    if (len > sizeof(body)) {
        weir_http_error(call->request, 500, "The user is too large to be shown.");
        return;
    }

    weir_describe_version(call->request, fields, N_FIELDS, call->version);
    weir_http_reply(call->request, status, "application/json", body, len);
}

static void created(call_t *call, const char *created_at)
{
    char location[64];
    weir_str_t values[N_VALUES] = {
        [ID] = str(call->id),
        [EMAIL] = str(call->input.email),
        [DISPLAY_NAME] = str(call->input.display_name),
        [STATUS] = WEIR_STR("PENDING"),
        [CREATED_AT] = str(created_at),
    };

    weir_relay_wake(call->users->relay);
    snprintf(location, sizeof(location), "/users/%s", call->id);
    weir_http_add_header(call->request, "Location", location);
    reply_with_user(call, 201, values);
}

static void on_signup(PGresult *result, int row, const char *error, const char *sqlstate, void *arg)
{
    call_t *call = arg;

    if (result == NULL)
        database_failed(call->request, error, sqlstate);
    else if (strcmp(PQgetvalue(result, row, 1), "taken") == 0)
        weir_http_error(call->request, 409, "The e-mail address %s is taken.", call->input.email);
    else
        created(call, PQgetvalue(result, row, 2));

    json_decref(call->input.root);
    free(call);
}

static call_t *new_call(weir_users_t *users, weir_http_request_t *request, int version)
{
    call_t *call = calloc(1, sizeof(*call));

    if (call == NULL)
        abort();

    call->users = users;
    call->request = request;
    call->version = version;

    return call;
}

static void submit_signup(call_t *call)
{
    char event_id[WEIR_UUID_LEN + 1], traceparent[WEIR_TRACEPARENT_LEN + 1];
    const char *values[] = {call->id, call->input.email, call->input.display_name, event_id,
                            traceparent};

    weir_uuid7(call->id);
    weir_uuid7(event_id);
    weir_traceparent_format(weir_http_trace(call->request), traceparent);

    if (weir_batch_submit(call->users->signups, values, on_signup, call))
        return;

    unavailable(call->request, "The database is away or too many requests wait for it; nothing "
                               "was done.");
    json_decref(call->input.root);
    free(call);
}

static void post_signup(weir_http_request_t *request, void *arg)
{
    weir_signup_input_t input;
    weir_input_error_t errors[WEIR_SIGNUP_ERRORS_MAX];
    char why[512];
    call_t *call;
    int version = weir_version_of(request), n;

    if (version == 0)
        return;

    if (!is_json(weir_http_header(request, "Content-Type"))) {
        weir_http_add_header(request, "Accept", "application/json");
        weir_http_error(request, 415, "The body must be application/json.");
        return;
    }

    n = weir_signup_read(weir_http_body(request), &input, errors, why, sizeof(why));
    if (n < 0) {
        weir_http_error(request, 400, "%s", why);
        return;
    }
    if (n > 0) {
        refuse_fields(request, errors, n);
        return;
    }

    call = new_call(arg, request, version);
    call->input = input;
    submit_signup(call);
}

/* --- GET /users/{id} ----------------------------------------------------------------------- */

/* A strong validator (RFC 9110 section 8.8.3): a digest of the very bytes. */
static void make_etag(const char *body, size_t len, char etag[35])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];

    SHA256((const unsigned char *)body, len, digest);
    etag[0] = '"';
    for (int i = 0; i < 16; i++)
        snprintf(etag + 1 + 2 * i, 3, "%02x", digest[i]);
    memcpy(etag + 33, "\"", 2);
}

/* RFC 9110 section 13.1.2; our tags hold nothing that could be part of another. */
static bool is_known_to_client(const char *if_none_match, const char *etag)
{
    return if_none_match != NULL &&
           (strcmp(if_none_match, "*") == 0 || strstr(if_none_match, etag) != NULL);
}

static void show_user(call_t *call, PGresult *result, int row)
{
    char body[REPRESENTATION_MAX], etag[35], tag[64];
    weir_str_t values[N_VALUES];
    size_t len;

    for (int i = 0; i < N_VALUES; i++)
        values[i] =
            (weir_str_t){PQgetvalue(result, row, i + 1), (size_t)PQgetlength(result, row, i + 1)};

    len = weir_represent(body, sizeof(body), fields, N_FIELDS, values, call->version);
    if (len > sizeof(body)) {
        weir_http_error(call->request, 500, "The user is too large to be shown.");
        return;
    }

    make_etag(body, len, etag);
    snprintf(tag, sizeof(tag), "user:%s", call->id);
    weir_http_add_header(call->request, "ETag", etag);
    weir_http_add_header(call->request, "Cache-Control", "max-age=5");
    weir_http_add_header(call->request, "Cache-Tag", tag);
    weir_describe_version(call->request, fields, N_FIELDS, call->version);

    if (is_known_to_client(call->if_none_match, etag))
        weir_http_reply(call->request, 304, NULL, NULL, 0);
    else
        weir_http_reply(call->request, 200, "application/json", body, len);
}

static void on_user(PGresult *result, int row, const char *error, const char *sqlstate, void *arg)
{
    call_t *call = arg;

    if (result == NULL)
        database_failed(call->request, error, sqlstate);
    else if (PQgetisnull(result, row, 1))
        weir_http_error(call->request, 404, "There is no user %s.", call->id);
    else
        show_user(call, result, row);

    free(call->if_none_match);
    free(call);
}

static void get_user(weir_http_request_t *request, void *arg)
{
    weir_users_t *users = arg;
    weir_str_t id = weir_http_param(request, 0);
    const char *if_none_match = weir_http_header(request, "If-None-Match");
    char uuid[WEIR_UUID_LEN + 1];
    const char *values[] = {uuid};
    call_t *call;
    int version = weir_version_of(request);

    if (version == 0)
        return;

    if (weir_uuid_parse(id, uuid) != 0) {
        weir_http_error(request, 404, "There is no user %.*s.", id.len < 64 ? (int)id.len : 64,
                        id.data);
        return;
    }

    call = new_call(users, request, version);
    memcpy(call->id, uuid, sizeof(uuid));
    call->if_none_match = if_none_match != NULL ? strdup(if_none_match) : NULL;
    if (weir_batch_submit(users->reads, values, on_user, call))
        return;

    unavailable(request, "The database is away or too many requests wait for it.");
    free(call->if_none_match);
    free(call);
}

/* --- life ------------------------------------------------------------------------------------ */

weir_users_t *weir_users_new(struct event_base *base, const char *database, weir_http_t *http,
                             weir_relay_t *relay)
{
    weir_users_t *users = calloc(1, sizeof(*users));

    if (users == NULL)
        abort();

    users->relay = relay;
    users->commands_db = weir_db_new(base, database, "commands", NULL, NULL);
    users->reads_db = weir_db_new(base, database, "reads", NULL, NULL);
    users->signups =
        weir_batch_new(users->commands_db, SIGNUP, 5, BATCH_MAX, WAITING_MAX, COMMANDS_IN_FLIGHT);
    users->reads =
        weir_batch_new(users->reads_db, READ, 1, BATCH_MAX, WAITING_MAX, READS_IN_FLIGHT);

    weir_http_route(http, "POST", "/signup", post_signup, users);
    weir_http_route(http, "GET", "/users/{id}", get_user, users);

    return users;
}

void weir_users_free(weir_users_t *users)
{
    if (users == NULL)
        return;

    weir_db_free(users->commands_db);
    weir_db_free(users->reads_db);
    weir_batch_free(users->signups);
    weir_batch_free(users->reads);
    free(users);
}
