/*
 * Refusals of edges: entries of the stream weir:refused, which become records. What was read and
 * the position of the last entry are written in one transaction, so none is recorded twice, and
 * those that came while this was away are recorded later, as far as the stream still has them.
 *
 * What is in the stream was written by edges, or by others who may write to Redis: it is read
 * strictly, and an entry that is not understood is left out.
 *
 * A reading begins with the last entry that was read, which is there while there is none after it.
 * If it is not, the stream was made anew, and its entries may come before that position, which
 * anybody who adds entries can choose. Then those of the last minutes are read.
 */
#include "audit/private.h"

#include "common/audit/refused.h"
#include "db/refusal.h"
#include "log/alloc.h"
#include "log/log.h"
#include "metrics/series.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define READ_MAX 1000   /* entries at once */
#define ENTRY_MAX 4096  /* bytes of one */
#define POSITION_MAX 48 /* bytes of an ID, with its NUL */
#define AGAIN 600       /* seconds whose entries are read again */

struct weir_audit_refused {
    char from[POSITION_MAX]; /* empty: it is not known */
    char to[POSITION_MAX];   /* of the last entry in rows */
    json_t *rows;            /* read and not written; NULL: none */
    size_t malformed;        /* of them, since the last line of the log */
    bool asked;              /* a reply is awaited */
};

/* Only what the function takes, as text. */
static json_t *row_of(const char *data, size_t len)
{
    static const char *const names[] = {"outcome", "object",  "subject",
                                        "actor",   "address", "trace_id"};
    json_t *entry, *row;

    if (len > ENTRY_MAX)
        return NULL;
    entry = json_loadb(data, len, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(entry)) {
        json_decref(entry);
        return NULL;
    }
    row = weir_alloc_check(json_object());
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        json_t *value = json_object_get(entry, names[i]);

        if (json_is_string(value))
            json_object_set(row, names[i], value);
    }
    if (json_is_integer(json_object_get(entry, "count")) &&
        json_integer_value(json_object_get(entry, "count")) > 0)
        json_object_set(row, "count", json_object_get(entry, "count"));
    json_decref(entry);
    if (json_object_get(row, "outcome") == NULL) {
        json_decref(row);
        return NULL;
    }

    return row;
}

static bool is_text(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS;
}

/* Reads an ID of a stream, "ms-sequence". */
static bool read_position(const char *text, unsigned long long id[2])
{
    int end = 0;

    return strspn(text, "0123456789-") == strlen(text) && strstr(text, "--") == NULL &&
           isdigit((unsigned char)text[0]) &&
           sscanf(text, "%20llu-%20llu%n", &id[0], &id[1], &end) == 2 && text[end] == '\0';
}

static bool is_before(const char *a, const char *b)
{
    unsigned long long x[2], y[2];

    return read_position(a, x) && read_position(b, y) &&
           (x[0] < y[0] || (x[0] == y[0] && x[1] < y[1]));
}

/* [id, [field, value]] */
static void take(struct weir_audit_refused *r, const redisReply *entry)
{
    const redisReply *fields;
    json_t *row = NULL;

    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 || !is_text(entry->element[0]) ||
        !is_before(r->to[0] != '\0' ? r->to : r->from, entry->element[0]->str))
        return;
    weir_refused_put(r->to, POSITION_MAX, entry->element[0]->str, entry->element[0]->len);

    fields = entry->element[1];
    if (fields->type == REDIS_REPLY_ARRAY && fields->elements == 2 && is_text(fields->element[1]))
        row = row_of(fields->element[1]->str, fields->element[1]->len);
    if (row != NULL)
        json_array_append_new(r->rows, row);
    else
        r->malformed++;
}

/* The last entry is gone, and none came after it. */
static void begin_again(struct weir_audit_refused *r)
{
    char earlier[POSITION_MAX];

    snprintf(earlier, sizeof(earlier), "%lld-0", ((long long)time(NULL) - AGAIN) * 1000);
    if (is_before(earlier, r->from)) {
        memcpy(r->from, earlier, POSITION_MAX);
        weir_log(WEIR_LOG_WARN, NULL, "the stream weir:refused is another one than before", NULL);
    }
}

static void on_entries(redisReply *reply, void *arg)
{
    weir_audit_t *a = arg;
    struct weir_audit_refused *r = a->refused;

    r->asked = false;
    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY || r->rows != NULL || r->from[0] == '\0')
        return;
    if (reply->elements == 0) {
        begin_again(r);
        return;
    }

    r->rows = weir_alloc_check(json_array());
    r->to[0] = '\0';
    for (size_t i = 0; i < reply->elements && i < READ_MAX; i++)
        take(r, reply->element[i]);
    if (r->malformed > 0)
        weir_log(WEIR_LOG_WARN, NULL, "entries of weir:refused are not understood and left out",
                 "{s:I}", "entries", (json_int_t)r->malformed);
    r->malformed = 0;
    if (r->to[0] == '\0') {
        json_decref(r->rows);
        r->rows = NULL;
    }
}

static void take_position(struct weir_audit_refused *r, const char *text)
{
    unsigned long long id[2];

    if (!read_position(text, id))
        text = "0-0";
    weir_refused_put(r->from, POSITION_MAX, text, strlen(text));
}

static void on_position(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_audit_t *a = arg;

    weir_refusal_note(&a->take_refused, "audit", "audit_refused_position", error, sqlstate);
    if (error == NULL && PQntuples(res) == 1)
        take_position(a->refused, PQgetvalue(res, 0, 0));
    a->done(a, error != NULL);
}

static void on_taken(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_audit_t *a = arg;
    struct weir_audit_refused *r = a->refused;

    (void)res;
    weir_refusal_note(&a->take_refused, "audit", "audit_take_refused", error, sqlstate);
    if (error == NULL) {
        weir_series_add(weir_series(WEIR_AUDIT_REFUSED_TAKEN, NULL), json_array_size(r->rows));
        memcpy(r->from, r->to, POSITION_MAX);
    }
    json_decref(r->rows); /* they are read again after an error */
    r->rows = NULL;
    a->done(a, error != NULL);
}

void weir_audit_refused_open(weir_audit_t *a)
{
    a->refused = weir_alloc(sizeof(*a->refused));
}

void weir_audit_refused_close(weir_audit_t *a)
{
    if (a->refused != NULL)
        json_decref(a->refused->rows);
    free(a->refused);
}

void weir_audit_refused_forget(weir_audit_t *a)
{
    a->refused->from[0] = '\0';
    json_decref(a->refused->rows);
    a->refused->rows = NULL;
}

void weir_audit_refused_read(weir_audit_t *a)
{
    struct weir_audit_refused *r = a->refused;
    char count[16];
    const char *argv[] = {"XRANGE", WEIR_AUDIT_REFUSED_STREAM, r->from, "+", "COUNT", count};

    if (r->asked || r->rows != NULL || r->from[0] == '\0' || !weir_redis_is_up(a->redis))
        return;
    snprintf(count, sizeof(count), "%d", READ_MAX);
    r->asked = weir_redis_command(a->redis, 6, argv, NULL, on_entries, a);
}

bool weir_audit_refused_write(weir_audit_t *a)
{
    struct weir_audit_refused *r = a->refused;
    char *text;
    bool sent;

    if (r->from[0] == '\0')
        return weir_db_query(a->db, "SELECT audit_refused_position()", 0, NULL, on_position, a);
    if (r->rows == NULL)
        return false;

    text = weir_alloc_check(json_dumps(r->rows, JSON_COMPACT));
    sent = weir_db_query(a->db, "SELECT audit_take_refused($1::jsonb, $2)", 2,
                         (const char *[]){text, r->to}, on_taken, a);
    free(text);

    return sent;
}
