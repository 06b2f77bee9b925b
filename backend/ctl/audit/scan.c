/* One pass over the audit log; see scan.h. */
#include "ctl/audit/scan.h"

#include "log/alloc.h"

#include <assert.h>
#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EPOCH_US INT64_C(946684800000000) /* PostgreSQL's epoch, 2000-01-01, in us since 1970 */
#define BACKDATED_US (INT64_C(15) * 60 * 1000000)

/* Columns of the rows; the last ones are texts of the record in the order of its fields. */
#define COPY                                                                                       \
    "COPY (SELECT s.partition, s.position, s.id, s.leaf, s.link, r.at, r.operation, r.object,"     \
    " r.outcome, r.subject, r.actor, r.address, r.trace_id, r.detail FROM audit_seals s"           \
    " LEFT JOIN audit_records r ON r.id = s.id AND r.partition = s.partition"                      \
    " ORDER BY s.partition, s.position) TO STDOUT (FORMAT binary)"
enum {
    PARTITION,
    POSITION,
    ID,
    LEAF,
    LINK,
    AT,
    FIRST_TEXT,
    COLUMNS = FIRST_TEXT + WEIR_AUDIT_FIELDS - WEIR_AUDIT_OPERATION
};

typedef struct {
    weir_ctl_t *ctl;
    const weir_heads_t *heads;
    weir_findings_t *findings;
    weir_scan_t result;
    size_t next_end; /* in heads->ends */
    bool any;        /* a row was read: */
    int partition;
    uint64_t expected; /* position of the next seal */
    weir_merkle_t tree;
    weir_hash_t link;
    uint64_t covered;         /* records of the partition that a head has signed */
    int64_t signed_us;        /* time of the last head at or before this place; 0: none */
    bool is_broken;           /* a finding in this partition explains other roots */
    weir_audit_chain_t *ends; /* of the partitions that were read */
    size_t n_ends;
} pass_t;

/* --- rows of COPY ---------------------------------------------------------------------------- */

static const char signature[11] = "PGCOPY\n\377\r\n"; /* with its NUL */

static uint32_t read_u32(const char *p)
{
    uint32_t n;

    memcpy(&n, p, sizeof(n));
    return be32toh(n);
}

static int64_t read_i64(weir_str_t value)
{
    uint64_t n;

    if (value.len != sizeof(n))
        return -1;
    memcpy(&n, value.data, sizeof(n));
    return (int64_t)be64toh(n);
}

/* The values of a row (PostgreSQL manual, COPY, "Binary Format"); false: it is none. */
static bool read_row(const char *p, size_t len, weir_str_t values[COLUMNS])
{
    if (len >= 19 && memcmp(p, signature, sizeof(signature)) == 0) {
        p += 19;
        len -= 19;
    }
    if (len < 2 || p[0] != 0 || p[1] != (char)COLUMNS)
        return false; /* the trailer is -1 */
    p += 2;
    len -= 2;
    for (int i = 0; i < COLUMNS; i++) {
        uint32_t n;

        if (len < 4)
            return false;
        n = read_u32(p);
        p += 4;
        len -= 4;
        values[i] = (weir_str_t){n != UINT32_MAX ? p : NULL, n != UINT32_MAX ? n : 0};
        if (values[i].len > len)
            return false;
        p += values[i].len;
        len -= values[i].len;
    }

    return true;
}

/* --- one partition --------------------------------------------------------------------------- */

static void name_place(const pass_t *pass, uint64_t position, char where[48])
{
    snprintf(where, 48, "%d/%" PRIu64, pass->partition, position);
}

/* The ends that heads have signed at this size of the tree. */
static void compare_heads(pass_t *pass)
{
    for (; pass->next_end < pass->heads->n_ends; pass->next_end++) {
        const weir_heads_end_t *end = &pass->heads->ends[pass->next_end];
        weir_hash_t root;
        char where[48];

        if (end->chain.partition != pass->partition || end->chain.size != pass->tree.size)
            return;
        weir_merkle_root(&pass->tree, &root);
        pass->covered = pass->tree.size;
        pass->signed_us = end->time * 1000000;
        if (memcmp(&root, &end->chain.root, sizeof(root)) == 0 &&
            memcmp(&pass->link, &end->chain.link, sizeof(root)) == 0)
            continue;
        name_place(pass, pass->tree.size - 1, where);
        if (!pass->is_broken)
            weir_findings_add(pass->findings, "not what was signed", where,
                              "records up to here differ from those of head %" PRIu64, end->number);
        pass->is_broken = true;
    }
}

/* Heads of partitions before this one, or of it beyond its end, have signed what is not there. */
static void end_partition(pass_t *pass, int next)
{
    for (; pass->next_end < pass->heads->n_ends; pass->next_end++) {
        const weir_heads_end_t *end = &pass->heads->ends[pass->next_end];
        bool is_there = pass->any && pass->partition == end->chain.partition;
        char where[48];

        if (end->chain.partition >= next)
            break;
        if (!is_there && end->chain.partition < pass->ctl->args.oldest)
            continue;
        snprintf(where, sizeof(where), "%d/%" PRIu64, end->chain.partition, end->chain.size - 1);
        weir_findings_add(pass->findings, "cut off", where,
                          "head %" PRIu64 " has signed %" PRIu64 " records, and there are %" PRIu64,
                          end->number, end->chain.size, is_there ? pass->tree.size : 0);
    }
    pass->result.covered += pass->covered;
}

/* Keeps where the chain ends, for compare_ends(). */
static void note_end(pass_t *pass)
{
    pass->ends = weir_alloc_resize(pass->ends, pass->n_ends + 1, sizeof(*pass->ends));
    pass->ends[pass->n_ends++] = (weir_audit_chain_t){
        .partition = pass->partition, .size = pass->tree.size, .link = pass->link};
}

static void begin_partition(pass_t *pass, int partition)
{
    if (pass->any)
        note_end(pass);
    end_partition(pass, partition);
    pass->any = true;
    pass->partition = partition;
    pass->tree.size = 0;
    pass->expected = 0;
    pass->covered = 0;
    pass->signed_us = 0;
    pass->is_broken = false;
    memset(&pass->link, 0, sizeof(pass->link));
}

/* --- one row --------------------------------------------------------------------------------- */

/* Compares the record with its seal's leaf. */
static void compare_record(pass_t *pass, const weir_str_t *values, const char *where)
{
    weir_audit_record_t record;
    char partition[12], id[24], at[24];
    weir_hash_t leaf;
    int64_t us;

    if (values[AT].data == NULL) {
        weir_findings_add(pass->findings, "removed", where, "the record %" PRId64 " is not there",
                          read_i64(values[ID]));
        pass->is_broken = true;
        return;
    }
    us = read_i64(values[AT]) + EPOCH_US;
    record.fields[WEIR_AUDIT_PARTITION] = (weir_str_t){
        partition, (size_t)snprintf(partition, sizeof(partition), "%d", pass->partition)};
    record.fields[WEIR_AUDIT_ID] =
        (weir_str_t){id, (size_t)snprintf(id, sizeof(id), "%" PRId64, read_i64(values[ID]))};
    record.fields[WEIR_AUDIT_TIME] =
        (weir_str_t){at, (size_t)snprintf(at, sizeof(at), "%" PRId64, us)};
    for (int i = WEIR_AUDIT_OPERATION; i < WEIR_AUDIT_FIELDS; i++)
        record.fields[i] = values[FIRST_TEXT + i - WEIR_AUDIT_OPERATION];
    weir_audit_leaf(&record, &leaf);
    if (values[LEAF].len != sizeof(leaf) || memcmp(values[LEAF].data, &leaf, sizeof(leaf)) != 0) {
        weir_findings_add(pass->findings, "changed", where,
                          "the record %" PRId64 " is not the one that was sealed",
                          read_i64(values[ID]));
        pass->is_broken = true;
    } else if (us + BACKDATED_US < pass->signed_us) {
        weir_findings_add(pass->findings, "backdated", where,
                          "the record %" PRId64 " has a time more than 15 minutes before a head "
                          "that does not have it",
                          read_i64(values[ID]));
    }
}

static void take_row(pass_t *pass, const weir_str_t *values)
{
    uint64_t position = (uint64_t)read_i64(values[POSITION]);
    weir_hash_t leaf = {{0}};
    char where[48];
    int partition;

    /* The columns were not these when Weir made them. */
    if (values[PARTITION].len != sizeof(uint32_t) || values[POSITION].len != sizeof(position)) {
        weir_findings_add(pass->findings, "changed", "audit_seals",
                          "a row has a partition or a position of another type");
        return;
    }
    partition = (int)read_u32(values[PARTITION].data);
    if (!pass->any || partition != pass->partition)
        begin_partition(pass, partition);
    name_place(pass, position, where);
    if (position != pass->expected) {
        weir_findings_add(pass->findings, "removed", where,
                          "the seals from position %" PRIu64 " on are missing", pass->expected);
        pass->is_broken = true;
    }
    pass->expected = position + 1;
    compare_record(pass, values, where);
    if (values[LEAF].len == sizeof(leaf))
        memcpy(&leaf, values[LEAF].data, sizeof(leaf));
    weir_audit_link(&pass->link, &leaf);
    if (values[LINK].len != sizeof(pass->link) ||
        memcmp(values[LINK].data, &pass->link, sizeof(pass->link)) != 0) {
        if (!pass->is_broken)
            weir_findings_add(pass->findings, "chain", where,
                              "the chain's hash does not follow from the one before");
        pass->is_broken = true;
        if (values[LINK].len == sizeof(pass->link))
            memcpy(&pass->link, values[LINK].data, sizeof(pass->link));
    }
    weir_merkle_append(&pass->tree, &leaf);
    pass->result.records++;
    compare_heads(pass);
}

/* The ends from which the sealer would continue. */
static void compare_ends(const pass_t *pass)
{
    PGresult *res =
        PQexec(pass->ctl->db, "SELECT partition, size, encode(link, 'hex') FROM audit_chains");
    int rows = PQntuples(res);

    if (PQresultStatus(res) != PGRES_TUPLES_OK)
        exit(weir_ctl_fail(WEIR_CTL_AWAY, "PostgreSQL: %s", PQresultErrorMessage(res)));
    for (size_t i = 0; i < pass->n_ends; i++) {
        const weir_audit_chain_t *end = &pass->ends[i];
        bool is_same = false;
        weir_hash_t link;
        char where[48];

        for (int k = 0; k < rows; k++)
            is_same = is_same || (atoi(PQgetvalue(res, k, 0)) == end->partition &&
                                  strtoull(PQgetvalue(res, k, 1), NULL, 10) == end->size &&
                                  weir_audit_read_hash(weir_str(PQgetvalue(res, k, 2)), &link) &&
                                  memcmp(&link, &end->link, sizeof(link)) == 0);
        snprintf(where, sizeof(where), "%d/%" PRIu64, end->partition, end->size - 1);
        if (!is_same)
            weir_findings_add(pass->findings, "end", where,
                              "the chain ends here, and audit_chains says otherwise");
    }
    if ((size_t)rows > pass->n_ends)
        weir_findings_add(pass->findings, "end", "audit_chains",
                          "it has %d chains, and there are %zu", rows, pass->n_ends);
    PQclear(res);
}

weir_scan_t weir_scan(weir_ctl_t *ctl, const weir_heads_t *heads, weir_findings_t *findings)
{
    pass_t pass = {.ctl = ctl, .heads = heads, .findings = findings};
    weir_str_t values[COLUMNS];
    PGresult *res = PQexec(ctl->db, COPY);
    char *row;
    int len;

    if (PQresultStatus(res) != PGRES_COPY_OUT)
        exit(weir_ctl_fail(WEIR_CTL_AWAY, "PostgreSQL: %s", PQresultErrorMessage(res)));
    PQclear(res);
    while ((len = PQgetCopyData(ctl->db, &row, 0)) > 0) {
        if (read_row(row, (size_t)len, values))
            take_row(&pass, values);
        PQfreemem(row);
    }
    while ((res = PQgetResult(ctl->db)) != NULL) {
        if (PQresultStatus(res) != PGRES_COMMAND_OK)
            exit(weir_ctl_fail(WEIR_CTL_AWAY, "PostgreSQL: %s", PQresultErrorMessage(res)));
        PQclear(res);
    }
    if (pass.any)
        note_end(&pass);
    end_partition(&pass, INT32_MAX);
    compare_ends(&pass);
    free(pass.ends);

    return pass.result;
}
