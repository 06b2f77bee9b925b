/*
 * Heads: what was sealed is signed, every interval if something was, and once in an hour otherwise.
 *
 * Before it signs, the sealer compares the log with what earlier heads have witnessed: the newest
 * head of the database, and the last one of the file. A chain that is shorter than it was, or has
 * another hash at the place of an earlier head, is not the continuation of what was signed: the
 * database was changed, or is an older one. Then no head is signed until an operator has decided.
 * After a restored backup that is to move the file of heads away; the next heads begin with the
 * newest one of the database.
 */
#include "audit/private.h"

#include "db/refusal.h"
#include "log/alloc.h"
#include "log/clock.h"
#include "log/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define IDLE_INTERVALS 60 /* without something new */
#define FILE_AGAIN_MS 5000

void weir_audit_diverge(weir_audit_t *a, const char *why)
{
    if (!a->diverged)
        weir_log(WEIR_LOG_ERROR, NULL,
                 "the audit log is not the continuation of its signed heads: it was changed, or a "
                 "backup was restored. No head is signed until this is settled; run: weirctl audit "
                 "verify",
                 "{s:s}", "why", why);
    a->diverged = true;
    a->newest_known = false; /* read again at the next interval */
    a->file.known = false;
}

/* --- what was witnessed ---------------------------------------------------------------------- */

static void witness(weir_audit_t *a, const weir_audit_head_t *head)
{
    for (size_t i = 0; i < head->n; i++) {
        const weir_audit_chain_t *c = &head->chains[i];
        size_t k = 0;

        while (k < a->n_witnesses && a->witnesses[k].partition != c->partition)
            k++;
        if (k == WEIR_AUDIT_CHAINS_MAX) { /* the oldest is forgotten; verify knows it */
            memmove(a->witnesses, a->witnesses + 1, (--k) * sizeof(a->witnesses[0]));
            a->n_witnesses--;
        }
        if (k == a->n_witnesses)
            a->witnesses[a->n_witnesses++] = (weir_audit_witness_t){.partition = c->partition};
        if (c->size > a->witnesses[k].size) {
            a->witnesses[k].size = c->size;
            a->witnesses[k].link = c->link;
        }
    }
}

/*
 * Takes a head that was signed earlier as evidence. False: it is none of our key, although it says
 * so, or is no head.
 */
static bool believe(weir_audit_t *a, const weir_audit_signed_t *head, weir_audit_head_t *parsed)
{
    if (!weir_audit_head_parse(weir_str(head->text), parsed))
        return false;
    if (strcmp(head->key, a->key.id) != 0)
        weir_log(WEIR_LOG_WARN, NULL, "an earlier head of the audit log has another key",
                 "{s:I,s:s,s:s}", "head", (json_int_t)parsed->number, "key", head->key, "own",
                 a->key.id);
    else if (!weir_audit_is_signed(&a->key, head->text, head->signature))
        return false;
    witness(a, parsed);

    return true;
}

static void copy_text(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text);
}

/* The last head of the file must not be newer than the newest of the database. */
static bool read_file(weir_audit_t *a)
{
    weir_audit_signed_t *last = a->head;
    weir_audit_head_t *parsed = a->head_chains;
    char error[512];

    a->file.known = true;
    a->file.last = 0;
    if (a->settings.heads[0] == '\0')
        return true;
    if (!weir_audit_file_last(a->settings.heads, last, error, sizeof(error))) {
        if (!a->file.refused)
            weir_log(WEIR_LOG_ERROR, NULL, "the file of the audit log's heads cannot be used",
                     "{s:s}", "error", error);
        a->file.refused = true;
        a->file.known = false;
        a->file.after = weir_clock_ms() + FILE_AGAIN_MS;
        return true;
    }
    if (last->text[0] == '\0')
        return true;
    if (!believe(a, last, parsed)) {
        weir_audit_diverge(a, "the file's last head has a wrong signature");
        return false;
    }
    if (parsed->number > a->newest) {
        weir_audit_diverge(a, "the file has newer heads than the database");
        return false;
    }
    a->file.last = parsed->number;

    return true;
}

/* Columns of audit_newest_head(), and of audit_heads_after(). */
enum { HEAD_NUMBER, HEAD_TEXT, HEAD_KEY, HEAD_SIGNATURE };

static bool take_newest(weir_audit_t *a, const PGresult *res)
{
    copy_text(a->head->text, sizeof(a->head->text), PQgetvalue(res, 0, HEAD_TEXT));
    copy_text(a->head->key, sizeof(a->head->key), PQgetvalue(res, 0, HEAD_KEY));
    copy_text(a->head->signature, sizeof(a->head->signature), PQgetvalue(res, 0, HEAD_SIGNATURE));
    if (!believe(a, a->head, a->head_chains) ||
        a->head_chains->number != (uint64_t)weir_column_int(res, 0, HEAD_NUMBER)) {
        weir_audit_diverge(a, "the newest head of the database has a wrong signature");
        return false;
    }
    a->newest = a->head_chains->number;
    a->newest_time = a->head_chains->time;
    weir_audit_head_hash(a->head->text, &a->newest_hash);

    return true;
}

static void on_newest(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_audit_t *a = arg;
    bool good = false;

    weir_refusal_note(&a->sign_refused, "audit", "audit_newest_head", error, sqlstate);
    if (error == NULL) {
        a->newest = 0;
        a->newest_time = 0;
        memset(&a->newest_hash, 0, sizeof(a->newest_hash));
        a->n_witnesses = 0;
        good = (PQntuples(res) == 0 || take_newest(a, res)) && read_file(a);
        a->newest_known = good;
    }
    a->done(a, !good);
}

bool weir_audit_read_newest(weir_audit_t *a)
{
    return weir_db_query(a->db, "SELECT number, head, key, signature FROM audit_newest_head()", 0,
                         NULL, on_newest, a);
}

/* --- the next head --------------------------------------------------------------------------- */

/* Columns of audit_ends(). */
enum { END_PARTITION, END_SIZE, END_LINK, END_PEAKS, END_WITNESSED };

static const weir_audit_witness_t *find_witness(const weir_audit_t *a, int partition)
{
    for (size_t i = 0; i < a->n_witnesses; i++) {
        if (a->witnesses[i].partition == partition)
            return &a->witnesses[i];
    }

    return NULL;
}

/* Months before this one may be dropped as a whole; verify tells of it as long as heads do. */
static bool is_dropped(const PGresult *res, int row)
{
    time_t now = time(NULL);
    struct tm utc;

    gmtime_r(&now, &utc);

    return weir_column_int(res, row, END_SIZE) == 0 &&
           weir_column_int(res, row, END_PARTITION) <
               (int64_t)(utc.tm_year + 1900) * 100 + utc.tm_mon + 1;
}

static void forget(weir_audit_t *a, int partition)
{
    size_t k = 0;

    weir_log(WEIR_LOG_WARN, NULL, "a month of the audit log is not there any more", "{s:i}",
             "partition", partition);
    while (k < a->n_witnesses && a->witnesses[k].partition != partition)
        k++;
    if (k < a->n_witnesses)
        a->witnesses[k] = a->witnesses[--a->n_witnesses];
}

/* False: the row's chain is not the continuation of what was witnessed. */
static bool continues(const weir_audit_witness_t *w, const PGresult *res, int row)
{
    weir_hash_t there;

    return w == NULL || ((uint64_t)weir_column_int(res, row, END_SIZE) >= w->size &&
                         weir_audit_read_hash(weir_column(res, row, END_WITNESSED), &there) &&
                         memcmp(&there, &w->link, sizeof(there)) == 0);
}

static bool read_end(weir_audit_chain_t *chain, const PGresult *res, int row)
{
    weir_str_t peaks = weir_column(res, row, END_PEAKS);
    weir_merkle_t tree = {.size = (uint64_t)weir_column_int(res, row, END_SIZE)};
    size_t n = weir_merkle_peaks(tree.size);

    chain->partition = (int)weir_column_int(res, row, END_PARTITION);
    chain->size = tree.size;
    if (peaks.len != n * WEIR_AUDIT_DIGITS ||
        !weir_audit_read_hash(weir_column(res, row, END_LINK), &chain->link))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!weir_audit_read_hash(
                (weir_str_t){peaks.data + i * WEIR_AUDIT_DIGITS, WEIR_AUDIT_DIGITS},
                &tree.peaks[i]))
            return false;
    }
    weir_merkle_root(&tree, &chain->root);

    return true;
}

/* Fills the head with the chains that have grown. False: the log has diverged. */
static bool collect(weir_audit_t *a, weir_audit_head_t *head, const PGresult *res, bool is_idle)
{
    int rows = PQntuples(res);

    for (int i = 0; i < rows; i++) {
        int partition = (int)weir_column_int(res, i, END_PARTITION);
        const weir_audit_witness_t *w = find_witness(a, partition);
        bool grew = w == NULL || (uint64_t)weir_column_int(res, i, END_SIZE) > w->size;

        if (w != NULL && is_dropped(res, i)) {
            forget(a, partition);
            continue;
        }
        if (!continues(w, res, i)) {
            weir_audit_diverge(a, "a chain is shorter, or another one, than at its last head");
            return false;
        }
        if ((!grew && !(is_idle && i == rows - 1)) || rows - i > WEIR_AUDIT_CHAINS_MAX)
            continue;
        if (!read_end(&head->chains[head->n], res, i)) {
            weir_audit_diverge(a, "the end of a chain is damaged in audit_chains");
            return false;
        }
        head->n++;
    }

    return true;
}

static void on_written(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_audit_t *a = arg;

    (void)res;
    weir_refusal_note(&a->sign_refused, "audit", "audit_heads", error, sqlstate);
    if (error == NULL) {
        a->newest = a->head_chains->number;
        a->newest_time = a->head_chains->time;
        weir_audit_head_hash(a->head->text, &a->newest_hash);
        witness(a, a->head_chains);
        a->signed_heads++;
    } else {
        a->newest_known = false; /* it is unknown whether it was written, or another one */
    }
    a->done(a, error != NULL);
}

static bool write_head(weir_audit_t *a)
{
    weir_audit_head_print(a->head_chains, a->head->text);
    memcpy(a->head->key, a->key.id, sizeof(a->head->key));
    if (!weir_audit_sign(&a->key, a->head->text, a->head->signature)) {
        weir_log(WEIR_LOG_ERROR, NULL, "OpenSSL did not sign a head of the audit log", NULL);
        return false;
    }

    return weir_db_query(a->db, "SELECT audit_head_put($1::bigint, $2::text, $3::text, $4::text)",
                         4,
                         (const char *[]){WEIR_NUMBER((int64_t)a->head_chains->number),
                                          a->head->text, a->head->key, a->head->signature},
                         on_written, a);
}

static void on_ends(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_audit_t *a = arg;
    weir_audit_head_t *head = a->head_chains;
    int64_t now = (int64_t)time(NULL);
    bool is_idle =
        now - a->newest_time >= (int64_t)a->settings.interval_ms * IDLE_INTERVALS / 1000 + 1;
    bool good;

    weir_refusal_note(&a->sign_refused, "audit", "audit_ends", error, sqlstate);
    *head = (weir_audit_head_t){.number = a->newest + 1, .time = now, .previous = a->newest_hash};
    good = error == NULL && a->stopped == NULL && collect(a, head, res, is_idle);
    if (good && a->diverged)
        weir_log(WEIR_LOG_INFO, NULL, "the audit log is the continuation of its heads again", NULL);
    if (good)
        a->diverged = false;
    if (good && head->n > 0) {
        if (!write_head(a))
            a->done(a, true);
        return;
    }
    a->done(a, !good);
}

bool weir_audit_sign_next(weir_audit_t *a)
{
    char partitions[32 * WEIR_AUDIT_CHAINS_MAX] = "{", sizes[32 * WEIR_AUDIT_CHAINS_MAX] = "{";
    size_t p = 1, s = 1;

    for (size_t i = 0; i < a->n_witnesses; i++) {
        p += (size_t)snprintf(partitions + p, sizeof(partitions) - p, "%s%d", i > 0 ? "," : "",
                              a->witnesses[i].partition);
        s += (size_t)snprintf(sizes + s, sizeof(sizes) - s, "%s%" PRIu64, i > 0 ? "," : "",
                              a->witnesses[i].size);
    }
    snprintf(partitions + p, sizeof(partitions) - p, "}");
    snprintf(sizes + s, sizeof(sizes) - s, "}");

    return weir_db_query(a->db,
                         "SELECT partition, size, encode(link, 'hex'), encode(peaks, 'hex'),"
                         " encode(witnessed, 'hex') FROM audit_ends($1::int[], $2::bigint[])",
                         2, (const char *[]){partitions, sizes}, on_ends, a);
}
