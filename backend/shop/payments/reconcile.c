#include "shop/payments/reconcile.h"

#include "log/alloc.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMPARE                                                                                    \
    "SELECT coalesce(json_agg(to_json(c)), '[]') "                                                 \
    "FROM payments_compare($1::jsonb, $2::timestamptz, $3::boolean, $4) c"
#define UNCHARGED                                                                                  \
    "SELECT coalesce(json_agg(to_json(u)), '[]') "                                                 \
    "FROM payments_uncharged($1::jsonb, $2::timestamptz, $3::timestamptz, $4::int) u"

#define PAGES_MAX 100000 /* of a list; a longer list counts as endless */

#define LIMIT_TEXT_(n) #n
#define LIMIT_TEXT(n) LIMIT_TEXT_(n)

typedef struct {
    weir_db_t *db;
    weir_gateway_t *gateway;
    char *since, *until;
    weir_reconcile_cb cb;
    void *arg;
    json_t *differences;
    json_t *keys;      /* the keys of all charges of the list */
    char *after;       /* the next page; NULL after the last page */
    json_t *uncharged; /* payments about which the gateway is queried, one after the other */
    size_t asked;      /* how many of them were queried */
    int pages;         /* pages of the list so far */
} run_t;

static void ask_page(run_t *run);
static void ask_uncharged(run_t *run);

static void end(run_t *run, const char *error)
{
    size_t compared = json_array_size(run->keys);

    run->cb(error == NULL ? json_incref(run->differences) : NULL, compared, error, run->arg);
    json_decref(run->differences);
    json_decref(run->keys);
    json_decref(run->uncharged);
    free(run->after);
    free(run->since);
    free(run->until);
    free(run);
}

/* The array in a result's only value; NULL if the run has ended and was freed. */
static json_t *read_rows(run_t *run, PGresult *result, const char *error)
{
    json_t *rows = result != NULL ? json_loads(PQgetvalue(result, 0, 0), 0, NULL) : NULL;

    if (rows == NULL)
        end(run, error != NULL ? error : "PostgreSQL sent a value that is not JSON");
    return rows;
}

static void query(run_t *run, const char *sql, int n, const char *const *values, weir_db_cb cb)
{
    if (!weir_db_query(run->db, sql, n, values, cb, run))
        end(run, "the database session is not open");
}

/* charges: an array of the gateway's charges, or of objects with the same members. */
/* caller is who has differences mended; NULL: nothing is mended. */
static void compare(run_t *run, const json_t *charges, const char *caller, weir_db_cb cb)
{
    char *text = weir_alloc_check(json_dumps(charges, JSON_COMPACT));

    query(run, COMPARE, 4, (const char *[]){text, run->until, caller != NULL ? "t" : "f", caller},
          cb);
    free(text);
}

/* --- payments that the list does not explain ------------------------------------------------ */

static void on_one_compared(PGresult *result, const char *error, const char *sqlstate, void *arg)
{
    run_t *run = arg;
    json_t *rows = read_rows(run, result, error);

    (void)sqlstate;
    if (rows == NULL)
        return;
    json_array_extend(run->differences, rows);
    json_decref(rows);
    ask_uncharged(run);
}

static void on_charge(const weir_gateway_answer_t *a, void *arg)
{
    run_t *run = arg;
    const json_t *payment = json_array_get(run->uncharged, run->asked++);
    json_t *one;

    if (a->result != WEIR_DELIVERY_OK) {
        end(run, a->error);
    } else if (a->found) {
        one = json_pack("[{s:s,s:O,s:I,s:s,s:s}]", "id", a->charge, "idempotency_key",
                        json_object_get(payment, "payment"), "amount", (json_int_t)a->amount,
                        "currency", a->currency, "status", a->status);
        compare(run, one, NULL, on_one_compared);
        json_decref(one);
    } else {
        json_array_append_new(run->differences,
                              json_pack("{s:s,s:O,s:O,s:n,s:O,s:O,s:O,s:n}", "difference",
                                        "no charge", "charge", json_object_get(payment, "charge"),
                                        "key", json_object_get(payment, "payment"), "charged",
                                        "payment", json_object_get(payment, "payment"), "order_id",
                                        json_object_get(payment, "order_id"), "paid",
                                        json_object_get(payment, "paid"), "mend"));
        ask_uncharged(run);
    }
}

static void ask_uncharged(run_t *run)
{
    const json_t *payment = json_array_get(run->uncharged, run->asked);

    if (payment == NULL)
        end(run, NULL);
    else
        weir_gateway_find(run->gateway, json_string_value(json_object_get(payment, "payment")),
                          NULL, on_charge, run);
}

static void on_uncharged(PGresult *result, const char *error, const char *sqlstate, void *arg)
{
    run_t *run = arg;
    json_t *rows = read_rows(run, result, error);

    (void)sqlstate;
    if (rows == NULL)
        return;
    run->uncharged = rows;
    ask_uncharged(run);
}

/* --- the list ------------------------------------------------------------------------------- */

static void on_compared(PGresult *result, const char *error, const char *sqlstate, void *arg)
{
    run_t *run = arg;
    json_t *rows = read_rows(run, result, error);
    char *keys;

    (void)sqlstate;
    if (rows == NULL)
        return;
    json_array_extend(run->differences, rows);
    json_decref(rows);
    if (run->after != NULL) {
        ask_page(run);
        return;
    }
    keys = weir_alloc_check(json_dumps(run->keys, JSON_COMPACT));
    query(run, UNCHARGED, 4,
          (const char *[]){keys, run->since, run->until, LIMIT_TEXT(WEIR_RECONCILE_UNCHARGED_MAX)},
          on_uncharged);
    free(keys);
}

static void on_page(const weir_gateway_page_t *page, void *arg)
{
    run_t *run = arg;
    const json_t *charge;
    size_t i;

    if (page->result != WEIR_DELIVERY_OK) {
        end(run, page->error);
        return;
    }
    if (page->next != NULL &&
        (++run->pages > PAGES_MAX || (run->after != NULL && strcmp(page->next, run->after) == 0))) {
        end(run, "gateway: its list does not end");
        return;
    }
    json_array_foreach(page->charges, i, charge)
    {
        json_array_append(run->keys, json_object_get(charge, "idempotency_key"));
    }
    free(run->after);
    run->after = page->next != NULL ? weir_alloc_text(page->next) : NULL;
    compare(run, page->charges, NULL, on_compared);
}

static void ask_page(run_t *run)
{
    weir_gateway_list(run->gateway, run->since, run->until, run->after, on_page, run);
}

static run_t *make(weir_db_t *db, weir_gateway_t *gateway, const char *since, const char *until,
                   weir_reconcile_cb cb, void *arg)
{
    run_t *run = weir_alloc(sizeof(*run));

    *run = (run_t){.db = db,
                   .gateway = gateway,
                   .since = weir_alloc_text(since),
                   .until = weir_alloc_text(until),
                   .cb = cb,
                   .arg = arg,
                   .differences = json_array(),
                   .keys = json_array()};
    return run;
}

void weir_reconcile(weir_db_t *db, weir_gateway_t *gateway, const char *since, const char *until,
                    weir_reconcile_cb cb, void *arg)
{
    assert(since != NULL && until != NULL && cb != NULL);
    ask_page(make(db, gateway, since, until, cb, arg));
}

/* --- mending --------------------------------------------------------------------------------- */

static void on_mended(PGresult *result, const char *error, const char *sqlstate, void *arg)
{
    run_t *run = arg;
    json_t *rows = read_rows(run, result, error), *row;
    size_t i;

    (void)sqlstate;
    if (rows == NULL)
        return;
    json_array_foreach(rows, i, row)
    {
        if (json_is_string(json_object_get(row, "mend")))
            json_array_append(run->differences, row);
    }
    json_decref(rows);
    end(run, NULL);
}

void weir_reconcile_mend(weir_db_t *db, const json_t *differences, const char *until,
                         const char *caller, weir_reconcile_cb cb, void *arg)
{
    run_t *run = make(db, NULL, until, until, cb, arg);
    json_t *charges = json_array(), *difference;
    size_t i;

    assert(json_is_array(differences) && cb != NULL);
    json_array_foreach(differences, i, difference)
    {
        json_t *listed = json_object_get(difference, "listed");

        if (listed != NULL)
            json_array_append(charges, listed);
    }
    compare(run, charges, caller, on_mended);
    json_decref(charges);
}
