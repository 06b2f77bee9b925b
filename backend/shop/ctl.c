/*
 * The shop's commands of weirctl. "payments reconcile" checks that the gateway's charges and the
 * payments of the database agree. reconcile.h compares; this file prints the result, and asks for
 * confirmation before refunds.
 */
#include "ctl/cli.h"
#include "log/log.h"
#include "shop/payments/reconcile.h"
#include "shop/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS 1
/*
 * The most charges without a payment: more of them may belong to another shop, or the database is
 * wrong.
 */
#define GHOSTS_MAX 20
#define SESSION_S 10 /* until the session must be open */

typedef struct {
    weir_ctl_t *ctl;
    struct event_base *base;
    weir_gateway_t *gateway;
    const char *since, *until;
    json_t *found; /* the result of a step; NULL: it failed */
    size_t compared;
    bool began, done;
    char error[512];
} work_t;

static void on_found(json_t *found, size_t compared, const char *error, void *arg)
{
    work_t *w = arg;

    w->found = found;
    w->compared = compared;
    snprintf(w->error, sizeof(w->error), "%s", error != NULL ? error : "");
    w->done = true;
}

static void on_session(weir_db_t *db, bool up, void *arg)
{
    work_t *w = arg;

    if (!up || w->began)
        return;
    w->began = true;
    weir_reconcile(db, w->gateway, w->since, w->until, on_found, w);
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
    work_t *w = arg;

    (void)fd;
    (void)what;
    if (w->began)
        return;
    snprintf(w->error, sizeof(w->error), "PostgreSQL: no second session within %d s", SESSION_S);
    w->done = true;
}

/* Waits for the end of the step. Exits when the gateway or PostgreSQL fails. */
static json_t *result_of(work_t *w)
{
    while (!w->done)
        event_base_loop(w->base, EVLOOP_ONCE);
    w->done = false;
    if (w->found == NULL)
        exit(weir_ctl_fail(WEIR_CTL_AWAY, "%s", w->error));
    return w->found;
}

/* The row with since and until. Exits when they are not times. */
static json_t *read_times(weir_ctl_t *ctl)
{
    const char *values[] = {ctl->args.since, ctl->args.until};
    json_t *rows = weir_ctl_rows(
        ctl,
        "SELECT rfc3339(coalesce($1::timestamptz, now() - interval '7 days')) AS since,"
        " rfc3339(coalesce($2::timestamptz, now() - interval '5 minutes')) AS until,"
        " coalesce(isfinite($1::timestamptz), true)"
        " AND coalesce(isfinite($2::timestamptz), true) AS finite,"
        " pg_is_in_recovery() AS standby",
        2, values);

    if (!json_is_true(json_object_get(json_array_get(rows, 0), "finite")))
        exit(weir_ctl_fail(WEIR_CTL_USAGE, "--since and --until must be times, not infinity"));
    if (json_is_true(json_object_get(json_array_get(rows, 0), "standby")))
        exit(weir_ctl_fail(WEIR_CTL_REFUSED,
                           "this PostgreSQL is a standby: payments that it does not have yet would "
                           "look like lost ones; ask the primary"));
    return rows;
}

static size_t count(const json_t *differences, const char *name)
{
    const json_t *row;
    size_t i, n = 0;

    json_array_foreach(differences, i, row)
    {
        n += strcmp(json_string_value(json_object_get(row, "difference")), name) == 0;
    }
    return n;
}

/* Adds to each row whether it was mended. Returns how many are left to a person. */
static size_t mark_mended(json_t *differences, const json_t *mended)
{
    json_t *row;
    const json_t *done;
    size_t i, k, left = 0;

    json_array_foreach(differences, i, row)
    {
        bool is_mended = false;

        json_array_foreach(mended, k, done)
        {
            is_mended = is_mended ||
                        json_equal(json_object_get(row, "charge"), json_object_get(done, "charge"));
        }
        json_object_set_new(row, "mended", json_boolean(is_mended));
        left += !is_mended;
    }
    return left;
}

static weir_ctl_exit_t mend(work_t *w, weir_db_t *db, json_t *differences)
{
    size_t ghosts = count(differences, "no payment"), left;
    json_t *mended;

    if (ghosts > GHOSTS_MAX && !w->ctl->args.yes)
        return weir_ctl_fail(
            WEIR_CTL_REFUSED,
            "%zu of %zu charges have no payment, and --mend would give their money back. So many "
            "may be those of another shop with this gateway account, or this is another database "
            "than theirs. If they are not, say --yes",
            ghosts, w->compared);
    weir_reconcile_mend(db, differences, w->until, weir_ctl_caller(w->ctl), on_found, w);
    mended = result_of(w);
    left = mark_mended(differences, mended);
    json_decref(mended);
    return left == 0 ? WEIR_CTL_OK : WEIR_CTL_REFUSED;
}

static void print(weir_ctl_t *ctl, json_t *differences)
{
    json_t *row;
    size_t i;

    json_array_foreach(differences, i, row)
    {
        json_object_del(row, "listed");
        if (!ctl->args.json) /* the payment's id is also the key */
            json_object_del(row, "payment");
    }
    weir_ctl_print_rows(ctl, differences, "Charges and payments agree.");
}

static weir_ctl_exit_t reconcile(weir_ctl_t *ctl)
{
    const weir_shop_settings_t *settings = ctl->settings.domain;
    json_t *times = read_times(ctl), *differences;
    work_t w = {.ctl = ctl,
                .base = event_base_new(),
                .since = json_string_value(json_object_get(json_array_get(times, 0), "since")),
                .until = json_string_value(json_object_get(json_array_get(times, 0), "until"))};
    static const struct timeval limit = {SESSION_S, 0};
    weir_tls_settings_t tls;
    bool has_tls = weir_shop_payments_tls(settings, &tls);
    weir_ctl_exit_t code;
    weir_db_t *db;

    if (w.base == NULL)
        return weir_ctl_fail(WEIR_CTL_AWAY, "no event loop: out of memory or descriptors");
    weir_log_init(WEIR_LOG_ERROR, "weirctl"); /* the log lines of sessions are not needed */
    w.gateway = weir_gateway_new(w.base, settings->payments_url, settings->payments_timeout,
                                 CONNECTIONS, has_tls ? &tls : NULL, w.error, sizeof(w.error));
    if (w.gateway == NULL)
        return weir_ctl_fail(WEIR_CTL_USAGE, "%s", w.error);
    db = weir_db_new(w.base, ctl->database, "reconcile", on_session, &w);
    event_base_once(w.base, -1, EV_TIMEOUT, on_time, &w, &limit);
    differences = result_of(&w);

    code = json_array_size(differences) == 0 ? WEIR_CTL_OK : WEIR_CTL_REFUSED;
    if (code != WEIR_CTL_OK && ctl->args.mend)
        code = mend(&w, db, differences);
    print(ctl, differences);
    fprintf(stderr, "weirctl: %zu charges from %s to %s, %zu differences\n", w.compared, w.since,
            w.until, json_array_size(differences));
    json_decref(differences);
    weir_db_free(db);
    weir_gateway_free(w.gateway);
    event_base_free(w.base);
    json_decref(times);
    return code;
}

static const weir_ctl_command_t commands[] = {
    {"payments reconcile", "", 0, 0, "since until mend yes json", WEIR_CTL_NEEDS_DATABASE,
     reconcile, "compare the gateway's list of charges with the payments",
     "After a standby was promoted without the last transactions, or a backup was restored,\n"
     "there may be charges whose payments are lost. DIFFERENCE: no payment (money was taken,\n"
     "the database knows no payment), not given back, other charge, other amount, other\n"
     "state, and no charge (a payment that says it was paid, and the gateway has nothing).\n"
     "MEND: the event that ends it; - where a person must decide. --mend puts these events:\n"
     "the group payments asks the gateway once more for each charge, and gives money back\n"
     "that pays for nothing, under an idempotency key. More than 20 charges without a\n"
     "payment need --yes: they may be another shop's. Exit code 1 when something differs,\n"
     "with --mend when something is left to a person.\n\n"
     "  weirctl payments reconcile\n"
     "  weirctl payments reconcile --since 2026-01-31T12:00:00Z --mend\n"},
};

const weir_ctl_commands_t weir_domain_commands = {commands, sizeof(commands) / sizeof(commands[0])};
