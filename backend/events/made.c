#include "events/made.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

void weir_made_note(weir_made_t *m, const char *event_id, uint64_t now)
{
    assert(event_id != NULL && m->next < WEIR_MADE_MAX);
    snprintf(m->ring[m->next].event_id, sizeof(m->ring[m->next].event_id), "%s", event_id);
    m->ring[m->next].until = now + WEIR_MADE_KEEP;
    m->next = (m->next + 1) % WEIR_MADE_MAX;
}

bool weir_made_take(weir_made_t *m, const char *event_id, uint64_t now)
{
    assert(event_id != NULL);
    for (unsigned i = 0; i < WEIR_MADE_MAX; i++) {
        if (m->ring[i].until > now && strcmp(m->ring[i].event_id, event_id) == 0) {
            m->ring[i].until = 0;
            return true;
        }
    }
    return false;
}
