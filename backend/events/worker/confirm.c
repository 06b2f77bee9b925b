/*
 * An effect outside of the database cannot be undone. So a handler gets an event only after the
 * outbox was found to have the event at its position: a stream may have events of a history that
 * was rolled back. The relay publishes after the commit, so a query after the delivery is
 * sufficient. One query covers many events; answers of another session do not count.
 */
#include "events/worker/confirm.h"

#include "db/refusal.h"
#include "events/worker/lease/delivery.h"
#include "events/worker/lease/group.h"
#include "events/worker/lease/lease.h"
#include "log/alloc.h"
#include "log/clock.h"

#include <assert.h>
#include <string.h>

/* Columns of worker_ids(). */
enum { IDS_NEWEST, IDS_POSITION, IDS_EVENT_ID };

void weir_confirm_from_outbox(weir_delivery_t *d)
{
    assert(d->lease->group->session > 0);
    d->proved = d->lease->group->session;
    d->missing = false;
}

void weir_confirm_missing(weir_delivery_t *d)
{
    d->proved = d->lease->group->session;
    d->missing = true;
}

bool weir_confirm_is_missing(const weir_delivery_t *d)
{
    return d->missing;
}

uint64_t weir_confirm_next(const weir_lease_t *l)
{
    return l->confirm.retry;
}

bool weir_confirm_is_idle(const weir_lease_t *l)
{
    return l->confirm.asked == 0;
}

/*
 * There is at least one row, with the log's last position. If there is no event, its position is
 * NULL.
 */
static void take_ids(weir_lease_t *l, const PGresult *res, int64_t from)
{
    weir_lease_confirm_t *c = &l->confirm;

    assert(from > 0 && PQntuples(res) > 0);
    memset(c->ids, 0, WEIR_IDS_MAX * sizeof(*c->ids));
    c->from = from;
    c->session = l->group->session;
    c->to = weir_column_int(res, 0, IDS_NEWEST);
    weir_lease_note_newest(l, c->to);
    for (int i = 0; i < PQntuples(res); i++) {
        int64_t n = weir_column_int(res, i, IDS_POSITION) - from;

        if (n >= 0 && n < WEIR_IDS_MAX)
            snprintf(c->ids[n], sizeof(c->ids[n]), "%s", PQgetvalue(res, i, IDS_EVENT_ID));
    }
}

static void on_ids(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_lease_t *l = arg;
    int64_t asked = l->confirm.asked;

    assert(asked > 0);
    l->confirm.asked = 0;
    weir_refusal_note(&l->group->ids_refused, l->group->consumer.group, "worker_ids", error,
                      sqlstate);
    if (error != NULL || PQntuples(res) == 0)
        l->confirm.retry = weir_clock_ms() + WEIR_COMMIT_RETRY;
    else
        take_ids(l, res, asked);
    weir_group_wake(l->group);
    weir_lease_unref(l);
}

/* Queries the ids of the outbox from the item's position on; the item is put back. */
static void ask(weir_lease_t *l, weir_item_t *item, uint64_t now)
{
    static const char sql[] = "SELECT newest, position, event_id"
                              " FROM worker_ids($1::smallint, $2::bigint, $3::int)";
    weir_lease_confirm_t *c = &l->confirm;
    const char *values[] = {WEIR_NUMBER(l->partition), WEIR_NUMBER(item->position),
                            WEIR_NUMBER(WEIR_IDS_MAX)};

    assert(c->asked == 0 && item->position > 0);
    if (c->ids == NULL)
        c->ids = weir_alloc_array(WEIR_IDS_MAX, sizeof(*c->ids));
    c->from = 0;
    if (weir_db_query(l->group->db, sql, 3, values, on_ids, l)) {
        c->asked = item->position;
        weir_lease_ref(l);
        weir_queue_return(l->queue, item);
    } else {
        weir_queue_retry(l->queue, item, now + WEIR_COMMIT_RETRY);
    }
}

/*
 * An entry that cannot be parsed, and one whose event is no longer in the outbox, have no effect:
 * they count as confirmed.
 */
bool weir_confirm(weir_lease_t *l, weir_item_t *item, uint64_t now)
{
    const weir_lease_confirm_t *c = &l->confirm;
    weir_delivery_t *d = item->payload;
    unsigned session = l->group->session;
    int64_t n = item->position - c->from;
    bool answered = c->from != 0 && c->session == session;
    const char *id;

    if (d->proved == session)
        return true;
    if (!answered || n < 0 || n >= WEIR_IDS_MAX || item->position > c->to) {
        if (answered && n == 0) { /* the query was for this event: the log has no such position */
            weir_lease_strange(l, item->position, true);
            weir_queue_retry(l->queue, item, now);
        } else {
            ask(l, item, now);
        }
        return false;
    }
    id = c->ids[n];
    if (id[0] != '\0' && d->readable && strcmp(id, d->id) != 0) {
        weir_lease_strange(l, item->position, false);
        weir_queue_retry(l->queue, item, now);
        return false;
    }
    d->proved = session;
    d->missing = id[0] == '\0';
    return true;
}
