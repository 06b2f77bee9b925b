#include "events/relay_private.h"

#include "events/cloudevent.h"
#include "events/log_stream.h"
#include "events/refusal.h"
#include "log/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define READ_MAX 256 /* events published at once */

static void read_again(weir_outlet_t *p);

/* --- what Redis has --------------------------------------------------------- */

static void follow(weir_outlet_t *p)
{
    p->state = WEIR_FOLLOWING;
    if (p->told != WEIR_FOLLOWING)
        weir_log(WEIR_LOG_INFO, NULL, "stream is followed again", "{s:i,s:I}", "partition",
                 p->number, "position", (json_int_t)p->given);
    p->told = WEIR_FOLLOWING;
}

static void ahead(weir_outlet_t *p, int64_t last)
{
    if (p->told != WEIR_AHEAD)
        weir_log(WEIR_LOG_ERROR, NULL,
                 "stream is ahead of the database, which seems to be restored from a backup; "
                 "nothing is published to it. DEL weir:events:<partition> publishes what the "
                 "database has and no group has handled",
                 "{s:i,s:I,s:I}", "partition", p->number, "last", (json_int_t)last, "position",
                 (json_int_t)p->given);
    p->state = p->told = WEIR_AHEAD;
}

static void full(weir_outlet_t *p, int64_t length)
{
    if (p->told != WEIR_FULL)
        weir_log(
            WEIR_LOG_WARN, NULL,
            "stream is full, events wait in the outbox until the slowest group goes on; a group "
            "that is gone for good must be deleted from consumer_partitions",
            "{s:i,s:I,s:s,s:I}", "partition", p->number, "entries", (json_int_t)length, "group",
            p->slowest, "handled", (json_int_t)p->handled);
    p->state = p->told = WEIR_FULL;
}

/* Redis's stream ends at last; decides where publication goes on. */
static void found(weir_outlet_t *p, int64_t last, int64_t length)
{
    int64_t from = last > p->handled ? last : p->handled;

    if (last > p->given) {
        ahead(p, last);
        return;
    }
    p->tail = last;
    if (length >= p->relay->stream_limit) {
        full(p, length);
        return;
    }
    if (from >= p->given) {
        follow(p);
        return;
    }
    if (p->told == WEIR_FOLLOWING)
        weir_log(WEIR_LOG_WARN, NULL, "stream is behind, publishing again", "{s:i,s:I,s:I,s:I}",
                 "partition", p->number, "last", (json_int_t)last, "from", (json_int_t)from + 1,
                 "to", (json_int_t)p->given);
    p->state = p->told = WEIR_BEHIND;
    read_again(p);
}

static void on_appended(bool ok, int64_t last, int64_t length, const char *error, void *arg)
{
    weir_outlet_t *p = arg;
    weir_relay_t *r = p->relay;

    p->in_flight--;
    if (weir_relay_stopping(r))
        return;
    if (error != NULL) {
        if (weir_redis_is_up(r->redis) && !r->refused) {
            weir_log(WEIR_LOG_ERROR, NULL, "Redis refuses events, they wait in the outbox",
                     "{s:i,s:s}", "partition", p->number, "error", error);
            r->refused = true;
        }
        p->state = WEIR_UNKNOWN;
        return;
    }
    if (r->refused)
        weir_log(WEIR_LOG_INFO, NULL, "Redis takes events again", NULL);
    r->refused = false;

    if (p->state == WEIR_FOLLOWING || p->state == WEIR_BEHIND) {
        if (ok && length < r->stream_limit) {
            if (p->state == WEIR_BEHIND && p->in_flight == 0)
                read_again(p);
            else if (r->congested)
                weir_relay_take(r);
            return;
        }
        p->state = WEIR_UNKNOWN;
    }
    /* What was sent after a refused batch is refused, too; with the last answer the end is certain.
     */
    if (p->in_flight == 0 && r->leads)
        found(p, last, length);
}

static void append(weir_outlet_t *p, const weir_log_entry_t *entries, size_t count)
{
    int64_t expected = p->tail;

    if (count > 0)
        p->tail = entries[count - 1].position;
    p->in_flight++;
    if (!weir_log_stream_append(p->relay->redis, p->number, expected, entries, count, on_appended,
                                p)) {
        p->in_flight--;
        p->state = WEIR_UNKNOWN;
    }
}

/* --- from the outbox -------------------------------------------------------- */

/* Publishes rows [from, to) of relay_take() or relay_read(), all of one partition. */
void weir_outlet_publish(weir_outlet_t *p, PGresult *res, int from, int to)
{
    weir_log_entry_t entries[READ_MAX];
    size_t n = 0;

    for (int i = from; i < to && n < READ_MAX; i++, n++) {
        weir_cloudevent_t e = weir_cloudevent_of_row(res, i);

        entries[n].position = strtoll(PQgetvalue(res, i, 1), NULL, 10);
        entries[n].json = weir_cloudevent_json(&e, &entries[n].len);
    }
    append(p, entries, n);
}

static void on_read(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_outlet_t *p = arg;

    p->reading = false;
    weir_refusal_note(&p->relay->read_refused, "relay", "relay_read", error, sqlstate);
    if (weir_relay_stopping(p->relay))
        return;
    if (error != NULL || p->state != WEIR_BEHIND)
        p->state = WEIR_UNKNOWN;
    else if (PQntuples(res) == 0)
        follow(p);
    else
        weir_outlet_publish(p, res, 0, PQntuples(res));
}

static void read_again(weir_outlet_t *p)
{
    static const char sql[] = "SELECT * FROM relay_read($1::smallint, $2::bigint, $3::int)";
    char number[12], after[24], limit[12];
    int64_t from = p->tail > p->handled ? p->tail : p->handled;

    if (p->reading)
        return;
    if (from >= p->given) {
        follow(p);
        return;
    }
    snprintf(number, sizeof(number), "%d", p->number);
    snprintf(after, sizeof(after), "%" PRId64, from);
    snprintf(limit, sizeof(limit), "%d", READ_MAX);
    p->reading =
        weir_db_query(p->relay->db, sql, 3, (const char *[]){number, after, limit}, on_read, p);
    if (!p->reading)
        p->state = WEIR_UNKNOWN;
}

void weir_outlet_check(weir_outlet_t *p)
{
    if (p->handled > p->trimmed && (p->state == WEIR_FOLLOWING || p->state == WEIR_FULL)) {
        weir_log_stream_trim(p->relay->redis, p->number, p->handled);
        p->trimmed = p->handled;
    }
    if (p->in_flight == 0 && !p->reading)
        append(p, NULL, 0);
}
