#include "events/worker/queue/delays.h"

#include "log/alloc.h"

#include <assert.h>
#include <stdlib.h>

struct weir_delay {
    weir_delay_t *next;
    int64_t position;
    uint64_t at;
};

void weir_delays_put(weir_delays_t *delays, int64_t position, uint64_t at)
{
    weir_delay_t *d = weir_alloc(sizeof(*d)), **p = &delays->first;

    assert((delays->first == NULL) == (delays->last == NULL));
    if (delays->last != NULL && delays->last->position < position)
        p = &delays->last->next;
    while (*p != NULL && (*p)->position < position)
        p = &(*p)->next;
    *d = (weir_delay_t){*p, position, at};
    *p = d;
    if (d->next == NULL)
        delays->last = d;
    assert(delays->first != NULL && delays->last->next == NULL);
}

uint64_t weir_delays_take(weir_delays_t *delays, int64_t position)
{
    weir_delay_t *before = NULL, *d = delays->first;
    uint64_t at;

    for (; d != NULL && d->position < position; d = d->next)
        before = d;
    if (d == NULL || d->position != position)
        return 0;
    at = d->at;
    *(before != NULL ? &before->next : &delays->first) = d->next;
    if (delays->last == d)
        delays->last = before;
    free(d);
    assert((delays->first == NULL) == (delays->last == NULL));
    return at;
}

void weir_delays_clear(weir_delays_t *delays)
{
    while (delays->first != NULL) {
        weir_delay_t *d = delays->first;

        delays->first = d->next;
        free(d);
    }
    delays->last = NULL;
}
