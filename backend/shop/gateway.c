#include "shop/gateway.h"

#include "common/str.h"
#include "events/transfer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX 65536 /* bytes of an answer about one charge */

struct weir_gateway {
    weir_transfers_t *transfers;
    char *url;
    long timeout_ms;
};

/* One question on its way. */
typedef struct {
    weir_gateway_cb cb;
    weir_gateway_page_cb page_cb; /* of a list; cb is NULL then */
    void *arg;
    bool is_lookup;
    size_t max; /* bytes of the answer */
    struct curl_slist *headers;
    char *body;
    char *answer;
    size_t len;
    char error[CURL_ERROR_SIZE];
} question_t;

static void *checked(void *p)
{
    if (p == NULL)
        abort();
    return p;
}

static size_t on_data(char *data, size_t size, size_t count, void *arg)
{
    question_t *q = arg;
    size_t n = size * count;

    if (q->len + n > q->max)
        return 0; /* ends the transfer */
    q->answer = checked(realloc(q->answer, q->len + n + 1));
    memcpy(q->answer + q->len, data, n);
    q->len += n;
    q->answer[q->len] = '\0';
    return n;
}

/* True when the gateway was not even asked: there is no connection to it. */
static bool is_away(CURL *easy, CURLcode code)
{
    curl_off_t asked_us = 0;

    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
        return true;
    case CURLE_OPERATION_TIMEDOUT:
        curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &asked_us);
        return asked_us == 0;
    default:
        return false;
    }
}

/* The header says what follows from which status. */
static weir_delivery_result_t judge(const question_t *q, CURL *easy, CURLcode code, long status)
{
    if (code != CURLE_OK)
        return is_away(easy, code) ? WEIR_DELIVERY_AWAY : WEIR_DELIVERY_UNAVAILABLE;
    switch (status) {
    case 200:
    case 201:
        return WEIR_DELIVERY_OK;
    case 409: /* it is at work on it */
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

/* A 404 may be any server's; the gateway's own has a JSON object.  There is always a list. */
static bool says_missing(const question_t *q, long status)
{
    json_t *body;
    bool is_object;

    if (!q->is_lookup || q->page_cb != NULL || status != 404)
        return false;
    body = json_loadb(q->answer != NULL ? q->answer : "", q->len, 0, NULL);
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

/* The page in body; borrows from it.  False when it is none. */
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

/* Reads what is expected of an answer with a status that fits: into a or page, borrowed from body. */
static bool read_body(const question_t *q, const json_t *body, weir_gateway_answer_t *a,
                      weir_gateway_page_t *page)
{
    if (q->page_cb != NULL)
        return read_page(body, page);
    a->found = read_charge(body, a);
    return a->found;
}

static void on_answer(CURL *easy, CURLcode code, void *arg)
{
    question_t *q = arg;
    weir_gateway_answer_t a = {0};
    weir_gateway_page_t page = {0};
    const char *text = q->answer != NULL ? q->answer : "";
    json_t *body = NULL;
    char error[CURL_ERROR_SIZE + 300];
    long status = 0;

    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    a.result = judge(q, easy, code, status);
    if (code != CURLE_OK) {
        snprintf(error, sizeof(error), "gateway: %s",
                 q->error[0] != '\0' ? q->error : curl_easy_strerror(code));
    } else if (says_missing(q, status)) {
        a.result = WEIR_DELIVERY_OK;
    } else if (a.result != WEIR_DELIVERY_OK) {
        snprintf(error, sizeof(error), "gateway: status %ld: %.200s", status, text);
    } else {
        body = json_loadb(text, q->len, 0, NULL);
        if (!read_body(q, body, &a, &page)) {
            a.result = WEIR_DELIVERY_UNAVAILABLE;
            snprintf(error, sizeof(error), "gateway: this is no %s: %.200s",
                     q->page_cb != NULL ? "list of charges" : "charge", text);
        }
    }
    if (a.result != WEIR_DELIVERY_OK) {
        weir_str_make_printable(error);
        a.error = error;
        a.retry_after = weir_transfer_retry_after(easy);
        page = (weir_gateway_page_t){0};
    }
    page.result = a.result;
    page.error = a.error;
    curl_easy_cleanup(easy);
    curl_slist_free_all(q->headers);
    if (q->page_cb != NULL)
        q->page_cb(&page, q->arg);
    else
        q->cb(&a, q->arg);
    json_decref(body);
    free(q->body);
    free(q->answer);
    free(q);
}

static void add_header(question_t *q, const char *name, const char *value)
{
    char *line;

    if (asprintf(&line, "%s: %s", name, value) < 0)
        abort();
    q->headers = checked(curl_slist_append(q->headers, line));
    free(line);
}

static question_t *make_question(weir_gateway_cb cb, void *arg)
{
    question_t *q = checked(calloc(1, sizeof(*q)));

    q->cb = cb;
    q->arg = arg;
    q->max = ANSWER_MAX;
    return q;
}

/* body is taken; NULL asks with GET. */
static void ask(weir_gateway_t *g, const char *path, const char *key, char *body,
                const char *traceparent, question_t *q)
{
    CURL *easy = checked(curl_easy_init());
    char *url;

    q->body = body;
    q->is_lookup = body == NULL;
    if (asprintf(&url, "%s%s", g->url, path) < 0)
        abort();
    curl_easy_setopt(easy, CURLOPT_URL, url);
    free(url);
    if (traceparent != NULL)
        add_header(q, "traceparent", traceparent);
    if (body != NULL) {
        add_header(q, "Content-Type", "application/json");
        add_header(q, "Idempotency-Key", key);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
    }
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, q->headers);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* not the environment's */
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, g->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, g->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, q);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, q->error);
    weir_transfers_add(g->transfers, easy, on_answer, q);
}

static char *dump(json_t *object)
{
    char *text = checked(json_dumps(object, JSON_COMPACT));

    json_decref(object);
    return text;
}

void weir_gateway_charge(weir_gateway_t *g, const char *key, int64_t amount, const char *currency,
                         const char *reference, const char *traceparent, weir_gateway_cb cb,
                         void *arg)
{
    ask(g, "/charges", key,
        dump(json_pack("{s:I,s:s,s:s}", "amount", (json_int_t)amount, "currency", currency,
                       "reference", reference)),
        traceparent, make_question(cb, arg));
}

void weir_gateway_find(weir_gateway_t *g, const char *key, const char *traceparent,
                       weir_gateway_cb cb, void *arg)
{
    char *escaped = checked(curl_easy_escape(NULL, key, 0)), *path;

    if (asprintf(&path, "/charges?idempotency_key=%s", escaped) < 0)
        abort();
    ask(g, path, NULL, NULL, traceparent, make_question(cb, arg));
    free(path);
    curl_free(escaped);
}

void weir_gateway_refund(weir_gateway_t *g, const char *key, const char *charge,
                         const char *traceparent, weir_gateway_cb cb, void *arg)
{
    ask(g, "/refunds", key, dump(json_pack("{s:s}", "charge", charge)), traceparent,
        make_question(cb, arg));
}

void weir_gateway_list(weir_gateway_t *g, const char *from, const char *before, const char *after,
                       weir_gateway_page_cb cb, void *arg)
{
    char *escaped = checked(curl_easy_escape(NULL, after != NULL ? after : "", 0)), *path;
    question_t *q = make_question(NULL, arg);

    q->page_cb = cb;
    q->max = WEIR_GATEWAY_PAGE * ANSWER_MAX;
    if (asprintf(&path, "/charges?created_from=%s&created_before=%s&limit=%d%s%s", from, before,
                 WEIR_GATEWAY_PAGE, after != NULL ? "&after=" : "", escaped) < 0)
        abort();
    ask(g, path, NULL, NULL, NULL, q);
    free(path);
    curl_free(escaped);
}

weir_gateway_t *weir_gateway_new(struct event_base *base, const char *url, unsigned timeout_ms,
                                 long connections, char *error, size_t error_size)
{
    weir_gateway_t *g;
    size_t len = strlen(url);

    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) {
        snprintf(error, error_size,
                 "payments_url \"%s\": it must be http://host:port or https://host:port", url);
        return NULL;
    }
    g = checked(calloc(1, sizeof(*g)));
    while (len > 0 && url[len - 1] == '/')
        len--;
    g->url = checked(strndup(url, len));
    g->timeout_ms = (long)timeout_ms;
    g->transfers = weir_transfers_new(base, connections);
    return g;
}

void weir_gateway_free(weir_gateway_t *g)
{
    if (g == NULL)
        return;
    weir_transfers_free(g->transfers);
    free(g->url);
    free(g);
}
