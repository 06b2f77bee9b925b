#include "events/worker/lease/delivery.h"

#include "common/ids/uuid7.h"
#include "events/cloudevent.h"
#include "events/worker/lease/group.h"
#include "events/worker/lease/lease.h"
#include "log/alloc.h"
#include "log/clock.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The event's type if the consumer wants it, or NULL. consume() has the same condition. */
static const char *wanted_type(const weir_consumer_t *consumer, const weir_event_t *event)
{
    if (event->for_group != NULL && strcmp(event->for_group, consumer->group) != 0)
        return NULL;
    for (const char *const *t = consumer->types; *t != NULL; t++) {
        if (strcmp(*t, event->type) == 0)
            return *t;
    }
    return NULL;
}

/*
 * In the form in which PostgreSQL prints it; empty if the id is not a UUID, because the outbox has
 * only UUIDs.
 */
static void copy_id(weir_delivery_t *d)
{
    if (weir_uuid_parse(weir_str(d->event.id), d->id) != 0)
        d->id[0] = '\0';
}

weir_delivery_t *weir_delivery_new(weir_lease_t *l, const char *json, size_t len)
{
    weir_delivery_t *d = weir_alloc(sizeof(*d));

    assert(json != NULL);
    d->lease = l;
    d->json = weir_alloc_bytes(json, len);
    d->len = len;
    d->root = weir_cloudevent_parse(json, len, &d->event, &d->origin);
    if (d->event.trace != NULL) {
        d->span.trace = d->origin; /* until the first attempt */
        d->event.trace = &d->span.trace;
    }
    d->readable = d->root != NULL;
    if (d->readable) {
        copy_id(d);
        d->type = wanted_type(&l->group->consumer, &d->event);
    }
    d->wanted = !d->readable || d->type != NULL;
    return d;
}

void weir_delivery_slim(weir_delivery_t *d)
{
    json_decref(d->root);
    d->root = NULL;
    d->origin.tracestate = d->span.trace.tracestate = NULL; /* it was in the document */
    d->event = (weir_event_t){.trace = d->event.trace};
}

void weir_delivery_free(void *delivery)
{
    weir_delivery_t *d = delivery;

    json_decref(d->root);
    free(d->json);
    free(d->error);
    free(d);
}

const weir_trace_t *weir_delivery_trace(const weir_delivery_t *d)
{
    return d->event.trace;
}

bool weir_delivery_is_owned(const weir_delivery_t *d)
{
    return weir_lease_is_owned(d->lease, weir_clock_ms());
}

weir_delivery_result_t weir_delivery_not_asked(const char *sqlstate)
{
    assert(sqlstate != NULL);
    return weir_db_is_away(sqlstate) ? WEIR_DELIVERY_GIVEN_UP : WEIR_DELIVERY_RETRY;
}
