#include "events/worker/private.h"

#include "events/cloudevent.h"
#include "log/alloc.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* As consume() sees it, too. */
static bool wants(const weir_consumer_t *consumer, const weir_event_t *event)
{
    if (event->for_group != NULL && strcmp(event->for_group, consumer->group) != 0)
        return false;
    for (const char *const *t = consumer->types; *t != NULL; t++) {
        if (strcmp(*t, event->type) == 0)
            return true;
    }
    return false;
}

/* In the form in which PostgreSQL prints it; none when it is no UUID, which no outbox has. */
static void copy_id(weir_delivery_t *d)
{
    const char *id = d->event.id;

    if (strlen(id) != sizeof(d->id) - 1)
        return;
    for (size_t i = 0; i < sizeof(d->id) - 1; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (dash ? id[i] != '-' : !isxdigit((unsigned char)id[i]))
            return;
    }
    memcpy(d->id, id, sizeof(d->id));
    for (char *p = d->id; *p != '\0'; p++)
        *p = (char)tolower((unsigned char)*p);
}

weir_delivery_t *weir_delivery_new(weir_lease_t *l, const char *json, size_t len)
{
    weir_delivery_t *d = weir_alloc(sizeof(*d));

    d->lease = l;
    d->json = weir_alloc_bytes(json, len);
    d->len = len;
    d->root = weir_cloudevent_parse(json, len, &d->event, d->trace_id);
    d->readable = d->root != NULL;
    if (d->readable)
        copy_id(d);
    d->wanted = !d->readable || wants(&l->group->consumer, &d->event);
    return d;
}

void weir_delivery_slim(weir_delivery_t *d)
{
    json_decref(d->root);
    d->root = NULL;
    d->event = (weir_event_t){.trace_id = d->event.trace_id};
}

void weir_delivery_free(void *delivery)
{
    weir_delivery_t *d = delivery;

    json_decref(d->root);
    free(d->json);
    free(d->error);
    free(d);
}

bool weir_delivery_is_owned(const weir_delivery_t *d)
{
    return weir_lease_is_owned(d->lease, weir_now_ms());
}

weir_delivery_result_t weir_delivery_not_asked(const char *sqlstate)
{
    return weir_db_is_away(sqlstate) ? WEIR_DELIVERY_GIVEN_UP : WEIR_DELIVERY_RETRY;
}
