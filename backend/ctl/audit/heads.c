/* Heads from three places; see heads.h. */
#include "ctl/audit/heads.h"

#include "audit/audit.h"
#include "ctl/redis/redis.h"
#include "log/alloc.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct weir_heads_item {
    uint64_t number;
    int64_t time;
    unsigned places;
    weir_hash_t hash, previous;
    char *text; /* freed when the chains were taken */
    char key[WEIR_AUDIT_KEY_ID + 1];
    char signature[WEIR_AUDIT_SIGNATURE_MAX + 1];
    bool is_known; /* it counts */
} item_t;

static weir_heads_place_t first_place(unsigned places)
{
    return places & WEIR_HEADS_DATABASE ? WEIR_HEADS_DATABASE
           : places & WEIR_HEADS_FILE   ? WEIR_HEADS_FILE
                                        : WEIR_HEADS_REDIS;
}

static const char *place_name(weir_heads_place_t place)
{
    return place == WEIR_HEADS_DATABASE ? "the database"
           : place == WEIR_HEADS_FILE   ? "the file"
                                        : "Redis";
}

static void add(weir_heads_t *heads, const weir_audit_signed_t *signed_head,
                weir_heads_place_t place, const char *where, weir_findings_t *findings)
{
    weir_audit_head_t head;
    item_t *item;

    heads->places |= place;
    if (!weir_audit_head_parse(weir_str(signed_head->text), &head)) {
        weir_findings_add(findings, "head damaged", where, "%s has a text that is no head",
                          place_name(place));
        return;
    }
    if (heads->n == heads->room) {
        heads->room = heads->room > 0 ? 2 * heads->room : 256;
        heads->items = weir_alloc_resize(heads->items, heads->room, sizeof(*heads->items));
    }
    item = &heads->items[heads->n++];
    *item = (item_t){.number = head.number,
                     .time = head.time,
                     .places = place,
                     .previous = head.previous,
                     .text = weir_alloc_text(signed_head->text)};
    weir_audit_head_hash(signed_head->text, &item->hash);
    memcpy(item->key, signed_head->key, sizeof(item->key));
    memcpy(item->signature, signed_head->signature, sizeof(item->signature));
}

/* --- reading --------------------------------------------------------------------------------- */

static void add_json(weir_heads_t *heads, const char *text, size_t len, weir_heads_place_t place,
                     const char *where, weir_findings_t *findings)
{
    weir_audit_signed_t head;
    json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);

    if (weir_audit_signed_read(json, &head))
        add(heads, &head, place, where, findings);
    else
        weir_findings_add(findings, "head damaged", where, "%s has an entry that is no head",
                          place_name(place));
    json_decref(json);
}

void weir_heads_read_file(weir_heads_t *heads, const char *path, weir_findings_t *findings)
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t room = 0, n = 0;
    ssize_t len;

    if (file == NULL)
        exit(weir_ctl_fail(
            WEIR_CTL_AWAY, "%s: %s%s", path, strerror(errno),
            errno != ENOENT ? ""
                            : "; a process with the role relay makes it with the first head, "
                              "audit_interval after a record: if there was one, it was removed"));
    while ((len = getline(&line, &room, file)) > 0) {
        char where[32];

        snprintf(where, sizeof(where), "line %zu", ++n);
        if (line[len - 1] != '\n')
            break; /* the sealer is writing it, or replaces it */
        add_json(heads, line, (size_t)len, WEIR_HEADS_FILE, where, findings);
    }
    if (ferror(file))
        exit(weir_ctl_fail(WEIR_CTL_AWAY, "%s: %s", path, strerror(errno)));
    free(line);
    fclose(file);
}

/* The value of the field in an entry of XRANGE, or NULL. */
static const redisReply *value_of(const redisReply *entry)
{
    const redisReply *fields =
        entry->type == REDIS_REPLY_ARRAY && entry->elements == 2 ? entry->element[1] : NULL;

    if (fields == NULL || fields->type != REDIS_REPLY_ARRAY || fields->elements != 2 ||
        strcmp(fields->element[0]->str, WEIR_AUDIT_HEADS_FIELD) != 0)
        return NULL;

    return fields->element[1];
}

bool weir_heads_read_redis(weir_heads_t *heads, const weir_ctl_t *ctl, weir_findings_t *findings,
                           char *error, size_t size)
{
    weir_ctl_redis_t *redis = weir_ctl_redis_open(ctl, error, size);
    redisReply *reply;
    bool good;

    if (redis == NULL)
        return false;
    reply = weir_ctl_redis_ask(
        redis, 4, (const char *[]){"XRANGE", WEIR_AUDIT_HEADS_STREAM, "-", "+"}, NULL, error, size);
    good = reply != NULL && reply->type == REDIS_REPLY_ARRAY;
    if (reply != NULL && !good)
        snprintf(error, size, "an unexpected reply");
    for (size_t i = 0; good && i < reply->elements; i++) {
        const redisReply *value = value_of(reply->element[i]);
        char where[32];

        snprintf(where, sizeof(where), "entry %zu", i + 1);
        if (value != NULL)
            add_json(heads, value->str, value->len, WEIR_HEADS_REDIS, where, findings);
        else
            weir_findings_add(findings, "head damaged", where,
                              "Redis has an entry that is no head");
    }
    if (reply != NULL)
        freeReplyObject(reply);
    weir_ctl_redis_close(redis);

    return good;
}

/* False: the value is too long. */
static bool copy(char *out, size_t size, const PGresult *res, int row, int column)
{
    return (size_t)snprintf(out, size, "%s", PQgetvalue(res, row, column)) < size;
}

void weir_heads_read_database(weir_heads_t *heads, weir_ctl_t *ctl, weir_findings_t *findings)
{
    PGresult *res = PQexec(ctl->db, "SELECT number, head, key, signature FROM audit_heads");
    int n = PQntuples(res);

    if (PQresultStatus(res) != PGRES_TUPLES_OK)
        exit(weir_ctl_fail(WEIR_CTL_AWAY, "PostgreSQL: %s", PQresultErrorMessage(res)));
    for (int i = 0; i < n; i++) {
        weir_audit_signed_t head;
        size_t before = heads->n;
        char where[40];

        snprintf(where, sizeof(where), "head %s", PQgetvalue(res, i, 0));
        if (!copy(head.text, sizeof(head.text), res, i, 1) ||
            !copy(head.key, sizeof(head.key), res, i, 2) ||
            !copy(head.signature, sizeof(head.signature), res, i, 3)) {
            weir_findings_add(findings, "head damaged", where,
                              "the database has a row that is no head");
            continue;
        }
        add(heads, &head, WEIR_HEADS_DATABASE, where, findings);
        if (heads->n > before &&
            heads->items[before].number != strtoull(PQgetvalue(res, i, 0), NULL, 10))
            weir_findings_add(findings, "head changed", where,
                              "the row has another number than the head, %" PRIu64,
                              heads->items[before].number);
    }
    PQclear(res);
}

/* --- checking -------------------------------------------------------------------------------- */

static int compare_items(const void *a, const void *b)
{
    const item_t *x = a, *y = b;

    if (x->number != y->number)
        return x->number < y->number ? -1 : 1;

    return memcmp(&x->hash, &y->hash, sizeof(x->hash));
}

static void name_item(const item_t *item, char where[40])
{
    snprintf(where, 40, "head %" PRIu64, item->number);
}

/* Of two signatures of a text, those of our key that are wrong; *last keeps a good one. */
static void compare_signatures(item_t *last, const item_t *item, const weir_audit_key_t *key,
                               weir_findings_t *findings)
{
    bool good = weir_audit_is_signed(key, item->text, item->signature);
    char where[40];

    name_item(item, where);
    if (strcmp(last->key, item->key) != 0)
        weir_findings_add(findings, "head changed", where, "%s names another key than %s",
                          place_name(first_place(item->places)),
                          place_name(first_place(last->places)));
    else if (!good || !weir_audit_is_signed(key, last->text, last->signature))
        weir_findings_add(findings, "signature", where,
                          "%s has another signature than %s, and not both are of the key %s",
                          place_name(first_place(item->places)),
                          place_name(first_place(last->places)), key->id);
    if (good) {
        memcpy(last->signature, item->signature, sizeof(last->signature));
        memcpy(last->key, item->key, sizeof(last->key));
    }
}

/* The same text in several places is one item; its signatures may differ, as those of ECDSA do. */
static void merge(weir_heads_t *heads, const weir_audit_key_t *key, weir_findings_t *findings)
{
    size_t n = 0;

    if (heads->n == 0)
        return;
    qsort(heads->items, heads->n, sizeof(*heads->items), compare_items);
    for (size_t i = 0; i < heads->n; i++) {
        item_t *item = &heads->items[i], *last = n > 0 ? &heads->items[n - 1] : NULL;

        if (last == NULL || compare_items(last, item) != 0) {
            heads->items[n++] = *item;
            continue;
        }
        if (strcmp(last->signature, item->signature) != 0 || strcmp(last->key, item->key) != 0)
            compare_signatures(last, item, key, findings);
        last->places |= item->places;
        free(item->text);
    }
    heads->n = n;
}

/* From the newest to the oldest; the places are compared, too. */
static void check_item(const weir_heads_t *heads, size_t i, const weir_audit_key_t *key,
                       weir_findings_t *findings)
{
    item_t *item = &heads->items[i];
    const item_t *next = i + 1 < heads->n ? &heads->items[i + 1] : NULL;
    bool follows = next != NULL && next->number == item->number + 1, is_alone, is_signed;
    char where[40];

    name_item(item, where);
    item->is_known =
        follows && next->is_known && memcmp(&next->previous, &item->hash, sizeof(item->hash)) == 0;
    /* Two places that agree need no third proof of a head that a later one names. */
    is_alone = (item->places & (item->places - 1)) == 0 && strcmp(item->key, key->id) == 0;
    is_signed =
        (item->is_known && !is_alone) || weir_audit_is_signed(key, item->text, item->signature);
    item->is_known = item->is_known || is_signed;
    if (!is_signed)
        weir_findings_add(findings, "signature", where,
                          "the key %s has not signed this head; it is said to be of %s", key->id,
                          item->key);
    if (next != NULL && next->number == item->number)
        weir_findings_add(findings, "head changed", where, "there are two heads of this number");
    else if (follows && memcmp(&next->previous, &item->hash, sizeof(item->hash)) != 0)
        weir_findings_add(findings, "head changed", where,
                          "it is not the head that the next one continues");
    else if (next != NULL && !follows)
        weir_findings_add(findings, "head removed", where,
                          "the heads after it, up to %" PRIu64 ", are missing", next->number - 1);
    if (!(item->places & WEIR_HEADS_DATABASE))
        weir_findings_add(findings, "head removed", where, "%s has it, and the database does not",
                          place_name(first_place(item->places)));
}

static int compare_ends(const void *a, const void *b)
{
    const weir_heads_end_t *x = a, *y = b;

    if (x->chain.partition != y->chain.partition)
        return x->chain.partition < y->chain.partition ? -1 : 1;
    if (x->chain.size != y->chain.size)
        return x->chain.size < y->chain.size ? -1 : 1;

    return x->number < y->number ? -1 : x->number > y->number;
}

static void take_ends(weir_heads_t *heads)
{
    size_t room = 0;

    for (size_t i = 0; i < heads->n; i++) {
        item_t *item = &heads->items[i];
        weir_audit_head_t head;

        if (item->is_known && weir_audit_head_parse(weir_str(item->text), &head)) {
            for (size_t k = 0; k < head.n; k++) {
                if (heads->n_ends == room) {
                    room = room > 0 ? 2 * room : 256;
                    heads->ends = weir_alloc_resize(heads->ends, room, sizeof(*heads->ends));
                }
                heads->ends[heads->n_ends++] =
                    (weir_heads_end_t){head.chains[k], item->number, item->time};
            }
        }
        free(item->text);
        item->text = NULL;
    }
    if (heads->n_ends > 0)
        qsort(heads->ends, heads->n_ends, sizeof(*heads->ends), compare_ends);
}

void weir_heads_check(weir_heads_t *heads, const weir_audit_key_t *key, weir_findings_t *findings)
{
    static const weir_hash_t none;
    char where[40];

    merge(heads, key, findings);
    for (size_t i = heads->n; i > 0; i--)
        check_item(heads, i - 1, key, findings);
    if (heads->n > 0 && memcmp(&heads->items[0].previous, &none, sizeof(none)) != 0) {
        name_item(&heads->items[0], where);
        weir_findings_add(findings, "head removed", where, "the heads before it are missing");
    }
    take_ends(heads);
}

void weir_heads_free(weir_heads_t *heads)
{
    for (size_t i = 0; i < heads->n; i++)
        free(heads->items[i].text);
    free(heads->items);
    free(heads->ends);
    *heads = (weir_heads_t){.items = NULL};
}
