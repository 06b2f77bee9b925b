#include "operate/readings.h"

#include "log/alloc.h"
#include "log/clock.h"
#include "metrics/series.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char outbox_sql[] = "SELECT waiting, age_ms FROM readings_outbox()";
enum { OUTBOX_WAITING, OUTBOX_AGE_MS };

static const char groups_sql[] =
    "SELECT group_name, lag, age_ms, retries, dead FROM readings_groups()";
enum { GROUP_NAME, GROUP_LAG, GROUP_AGE_MS, GROUP_RETRIES, GROUP_DEAD };

struct weir_readings {
    weir_db_t *db;
    bool outbox;
    const char *const *groups;
    struct event *timer;
    unsigned asking;  /* statements under way */
    bool failed;      /* one of them */
    uint64_t read_ms; /* weir_clock_ms() of the last complete reading; 0: none */
};

/* Clocks that were set back give negative ages. */
static uint64_t number(const PGresult *result, int row, int column)
{
    int64_t value = weir_column_int(result, row, column);

    return value > 0 ? (uint64_t)value : 0;
}

static void ended(weir_readings_t *r, const char *error)
{
    assert(r->asking > 0);
    r->failed = r->failed || error != NULL;
    if (--r->asking == 0 && !r->failed)
        r->read_ms = weir_clock_ms();
}

static void on_outbox(PGresult *result, const char *error, const char *sqlstate, void *arg)
{
    (void)sqlstate;
    if (error == NULL && PQntuples(result) == 1) {
        weir_series_set(weir_series(WEIR_OUTBOX_WAITING, NULL), number(result, 0, OUTBOX_WAITING));
        weir_series_set(weir_series(WEIR_OUTBOX_AGE, NULL), number(result, 0, OUTBOX_AGE_MS));
    }
    ended(arg, error);
}

/* The database may have groups of an earlier configuration: those get no series. */
static void on_groups(PGresult *result, const char *error, const char *sqlstate, void *arg)
{
    static const struct {
        weir_family_id_t family;
        int column;
    } metrics[] = {
        {WEIR_GROUP_LAG, GROUP_LAG},
        {WEIR_GROUP_AGE, GROUP_AGE_MS},
        {WEIR_GROUP_RETRIES, GROUP_RETRIES},
        {WEIR_GROUP_DEAD, GROUP_DEAD},
    };
    const weir_readings_t *r = arg;

    (void)sqlstate;
    for (int row = 0; error == NULL && row < PQntuples(result); row++) {
        for (const char *const *group = r->groups; *group != NULL; group++) {
            if (strcmp(*group, PQgetvalue(result, row, GROUP_NAME)) != 0)
                continue;
            for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++)
                weir_series_set(weir_series(metrics[i].family, group),
                                number(result, row, metrics[i].column));
        }
    }
    ended(arg, error);
}

void weir_readings_read(weir_readings_t *r)
{
    if (r->asking > 0)
        return;
    r->failed = false;
    if (r->outbox)
        r->asking += weir_db_query(r->db, outbox_sql, 0, NULL, on_outbox, r);
    if (r->groups[0] != NULL)
        r->asking += weir_db_query(r->db, groups_sql, 0, NULL, on_groups, r);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    weir_readings_read(arg);
}

static void collect(void *arg)
{
    const weir_readings_t *r = arg;

    if (r->read_ms != 0)
        weir_series_set(weir_series(WEIR_READINGS_AGE, NULL), weir_clock_ms() - r->read_ms);
}

weir_readings_t *weir_readings_new(struct event_base *base, weir_db_t *db, bool outbox,
                                   const char *const *groups)
{
    static const struct timeval interval = {WEIR_READINGS_INTERVAL_S, 0};
    weir_readings_t *r = weir_alloc(sizeof(*r));

    assert(groups != NULL);
    *r = (weir_readings_t){.db = db, .outbox = outbox, .groups = groups};
    r->timer = event_new(base, -1, EV_PERSIST, on_timer, r);
    evtimer_add(r->timer, &interval);
    weir_series_collect(collect, r);

    return r;
}

void weir_readings_free(weir_readings_t *r)
{
    weir_series_forget(collect, r);
    event_free(r->timer);
    free(r);
}
