/*
 * The audit log: its records, whether it was changed, and proofs for strangers. backend/audit/
 * explains the log, ctl/audit/ compares it with its heads.
 */
#include "audit/audit.h"
#include "common/audit/proof.h"
#include "ctl/audit/scan.h"
#include "ctl/commands/commands.h"
#include "log/alloc.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNSEALED_S 60 /* the longest normal wait for a seal; it takes about a second */

#define SHOWN                                                                                      \
    "r.id, rfc3339(r.at) AS time, r.operation, r.object, r.outcome, r.subject, r.actor, r.address"

/* --- records --------------------------------------------------------------------------------- */

weir_ctl_exit_t weir_ctl_audit_list(weir_ctl_t *ctl)
{
    static const char sql[] =
        "SELECT " SHOWN ", s.partition || '/' || s.position AS sealed"
        " FROM (SELECT * FROM audit_records a"
        "       WHERE a.operation = coalesce($1, a.operation) AND a.object = coalesce($2, a.object)"
        "       AND a.subject = coalesce($3, a.subject) ORDER BY a.id DESC LIMIT $4::int) r"
        " LEFT JOIN audit_seals s ON s.id = r.id AND s.partition = r.partition ORDER BY r.id DESC";
    const weir_ctl_args_t *args = &ctl->args;
    char limit[12];
    json_t *rows;

    snprintf(limit, sizeof(limit), "%d", args->count);
    rows = weir_ctl_rows(ctl, sql, 4,
                         (const char *[]){args->operation, args->object, args->subject, limit});
    weir_ctl_print_rows(ctl, rows, "There is no such record.");
    json_decref(rows);

    return WEIR_CTL_OK;
}

static bool is_id(const char *word)
{
    return *word != '\0' && strlen(word) <= 18 && strspn(word, "0123456789") == strlen(word);
}

static void check_id(const char *word)
{
    if (!is_id(word))
        exit(weir_ctl_fail(WEIR_CTL_USAGE,
                           "\"%s\" must be the id of a record, as \"audit list\" shows it", word));
}

weir_ctl_exit_t weir_ctl_audit_show(weir_ctl_t *ctl)
{
    static const char sql[] =
        "SELECT " SHOWN ", r.trace_id, r.detail, r.partition, s.position,"
        " encode(s.leaf, 'hex') AS leaf, encode(s.link, 'hex') AS link"
        " FROM audit_records r LEFT JOIN audit_seals s ON s.id = r.id AND s.partition = r.partition"
        " WHERE r.id = $1::bigint";
    const char *id = ctl->args.words[0];
    json_t *rows;

    check_id(id);
    rows = weir_ctl_rows(ctl, sql, 1, &id);
    if (json_array_size(rows) == 0) {
        json_decref(rows);
        return weir_ctl_fail(WEIR_CTL_REFUSED, "there is no audit record %s", id);
    }
    weir_ctl_print_object(ctl, json_array_get(rows, 0));
    json_decref(rows);

    return WEIR_CTL_OK;
}

/* --- keys ------------------------------------------------------------------------------------ */

/* The public key of --key, or of the configuration's private key. Exits without one. */
static void read_key(const weir_ctl_t *ctl, weir_audit_key_t *key)
{
    const char *file = ctl->args.key != NULL ? ctl->args.key : ctl->settings.audit_key;
    char error[1200];

    if (file == NULL || *file == '\0')
        exit(weir_ctl_fail(WEIR_CTL_USAGE,
                           "name the public key: --key FILE (\"weirctl audit key\" prints it)"));
    if (!weir_audit_key_read_public(key, file, error, sizeof(error)))
        exit(weir_ctl_fail(WEIR_CTL_USAGE, "%s", error));
}

weir_ctl_exit_t weir_ctl_audit_key(weir_ctl_t *ctl)
{
    weir_audit_key_t key;
    char *text;

    read_key(ctl, &key);
    text = weir_alloc_check(weir_audit_key_public(&key));
    if (ctl->args.json) {
        json_t *object = json_pack("{s:s, s:s}", "id", key.id, "public", text);

        weir_ctl_print_object(ctl, object);
        json_decref(object);
    } else {
        fputs(text, stdout);
    }
    free(text);
    weir_audit_key_release(&key);

    return WEIR_CTL_OK;
}

/* --- verify ---------------------------------------------------------------------------------- */

static void run(weir_ctl_t *ctl, const char *sql)
{
    weir_ctl_run(ctl, sql, 0, NULL);
}

/* True while a process has the sealer's lock. */
static bool is_sealing(weir_ctl_t *ctl)
{
    json_t *rows = weir_ctl_rows(ctl,
                                 "SELECT 1 AS yes FROM pg_locks l WHERE l.locktype = 'advisory'"
                                 " AND l.classid = 2003134834 AND l.objid = 5 AND l.granted",
                                 0, NULL);
    bool is = json_array_size(rows) > 0;

    json_decref(rows);

    return is;
}

/*
 * Records that should have a seal. One that has just committed may have none although it was
 * written long ago, so the question is repeated for some seconds.
 */
static void find_unsealed(weir_ctl_t *ctl, weir_findings_t *findings)
{
    static const char sql[] =
        "SELECT count(*) AS n, min(r.id) AS first FROM audit_records r"
        " WHERE r.at NOT BETWEEN clock_timestamp() - make_interval(secs => $1::int)"
        "                    AND clock_timestamp() + make_interval(secs => $1::int)"
        " AND NOT EXISTS (SELECT FROM audit_seals s WHERE s.id = r.id AND s.partition = "
        "r.partition)";
    char seconds[12], where[32];
    json_int_t n = 0, first = 0;

    snprintf(seconds, sizeof(seconds), "%d", UNSEALED_S);
    for (int i = 0; i < 5; i++) {
        json_t *rows = weir_ctl_rows(ctl, sql, 1, (const char *[]){seconds});

        n = json_integer_value(json_object_get(json_array_get(rows, 0), "n"));
        first = json_integer_value(json_object_get(json_array_get(rows, 0), "first"));
        json_decref(rows);
        if (n == 0)
            return;
        if (!is_sealing(ctl))
            break;
        poll(NULL, 0, 1000);
    }
    snprintf(where, sizeof(where), "record %" JSON_INTEGER_FORMAT, first);
    weir_findings_add(findings, "unsealed", where,
                      "%" JSON_INTEGER_FORMAT " records have no seal: no process seals, or they "
                      "were put in beside it",
                      n);
}

static void read_heads(weir_ctl_t *ctl, weir_heads_t *heads, weir_findings_t *findings)
{
    const char *file = ctl->args.heads != NULL ? ctl->args.heads : ctl->settings.audit_heads;
    char error[512];

    if (*file != '\0')
        weir_heads_read_file(heads, file, findings);
    if (!weir_heads_read_redis(heads, ctl, findings, error, sizeof(error)))
        fprintf(stderr, "weirctl: without the heads in Redis: %s\n", error);
    /* Heads are in the database before they are elsewhere: a later snapshot has them all. */
    run(ctl, "SET statement_timeout = 0");
    run(ctl, "SET work_mem = '64MB'");
    run(ctl, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    weir_heads_read_database(heads, ctl, findings);
    if (!(heads->places & ~(unsigned)WEIR_HEADS_DATABASE))
        fprintf(stderr, "weirctl: no head is outside of the database: a cut-off end cannot be "
                        "seen\n");
}

static json_t *summary_of(const weir_scan_t *scan, const weir_heads_t *heads,
                          const weir_findings_t *findings)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:O}", "records", (json_int_t)scan->records, "signed",
                     (json_int_t)scan->covered, "heads", (json_int_t)heads->n, "findings",
                     (json_int_t)findings->count, "rows", findings->rows);
}

weir_ctl_exit_t weir_ctl_audit_verify(weir_ctl_t *ctl)
{
    weir_findings_t findings = {.rows = json_array()};
    weir_heads_t heads = {.items = NULL};
    weir_audit_key_t key;
    weir_scan_t scan;
    uint64_t count;

    read_key(ctl, &key);
    read_heads(ctl, &heads, &findings);
    weir_heads_check(&heads, &key, &findings);
    scan = weir_scan(ctl, &heads, &findings);
    run(ctl, "COMMIT");
    find_unsealed(ctl, &findings);

    if (ctl->args.json) {
        json_t *summary = summary_of(&scan, &heads, &findings);

        weir_ctl_print_object(ctl, summary);
        json_decref(summary);
    } else {
        weir_ctl_print_rows(ctl, findings.rows, "The audit log is what was signed.");
        fflush(stdout);
        fprintf(stderr,
                "weirctl: %" PRIu64 " records, %" PRIu64 " of them under %zu heads, %" PRIu64
                " findings\n",
                scan.records, scan.covered, heads.n, findings.count);
    }
    count = findings.count;
    json_decref(findings.rows);
    weir_heads_free(&heads);
    weir_audit_key_release(&key);

    return count == 0 ? WEIR_CTL_OK : WEIR_CTL_REFUSED;
}

/* --- prove ----------------------------------------------------------------------------------- */

/* The record's texts as they are sealed. */
static PGresult *read_record(weir_ctl_t *ctl, const char *id, weir_audit_record_t *record,
                             uint64_t *position)
{
    static const char sql[] =
        "SELECT r.partition, r.id, (extract(epoch FROM r.at) * 1000000)::bigint, r.operation,"
        " r.object, r.outcome, r.subject, r.actor, r.address, r.trace_id, r.detail, s.position"
        " FROM audit_records r LEFT JOIN audit_seals s ON s.id = r.id AND s.partition = r.partition"
        " WHERE r.id = $1::bigint";
    PGresult *res = PQexecParams(ctl->db, sql, 1, NULL, &id, NULL, NULL, 0);

    if (PQresultStatus(res) != PGRES_TUPLES_OK)
        exit(weir_ctl_fail(WEIR_CTL_AWAY, "PostgreSQL: %s", PQresultErrorMessage(res)));
    if (PQntuples(res) != 1)
        exit(weir_ctl_fail(WEIR_CTL_REFUSED, "there is no audit record %s", id));
    if (PQgetisnull(res, 0, WEIR_AUDIT_FIELDS))
        exit(weir_ctl_fail(WEIR_CTL_REFUSED,
                           "the record %s is not sealed yet; it takes about a second", id));
    for (int i = 0; i < WEIR_AUDIT_FIELDS; i++) {
        bool is_null = PQgetisnull(res, 0, i);

        record->fields[i] = (weir_str_t){is_null ? NULL : PQgetvalue(res, 0, i),
                                         is_null ? 0 : (size_t)PQgetlength(res, 0, i)};
    }
    *position = strtoull(PQgetvalue(res, 0, WEIR_AUDIT_FIELDS), NULL, 10);

    return res;
}

/* The newest head that has the record. */
static void find_head(weir_ctl_t *ctl, const char *partition, uint64_t position,
                      weir_audit_signed_t *head, weir_audit_chain_t *chain)
{
    static const char sql[] = "SELECT head, key, signature FROM audit_heads"
                              " WHERE strpos(head, $1) > 0 ORDER BY number DESC LIMIT 1";
    weir_audit_head_t parsed;
    const weir_audit_chain_t *found = NULL;
    char line[32];
    PGresult *res;

    snprintf(line, sizeof(line), "\nchain %s ", partition);
    res = PQexecParams(ctl->db, sql, 1, NULL, (const char *[]){line}, NULL, NULL, 0);
    if (PQresultStatus(res) != PGRES_TUPLES_OK)
        exit(weir_ctl_fail(WEIR_CTL_AWAY, "PostgreSQL: %s", PQresultErrorMessage(res)));
    if (PQntuples(res) == 1) {
        snprintf(head->text, sizeof(head->text), "%s", PQgetvalue(res, 0, 0));
        snprintf(head->key, sizeof(head->key), "%s", PQgetvalue(res, 0, 1));
        snprintf(head->signature, sizeof(head->signature), "%s", PQgetvalue(res, 0, 2));
        if (weir_audit_head_parse(weir_str(head->text), &parsed))
            found = weir_audit_head_chain(&parsed, atoi(partition));
    }
    PQclear(res);
    if (found == NULL || found->size <= position)
        exit(weir_ctl_fail(WEIR_CTL_REFUSED,
                           "no head has signed the record yet; the next one will, within "
                           "audit_interval"));
    *chain = *found;
}

/* The leaves of the partition's first records, for free(). */
static weir_hash_t *read_leaves(weir_ctl_t *ctl, const char *partition, uint64_t size)
{
    static const char sql[] = "SELECT leaf FROM audit_seals WHERE partition = $1::int"
                              " AND position < $2::bigint ORDER BY position";
    weir_hash_t *leaves = weir_alloc_array(size, sizeof(*leaves));
    char limit[24];
    PGresult *res;

    snprintf(limit, sizeof(limit), "%" PRIu64, size);
    res = PQexecParams(ctl->db, sql, 2, NULL, (const char *[]){partition, limit}, NULL, NULL, 1);
    if (PQresultStatus(res) != PGRES_TUPLES_OK)
        exit(weir_ctl_fail(WEIR_CTL_AWAY, "PostgreSQL: %s", PQresultErrorMessage(res)));
    if ((uint64_t)PQntuples(res) != size)
        exit(weir_ctl_fail(WEIR_CTL_REFUSED,
                           "seals of the partition %s are missing: run weirctl audit verify",
                           partition));
    for (uint64_t i = 0; i < size; i++) {
        if (PQgetlength(res, (int)i, 0) == (int)sizeof(*leaves))
            memcpy(&leaves[i], PQgetvalue(res, (int)i, 0), sizeof(*leaves));
    }
    PQclear(res);

    return leaves;
}

weir_ctl_exit_t weir_ctl_audit_prove(weir_ctl_t *ctl)
{
    const char *id = ctl->args.words[0], *partition;
    weir_audit_signed_t head;
    weir_audit_chain_t chain;
    weir_audit_record_t record;
    weir_merkle_path_t path;
    weir_hash_t *leaves, leaf;
    uint64_t position;
    PGresult *res;
    json_t *proof;
    bool holds;

    check_id(id);
    run(ctl, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    res = read_record(ctl, id, &record, &position);
    partition = PQgetvalue(res, 0, WEIR_AUDIT_PARTITION);
    find_head(ctl, partition, position, &head, &chain);
    leaves = read_leaves(ctl, partition, chain.size);
    run(ctl, "COMMIT");
    weir_merkle_inclusion(leaves, chain.size, position, &path);
    weir_audit_leaf(&record, &leaf);
    holds = weir_merkle_includes(&chain.root, chain.size, position, &leaf, &path);
    if (holds) {
        proof = weir_alloc_check(weir_audit_proof_json(&record, position, &path, &head));
        weir_ctl_print_line(proof);
        json_decref(proof);
    }
    free(leaves);
    PQclear(res);

    return holds ? WEIR_CTL_OK
                 : weir_ctl_fail(WEIR_CTL_REFUSED,
                                 "the log is not what its head has signed, so there is no proof: "
                                 "run weirctl audit verify");
}

/* --- check: without a database --------------------------------------------------------------- */

static char *read_proof(const char *path, size_t *len)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    char *text = weir_alloc(WEIR_AUDIT_PROOF_MAX + 1);

    if (file == NULL)
        exit(weir_ctl_fail(WEIR_CTL_USAGE, "%s: %s", path, strerror(errno)));
    *len = fread(text, 1, WEIR_AUDIT_PROOF_MAX + 1, file);
    if (ferror(file))
        exit(weir_ctl_fail(WEIR_CTL_USAGE, "%s: %s", path, strerror(errno)));
    if (file != stdin)
        fclose(file);

    return text;
}

static void print_proved(const weir_ctl_t *ctl, const weir_audit_proof_t *proof,
                         const weir_audit_head_t *head)
{
    json_t *object = json_object();

    for (int i = 0; i < WEIR_AUDIT_FIELDS; i++)
        json_object_set(
            object, weir_audit_field_names[i],
            json_object_get(json_object_get(proof->json, "record"), weir_audit_field_names[i]));
    json_object_set_new(object, "position", json_integer((json_int_t)proof->position));
    json_object_set_new(object, "head", json_integer((json_int_t)head->number));
    json_object_set_new(object, "signed", json_integer(head->time));
    weir_ctl_print_object(ctl, object);
    json_decref(object);
}

weir_ctl_exit_t weir_ctl_audit_check(weir_ctl_t *ctl)
{
    weir_audit_verdict_t verdict = WEIR_AUDIT_MALFORMED;
    weir_audit_proof_t proof;
    weir_audit_head_t head;
    weir_audit_key_t key;
    size_t len;
    char *text;

    read_key(ctl, &key);
    text = read_proof(ctl->args.words[0], &len);
    if (weir_audit_proof_parse((weir_str_t){text, len}, &proof))
        verdict = weir_audit_proof_check(&proof, &key, &head);
    if (verdict == WEIR_AUDIT_PROVED)
        print_proved(ctl, &proof, &head);
    weir_audit_proof_release(&proof);
    weir_audit_key_release(&key);
    free(text);

    return verdict == WEIR_AUDIT_PROVED
               ? WEIR_CTL_OK
               : weir_ctl_fail(WEIR_CTL_REFUSED, "%s: %s", ctl->args.words[0],
                               weir_audit_verdict_text(verdict));
}
