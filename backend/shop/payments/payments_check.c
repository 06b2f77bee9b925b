#include "shop/payments/payments_check.h"

#include "log/alloc.h"
#include "log/log.h"
#include "shop/payments/reconcile.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK_MAX_S 60 /* between two queries whether a comparison is due */

#define DUE "SELECT since, until FROM payments_check_due($1::int)"
enum { DUE_SINCE, DUE_UNTIL };
#define DONE "SELECT payments_checked_to($1::timestamptz)"

struct weir_payments_check {
    weir_db_t *db;
    weir_gateway_t *gateway;
    unsigned every_s;
    struct event *timer;
    char since[32], until[32]; /* the period of the comparison in progress */
    bool failed;               /* the last comparison failed, and this was logged */
};

static void wait_for_next(weir_payments_check_t *check)
{
    struct timeval tv = {check->every_s < ASK_MAX_S ? check->every_s : ASK_MAX_S, 0};

    evtimer_add(check->timer, &tv);
}

static void on_found(json_t *differences, size_t compared, const char *error, void *arg)
{
    weir_payments_check_t *check = arg;
    size_t n = json_array_size(differences);

    if (differences == NULL && !check->failed)
        weir_log(WEIR_LOG_WARN, NULL, "charges and payments could not be compared, retrying",
                 "{s:s,s:s}", "since", check->since, "error", error);
    check->failed = differences == NULL;
    if (n > 0)
        weir_log(WEIR_LOG_ERROR, NULL,
                 "charges and payments differ; run: weirctl payments reconcile --since (this time)",
                 "{s:s,s:s,s:I,s:I}", "since", check->since, "until", check->until, "charges",
                 (json_int_t)compared, "differences", (json_int_t)n);
    if (differences != NULL)
        (void)!weir_db_query(check->db, DONE, 1, (const char *[]){check->until}, NULL, NULL);
    json_decref(differences);
    wait_for_next(check);
}

static void on_due(PGresult *result, const char *error, const char *sqlstate, void *arg)
{
    weir_payments_check_t *check = arg;

    (void)error; /* the query is repeated; the session logs its own errors */
    (void)sqlstate;
    if (result == NULL || PQntuples(result) == 0) {
        wait_for_next(check);
        return;
    }
    snprintf(check->since, sizeof(check->since), "%s", PQgetvalue(result, 0, DUE_SINCE));
    snprintf(check->until, sizeof(check->until), "%s", PQgetvalue(result, 0, DUE_UNTIL));
    weir_reconcile(check->db, check->gateway, check->since, check->until, on_found, check);
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
    weir_payments_check_t *check = arg;
    char every[16];

    (void)fd;
    (void)what;
    snprintf(every, sizeof(every), "%u", check->every_s);
    if (!weir_db_query(check->db, DUE, 1, (const char *[]){every}, on_due, check))
        wait_for_next(check);
}

weir_payments_check_t *weir_payments_check_new(struct event_base *base, weir_db_t *db,
                                               weir_gateway_t *gateway, unsigned every_s)
{
    weir_payments_check_t *check = weir_alloc(sizeof(*check));

    assert(every_s > 0);
    *check = (weir_payments_check_t){.db = db, .gateway = gateway, .every_s = every_s};
    check->timer = evtimer_new(base, on_time, check);
    wait_for_next(check);
    return check;
}

void weir_payments_check_free(weir_payments_check_t *check)
{
    if (check == NULL)
        return;
    event_free(check->timer);
    free(check);
}
