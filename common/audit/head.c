/* Heads of the audit log; see head.h. */
#include "common/audit/head.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_LINE "weir-audit-head/1\n"
#define PARTITION_MAX 999999

/* --- writing --------------------------------------------------------------------------------- */

void weir_audit_head_print(const weir_audit_head_t *head, char out[WEIR_AUDIT_HEAD_MAX + 1])
{
    char previous[WEIR_AUDIT_DIGITS + 1], root[WEIR_AUDIT_DIGITS + 1], link[WEIR_AUDIT_DIGITS + 1];
    size_t size = WEIR_AUDIT_HEAD_MAX + 1, len;

    assert(head->n <= WEIR_AUDIT_CHAINS_MAX && head->number > 0);
    weir_audit_print_hash(previous, &head->previous);
    len = (size_t)snprintf(out, size,
                           FIRST_LINE "number %" PRIu64 "\ntime %" PRId64 "\nprevious %s\n",
                           head->number, head->time, previous);
    for (size_t i = 0; i < head->n; i++) {
        const weir_audit_chain_t *c = &head->chains[i];

        assert(c->size > 0 && c->partition >= 0 && c->partition <= PARTITION_MAX);
        assert(i == 0 || c->partition > head->chains[i - 1].partition);
        weir_audit_print_hash(root, &c->root);
        weir_audit_print_hash(link, &c->link);
        len += (size_t)snprintf(out + len, size - len, "chain %d %" PRIu64 " %s %s\n", c->partition,
                                c->size, root, link);
        assert(len < size);
    }
}

/* --- reading --------------------------------------------------------------------------------- */

/* Takes the text from the beginning of *rest, if it is there. */
static bool take(weir_str_t *rest, const char *text)
{
    size_t len = strlen(text);

    if (rest->len < len || memcmp(rest->data, text, len) != 0)
        return false;
    rest->data += len;
    rest->len -= len;

    return true;
}

/* A number from 0 to max, without a zero before it. */
static bool take_number(weir_str_t *rest, uint64_t max, uint64_t *number)
{
    size_t n = 0;

    *number = 0;
    while (n < rest->len && rest->data[n] >= '0' && rest->data[n] <= '9') {
        uint64_t digit = (uint64_t)(rest->data[n] - '0');

        if (*number > (max - digit) / 10 || (n > 0 && *number == 0))
            return false;
        *number = *number * 10 + digit;
        n++;
    }
    rest->data += n;
    rest->len -= n;

    return n > 0;
}

static bool take_hash(weir_str_t *rest, weir_hash_t *hash)
{
    if (rest->len < WEIR_AUDIT_DIGITS ||
        !weir_audit_read_hash((weir_str_t){rest->data, WEIR_AUDIT_DIGITS}, hash))
        return false;
    rest->data += WEIR_AUDIT_DIGITS;
    rest->len -= WEIR_AUDIT_DIGITS;

    return true;
}

static bool take_chain(weir_str_t *rest, weir_audit_head_t *head)
{
    weir_audit_chain_t *chain = &head->chains[head->n];
    uint64_t partition;

    if (head->n == WEIR_AUDIT_CHAINS_MAX || !take(rest, "chain ") ||
        !take_number(rest, PARTITION_MAX, &partition) || !take(rest, " ") ||
        !take_number(rest, INT64_MAX, &chain->size) || !take(rest, " ") ||
        !take_hash(rest, &chain->root) || !take(rest, " ") || !take_hash(rest, &chain->link) ||
        !take(rest, "\n"))
        return false;
    chain->partition = (int)partition;
    if (chain->size == 0 || (head->n > 0 && chain->partition <= chain[-1].partition))
        return false;
    head->n++;

    return true;
}

bool weir_audit_head_parse(weir_str_t text, weir_audit_head_t *head)
{
    uint64_t seconds;

    if (text.len > WEIR_AUDIT_HEAD_MAX)
        return false;
    head->n = 0;
    if (!take(&text, FIRST_LINE) || !take(&text, "number ") ||
        !take_number(&text, INT64_MAX, &head->number) || head->number == 0 ||
        !take(&text, "\ntime ") || !take_number(&text, INT64_MAX, &seconds) ||
        !take(&text, "\nprevious ") || !take_hash(&text, &head->previous) || !take(&text, "\n"))
        return false;
    head->time = (int64_t)seconds;
    while (text.len > 0) {
        if (!take_chain(&text, head))
            return false;
    }

    return true;
}

void weir_audit_head_hash(const char *text, weir_hash_t *hash)
{
    weir_sha256(&(weir_hash_part_t){text, strlen(text)}, 1, hash);
}

const weir_audit_chain_t *weir_audit_head_chain(const weir_audit_head_t *head, int partition)
{
    for (size_t i = 0; i < head->n; i++) {
        if (head->chains[i].partition == partition)
            return &head->chains[i];
    }

    return NULL;
}

/* --- JSON ------------------------------------------------------------------------------------ */

json_t *weir_audit_signed_json(const weir_audit_signed_t *head)
{
    return json_pack("{s:s, s:s, s:s}", "head", head->text, "key", head->key, "signature",
                     head->signature);
}

static bool read_text(const json_t *json, const char *name, char *out, size_t max)
{
    const json_t *value = json_object_get(json, name);
    size_t len = json_string_length(value);

    if (!json_is_string(value) || len == 0 || len > max || strlen(json_string_value(value)) != len)
        return false;
    memcpy(out, json_string_value(value), len + 1);

    return true;
}

bool weir_audit_signed_read(const json_t *json, weir_audit_signed_t *head)
{
    return json_is_object(json) && json_object_size(json) == 3 &&
           read_text(json, "head", head->text, WEIR_AUDIT_HEAD_MAX) &&
           read_text(json, "key", head->key, WEIR_AUDIT_KEY_ID) &&
           read_text(json, "signature", head->signature, WEIR_AUDIT_SIGNATURE_MAX);
}
