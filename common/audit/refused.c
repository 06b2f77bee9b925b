/* Refused requests, sampled; see refused.h. */

#include "common/audit/refused.h"

#include <string.h>

static uint64_t add(uint64_t hash, const char *text)
{
    do {
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3;
    } while (*text++ != '\0');

    return hash;
}

static bool is_same(const weir_refused_t *a, const weir_refused_t *b)
{
    return strcmp(a->outcome, b->outcome) == 0 && strcmp(a->subject, b->subject) == 0 &&
           strcmp(a->address, b->address) == 0;
}

static bool has_ended(const weir_refused_place_t *place, int64_t now)
{
    return now >= place->since + WEIR_REFUSED_WINDOW || now < place->since;
}

/* Its place, or the one that it takes: a free one, or the last. */
static weir_refused_place_t *find(weir_refused_flood_t *flood, const weir_refused_t *refused,
                                  uint64_t hash, int64_t now)
{
    weir_refused_place_t *free_place = &flood->places[WEIR_REFUSED_CALLERS];

    for (size_t i = 0; i < WEIR_REFUSED_CALLERS; i++) {
        weir_refused_place_t *place = &flood->places[i];

        if (place->n > 0 && place->n <= WEIR_REFUSED_EXACT && has_ended(place, now))
            place->n = 0;
        if (place->n > 0 && place->hash == hash && is_same(&place->first, refused))
            return place;
        if (place->n == 0)
            free_place = place;
    }

    return free_place;
}

bool weir_refused_note(weir_refused_flood_t *flood, const weir_refused_t *refused, int64_t now)
{
    uint64_t hash =
        add(add(add(0xcbf29ce484222325, refused->outcome), refused->subject), refused->address);
    weir_refused_place_t *place = find(flood, refused, hash, now);
    bool is_last = place == &flood->places[WEIR_REFUSED_CALLERS];

    if (place->n == 0) {
        place->hash = hash;
        place->since = now;
        place->first = *refused;
        if (is_last) {
            place->first = (weir_refused_t){.subject = WEIR_REFUSED_SEVERAL};
            memcpy(place->first.outcome, WEIR_REFUSED_SEVERAL, sizeof(WEIR_REFUSED_SEVERAL));
            memcpy(place->first.object, WEIR_REFUSED_SEVERAL, sizeof(WEIR_REFUSED_SEVERAL));
        }
    }
    place->n++;

    return !is_last && place->n <= WEIR_REFUSED_EXACT;
}

uint64_t weir_refused_sum(weir_refused_flood_t *flood, bool all, int64_t now,
                          const weir_refused_t **refused)
{
    for (size_t i = 0; i <= WEIR_REFUSED_CALLERS; i++) {
        weir_refused_place_t *place = &flood->places[i];
        uint64_t exact = i < WEIR_REFUSED_CALLERS ? WEIR_REFUSED_EXACT : 0, n = place->n;

        if (n == 0 || (!all && !has_ended(place, now)))
            continue;
        place->n = 0;
        if (n <= exact)
            continue;
        *refused = &place->first;
        return n - exact;
    }

    return 0;
}

bool weir_refused_is_open(const weir_refused_flood_t *flood)
{
    for (size_t i = 0; i <= WEIR_REFUSED_CALLERS; i++) {
        if (flood->places[i].n > 0)
            return true;
    }

    return false;
}

void weir_refused_put(char *out, size_t size, const char *text, size_t len)
{
    if (len >= size) {
        len = size - 1;
        while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
            len--;
    }
    if (len > 0)
        memcpy(out, text, len);
    out[len] = '\0';
}
