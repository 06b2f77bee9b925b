#include "events/relay/private.h"

#include "events/cloudevent.h"
#include "events/log_stream.h"
#include "db/refusal.h"
#include "log/log.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_MAX 256 /* events published at once */

static void read_again(weir_outlet_t *p);

/* --- what Redis has --------------------------------------------------------- */

static void follow(weir_outlet_t *p)
{
    assert(p->relay != NULL);
    p->state = WEIR_FOLLOWING;
    if (p->told != WEIR_FOLLOWING)
        weir_log(WEIR_LOG_INFO, NULL, "stream is followed again", "{s:i,s:I}", "partition",
                 p->number, "position", (json_int_t)p->given);
    p->told = WEIR_FOLLOWING;
    /* Groups may have read the missing events of this stream from the database. */
    for (int i = 0; i < p->relay->count; i++) {
        const weir_outlet_t *other = &p->relay->outlets[i];

        if (other->relay != NULL && (other->state == WEIR_BEHIND || other->state == WEIR_UNKNOWN))
            return;
    }
    weir_refusal_drop(&p->relay->read_refused, "relay", "relay_read");
}

static void on_marked(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_outlet_t *p = arg;

    assert(p->marking > 0);
    (void)res;
    p->marking--;
    weir_refusal_note(&p->relay->halt_refused, "relay", "relay_halt", error, sqlstate);
    p->relay->stopping(p->relay);
}

/*
 * Records in the database, for later relays and for operators, that the partition is halted, or
 * (NULL) is not.
 */
static void mark(weir_outlet_t *p, const char *why)
{
    weir_relay_t *r = p->relay;
    const char *number = WEIR_NUMBER(p->number);
    bool sent;

    if (why != NULL)
        sent = weir_db_query(r->db, "SELECT relay_halt($1::smallint, $2::text, $3::bigint)", 3,
                             (const char *[]){number, why, r->era}, on_marked, p);
    else
        sent = weir_db_query(r->db, "SELECT relay_resume($1::smallint)", 1,
                             (const char *[]){number}, on_marked, p);
    p->marking += sent;
    p->halted = why != NULL;
}

/*
 * Logs in one line which partitions are halted, once all states are known, if there is a new one.
 */
static void tell_halted(weir_relay_t *r)
{
    char list[4 * WEIR_OUTLETS_MAX] = "";
    size_t len = 0;
    bool news = false;

    for (int i = 0; i < r->count; i++) {
        const weir_outlet_t *p = &r->outlets[i];

        if (p->state == WEIR_UNKNOWN && p->relay != NULL)
            return;
        if (p->state != WEIR_HALTED)
            continue;
        news = news || !p->said;
        len +=
            (size_t)snprintf(list + len, sizeof(list) - len, "%s%d", len > 0 ? "," : "", p->number);
    }
    if (news)
        weir_log(WEIR_LOG_ERROR, NULL,
                 "streams are ahead of the database: a standby was promoted that lacks the last "
                 "transactions, or a backup was restored. Events of these partitions wait. Make "
                 "sure that nothing uses the other database any more, then run: weirctl relay "
                 "rebase",
                 "{s:s}", "partitions", list);
    for (int i = 0; i < r->count; i++)
        r->outlets[i].said = r->outlets[i].state == WEIR_HALTED;
}

/* The stream cannot be trusted: no row is taken or published until an operator has decided. */
static void halt(weir_outlet_t *p, const char *why)
{
    if (!p->halted)
        mark(p, why);
    p->state = p->told = WEIR_HALTED;
    tell_halted(p->relay);
}

static void full(weir_outlet_t *p, int64_t length)
{
    if (p->told != WEIR_FULL)
        weir_log(
            WEIR_LOG_WARN, NULL,
            "stream is full, events wait in the outbox until the slowest group catches up; a group "
            "that is no longer used must be deleted: weirctl groups delete GROUP",
            "{s:i,s:I,s:s,s:I}", "partition", p->number, "entries", (json_int_t)length, "group",
            p->slowest, "handled", (json_int_t)p->handled);
    p->state = p->told = WEIR_FULL;
}

/* The stream in Redis ends at last. Decides where to continue. */
static void found(weir_outlet_t *p, int64_t last, int64_t length)
{
    int64_t from = last > p->handled ? last : p->handled;

    assert(p->in_flight == 0);
    if (p->halted && last == 0) {
        weir_log(WEIR_LOG_WARN, NULL,
                 "the halted partition's stream was deleted; it is filled again", "{s:i,s:I}",
                 "partition", p->number, "from", (json_int_t)p->handled + 1);
        mark(p, NULL);
    }
    if (p->halted || last > p->given) {
        halt(p, "ahead");
        return;
    }
    p->tail = last;
    p->counted = from;
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

/* The first refusal of any partition is logged, and the end of the last one. */
static bool is_any_refused(const weir_relay_t *r)
{
    bool any = false;

    for (int i = 0; i < r->count; i++)
        any = any || r->outlets[i].refused;
    return any;
}

static void on_failed(weir_outlet_t *p, const char *error, bool entries)
{
    weir_relay_t *r = p->relay;

    p->state = WEIR_UNKNOWN;
    if (!weir_redis_is_up(r->redis))
        return;
    if (!is_any_refused(r))
        weir_log(WEIR_LOG_ERROR, NULL, "Redis refuses events, they wait in the outbox", "{s:i,s:s}",
                 "partition", p->number, "error", error);
    p->refused = true;
    p->refused_entries = p->refused_entries || entries;
    /* Redis without memory for the fence can still trim events that all groups have handled. */
    if (strstr(error, "OOM ") != NULL && p->handled > 0)
        weir_log_stream_trim(r->redis, p->number, p->handled);
}

/* The answer may be for an append of an earlier term: then the next check decides. */
static void on_fenced(weir_outlet_t *p, const char *fence)
{
    const weir_relay_t *r = p->relay;

    assert(fence != NULL);
    p->state = WEIR_UNKNOWN;
    if (r->leads && strcmp(fence, r->token) != 0 && memcmp(fence, r->token, WEIR_TOKEN_DIGITS) >= 0)
        halt(p, "superseded");
}

/*
 * Batches after a refused batch are refused because of their position, which says nothing about
 * Redis. Accepted entries also end the refusal of other partitions whose stream is in order,
 * because these may get no entry for a long time.
 */
static void tell_accepted(weir_outlet_t *p, const weir_log_answer_t *answer, bool entries)
{
    weir_relay_t *r = p->relay;
    bool appended = entries && answer->verdict == WEIR_LOG_APPENDED;
    bool was_refused = is_any_refused(r);

    for (int i = 0; i < r->count; i++) {
        weir_outlet_t *other = &r->outlets[i];

        if (other == p ? appended || !other->refused_entries
                       : appended && other->state == WEIR_FOLLOWING)
            other->refused = other->refused_entries = false;
    }
    if (was_refused && !is_any_refused(r))
        weir_log(WEIR_LOG_INFO, NULL, "Redis takes events again", NULL);
}

static void answered(weir_outlet_t *p, const weir_log_answer_t *answer, bool entries)
{
    weir_relay_t *r = p->relay;

    assert(p->in_flight > 0);
    p->in_flight--;
    if (r->stopping(r))
        return;
    r->refused += answer->verdict == WEIR_LOG_FAILED || answer->verdict == WEIR_LOG_FENCED;
    if (answer->verdict == WEIR_LOG_FAILED) {
        on_failed(p, answer->error, entries);
        return;
    }
    tell_accepted(p, answer, entries);
    if (answer->verdict == WEIR_LOG_FENCED) {
        on_fenced(p, answer->fence);
        return;
    }

    if (p->state == WEIR_FOLLOWING || p->state == WEIR_BEHIND) {
        if (answer->verdict == WEIR_LOG_APPENDED && answer->length < r->stream_limit) {
            if (p->state == WEIR_BEHIND && p->in_flight == 0)
                read_again(p);
            else if (r->congested)
                r->take(r);
            return;
        }
        p->state = WEIR_UNKNOWN;
    }
    /*
     * Batches after a refused batch are refused, too; after the last answer the end of the stream
     * is known.
     */
    if (p->in_flight == 0 && r->leads)
        found(p, answer->last, answer->length);
}

/* Positions have no gap, so their difference is a number of events. */
static void count(weir_outlet_t *p, const weir_log_answer_t *answer)
{
    weir_relay_t *r = p->relay;

    if (answer->verdict != WEIR_LOG_APPENDED)
        return;
    r->batches++;
    if (answer->last > p->counted)
        r->published += (uint64_t)(answer->last - p->counted);
    p->counted = answer->last;
}

static void on_appended(const weir_log_answer_t *answer, void *arg)
{
    weir_outlet_t *p = weir_send_outlet(arg);
    bool appended = answer->verdict == WEIR_LOG_APPENDED;

    weir_send_end(arg, appended                             ? NULL
                       : answer->verdict == WEIR_LOG_FAILED ? answer->error
                                                            : "the stream ends elsewhere");
    count(p, answer);
    answered(p, answer, true);
}

static void on_looked(const weir_log_answer_t *answer, void *arg)
{
    answered(arg, answer, false);
}

/* send is NULL if there are no entries. */
static void append(weir_outlet_t *p, const weir_log_entry_t *entries, size_t n, weir_send_t *send)
{
    int64_t expected = p->tail;

    assert(n <= READ_MAX && (n > 0) == (send != NULL));
    if (p->relay->token[0] == '\0') { /* the term has ended: the state is queried again */
        for (size_t i = 0; i < n; i++)
            free(entries[i].json);
        if (send != NULL)
            weir_send_end(send, "the relay's term has ended");
        p->state = WEIR_UNKNOWN;
        return;
    }
    if (n > 0)
        p->tail = entries[n - 1].position;
    p->in_flight++;
    if (!weir_log_stream_append(p->relay->redis, p->number, p->relay->token, expected, entries, n,
                                n > 0 ? on_appended : on_looked, n > 0 ? (void *)send : p)) {
        if (send != NULL)
            weir_send_end(send, "Redis cannot be reached");
        p->in_flight--;
        p->state = WEIR_UNKNOWN;
    }
}

/* --- from the outbox -------------------------------------------------------- */

/* Publishes rows [from, to) of relay_take() or relay_read(), all of one partition. */
void weir_outlet_publish(weir_outlet_t *p, PGresult *res, int from, int to)
{
    weir_log_entry_t entries[READ_MAX];
    weir_cloudevent_t events[READ_MAX];
    size_t n = 0;

    assert(from >= 0 && from < to && to <= PQntuples(res));
    for (int i = from; i < to && n < READ_MAX; i++, n++) {
        events[n] = weir_cloudevent_of_row(res, i, p->relay->source);
        entries[n].position = weir_column_int(res, i, WEIR_CLOUDEVENT_POSITION);
        entries[n].json = weir_cloudevent_json(&events[n], &entries[n].len);
    }
    append(p, entries, n, weir_send_new(p, events, n));
}

static void on_read(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_outlet_t *p = arg;

    assert(p->reading);
    p->reading = false;
    weir_refusal_note(&p->relay->read_refused, "relay", "relay_read", error, sqlstate);
    if (p->relay->stopping(p->relay))
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
    static const char sql[] =
        "SELECT " WEIR_CLOUDEVENT_COLUMNS " FROM relay_read($1::smallint, $2::bigint, $3::int)";
    int64_t from = p->tail > p->handled ? p->tail : p->handled;

    if (p->reading)
        return;
    if (from >= p->given) {
        follow(p);
        return;
    }
    p->reading = weir_db_query(
        p->relay->db, sql, 3,
        (const char *[]){WEIR_NUMBER(p->number), WEIR_NUMBER(from), WEIR_NUMBER(READ_MAX)}, on_read,
        p);
    if (!p->reading)
        p->state = WEIR_UNKNOWN;
}

void weir_outlet_check(weir_outlet_t *p)
{
    assert(p->number >= 0 && p->number < WEIR_OUTLETS_MAX);
    if (p->handled > p->trimmed && (p->state == WEIR_FOLLOWING || p->state == WEIR_FULL)) {
        weir_log_stream_trim(p->relay->redis, p->number, p->handled);
        p->trimmed = p->handled;
    }
    if (p->in_flight == 0 && !p->reading)
        append(p, NULL, 0, NULL);
}
