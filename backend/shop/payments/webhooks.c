#include "shop/payments/webhooks.h"

#include "api/answer.h"
#include "db/batch/batch.h"
#include "http/signature.h"
#include "log/alloc.h"
#include "log/log.h"
#include "shop/payments/secrets.h"
#include "shop/settings.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BATCH_MAX 256
#define WAITING_MAX 2048
#define IN_FLIGHT 1

#define NAME_MAX_LEN 255 /* of a charge's id and of its key */

#define TAKE                                                                                       \
    "SELECT place, verdict FROM payment_webhooks_take($1::text[], $2::text[], $3::text[], "        \
    "$4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[])"
enum { TAKE_VERDICT = 1 };

typedef struct {
    weir_relay_t *relay;
    weir_shop_secrets_t *secrets;
    weir_db_t *db;
    weir_batch_t *batch;
} webhooks_t;

static const weir_operation_t operation = {
    "POST",
    "/webhooks/payment",
    "takePaymentWebhook",
    "The gateway's signed word.",
    .status = 202,
    .errors = {401, 413, 415, 422},
    .anonymous = 1, /* the gateway's signature is its proof */
};

/* A message whose batch is in flight. */
typedef struct {
    webhooks_t *webhooks;
    weir_http_request_t *request;
} call_t;

static void reply(weir_http_request_t *request, const char *verdict)
{
    char body[64];
    int len = snprintf(body, sizeof(body), "{\"verdict\":\"%s\"}", verdict);

    weir_http_reply(request, 202, "application/json", body, (size_t)len);
}

static void on_taken(PGresult *result, int row, const char *error, const char *sqlstate, void *arg)
{
    call_t *call = arg;

    if (result == NULL) {
        weir_answer_database_failed(call->request, error, sqlstate);
    } else {
        weir_relay_wake(call->webhooks->relay);
        reply(call->request, PQgetvalue(result, row, TAKE_VERDICT));
    }
    free(call);
}

static const char *text(const json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);

    return json_is_string(value) && json_string_length(value) <= NAME_MAX_LEN &&
                   strlen(json_string_value(value)) == json_string_length(value)
               ? json_string_value(value)
               : NULL;
}

static void submit(webhooks_t *webhooks, weir_http_request_t *request, const char *news,
                   const json_t *charge)
{
    const json_t *amount_value = json_object_get(charge, "amount");
    const char *id = text(charge, "id"), *key = text(charge, "idempotency_key");
    const char *currency = text(charge, "currency");
    char amount[24], traceparent[WEIR_TRACE_TEXT];
    call_t *call;

    if (id == NULL || key == NULL || currency == NULL || !json_is_integer(amount_value)) {
        weir_http_error(request, 422,
                        "/data must be a charge with id, idempotency_key, amount and currency.");
        return;
    }
    call = weir_alloc(sizeof(*call));
    *call = (call_t){webhooks, request};
    snprintf(amount, sizeof(amount), "%" JSON_INTEGER_FORMAT, json_integer_value(amount_value));
    weir_http_trace_text(request, traceparent);
    if (weir_batch_submit(webhooks->batch, weir_http_trace(request), weir_http_deadline(request),
                          (const char *[]){weir_http_header(request, "webhook-id"), key, news, id,
                                           amount, currency, text(charge, "reason"), traceparent},
                          on_taken, call))
        return;
    weir_answer_not_taken(request);
    free(call);
}

/* The status in the type; NULL for messages of other types. */
static const char *news_of(const char *type)
{
    static const char *const news[] = {"succeeded", "failed", "refunded"};

    for (size_t i = 0; i < sizeof(news) / sizeof(news[0]); i++) {
        if (strncmp(type, "charge.", 7) == 0 && strcmp(type + 7, news[i]) == 0)
            return news[i];
    }
    return NULL;
}

static bool is_signed(const webhooks_t *webhooks, weir_http_request_t *request)
{
    size_t n;
    const weir_secret_t *secrets = weir_shop_secrets_all(webhooks->secrets, &n);
    const char *wrong = weir_signature_check(secrets, n, weir_http_header(request, "webhook-id"),
                                             weir_http_header(request, "webhook-timestamp"),
                                             weir_http_header(request, "webhook-signature"),
                                             weir_http_body(request), (int64_t)time(NULL));

    if (wrong == NULL)
        return true;
    weir_log(WEIR_LOG_WARN, weir_http_trace(request), "a webhook is refused", "{s:s}", "error",
             wrong);
    weir_http_error(request, 401, "%s", wrong);
    return false;
}

static void post_webhook(weir_http_request_t *request, void *arg)
{
    char why[512];
    const char *type, *news;
    weir_str_t body;
    json_t *root;

    /* The signature is checked first: a sender without one gets no details about the body. */
    if (!is_signed(arg, request))
        return;
    body = weir_json_body(request);
    if (body.data == NULL)
        return;
    root = weir_input_object(body, why, sizeof(why));
    if (root == NULL) {
        weir_http_error(request, 400, "%s", why);
        return;
    }
    type = text(root, "type");
    news = type != NULL ? news_of(type) : NULL;
    if (type == NULL)
        weir_http_error(request, 422, "/type must be a string.");
    else if (news == NULL)
        reply(request, "ignored");
    else
        submit(arg, request, news, json_object_get(root, "data"));
    json_decref(root);
}

static void *open_webhooks(const weir_runtime_t *runtime)
{
    const weir_shop_settings_t *settings = runtime->settings;
    webhooks_t *webhooks = weir_alloc(sizeof(*webhooks));

    webhooks->relay = runtime->relay;
    /* Without a key every message is refused, because no signature matches. */
    webhooks->secrets =
        weir_shop_secrets_new(runtime->base, settings->webhook_secret, settings->webhook_secret_old,
                              settings->webhook_secrets);
    webhooks->db = weir_db_new(runtime->base, runtime->database, "webhooks", NULL, NULL);
    webhooks->batch = weir_batch_new(webhooks->db, TAKE, 8, BATCH_MAX, WAITING_MAX, IN_FLIGHT);
    weir_openapi_route(runtime->openapi, &operation, post_webhook, webhooks);
    return webhooks;
}

static void close_webhooks(void *part)
{
    webhooks_t *webhooks = part;

    weir_db_free(webhooks->db);
    weir_batch_free(webhooks->batch);
    weir_shop_secrets_free(webhooks->secrets);
    free(webhooks);
}

const weir_endpoints_t weir_webhooks_endpoints = {.open = open_webhooks, .close = close_webhooks};
