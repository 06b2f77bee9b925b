// needs: ngx_module/cache/invalidation/invalidations.c ngx_module/redis/follow/position.c
// needs: ngx_module/cache/invalidation/invalidations_apply.c ngx_module/cache/policy/tags.c
// needs: ngx_module/cache/invalidation/invalidations_make.c
// needs: ngx_module/cache/invalidation/invalidations_client.c common/hash/blake2b.c
/*
 * The table of invalidations against a model that forgets nothing: whatever the
 * order of messages, invalidations made here, skipped positions, eras and deaths
 * in the middle of a change, and however small the table, a response is never
 * valid that something was invalidated for since.  (The other direction, that
 * nothing is invalid without a reason, the table does not promise; but a
 * response stamped just now is valid.)
 *
 * The input is a program: a byte for the operation, then its operands.
 */
#include "cache/invalidation/invalidations.h"

#include "cache/policy/tags.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NAMES 200 /* tags, and as many keys */
#define EVENTS_MAX 512
#define RESPONSES_MAX 64
#define ORIGIN 0x1234567890abcdefULL
#define STRANGER 0xfedcba0987654321ULL

typedef enum { TAG, KEY, PREFIX, ALL } kind_t;

typedef struct {
    kind_t kind;
    unsigned name;
    bool soft;
    uint64_t local;
    bool placed; /* position is known */
    weir_position_t position;
    bool pending; /* made here, and not yet seen in the stream */
} event_t;

typedef struct {
    weir_stamp_t stamp;
    unsigned key, tag;
} response_t;

static const uint8_t *input, *input_end;
static event_t events[EVENTS_MAX];
static response_t responses[RESPONSES_MAX];
static size_t nevents, nresponses;
static weir_invalidations_t *inv;
static weir_position_t head; /* of the stream */

static unsigned next(void)
{
    return input < input_end ? *input++ : 0;
}

static weir_str_t name_of(char *buf, char kind, unsigned name)
{
    int n = sprintf(buf, "%c%03u", kind, name % NAMES);

    return (weir_str_t){buf, (size_t)n};
}

static uint64_t hash_of(kind_t kind, unsigned name)
{
    char buf[8];

    return kind == TAG ? weir_tag_hash(name_of(buf, 't', name))
                       : weir_key_hash(name_of(buf, 'k', name));
}

/* keys are like k123: the first two characters are the prefix k1 */
static bool concerns(const event_t *e, const response_t *r)
{
    switch (e->kind) {
    case TAG:
        return hash_of(TAG, e->name) == hash_of(TAG, r->tag);
    case KEY:
        return e->name % NAMES == r->key % NAMES;
    case PREFIX:
        return e->name % NAMES / 100 == r->key % NAMES / 100;
    default:
        return true;
    }
}

static weir_validity_t expected(const response_t *r)
{
    weir_validity_t worst = WEIR_VALID;
    bool ours = r->stamp.origin == ORIGIN;

    for (size_t i = 0; i < nevents; i++) {
        const event_t *e = &events[i];
        bool after = ours ? e->local > r->stamp.local
                          : e->pending || (e->placed &&
                                           weir_position_cmp(r->stamp.position, e->position) < 0);

        if (!after || !concerns(e, r))
            continue;

        if (!e->soft)
            return WEIR_INVALID;

        worst = WEIR_INVALID_SOFT;
    }

    return worst;
}

static weir_validity_t check(const response_t *r)
{
    char key[8], block[8];
    uint64_t hash = hash_of(TAG, r->tag);
    weir_validity_t validity;

    for (int i = 0; i < 8; i++)
        block[i] = (char)(hash >> (8 * i));

    validity =
        weir_invalidations_check(inv, &r->stamp, name_of(key, 'k', r->key), (weir_str_t){block, 8});

    /* the short way says nothing else */
    if (weir_invalidations_untouched(inv, &r->stamp))
        assert(validity == WEIR_VALID);

    return validity;
}

static void check_all(void)
{
    for (size_t i = 0; i < nresponses; i++)
        assert(check(&responses[i]) >= expected(&responses[i]));
}

static void advance(void)
{
    head.ms += next() % 3;
    head.seq++;
}

static event_t *add(kind_t kind, unsigned name, bool soft)
{
    event_t *e = &events[nevents < EVENTS_MAX ? nevents++ : EVENTS_MAX - 1];

    memset(e, 0, sizeof(*e));
    e->kind = kind;
    e->name = name;
    e->soft = soft;

    return e;
}

static void message(void)
{
    unsigned what = next(), name = next();
    kind_t kind = (kind_t)(what & 3);
    char buf[8];
    weir_str_t fields[4] = {{NULL, 0}};
    size_t n = 2;
    event_t *e = add(kind, name, (what & 4) != 0);

    advance();

    switch (kind) {
    case TAG:
        fields[0] = WEIR_STR("tags");
        fields[1] = name_of(buf, 't', name);
        break;
    case KEY:
        fields[0] = WEIR_STR("keys");
        fields[1] = name_of(buf, 'k', name);
        break;
    case PREFIX:
        fields[0] = WEIR_STR("prefix");
        fields[1] = name_of(buf, 'k', name);
        fields[1].len = 2;
        break;
    default:
        fields[0] = WEIR_STR("all");
        fields[1] = WEIR_STR("1");
    }

    if (e->soft) {
        fields[2] = WEIR_STR("soft");
        fields[3] = WEIR_STR("1");
        n = 4;
    }

    assert(weir_invalidations_apply(inv, head, fields, n) == NULL);
    e->placed = true;
    e->position = head;
    e->local = inv->local;
}

static void make(void)
{
    unsigned what = next(), name = next();
    kind_t kind = (what & 1) ? KEY : TAG;
    uint64_t hash = hash_of(kind, name);
    event_t *e = add(kind, name, (what & 2) != 0);
    bool placed = (what & 4) != 0, pending = (what & 8) != 0;

    if (placed) {
        /* as XADD said it; the follower reads it later */
        advance();
        e->placed = true;
        e->position = head;
    }

    e->local =
        weir_invalidations_make(inv, &hash, 1, e->soft, placed ? &head : NULL, pending, nevents);
    e->pending = !placed && pending;
}

/* One that is pending comes back from the stream. */
static void confirm(void)
{
    char local[48], hex[20];
    weir_str_t fields[6];
    event_t *e;
    size_t i = next();

    if (nevents == 0 || !(e = &events[i % nevents])->pending)
        return;

    advance();
    fields[0] = WEIR_STR("hashes");
    fields[1] = (weir_str_t){
        hex, (size_t)sprintf(hex, "%016llx", (unsigned long long)hash_of(e->kind, e->name))};
    fields[2] = WEIR_STR("edge");
    fields[3] =
        (weir_str_t){local, (size_t)sprintf(local, "%016llx-%llu", (unsigned long long)ORIGIN,
                                            (unsigned long long)e->local)};
    fields[4] = WEIR_STR("soft");
    fields[5] = e->soft ? WEIR_STR("1") : WEIR_STR("0");

    assert(weir_invalidations_apply(inv, head, fields, 6) == NULL);

    /* and with it what was made of that name before */
    for (i = 0; i < nevents; i++) {
        if (events[i].kind == e->kind && events[i].name % NAMES == e->name % NAMES &&
            events[i].soft == e->soft && events[i].pending && events[i].local <= e->local &&
            &events[i] != e) {
            events[i].pending = false;
            events[i].placed = true;
            events[i].position = head;
        }
    }

    e->pending = false;
    e->placed = true;
    e->position = head;
}

static void respond(bool ours)
{
    response_t *r = &responses[nresponses < RESPONSES_MAX ? nresponses++ : next() % RESPONSES_MAX];

    r->key = next();
    r->tag = next();
    weir_invalidations_stamp(inv, &r->stamp);

    if (ours) {
        assert(check(r) == WEIR_VALID);
        return;
    }

    /* another edge may be ahead of this one, or behind */
    r->stamp.origin = STRANGER;
    r->stamp.local = next();
    r->stamp.position.seq += (uint64_t)(next() % 8);
    r->stamp.position.seq -= r->stamp.position.seq < 4 ? 0 : 4;
}

/* Anything at all in a message. */
static void garbage(void)
{
    static const char *const names[] = {"tags", "keys", "prefix", "all", "hashes", "edge", "soft"};
    size_t n = next() % 5, len;
    weir_str_t fields[10];

    for (size_t i = 0; i < n; i++) {
        const char *name = names[next() % 7];

        fields[2 * i] = (weir_str_t){name, strlen(name)};
        len = next();
        if (len > (size_t)(input_end - input))
            len = (size_t)(input_end - input);
        fields[2 * i + 1] = (weir_str_t){(const char *)input, len};
        input += len;
    }

    advance();
    weir_invalidations_apply(inv, head, fields, 2 * n);
}

static void position(void)
{
    size_t len = next() % 48;
    weir_position_t p;

    if (len > (size_t)(input_end - input))
        len = (size_t)(input_end - input);

    weir_position_parse((weir_str_t){(const char *)input, len}, &p);
    input += len;
}

static void unsent(void)
{
    uint64_t hashes[8];
    bool soft, all;
    size_t n = weir_invalidations_unsent(inv, nevents + 1, next() % 4, hashes, 8, &soft, &all);

    assert(n <= 8 && (!all || n == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t room = WEIR_INVALIDATION_MEMORY_MIN;
    void *memory;

    input = data;
    input_end = data + size;
    nevents = 0;
    nresponses = 0;
    head = (weir_position_t){1, 0};

    room += next() * 64;
    memory = calloc(1, room);
    assert(memory != NULL);
    inv = weir_invalidations_init(memory, room, ORIGIN);

    while (input < input_end && nevents < EVENTS_MAX) {
        switch (next() % 12) {
        case 0:
        case 1:
            message();
            break;
        case 2:
            make();
            break;
        case 3:
            confirm();
            break;
        case 4:
        case 5:
            respond(true);
            break;
        case 6:
            respond(false);
            break;
        case 7:
            garbage();
            break;
        case 8:
            /* missed: anything may have been in there */
            advance();
            weir_invalidations_skip(inv, head);
            *add(ALL, 0, false) = (event_t){ALL, 0, false, inv->local, true, head, false};
            break;
        case 9:
            weir_invalidations_begin(inv, inv->era + 1 + next() % 2, head);
            nresponses = 0;
            nevents = 0;
            break;
        case 10:
            if (next() % 4 == 0) {
                inv->changing = 1 + next() % 2;
                weir_invalidations_distrust(inv);
                *add(ALL, 0, false) = (event_t){.kind = ALL, .local = inv->local};
            } else {
                unsent();
            }
            break;
        default:
            position();
        }

        check_all();
    }

    free(memory);
    return 0;
}
