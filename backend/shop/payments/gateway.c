#include "shop/payments/gateway.h"

#include "common/text/str.h"
#include "log/alloc.h"
#include "outbound/client.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX 65536 /* bytes of an answer about one charge */

struct weir_gateway {
    weir_client_t *client;
    weir_tls_t *tls; /* or NULL */
};

/* A request in flight. */
typedef struct {
    weir_gateway_cb cb;
    weir_gateway_page_cb page_cb; /* for a list; then cb is NULL */
    void *arg;
    bool is_lookup;
} question_t;

/* The header explains the mapping of statuses. */
static weir_delivery_result_t judge(const question_t *q, const weir_client_answer_t *answer)
{
    if (answer->status == 0)
        return answer->unreached ? WEIR_DELIVERY_AWAY : WEIR_DELIVERY_UNAVAILABLE;
    switch (answer->status) {
    case 200:
    case 201:
        return WEIR_DELIVERY_OK;
    case 409: /* the gateway is working on it */
    case 425:
    case 429:
        return WEIR_DELIVERY_RETRY;
    case 400:
    case 402:
    case 422:
        return q->is_lookup ? WEIR_DELIVERY_UNAVAILABLE : WEIR_DELIVERY_PERMANENT;
    default:
        return WEIR_DELIVERY_UNAVAILABLE;
    }
}

/* A 404 may come from any server; the gateway's own has a JSON object. A list always exists. */
static bool says_missing(const question_t *q, const weir_client_answer_t *answer)
{
    json_t *body;
    bool is_object;

    if (!q->is_lookup || q->page_cb != NULL || answer->status != 404)
        return false;
    body = weir_alloc_json(answer->body, answer->len, 0, NULL);
    is_object = json_is_object(body);
    json_decref(body);
    return is_object;
}

static bool read_charge(const json_t *charge, weir_gateway_answer_t *a)
{
    const json_t *amount = json_object_get(charge, "amount");

    a->charge = json_string_value(json_object_get(charge, "id"));
    a->key = json_string_value(json_object_get(charge, "idempotency_key"));
    a->status = json_string_value(json_object_get(charge, "status"));
    a->reason = json_string_value(json_object_get(charge, "reason"));
    a->currency = json_string_value(json_object_get(charge, "currency"));
    a->amount = json_integer_value(amount);
    return a->charge != NULL && a->currency != NULL && json_is_integer(amount) &&
           a->status != NULL &&
           (strcmp(a->status, "succeeded") == 0 || strcmp(a->status, "failed") == 0 ||
            strcmp(a->status, "refunded") == 0);
}

/* Reads the page in body, and borrows from it. Returns false when body is not a page. */
static bool read_page(const json_t *body, weir_gateway_page_t *page)
{
    const json_t *next = json_object_get(body, "next"), *charge;
    size_t i;

    page->charges = json_object_get(body, "charges");
    page->next = json_string_value(next);
    if (!json_is_array(page->charges) || (page->next == NULL && !json_is_null(next)))
        return false;
    json_array_foreach(page->charges, i, charge)
    {
        weir_gateway_answer_t a = {0};

        if (!read_charge(charge, &a) || a.key == NULL)
            return false;
    }
    return true;
}

/* Reads the body of a successful answer into a or page; both borrow from body. */
static bool read_body(const question_t *q, const json_t *body, weir_gateway_answer_t *a,
                      weir_gateway_page_t *page)
{
    if (q->page_cb != NULL)
        return read_page(body, page);
    a->found = read_charge(body, a);
    return a->found;
}

static void on_answer(const weir_client_answer_t *answer, void *arg)
{
    question_t *q = arg;
    weir_gateway_answer_t a = {.result = judge(q, answer)};
    weir_gateway_page_t page = {0};
    json_t *body = NULL;
    char error[512];

    if (answer->status == 0) {
        snprintf(error, sizeof(error), "gateway: %s", answer->error);
    } else if (says_missing(q, answer)) {
        a.result = WEIR_DELIVERY_OK;
    } else if (a.result != WEIR_DELIVERY_OK) {
        snprintf(error, sizeof(error), "gateway: status %ld: %.200s", answer->status, answer->body);
    } else {
        body = weir_alloc_json(answer->body, answer->len, 0, NULL);
        if (!read_body(q, body, &a, &page)) {
            a.result = WEIR_DELIVERY_UNAVAILABLE;
            snprintf(error, sizeof(error), "gateway: the answer is not a %s: %.200s",
                     q->page_cb != NULL ? "list of charges" : "charge", answer->body);
        }
    }
    if (a.result != WEIR_DELIVERY_OK) {
        weir_str_make_printable(error);
        a.error = error;
        a.retry_after = answer->retry_after;
        page = (weir_gateway_page_t){0};
    }
    page.result = a.result;
    page.error = a.error;
    if (q->page_cb != NULL)
        q->page_cb(&page, q->arg);
    else
        q->cb(&a, q->arg);
    json_decref(body);
    free(q);
}

static question_t *make_question(weir_gateway_cb cb, void *arg)
{
    question_t *q = weir_alloc(sizeof(*q));

    q->cb = cb;
    q->arg = arg;
    return q;
}

/* Takes ownership of body; NULL means GET. */
static void ask(weir_gateway_t *g, const char *path, const char *key, char *body,
                const weir_trace_t *trace, question_t *q)
{
    const weir_client_request_t request = {
        .path = path,
        .body = body,
        .idempotency_key = key,
        .trace = trace,
        .answer_max = q->page_cb != NULL ? WEIR_GATEWAY_PAGE * ANSWER_MAX : ANSWER_MAX,
    };

    q->is_lookup = body == NULL;
    weir_client_send(g->client, &request, on_answer, q);
    free(body);
}

static char *dump(json_t *object)
{
    char *text = weir_alloc_check(json_dumps(object, JSON_COMPACT));

    json_decref(object);
    return text;
}

void weir_gateway_charge(weir_gateway_t *g, const char *key, int64_t amount, const char *currency,
                         const char *reference, const weir_trace_t *trace, weir_gateway_cb cb,
                         void *arg)
{
    assert(key != NULL && currency != NULL && reference != NULL && cb != NULL);
    ask(g, "/charges", key,
        dump(json_pack("{s:I,s:s,s:s}", "amount", (json_int_t)amount, "currency", currency,
                       "reference", reference)),
        trace, make_question(cb, arg));
}

void weir_gateway_find(weir_gateway_t *g, const char *key, const weir_trace_t *trace,
                       weir_gateway_cb cb, void *arg)
{
    char *escaped = weir_client_escape(key), *path;

    assert(key != NULL && cb != NULL);
    path = weir_alloc_format("/charges?idempotency_key=%s", escaped);
    ask(g, path, NULL, NULL, trace, make_question(cb, arg));
    free(path);
    free(escaped);
}

void weir_gateway_refund(weir_gateway_t *g, const char *key, const char *charge,
                         const weir_trace_t *trace, weir_gateway_cb cb, void *arg)
{
    assert(key != NULL && charge != NULL && cb != NULL);
    ask(g, "/refunds", key, dump(json_pack("{s:s}", "charge", charge)), trace,
        make_question(cb, arg));
}

void weir_gateway_list(weir_gateway_t *g, const char *from, const char *before, const char *after,
                       weir_gateway_page_cb cb, void *arg)
{
    char *escaped = weir_client_escape(after != NULL ? after : ""), *path;
    question_t *q = make_question(NULL, arg);

    assert(from != NULL && before != NULL && cb != NULL);
    q->page_cb = cb;
    path = weir_alloc_format("/charges?created_from=%s&created_before=%s&limit=%d%s%s", from,
                             before, WEIR_GATEWAY_PAGE, after != NULL ? "&after=" : "", escaped);
    ask(g, path, NULL, NULL, NULL, q);
    free(path);
    free(escaped);
}

weir_gateway_t *weir_gateway_new(struct event_base *base, const char *url, unsigned timeout_ms,
                                 long connections, const weir_tls_settings_t *tls, char *error,
                                 size_t error_size)
{
    weir_gateway_t *g;

    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) {
        snprintf(error, error_size,
                 "payments_url \"%s\": it must be http://host:port or https://host:port", url);
        return NULL;
    }
    g = weir_alloc(sizeof(*g));
    if (tls != NULL && (g->tls = weir_tls_new(base, tls, error, error_size)) == NULL) {
        free(g);
        return NULL;
    }
    g->client = weir_client_new(base, url, timeout_ms, connections);
    weir_client_use_tls(g->client, g->tls);
    return g;
}

void weir_gateway_free(weir_gateway_t *g)
{
    if (g == NULL)
        return;
    weir_client_free(g->client);
    weir_tls_free(g->tls);
    free(g);
}
