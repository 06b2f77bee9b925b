#include "db/cost/spent.h"

#include "log/alloc.h"
#include "metrics/series.h"

#include <assert.h>
#include <string.h>
#include <sys/queue.h>

#define HOUR_US 3600000000.0
#define GIB 1073741824.0
#define LABELS 3
#define SAMPLE 64 /* batches from one sample to the next */
#define FIRST_SAMPLE 8
#define SINGLES 10 /* batches with one request, before their mean says something */

struct weir_spent {
    LIST_ENTRY(weir_spent) link;
    char *labels[LABELS]; /* summary, group, type; the latter two may be NULL */
    uint64_t requests, us;
    uint64_t single_requests, single_us; /* of batches with one request */
    unsigned batches;                    /* for samples */
    bool spoiled;                        /* the batch of the next sample has failed */
    uint64_t samples, unusable;
    uint64_t sampled_requests, sampled_bytes;
};

/* A batch whose WAL is measured. */
typedef struct {
    weir_spent_t *spent;
    unsigned requests;
} sample_t;

static LIST_HEAD(spent_list, weir_spent) all;
static weir_spent_prices_t prices = {.database = -1, .wal = -1};
static bool shown; /* somebody may read what is counted */

/*
 * Before: the end of the WAL, and the transaction id that the batch takes; without the latter if
 * another transaction is under way or has taken one since the snapshot. A server that refuses, such
 * as a standby, spoils the sample and not the batch.
 */
static const char before_sql[] =
    "DO $$ BEGIN PERFORM set_config('weir.wal', CASE WHEN pg_snapshot_xmin(s) = pg_snapshot_xmax(s)"
    " AND pg_current_xact_id() = pg_snapshot_xmax(s) "
    "THEN concat_ws(' ', pg_current_wal_insert_lsn(), pg_snapshot_xmax(s)) ELSE '' END, false) "
    "FROM pg_current_snapshot() s; "
    "EXCEPTION WHEN OTHERS THEN PERFORM set_config('weir.wal', '', false); END $$";

/* After: the bytes of WAL since then; NULL if another transaction may have written some. */
static const char after_sql[] =
    "SELECT CASE WHEN w[2] <> '' AND pg_snapshot_xmin(s) = pg_snapshot_xmax(s) "
    "AND pg_snapshot_xmax(s)::text::bigint - w[2]::bigint <= $1::int "
    "THEN pg_wal_lsn_diff(pg_current_wal_insert_lsn(), w[1]::pg_lsn)::bigint END "
    "FROM pg_current_snapshot() s, string_to_array(current_setting('weir.wal', true), ' ') w";

/* --- money ------------------------------------------------------------------------------------ */

/* The WAL of all requests, by the mean of those in samples. */
static double wal_of(const weir_spent_t *s)
{
    return s->sampled_requests > 0
               ? (double)s->sampled_bytes / (double)s->sampled_requests * (double)s->requests
               : 0;
}

/* Time that the requests would have taken one by one, less what they have taken; in us. */
static double saved_of(const weir_spent_t *s)
{
    return (double)s->single_us / (double)s->single_requests * (double)s->requests - (double)s->us;
}

static void set_cost(const weir_spent_t *s, const char *resource, double amount)
{
    weir_series_set_amount(
        weir_series(WEIR_COST, (const char *[]){s->labels[0], s->labels[1], s->labels[2], resource,
                                                prices.currency}),
        amount);
}

static void set(const weir_spent_t *s, weir_family_id_t family, uint64_t value)
{
    weir_series_set(weir_series(family, (const char *const *)s->labels), value);
}

static void collect_counts(const weir_spent_t *s)
{
    set(s, WEIR_DB_REQUESTS, s->requests);
    set(s, WEIR_DB_SECONDS, s->us / 1000);
    set(s, WEIR_WAL_SAMPLES, s->samples);
    set(s, WEIR_WAL_SAMPLES_UNUSABLE, s->unusable);
    set(s, WEIR_WAL_REQUESTS, s->sampled_requests);
    set(s, WEIR_WAL_BYTES, s->sampled_bytes);
}

static void collect_cost(const weir_spent_t *s)
{
    const char *const labels[] = {s->labels[0], s->labels[1], s->labels[2], prices.currency};
    bool has_single = s->single_requests >= SINGLES && s->labels[1] == NULL;
    double database = (double)s->us / HOUR_US * prices.database, wal = wal_of(s) / GIB * prices.wal;
    double cost = 0;

    if (has_single)
        weir_series_set_amount(weir_series(WEIR_DB_SECONDS_SAVED, labels), saved_of(s) / 1e6);
    if (prices.currency == NULL)
        return;
    if (prices.database >= 0) {
        set_cost(s, "database", database);
        cost += database;
    }
    if (prices.wal >= 0 && s->sampled_requests > 0) {
        set_cost(s, "wal", wal);
        cost += wal;
    }
    weir_series_set_amount(weir_series(WEIR_COST_PER_THOUSAND, labels),
                           cost * 1000 / (double)s->requests);
    if (has_single && prices.database >= 0)
        weir_series_set_amount(
            weir_series(WEIR_COST_SAVED,
                        (const char *[]){s->labels[0], "batching", prices.currency}),
            saved_of(s) / HOUR_US * prices.database);
}

static void collect(void *arg)
{
    const weir_spent_t *s;

    (void)arg;
    LIST_FOREACH(s, &all, link)
    {
        if (s->requests == 0)
            continue;
        collect_counts(s);
        collect_cost(s);
    }
}

void weir_spent_begin(const weir_spent_prices_t *set)
{
    prices = *set;
    shown = true;
    weir_series_collect(collect, NULL);
}

/* --- counting --------------------------------------------------------------------------------- */

static bool is_same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

weir_spent_t *weir_spent(const char *summary, const char *group, const char *type)
{
    const char *const labels[LABELS] = {summary, group, type};
    weir_spent_t *s;

    assert(summary != NULL);
    LIST_FOREACH(s, &all, link)
    {
        if (is_same(s->labels[0], summary) && is_same(s->labels[1], group) &&
            is_same(s->labels[2], type))
            return s;
    }

    s = weir_alloc(sizeof(*s));
    for (int i = 0; i < LABELS; i++)
        s->labels[i] = labels[i] != NULL ? weir_alloc_text(labels[i]) : NULL;
    LIST_INSERT_HEAD(&all, s, link);

    return s;
}

void weir_spent_add(weir_spent_t *s, unsigned requests, unsigned of, uint64_t us)
{
    uint64_t share = us * requests / of;

    assert(requests > 0 && requests <= of);
    s->requests += requests;
    s->us += share;
    if (of == 1) {
        s->single_requests++;
        s->single_us += us;
    }
}

/* --- samples of WAL --------------------------------------------------------------------------- */

static void on_sample(PGresult *result, const char *error, const char *sqlstate, void *arg)
{
    sample_t *sample = arg;
    weir_spent_t *s = sample->spent;

    (void)error;
    (void)sqlstate;
    if (result != NULL && !s->spoiled && PQntuples(result) == 1 && !PQgetisnull(result, 0, 0)) {
        s->sampled_requests += sample->requests;
        s->sampled_bytes += strtoull(PQgetvalue(result, 0, 0), NULL, 10);
        s->samples++;
    } else {
        s->unusable++;
    }
    s->spoiled = false;
    free(sample);
}

void weir_spent_fail(weir_spent_t *s)
{
    s->spoiled = true;
}

bool weir_spent_query(weir_spent_t *s, weir_db_t *db, const weir_db_statement_t *statement,
                      unsigned requests, unsigned ids, weir_db_cb cb, void *arg)
{
    const weir_db_statement_t pair[] = {{.sql = before_sql}, *statement};
    const char *values[] = {WEIR_NUMBER(ids)};
    sample_t *sample;

    if (!shown || s->batches++ % (s->samples > 0 ? SAMPLE : FIRST_SAMPLE) != 0)
        return weir_db_transaction(db, statement, 1, cb, arg);
    if (!weir_db_transaction(db, pair, 2, cb, arg))
        return false;

    s->spoiled = false;
    sample = weir_alloc(sizeof(*sample));
    *sample = (sample_t){.spent = s, .requests = requests};
    if (!weir_db_query(db, after_sql, 1, values, on_sample, sample))
        free(sample);
    return true;
}
