/*
 * Sealing: records that have committed get their positions.
 *
 * Records are looked for by the lack of a seal, not by "an id above the last one": a transaction
 * may commit a lower id later. So nothing waits for long transactions, and a record that commits
 * late gets a later position. The order of sealing is the order of the log. audit_seal() explains
 * how the look stays short.
 *
 * If this process loses the lock without knowing it, audit_seal() refuses: the chains have other
 * sizes then, and positions are unique.
 */
#include "audit/private.h"

#include "db/array.h"
#include "db/refusal.h"
#include "log/alloc.h"
#include "log/log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MAX 500 /* records sealed in one transaction */

/* Columns of audit_unsealed(); those of the record come first, in the order of its fields. */
#define LOOK                                                                                       \
    "SELECT partition, id, at_us, operation, object, outcome, subject, actor, address, trace_id,"  \
    " detail, size, encode(link, 'hex'), encode(peaks, 'hex'), horizon FROM "                      \
    "audit_unsealed($1::int)"
enum { LOOK_SIZE = WEIR_AUDIT_FIELDS, LOOK_LINK, LOOK_PEAKS, LOOK_HORIZON };

static const char seal_sql[] =
    "SELECT audit_seal($1::bigint[], $2::int[], $3::bigint[], $4::bytea[], $5::bytea[], $6::int[],"
    " $7::bigint[], $8::bigint[], $9::bytea[], $10::bytea[], $11::xid8, $12::boolean)";
/* Its parameters, in this order; all but the last two are arrays. */
enum {
    IDS,
    PARTITIONS,
    POSITIONS,
    LEAVES,
    LINKS,
    CHAINS,
    BEFORE,
    SIZES,
    ENDS,
    PEAKS,
    ARRAYS,
    HORIZON = ARRAYS,
    FULL,
    PARAMETERS
};

/* A chain as it grows. */
typedef struct {
    int partition;
    uint64_t before;
    weir_merkle_t tree;
    weir_hash_t link;
} chain_t;

/* Of one call: the chains, and the parameters. */
typedef struct {
    chain_t chains[WEIR_AUDIT_CHAINS_MAX];
    size_t n;
    weir_array_t arrays[ARRAYS];
} step_t;

static void add_bytes(weir_array_t *array, const void *bytes, size_t n)
{
    char text[2 + 2 * sizeof(weir_hash_t) * WEIR_MERKLE_DEPTH + 1] = "\\x";

    assert(n <= sizeof(weir_hash_t) * WEIR_MERKLE_DEPTH);
    for (size_t i = 0; i < n; i++) {
        static const char digits[] = "0123456789abcdef";
        uint8_t byte = ((const uint8_t *)bytes)[i];

        text[2 + 2 * i] = digits[byte >> 4];
        text[3 + 2 * i] = digits[byte & 15];
    }
    text[2 + 2 * n] = '\0';
    weir_array_add(array, text);
}

/* Reads the state of a chain that the database has. False: it is none. */
static bool read_chain(chain_t *chain, const PGresult *res, int row)
{
    weir_str_t peaks = weir_column(res, row, LOOK_PEAKS);
    int64_t size = weir_column_int(res, row, LOOK_SIZE);
    size_t n;

    chain->partition = (int)weir_column_int(res, row, WEIR_AUDIT_PARTITION);
    if (PQgetisnull(res, row, LOOK_SIZE))
        return true;
    n = weir_merkle_peaks((uint64_t)size);
    chain->before = chain->tree.size = (uint64_t)size;
    if (size <= 0 || peaks.len != n * WEIR_AUDIT_DIGITS ||
        !weir_audit_read_hash(weir_column(res, row, LOOK_LINK), &chain->link))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!weir_audit_read_hash(
                (weir_str_t){peaks.data + i * WEIR_AUDIT_DIGITS, WEIR_AUDIT_DIGITS},
                &chain->tree.peaks[i]))
            return false;
    }

    return true;
}

/* The chain of the row's partition; NULL: too many in one step, or its state is damaged. */
static chain_t *find_chain(step_t *step, const PGresult *res, int row)
{
    int partition = (int)weir_column_int(res, row, WEIR_AUDIT_PARTITION);
    chain_t *chain;

    for (size_t i = 0; i < step->n; i++) {
        if (step->chains[i].partition == partition)
            return &step->chains[i];
    }
    if (step->n == WEIR_AUDIT_CHAINS_MAX)
        return NULL;
    chain = &step->chains[step->n];
    if (!read_chain(chain, res, row)) {
        weir_log(WEIR_LOG_ERROR, NULL, "the end of an audit chain is damaged in audit_chains",
                 "{s:i}", "partition", partition);
        return NULL;
    }
    step->n++;

    return chain;
}

/* Adds the row to its chain. False: this row and those after it are left to a later step. */
static bool add_record(step_t *step, const PGresult *res, int row)
{
    chain_t *chain = find_chain(step, res, row);
    weir_audit_record_t record;
    weir_hash_t leaf;

    if (chain == NULL)
        return false;
    for (int i = 0; i < WEIR_AUDIT_FIELDS; i++)
        record.fields[i] = weir_column(res, row, i);
    weir_audit_leaf(&record, &leaf);
    weir_audit_link(&chain->link, &leaf);
    weir_array_add(&step->arrays[IDS], weir_column_text(res, row, WEIR_AUDIT_ID));
    weir_array_add_int(&step->arrays[PARTITIONS], chain->partition);
    weir_array_add_int(&step->arrays[POSITIONS], (int64_t)chain->tree.size);
    add_bytes(&step->arrays[LEAVES], &leaf, sizeof(leaf));
    add_bytes(&step->arrays[LINKS], &chain->link, sizeof(chain->link));
    weir_merkle_append(&chain->tree, &leaf);

    return true;
}

static void add_ends(step_t *step)
{
    for (size_t i = 0; i < step->n; i++) {
        const chain_t *c = &step->chains[i];

        weir_array_add_int(&step->arrays[CHAINS], c->partition);
        weir_array_add_int(&step->arrays[BEFORE], (int64_t)c->before);
        weir_array_add_int(&step->arrays[SIZES], (int64_t)c->tree.size);
        add_bytes(&step->arrays[ENDS], &c->link, sizeof(c->link));
        add_bytes(&step->arrays[PEAKS], c->tree.peaks,
                  weir_merkle_peaks(c->tree.size) * sizeof(weir_hash_t));
    }
}

static void on_sealed(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_audit_t *a = arg;

    (void)res;
    weir_refusal_note(&a->seal_refused, "audit", "audit_seal", error, sqlstate);
    if (error == NULL)
        a->sealed += a->unsealed;
    a->done(a, error != NULL);
}

static void on_looked(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_audit_t *a = arg;
    const char *values[PARAMETERS];
    int n = error == NULL ? PQntuples(res) : 0, taken = 0;
    step_t *step;
    bool sent;

    weir_refusal_note(&a->look_refused, "audit", "audit_unsealed", error, sqlstate);
    a->unsealed = (unsigned)n;
    a->may_seal = n == LOOK_MAX;
    if (n == 0 || a->stopped != NULL) {
        a->done(a, error != NULL);
        return;
    }

    step = weir_alloc(sizeof(*step));
    while (taken < n && add_record(step, res, taken))
        taken++;
    a->unsealed = (unsigned)taken;
    add_ends(step);
    for (int i = 0; i < ARRAYS; i++)
        values[i] = weir_array_text(&step->arrays[i]);
    values[HORIZON] = weir_column_text(res, 0, LOOK_HORIZON);
    values[FULL] = taken == LOOK_MAX || taken < n ? "t" : "f";
    sent = taken > 0 && weir_db_query(a->db, seal_sql, PARAMETERS, values, on_sealed, a);
    for (int i = 0; i < ARRAYS; i++)
        free(step->arrays[i].text);
    free(step);
    if (!sent)
        a->done(a, true);
}

bool weir_audit_seal(weir_audit_t *a)
{
    return weir_db_query(a->db, LOOK, 1, (const char *[]){WEIR_NUMBER(LOOK_MAX)}, on_looked, a);
}
