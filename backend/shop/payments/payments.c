#include "shop/payments/payments.h"

#include "common/ids/uuid7.h"
#include "db/batch/ask.h"
#include "log/alloc.h"
#include "log/log.h"
#include "shop/payments/gateway.h"
#include "shop/payments/payments_check.h"
#include "shop/settings.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUP "payments"
#define CONNECTIONS 8 /* to the gateway, and charges in flight */

#define DUE                                                                                        \
    "SELECT place, status, amount, currency, charge, order_id, withdrawn "                         \
    "FROM payments_due($1::uuid[])"
#define SETTLE                                                                                     \
    "SELECT place, verdict, why FROM payments_settle($1::uuid[], $2::text[], $3::text[], "         \
    "$4::bigint[], $5::text[], $6::text[], $7::boolean[], $8::text[], $9::uuid[], $10::uuid[])"
#define STRAY_DUE "SELECT place, payment FROM stray_charges_due($1::text[], $2::text[])"
#define SETTLE_STRAY "SELECT place, verdict FROM stray_charges_settle($1::text[], $2::text[])"

/* Columns of DUE, SETTLE and STRAY_DUE; the batch uses place. */
enum { DUE_STATUS = 1, DUE_AMOUNT, DUE_CURRENCY, DUE_CHARGE, DUE_ORDER, DUE_WITHDRAWN };
enum { SETTLE_VERDICT = 1, SETTLE_WHY };
enum { STRAY_PAYMENT = 1 };

enum { REQUESTED, WITHDRAWN, REPORTED, REFUND, STRAY };

static const char *const types[] = {
    [REQUESTED] = "PaymentRequested", [WITHDRAWN] = "PaymentWithdrawn",
    [REPORTED] = "PaymentReported",   [REFUND] = "RefundRequested",
    [STRAY] = "StrayChargeReported",  NULL,
};

typedef struct {
    weir_db_t *db;
    weir_ask_t *due;
    weir_ask_t *settle;
    weir_ask_t *stray_due;
    weir_ask_t *settle_stray;
    weir_gateway_t *gateway;
    weir_payments_check_t *check; /* NULL: charges are not compared */
} payments_t;

/* An event in progress; the strings of event live until its delivery is done. */
typedef struct {
    payments_t *payments;
    weir_delivery_t *delivery;
    const weir_event_t *event;
    char payment[WEIR_UUID_LEN + 1]; /* its id in PostgreSQL's form */
    bool is_open;                    /* its status was REQUESTED when the event was taken */
    char stray[16];                  /* status of a stray charge; empty: the gateway has none */
    const char *
        reason; /* the reason of its failure if the gateway has no charge; NULL: it does not fail */
    char refusal[300]; /* memory for the gateway's reason */
    bool confirmed;    /* the state comes from the gateway, not from a message that may be old */
} job_t;

static void done(job_t *job, weir_delivery_result_t result, const char *error)
{
    weir_delivery_t *delivery = job->delivery;

    assert(job->delivery != NULL);
    free(job);
    weir_delivery_done(delivery, result, error);
}

/* The gateway has not answered about the charge. */
static void failed(job_t *job, const weir_gateway_answer_t *a)
{
    assert(a->result != WEIR_DELIVERY_OK);
    weir_delivery_not_before(job->delivery, a->retry_after);
    done(job, a->result, a->error);
}

static const char *member(const job_t *job, const char *name)
{
    return json_string_value(json_object_get(job->event->data, name));
}

/* --- recording the gateway's answer --------------------------------------------- */

static void on_settled(PGresult *result, int row, const char *error, const char *sqlstate,
                       void *arg)
{
    job_t *job = arg;
    const char *verdict = result != NULL ? PQgetvalue(result, row, SETTLE_VERDICT) : "";

    if (result == NULL)
        done(job, weir_delivery_not_asked(sqlstate), error);
    else if (strcmp(verdict, "impossible") == 0)
        done(job, WEIR_DELIVERY_PERMANENT, PQgetvalue(result, row, SETTLE_WHY));
    else if (strcmp(verdict, "unknown") == 0)
        done(job, WEIR_DELIVERY_PERMANENT, "there is no such payment");
    else
        done(job, WEIR_DELIVERY_OK, NULL);
}

/* The first event of the chain; this event, if it has no correlation. */
static const char *correlation(const job_t *job)
{
    return job->event->correlation != NULL ? job->event->correlation : job->event->id;
}

/* For an event that is emitted because of this one: it belongs to the attempt. NULL: no trace. */
static const char *trace_of(const job_t *job, char text[WEIR_TRACE_TEXT])
{
    if (job->event->trace == NULL)
        return NULL;
    weir_trace_text(job->event->trace, text);

    return text;
}

static void settle(job_t *job, const weir_gateway_answer_t *a)
{
    char amount[24], trace[WEIR_TRACE_TEXT];

    assert(a->found && a->status != NULL);
    snprintf(amount, sizeof(amount), "%" PRId64, a->amount);
    weir_ask(job->payments->settle, job->event->trace,
             (const char *[]){job->payment, a->status, a->charge, amount, a->currency, a->reason,
                              job->confirmed ? "t" : "f", trace_of(job, trace), job->event->id,
                              correlation(job)},
             on_settled, job);
}

/* There is no charge, and there will be none. */
static void give_up(job_t *job)
{
    char trace[WEIR_TRACE_TEXT];

    assert(job->reason != NULL);
    weir_ask(job->payments->settle, job->event->trace,
             (const char *[]){job->payment, "failed", NULL, NULL, NULL, job->reason, "t",
                              trace_of(job, trace), job->event->id, correlation(job)},
             on_settled, job);
}

static void on_answer(const weir_gateway_answer_t *a, void *arg)
{
    job_t *job = arg;

    if (a->result != WEIR_DELIVERY_OK) {
        failed(job, a);
    } else if (a->found) {
        settle(job, a);
    } else if (job->reason != NULL) {
        give_up(job);
    } else if (job->is_open) {
        /* An earlier PaymentRequested left the payment open; this event ends it. */
        done(job, WEIR_DELIVERY_RETRY,
             "a message is about a charge that the gateway does not have");
    } else {
        weir_log(WEIR_LOG_WARN, job->event->trace,
                 "a message is about a charge that the gateway does not have", "{s:s}", "payment",
                 job->payment);
        done(job, WEIR_DELIVERY_OK, NULL);
    }
}

/* --- payments ----------------------------------------------------------------------------- */

static void refund(job_t *job, const char *name, const char *charge, weir_gateway_cb cb)
{
    char key[300];

    assert(name != NULL && cb != NULL);
    job->confirmed = true;
    snprintf(key, sizeof(key), "refund-%.255s", name);
    weir_gateway_refund(job->payments->gateway, key, charge, job->event->trace, cb, job);
}

/* Queries the state of the payment's charge. */
static void look_up(job_t *job)
{
    job->confirmed = true;
    weir_gateway_find(job->payments->gateway, job->payment, job->event->trace, on_answer, job);
}

/*
 * A refusal ends the payment, unless an earlier attempt, whose answer was lost, has made the
 * charge.
 */
static void on_charged(const weir_gateway_answer_t *a, void *arg)
{
    job_t *job = arg;

    if (a->result != WEIR_DELIVERY_PERMANENT) {
        on_answer(a, job);
        return;
    }
    snprintf(job->refusal, sizeof(job->refusal), "%s", a->error);
    job->reason = job->refusal;
    look_up(job);
}

static void act(job_t *job, PGresult *result, int row)
{
    const char *status = PQgetvalue(result, row, DUE_STATUS), *type = job->event->type;
    bool is_open = job->is_open = strcmp(status, "REQUESTED") == 0;

    if (strcmp(type, types[REQUESTED]) == 0 && is_open &&
        weir_column_bool(result, row, DUE_WITHDRAWN)) {
        job->reason = "the user has left";
        look_up(job);
    } else if (strcmp(type, types[REQUESTED]) == 0 && is_open) {
        weir_gateway_charge(job->payments->gateway, job->payment,
                            weir_column_int(result, row, DUE_AMOUNT),
                            PQgetvalue(result, row, DUE_CURRENCY),
                            PQgetvalue(result, row, DUE_ORDER), job->event->trace, on_charged, job);
    } else if (strcmp(type, types[WITHDRAWN]) == 0 && is_open) {
        job->reason = "given up by an operator";
        look_up(job);
    } else if (strcmp(type, types[REPORTED]) == 0) {
        look_up(job);
    } else if (strcmp(type, types[REFUND]) == 0 && strcmp(status, "REFUNDING") == 0) {
        refund(job, job->payment, PQgetvalue(result, row, DUE_CHARGE), on_answer);
    } else {
        done(job, WEIR_DELIVERY_OK, NULL); /* a message has already settled it */
    }
}

static void on_due(PGresult *result, int row, const char *error, const char *sqlstate, void *arg)
{
    job_t *job = arg;

    if (result == NULL)
        done(job, weir_delivery_not_asked(sqlstate), error);
    else if (PQgetisnull(result, row, DUE_STATUS))
        done(job, WEIR_DELIVERY_PERMANENT, "there is no such payment");
    else
        act(job, result, row);
}

/* --- stray charges -------------------------------------------------------------------------- */

static void settle_stray(job_t *job, const char *status)
{
    weir_log(WEIR_LOG_WARN, job->event->trace, "a charge belongs to no payment", "{s:s,s:s}",
             "charge", member(job, "charge"), "status", status);
    weir_ask(job->payments->settle_stray, job->event->trace,
             (const char *[]){member(job, "charge"), status}, on_settled, job);
}

static void on_stray_refunded(const weir_gateway_answer_t *a, void *arg)
{
    job_t *job = arg;

    if (a->result != WEIR_DELIVERY_OK)
        failed(job, a);
    else
        settle_stray(job, "REFUNDED");
}

static void end_stray(job_t *job)
{
    const char *charge = member(job, "charge");

    if (job->stray[0] == '\0')
        settle_stray(job, "UNKNOWN");
    else if (strcmp(job->stray, "succeeded") == 0)
        refund(job, charge, charge, on_stray_refunded);
    else
        settle_stray(job, strcmp(job->stray, "refunded") == 0 ? "REFUNDED" : "UNPAID");
}

/* Checks whether the payment that may own this charge has it. */
static void on_owner_found(const weir_gateway_answer_t *a, void *arg)
{
    job_t *job = arg;

    if (a->result != WEIR_DELIVERY_OK)
        failed(job, a);
    else if (a->found && strcmp(a->charge, member(job, "charge")) == 0)
        settle(job, a);
    else
        end_stray(job);
}

static void on_stray_due(PGresult *result, int row, const char *error, const char *sqlstate,
                         void *arg)
{
    job_t *job = arg;

    if (result == NULL) {
        done(job, weir_delivery_not_asked(sqlstate), error);
    } else if (PQgetisnull(result, row, STRAY_PAYMENT)) {
        end_stray(job);
    } else {
        snprintf(job->payment, sizeof(job->payment), "%s", PQgetvalue(result, row, STRAY_PAYMENT));
        job->confirmed = true;
        weir_gateway_find(job->payments->gateway, job->payment, job->event->trace, on_owner_found,
                          job);
    }
}

/*
 * A message alone does not prove that a charge is stray: its key may be a payment's id in another
 * form. So before a refund the owner of the charge is looked up by the key that the gateway
 * returns.
 */
static void on_stray_found(const weir_gateway_answer_t *a, void *arg)
{
    job_t *job = arg;
    const char *charge = member(job, "charge"), *key = member(job, "key");

    if (a->result != WEIR_DELIVERY_OK) {
        failed(job, a);
        return;
    }
    if (a->found && strcmp(a->charge, charge) == 0) {
        snprintf(job->stray, sizeof(job->stray), "%s", a->status);
        if (a->key != NULL)
            key = a->key;
    }
    weir_ask(job->payments->stray_due, job->event->trace, (const char *[]){charge, key},
             on_stray_due, job);
}

/* --- the consumer ----------------------------------------------------------------------------- */

static void handle(void *self, const weir_event_t *event, weir_delivery_t *delivery)
{
    payments_t *p = self;
    job_t *job = weir_alloc(sizeof(*job));
    const char *payment;

    assert(event->type != NULL && event->data != NULL);
    job->payments = p;
    job->delivery = delivery;
    job->event = event;

    if (strcmp(event->type, types[STRAY]) == 0) {
        if (member(job, "charge") == NULL || member(job, "key") == NULL)
            done(job, WEIR_DELIVERY_PERMANENT, "the event names no charge");
        else
            weir_gateway_find(p->gateway, member(job, "key"), event->trace, on_stray_found, job);
        return;
    }
    payment = member(job, "paymentId");
    if (payment == NULL ||
        weir_uuid_parse((weir_str_t){payment, strlen(payment)}, job->payment) != 0) {
        done(job, WEIR_DELIVERY_PERMANENT, "the event names no payment");
        return;
    }
    weir_ask(p->due, job->event->trace, (const char *[]){job->payment}, on_due, job);
}

static void *open_payments(const weir_runtime_t *runtime, char *error, size_t error_size)
{
    const weir_shop_settings_t *settings = runtime->settings;
    weir_tls_settings_t tls;
    bool has_tls = weir_shop_payments_tls(settings, &tls);
    weir_gateway_t *gateway =
        weir_gateway_new(runtime->base, settings->payments_url, settings->payments_timeout,
                         CONNECTIONS, has_tls ? &tls : NULL, error, error_size);
    payments_t *p;

    assert(settings != NULL);
    if (gateway == NULL)
        return NULL;
    p = weir_alloc(sizeof(*p));
    p->gateway = gateway;
    p->db = weir_db_new(runtime->base, runtime->database, GROUP, NULL, NULL);
    p->due = weir_ask_new(runtime->base, p->db, GROUP, DUE, 1);
    p->settle = weir_ask_new(runtime->base, p->db, GROUP, SETTLE, 10);
    p->stray_due = weir_ask_new(runtime->base, p->db, GROUP, STRAY_DUE, 2);
    p->settle_stray = weir_ask_new(runtime->base, p->db, GROUP, SETTLE_STRAY, 2);
    if (settings->payments_check > 0)
        p->check = weir_payments_check_new(runtime->base, p->db, gateway, settings->payments_check);
    return p;
}

static void close_payments(void *self)
{
    payments_t *p = self;

    weir_gateway_free(p->gateway);
    weir_db_free(p->db);
    weir_ask_free(p->due);
    weir_ask_free(p->settle);
    weir_ask_free(p->stray_due);
    weir_ask_free(p->settle_stray);
    weir_payments_check_free(p->check);
    free(p);
}

const weir_group_t weir_payments_group = {
    .consumer =
        {
            .group = GROUP,
            .types = types,
            .apply = "payments_apply",
            .permanent = "22,23",
            .dependency = "gateway",
            .concurrency = CONNECTIONS,
            .handle = handle,
        },
    .open = open_payments,
    .close = close_payments,
};
