#include "sim/sim.h"

#include "log/alloc.h"

#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* An answer that is sent later. */
typedef struct {
    sim_t *sim;
    struct evhttp_request *request;
    int status;
    char *body;
    bool lose;
    bool affected; /* the switch latency affects it */
    struct event *timer;
} answer_t;

static const struct {
    const char *name;
    size_t offset;
} switches[] = {
    {"only_amount", offsetof(sim_switches_t, only_amount)},
    {"latency", offsetof(sim_switches_t, latency)},
    {"errors", offsetof(sim_switches_t, errors)},
    {"error_status", offsetof(sim_switches_t, error_status)},
    {"retry_after", offsetof(sim_switches_t, retry_after)},
    {"retry_date", offsetof(sim_switches_t, retry_date)},
    {"lost_answers", offsetof(sim_switches_t, lost_answers)},
    {"declines", offsetof(sim_switches_t, declines)},
    {"duplicates", offsetof(sim_switches_t, duplicates)},
    {"hold", offsetof(sim_switches_t, hold)},
    {"reverse", offsetof(sim_switches_t, reverse)},
    {"fold_keys", offsetof(sim_switches_t, fold_keys)},
    {"webhook_first", offsetof(sim_switches_t, webhook_first)},
};

#define N_SWITCHES (sizeof(switches) / sizeof(switches[0]))

static int *switch_at(sim_t *sim, size_t i)
{
    assert(i < N_SWITCHES);
    return (int *)((char *)&sim->switches + switches[i].offset);
}

/* True when a switch affects this request. Counts down. */
static bool take(int *left)
{
    if (*left > 0)
        return (*left)-- > 0;
    return *left < 0;
}

/* --- answers --------------------------------------------------------------------------- */

static void on_time(evutil_socket_t fd, short what, void *arg)
{
    answer_t *a = arg;
    struct evhttp_connection *connection = evhttp_request_get_connection(a->request);

    (void)fd;
    (void)what;
    if (a->lose && connection != NULL) {
        evhttp_connection_free(connection); /* frees the request, too */
    } else {
        struct evkeyvalq *headers = evhttp_request_get_output_headers(a->request);

        evhttp_add_header(headers, "Content-Type", "application/json");
        evbuffer_add(evhttp_request_get_output_buffer(a->request), a->body, strlen(a->body));
        evhttp_send_reply(a->request, a->status, NULL, NULL); /* the client may have disconnected */
    }
    event_free(a->timer);
    free(a->body);
    free(a);
}

static void go(void *arg)
{
    answer_t *a = arg;
    int ms = a->affected ? a->sim->switches.latency : 0;
    struct timeval tv = {ms / 1000, ms % 1000 * 1000};

    evtimer_add(a->timer, &tv);
}

static bool is_admin(struct evhttp_request *request)
{
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));

    return strncmp(path, "/admin/", 7) == 0 || strcmp(path, "/ledger") == 0;
}

static json_t *body_of(struct evhttp_request *request)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(request);
    size_t len = evbuffer_get_length(in);
    json_t *body = json_loadb((const char *)evbuffer_pullup(in, -1), len, 0, NULL);

    if (!json_is_object(body)) {
        json_decref(body);
        return NULL;
    }
    return body;
}

/* True when latency and errors affect this request. */
static bool is_affected(const sim_t *sim, struct evhttp_request *request)
{
    json_t *body;
    bool is;

    if (is_admin(request) || sim->switches.only_amount == 0)
        return !is_admin(request);
    body = body_of(request);
    is = json_integer_value(json_object_get(body, "amount")) == sim->switches.only_amount;
    json_decref(body);
    return is;
}

/* Takes ownership of body. */
static answer_t *prepare(sim_t *sim, struct evhttp_request *request, int status, json_t *body)
{
    answer_t *a = weir_alloc(sizeof(*a));

    assert(status >= 200);
    a->sim = sim;
    a->request = request;
    a->status = status;
    a->affected = is_affected(sim, request);
    a->body = weir_alloc_check(json_dumps(body, JSON_COMPACT));
    a->timer = evtimer_new(sim->base, on_time, a);
    json_decref(body);
    return a;
}

static void reply(sim_t *sim, struct evhttp_request *request, int status, json_t *body)
{
    go(prepare(sim, request, status, body));
}

static void complain(sim_t *sim, struct evhttp_request *request, int status, const char *error)
{
    reply(sim, request, status, json_pack("{s:s}", "error", error));
}

static const char *text(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static void fail(sim_t *sim, struct evhttp_request *request)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    time_t at = time(NULL) + sim->switches.retry_after;
    char value[64] = "soon";

    if (sim->switches.retry_after > 0 && sim->switches.retry_date)
        strftime(value, sizeof(value), "%a, %d %b %Y %H:%M:%S GMT", gmtime(&at));
    else if (sim->switches.retry_after > 0)
        snprintf(value, sizeof(value), "%d", sim->switches.retry_after);
    if (sim->switches.retry_after != 0)
        evhttp_add_header(headers, "Retry-After", value);
    complain(sim, request, sim->switches.error_status, "switched off");
}

/* --- the gateway --------------------------------------------------------------------------- */

static void reply_charge(sim_t *sim, struct evhttp_request *request, int status, json_t *charge,
                         bool wait_for_webhook)
{
    answer_t *a = prepare(sim, request, status, json_incref(charge));

    a->lose = take(&sim->switches.lost_answers);
    if (wait_for_webhook) {
        sim_webhook(sim, charge, text(charge, "status"), NULL, go, a);
        return;
    }
    go(a);
}

/* Webhooks about the charge belong to the trace in which it was requested. */
static void note_trace(struct evhttp_request *request, json_t *charge)
{
    static const char *const names[] = {"traceparent", "tracestate"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *value = evhttp_find_header(evhttp_request_get_input_headers(request), names[i]);

        if (value != NULL)
            json_object_set_new(charge, names[i], json_string(value));
    }
}

static void post_charge(sim_t *sim, struct evhttp_request *request, const json_t *body)
{
    const char *key =
        evhttp_find_header(evhttp_request_get_input_headers(request), "Idempotency-Key");
    json_int_t amount = json_integer_value(json_object_get(body, "amount"));
    const char *currency = text(body, "currency");
    json_t *charge;
    bool is_new, declined;

    if (key == NULL || currency == NULL || amount <= 0) {
        complain(sim, request, 400, "Idempotency-Key, amount and currency are required");
        return;
    }
    charge = sim_find(sim, "idempotency_key", key);
    is_new = charge == NULL;
    if (is_new) {
        declined = take(&sim->switches.declines);
        charge = sim_charge(sim, key, amount, currency, declined ? "failed" : "succeeded",
                            declined ? "card_declined" : NULL, NULL);
        if (charge == NULL) {
            complain(sim, request, 503, "the ledger is full");
            return;
        }
    } else if (json_integer_value(json_object_get(charge, "amount")) != amount ||
               strcmp(text(charge, "currency"), currency) != 0) {
        complain(sim, request, 422, "this idempotency key was used for another charge");
        return;
    }
    if (is_new)
        note_trace(request, charge);
    json_object_set_new(charge, "requests",
                        json_integer(json_integer_value(json_object_get(charge, "requests")) + 1));
    sim_write(sim, charge);
    if (is_new && !sim->switches.webhook_first)
        sim_webhook(sim, charge, text(charge, "status"), NULL, NULL, NULL);
    reply_charge(sim, request, is_new ? 201 : 200, charge, is_new && sim->switches.webhook_first);
}

static void post_refund(sim_t *sim, struct evhttp_request *request, const json_t *body)
{
    const char *id = text(body, "charge");
    json_t *charge = id != NULL ? sim_find(sim, "id", id) : NULL;
    bool is_new;

    if (evhttp_find_header(evhttp_request_get_input_headers(request), "Idempotency-Key") == NULL) {
        complain(sim, request, 400, "Idempotency-Key is required");
    } else if (charge == NULL) {
        complain(sim, request, 404, "there is no such charge");
    } else if (strcmp(text(charge, "status"), "failed") == 0) {
        complain(sim, request, 422, "nothing was charged");
    } else {
        is_new = strcmp(text(charge, "status"), "refunded") != 0;
        if (is_new) {
            sim_set_status(sim, charge, "refunded");
            sim_webhook(sim, charge, "refunded", NULL, NULL, NULL);
        }
        reply_charge(sim, request, is_new ? 201 : 200, charge, false);
    }
}

static json_t *find_folded(const sim_t *sim, const char *key)
{
    json_t *charge;
    size_t i;

    json_array_foreach(sim->charges, i, charge)
    {
        if (strcasecmp(text(charge, "idempotency_key"), key) == 0)
            return charge;
    }
    return NULL;
}

/* The list of charges of the requested time; NULL when the query is wrong. */
static json_t *list(const sim_t *sim, const struct evkeyvalq *values)
{
    const char *from = evhttp_find_header(values, "created_from");
    const char *before = evhttp_find_header(values, "created_before");
    const char *limit = evhttp_find_header(values, "limit");
    long n = limit != NULL ? strtol(limit, NULL, 10) : SIM_PAGE_MAX;

    if (from == NULL || before == NULL || n < 1 || n > SIM_PAGE_MAX)
        return NULL;
    return sim_list(sim, from, before, evhttp_find_header(values, "after"), (size_t)n);
}

static void get_charges(sim_t *sim, struct evhttp_request *request)
{
    const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request)), *key;
    struct evkeyvalq values;
    json_t *found = NULL;

    if (query == NULL || evhttp_parse_query_str(query, &values) != 0) {
        complain(sim, request, 400,
                 "idempotency_key, or created_from and created_before are needed");
        return;
    }
    key = evhttp_find_header(&values, "idempotency_key");
    if (key == NULL)
        found = list(sim, &values);
    else
        found = json_incref(sim->switches.fold_keys ? find_folded(sim, key)
                                                    : sim_find(sim, "idempotency_key", key));
    if (found != NULL)
        reply(sim, request, 200, found);
    else if (key != NULL)
        complain(sim, request, 404, "there is no such charge");
    else
        complain(sim, request, 400, "created_from and created_before, and a limit up to 100");
    evhttp_clear_headers(&values);
}

/* --- the admin's side ------------------------------------------------------------------------ */

static bool is_status(const char *s)
{
    return s != NULL &&
           (strcmp(s, "succeeded") == 0 || strcmp(s, "failed") == 0 || strcmp(s, "refunded") == 0);
}

static bool is_allowed(const char *name, const json_t *value)
{
    json_int_t n = json_integer_value(value);

    if (strcmp(name, "error_status") == 0 && (n < 200 || n > 599))
        return false;
    return json_is_integer(value);
}

static void admin_switches(sim_t *sim, struct evhttp_request *request, const json_t *body)
{
    json_t *all = json_object(), *value;
    const char *name;

    json_object_foreach((json_t *)body, name, value)
    {
        size_t i = 0;

        while (i < N_SWITCHES && strcmp(switches[i].name, name) != 0)
            i++;
        if (i == N_SWITCHES || !is_allowed(name, value)) {
            json_decref(all);
            complain(sim, request, 422,
                     "a switch is unknown, its value is no integer, or error_status is not from "
                     "200 to 599");
            return;
        }
    }
    for (size_t i = 0; i < N_SWITCHES; i++) {
        int *value_at = switch_at(sim, i);

        if (json_object_get(body, switches[i].name) != NULL)
            *value_at = (int)json_integer_value(json_object_get(body, switches[i].name));
        json_object_set_new(all, switches[i].name, json_integer(*value_at));
    }
    sim_webhooks_go(sim);
    reply(sim, request, 200, all);
}

static void admin_charge(sim_t *sim, struct evhttp_request *request, const json_t *body)
{
    const char *key = text(body, "idempotency_key"), *currency = text(body, "currency");
    const char *status = text(body, "status");
    json_t *charge = NULL;

    if (key != NULL && currency != NULL && is_status(status) &&
        sim_find(sim, "idempotency_key", key) == NULL)
        charge = sim_charge(sim, key, json_integer_value(json_object_get(body, "amount")), currency,
                            status, NULL, text(body, "created"));
    if (charge == NULL) {
        complain(sim, request, 422,
                 "a new idempotency_key, amount, currency and status are needed");
        return;
    }
    sim_webhook(sim, charge, status, NULL, NULL, NULL);
    reply(sim, request, 201, json_incref(charge));
}

static void admin_status(sim_t *sim, struct evhttp_request *request, const char *id,
                         const json_t *body)
{
    json_t *charge = sim_find(sim, "id", id);

    if (charge == NULL || !is_status(text(body, "status"))) {
        complain(sim, request, 422, "a charge, and a status are needed");
        return;
    }
    sim_set_status(sim, charge, text(body, "status"));
    sim_webhook(sim, charge, text(body, "status"), NULL, NULL, NULL);
    reply(sim, request, 200, json_incref(charge));
}

static void admin_webhook(sim_t *sim, struct evhttp_request *request, const json_t *body)
{
    const char *id = text(body, "charge"), *status = text(body, "status");
    json_t *charge = id != NULL ? sim_find(sim, "id", id) : NULL;

    if (charge == NULL || (status != NULL && !is_status(status))) {
        complain(sim, request, 422, "a charge is needed, and may have another status");
        return;
    }
    sim_webhook(sim, charge, status != NULL ? status : text(charge, "status"), text(body, "id"),
                NULL, NULL);
    reply(sim, request, 202, json_incref(charge));
}

/* --- routes ----------------------------------------------------------------------------------- */

static void post(sim_t *sim, struct evhttp_request *request, const char *path)
{
    json_t *body = body_of(request);

    if (body == NULL)
        complain(sim, request, 400, "the body must be a JSON object");
    else if (strcmp(path, "/charges") == 0)
        post_charge(sim, request, body);
    else if (strcmp(path, "/refunds") == 0)
        post_refund(sim, request, body);
    else if (strcmp(path, "/admin/switches") == 0)
        admin_switches(sim, request, body);
    else if (strcmp(path, "/admin/charges") == 0)
        admin_charge(sim, request, body);
    else if (strncmp(path, "/admin/charges/", 15) == 0)
        admin_status(sim, request, path + 15, body);
    else if (strcmp(path, "/admin/webhooks") == 0)
        admin_webhook(sim, request, body);
    else
        complain(sim, request, 404, "there is nothing at this path");
    json_decref(body);
}

void sim_on_request(struct evhttp_request *request, void *arg)
{
    sim_t *sim = arg;
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
    bool is_post = evhttp_request_get_command(request) == EVHTTP_REQ_POST;

    if (is_affected(sim, request) && take(&sim->switches.errors))
        fail(sim, request);
    else if (is_post)
        post(sim, request, path);
    else if (strcmp(path, "/charges") == 0)
        get_charges(sim, request);
    else if (strcmp(path, "/ledger") == 0)
        reply(
            sim, request, 200,
            json_pack("{s:O,s:o}", "charges", sim->charges, "webhooks", sim_webhooks_counts(sim)));
    else if (strcmp(path, "/admin/switches") == 0)
        admin_switches(sim, request, NULL);
    else
        complain(sim, request, 404, "there is nothing at this path");
}
