#include "http/idempotency.h"

#include "common/text/hex.h"
#include "log/alloc.h"
#include "log/log.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

/* sql: the command's statement, $1; then a batch as once() takes it. */
#define ONCE                                                                                       \
    "SELECT place, verdict, outcome FROM once($1::text[], $2::text[], $3::text[], $4::text[], "    \
    "$5::jsonb[])"
enum { ONCE_VERDICT = 1, ONCE_OUTCOME };

/* Keys under way in this process, by the first byte of their digest. */
#define BUCKETS 256

#define COLUMNS_MAX 32 /* of a command's row */

struct weir_command {
    weir_batch_t *plain; /* requests without a key */
    weir_batch_t *keyed;
    const char *sql;
    int width;
};

/* A request with a key, from submit to its outcome. */
typedef struct call {
    LIST_ENTRY(call) link;
    weir_http_request_t *request;
    weir_idempotency_t idempotency;
    weir_command_cb cb;
    void *arg;
} call_t;

/* Of all commands of the process: a key is the caller's, not the command's. */
static LIST_HEAD(calls, call) running[BUCKETS];

static weir_anonymous_keys_t anonymous_keys;
static bool logged_anonymous; /* in the log */

/* --- reading ------------------------------------------------------------------------ */

const char *weir_idempotency_parse(const char *value, char key[WEIR_IDEMPOTENCY_KEY_MAX + 1])
{
    bool quoted = value[0] == '"';
    size_t len = 0;

    for (const char *p = value + quoted;; p++) {
        if (quoted && *p == '"') {
            if (p[1] != '\0')
                return "must end with its closing quote";
            break;
        }
        if (*p == '\0' && !quoted)
            break;
        if (*p == '\0')
            return "must end with its closing quote";
        if (quoted && *p == '\\') {
            p++;
            if (*p != '"' && *p != '\\')
                return "may have \\ before \" and \\ only";
        } else if (*p < ' ' || *p > '~' || (!quoted && strchr(" \",;\\", *p) != NULL)) {
            return quoted ? "must be of printable ASCII characters"
                          : "must be a string in quotes, or of visible ASCII characters without "
                            "quote, comma, semicolon and backslash";
        }
        if (len == WEIR_IDEMPOTENCY_KEY_MAX)
            return "must have at most 255 characters";
        key[len++] = *p;
    }
    key[len] = '\0';
    return len > 0 ? NULL : "must not be empty";
}

static void digest(char out[65], EVP_MD_CTX *ctx)
{
    unsigned char bytes[SHA256_DIGEST_LENGTH];

    EVP_DigestFinal_ex(ctx, bytes, NULL);
    weir_hex(out, bytes, sizeof(bytes));
    out[64] = '\0';
}

static void add(EVP_MD_CTX *ctx, const char *s, size_t len)
{
    char length[24];
    int n = snprintf(length, sizeof(length), "%zu:", len);

    /* With their lengths: no two lists of parts look alike. */
    EVP_DigestUpdate(ctx, length, (size_t)n);
    EVP_DigestUpdate(ctx, s, len);
}

static void describe(weir_http_request_t *request, int version, weir_idempotency_t *out)
{
    const char *caller = weir_http_header(request, "Authorization");
    const weir_identity_t *identity = weir_http_identity(request);
    char digits[16];
    int n = snprintf(digits, sizeof(digits), "%d", version);
    const char *method = weir_http_method(request);
    weir_str_t path = weir_http_path(request), body = weir_http_body(request);
    EVP_MD_CTX *ctx = weir_alloc_check(EVP_MD_CTX_new());
    int begun = EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);

    assert(begun == 1);
    (void)begun;
    add(ctx, method, strlen(method));
    add(ctx, path.data, path.len);
    add(ctx, digits, (size_t)n);
    add(ctx, body.data, body.len);
    digest(out->fingerprint, ctx);

    out->caller[0] = '\0';
    if (identity != NULL && !identity->anonymous) {
        /* The same caller, whatever token it has now. */
        EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);
        add(ctx, identity->issuer, strlen(identity->issuer));
        add(ctx, identity->subject, strlen(identity->subject));
        digest(out->caller, ctx);
    } else if (caller != NULL) {
        EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);
        add(ctx, caller, strlen(caller));
        digest(out->caller, ctx);
    }
    EVP_MD_CTX_free(ctx);
}

/*
 * True for a text that is probably random; a short text, a word or a number may be used by another
 * caller, too.
 */
static bool is_unguessable(const char *key)
{
    bool seen[128] = {false};
    int different = 0;

    for (const char *p = key; *p != '\0'; p++) {
        different += !seen[(unsigned char)*p & 127];
        seen[(unsigned char)*p & 127] = true;
    }
    return strlen(key) >= WEIR_IDEMPOTENCY_KEY_MIN && different >= WEIR_IDEMPOTENCY_KEY_VARIETY;
}

/*
 * Checks a key of a caller without Authorization. Returns false when the request has been answered.
 */
static bool take_anonymous(weir_http_request_t *request, const char *key)
{
    if (anonymous_keys == WEIR_KEYS_REFUSED) {
        weir_http_error(request, 400,
                        "An Idempotency-Key is accepted with Authorization only: callers without "
                        "it cannot be distinguished.");
        return false;
    }
    if (anonymous_keys == WEIR_KEYS_UNGUESSABLE && !is_unguessable(key)) {
        weir_http_error(request, 400,
                        "Without Authorization an Idempotency-Key must be one that nobody guesses, "
                        "such as a random UUID: at least %d characters, %d different ones.",
                        WEIR_IDEMPOTENCY_KEY_MIN, WEIR_IDEMPOTENCY_KEY_VARIETY);
        return false;
    }
    if (anonymous_keys == WEIR_KEYS_ANY && !logged_anonymous)
        weir_log(WEIR_LOG_WARN, NULL,
                 "callers without Authorization share one scope of idempotency keys: a caller who "
                 "guesses another caller's key gets the other's answer (anonymous_keys)",
                 NULL);
    logged_anonymous = true;
    weir_http_add_header(request, "Idempotency-Scope", "anonymous");
    return true;
}

void weir_idempotency_anonymous(weir_anonymous_keys_t keys)
{
    anonymous_keys = keys;
}

bool weir_idempotency_read(weir_http_request_t *request, bool required, int version,
                           weir_idempotency_t *out)
{
    const char *value = weir_http_header(request, "Idempotency-Key"), *wrong;

    memset(out, 0, sizeof(*out));
    if (value == NULL) {
        if (required)
            weir_http_error(request, 400,
                            "The field Idempotency-Key is missing; it must name this request, the "
                            "same for each attempt at it and another for every other one.");
        return !required;
    }
    wrong = weir_idempotency_parse(value, out->key);
    if (wrong != NULL) {
        weir_http_error(request, 400, "Idempotency-Key is \"%.64s\"; it %s.", value, wrong);
        return false;
    }
    describe(request, version, out);
    return out->caller[0] != '\0' || take_anonymous(request, out->key);
}

/* --- commands ------------------------------------------------------------------------- */

weir_command_t *weir_command_new(weir_db_t *db, const char *sql, int width, int max, int limit,
                                 int in_flight)
{
    weir_command_t *command = weir_alloc(sizeof(*command));

    assert(width <= WEIR_COMMAND_WIDTH_MAX);
    command->plain = weir_batch_new(db, sql, width, max, limit, in_flight);
    command->keyed = weir_batch_new(db, ONCE, 5, max, limit, in_flight);
    weir_batch_name(command->keyed, sql);
    command->sql = sql;
    command->width = width;
    return command;
}

void weir_command_free(weir_command_t *command)
{
    if (command == NULL)
        return;
    weir_batch_free(command->plain);
    weir_batch_free(command->keyed);
    free(command);
}

static unsigned bucket(const weir_idempotency_t *i)
{
    unsigned h = 5381;

    for (const char *p = i->key; *p != '\0'; p++)
        h = h * 33 + (unsigned char)*p;
    return h % BUCKETS;
}

static const call_t *find_running(const weir_idempotency_t *i)
{
    const call_t *call = LIST_FIRST(&running[bucket(i)]);

    while (call != NULL && (strcmp(call->idempotency.key, i->key) != 0 ||
                            strcmp(call->idempotency.caller, i->caller) != 0))
        call = LIST_NEXT(call, link);
    return call;
}

static void answer_running(weir_http_request_t *request, const char *key)
{
    weir_http_add_header(request, "Retry-After", "1");
    weir_http_error(request, 409, "The request with the Idempotency-Key \"%s\" is still under way.",
                    key);
}

static void answer_other(weir_http_request_t *request, const char *key)
{
    weir_http_error(request, 422,
                    "The Idempotency-Key \"%s\" was used for another request; a new request needs "
                    "a new key.",
                    key);
}

/*
 * The recorded row, in the form of a result of the command; NULL when the record is not a row. A
 * record of another version may have fewer columns than are read: the others are NULL.
 */
static PGresult *make_row(const char *text)
{
    json_t *root = json_loads(text, 0, NULL), *value;
    PGresAttDesc columns[COLUMNS_MAX];
    PGresult *result;
    const char *name;
    int n = 0;

    if (json_object_size(root) == 0) {
        json_decref(root);
        return NULL;
    }
    memset(columns, 0, sizeof(columns));
    json_object_foreach(root, name, value)
    {
        if (n < COLUMNS_MAX)
            columns[n++].name = (char *)name; /* copied by libpq */
    }
    result = weir_alloc_check(PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK));
    if (!PQsetResultAttrs(result, COLUMNS_MAX, columns))
        weir_alloc_check(NULL);

    n = 0;
    json_object_foreach(root, name, value)
    {
        char *other = NULL;
        const char *shown = json_is_boolean(value)  ? (json_is_true(value) ? "t" : "f")
                            : json_is_string(value) ? json_string_value(value)
                            : json_is_null(value)   ? NULL
                                                    : (other = json_dumps(value, JSON_ENCODE_ANY));

        if (n == COLUMNS_MAX)
            break;
        if (!PQsetvalue(result, 0, n++, (char *)shown, shown != NULL ? (int)strlen(shown) : -1))
            weir_alloc_check(NULL);
        free(other);
    }
    json_decref(root);
    return result;
}

static void on_row(call_t *call, const char *text)
{
    PGresult *row = make_row(text);

    if (row == NULL)
        call->cb(NULL, 0, "the command returned no row for this request", "XX000", call->arg);
    else
        call->cb(row, 0, NULL, NULL, call->arg);
    PQclear(row);
}

static void on_outcome(PGresult *result, int row, const char *error, const char *sqlstate,
                       void *arg)
{
    call_t *call = arg;
    const char *verdict = result != NULL ? PQgetvalue(result, row, ONCE_VERDICT) : "";

    assert(call->cb != NULL);
    LIST_REMOVE(call, link);
    if (result == NULL) {
        call->cb(NULL, 0, error, sqlstate, call->arg);
    } else if (strcmp(verdict, "running") == 0 || strcmp(verdict, "other") == 0) {
        (verdict[0] == 'r' ? answer_running : answer_other)(call->request, call->idempotency.key);
        call->cb(NULL, 0, NULL, NULL, call->arg);
    } else {
        if (strcmp(verdict, "replay") == 0)
            weir_http_add_header(call->request, "Idempotency-Replayed", "true");
        on_row(call, PQgetvalue(result, row, ONCE_OUTCOME));
    }
    free(call);
}

static char *values_json(const weir_command_t *command, const char *const *values)
{
    json_t *list = json_array();
    char *text;

    assert(command->width > 0 && command->width <= WEIR_COMMAND_WIDTH_MAX);
    for (int i = 0; i < command->width; i++)
        json_array_append_new(list, values[i] != NULL ? json_string(values[i]) : json_null());
    text = weir_alloc_check(json_dumps(list, JSON_COMPACT));
    json_decref(list);
    return text;
}

static weir_command_result_t submit_keyed(weir_command_t *command, weir_http_request_t *request,
                                          const weir_idempotency_t *idempotency,
                                          const char *const *values, weir_command_cb cb, void *arg)
{
    const call_t *same = find_running(idempotency);
    call_t *call;
    char *json;
    bool taken;

    assert(idempotency->key[0] != '\0' && cb != NULL);
    if (same != NULL) {
        (strcmp(same->idempotency.fingerprint, idempotency->fingerprint) == 0
             ? answer_running
             : answer_other)(request, idempotency->key);
        return WEIR_COMMAND_ANSWERED;
    }

    call = weir_alloc(sizeof(*call));
    *call = (call_t){
        .request = request,
        .idempotency = *idempotency,
        .cb = cb,
        .arg = arg,
    };
    json = values_json(command, values);
    taken = weir_batch_submit(command->keyed, weir_http_trace(request), weir_http_deadline(request),
                              (const char *[]){command->sql, idempotency->caller, idempotency->key,
                                               idempotency->fingerprint, json},
                              on_outcome, call);
    free(json);
    if (!taken) {
        free(call);
        return WEIR_COMMAND_REFUSED;
    }
    LIST_INSERT_HEAD(&running[bucket(idempotency)], call, link);
    return WEIR_COMMAND_TAKEN;
}

weir_command_result_t weir_command_submit(weir_command_t *command, weir_http_request_t *request,
                                          const weir_idempotency_t *idempotency,
                                          const char *const *values, weir_command_cb cb, void *arg)
{
    assert(cb != NULL);
    if (idempotency->key[0] != '\0')
        return submit_keyed(command, request, idempotency, values, cb, arg);
    return weir_batch_submit(command->plain, weir_http_trace(request), weir_http_deadline(request),
                             values, cb, arg)
               ? WEIR_COMMAND_TAKEN
               : WEIR_COMMAND_REFUSED;
}
