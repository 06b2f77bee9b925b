/* Proofs for strangers; see proof.h. */
#include "common/audit/proof.h"

#include <assert.h>
#include <stdlib.h>

#define FORMAT "audit-proof/1"
#define PARTITION_DIGITS 6

/* --- making ---------------------------------------------------------------------------------- */

static json_t *record_json(const weir_audit_record_t *record)
{
    json_t *object = json_object();

    for (int i = 0; i < WEIR_AUDIT_FIELDS; i++) {
        const weir_str_t *f = &record->fields[i];

        json_object_set_new(object, weir_audit_field_names[i],
                            f->data != NULL ? json_stringn(f->data, f->len) : json_null());
    }

    return object;
}

json_t *weir_audit_proof_json(const weir_audit_record_t *record, uint64_t position,
                              const weir_merkle_path_t *path, const weir_audit_signed_t *head)
{
    json_t *hashes = json_array();

    for (size_t i = 0; i < path->len; i++) {
        char digits[WEIR_AUDIT_DIGITS + 1];

        weir_audit_print_hash(digits, &path->hashes[i]);
        json_array_append_new(hashes, json_string(digits));
    }

    return json_pack("{s:s, s:o, s:I, s:o, s:o}", "weir", FORMAT, "record", record_json(record),
                     "position", (json_int_t)position, "path", hashes, "head",
                     weir_audit_signed_json(head));
}

/* --- reading --------------------------------------------------------------------------------- */

static bool read_record(const json_t *json, weir_audit_record_t *record)
{
    if (json_object_size(json) != WEIR_AUDIT_FIELDS)
        return false;
    for (int i = 0; i < WEIR_AUDIT_FIELDS; i++) {
        const json_t *value = json_object_get(json, weir_audit_field_names[i]);

        if (value == NULL || (!json_is_string(value) && !json_is_null(value)))
            return false;
        record->fields[i] = (weir_str_t){json_string_value(value), json_string_length(value)};
    }

    return true;
}

static bool read_partition(weir_str_t text, int *partition)
{
    *partition = 0;
    if (text.len == 0 || text.len > PARTITION_DIGITS || (text.len > 1 && text.data[0] == '0'))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        *partition = *partition * 10 + (text.data[i] - '0');
    }

    return true;
}

static bool read_path(const json_t *json, weir_merkle_path_t *path)
{
    if (!json_is_array(json) || json_array_size(json) > WEIR_MERKLE_DEPTH)
        return false;
    path->len = json_array_size(json);
    for (size_t i = 0; i < path->len; i++) {
        const json_t *value = json_array_get(json, i);

        if (!json_is_string(value) ||
            !weir_audit_read_hash((weir_str_t){json_string_value(value), json_string_length(value)},
                                  &path->hashes[i]))
            return false;
    }

    return true;
}

bool weir_audit_proof_parse(weir_str_t text, weir_audit_proof_t *proof)
{
    const json_t *position;

    proof->json = NULL;
    if (text.len > WEIR_AUDIT_PROOF_MAX)
        return false;
    proof->json = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
    position = json_object_get(proof->json, "position");
    if (json_object_size(proof->json) != 5 || !json_is_integer(position) ||
        json_integer_value(position) < 0)
        return false;
    proof->position = (uint64_t)json_integer_value(position);

    return weir_str_eq((weir_str_t){json_string_value(json_object_get(proof->json, "weir")),
                                    json_string_length(json_object_get(proof->json, "weir"))},
                       WEIR_STR(FORMAT)) &&
           read_record(json_object_get(proof->json, "record"), &proof->record) &&
           read_partition(proof->record.fields[WEIR_AUDIT_PARTITION], &proof->partition) &&
           read_path(json_object_get(proof->json, "path"), &proof->path) &&
           weir_audit_signed_read(json_object_get(proof->json, "head"), &proof->head);
}

void weir_audit_proof_release(weir_audit_proof_t *proof)
{
    json_decref(proof->json);
    proof->json = NULL;
}

/* --- checking -------------------------------------------------------------------------------- */

weir_audit_verdict_t weir_audit_proof_check(const weir_audit_proof_t *proof,
                                            const weir_audit_key_t *key, weir_audit_head_t *head)
{
    const weir_audit_chain_t *chain;
    weir_hash_t leaf;

    assert(proof->json != NULL);
    if (strcmp(proof->head.key, key->id) != 0)
        return WEIR_AUDIT_OTHER_KEY;
    if (!weir_audit_is_signed(key, proof->head.text, proof->head.signature))
        return WEIR_AUDIT_UNSIGNED;
    if (!weir_audit_head_parse(weir_str(proof->head.text), head))
        return WEIR_AUDIT_MALFORMED;
    chain = weir_audit_head_chain(head, proof->partition);
    if (chain == NULL || proof->position >= chain->size)
        return WEIR_AUDIT_NO_CHAIN;
    weir_audit_leaf(&proof->record, &leaf);

    return weir_merkle_includes(&chain->root, chain->size, proof->position, &leaf, &proof->path)
               ? WEIR_AUDIT_PROVED
               : WEIR_AUDIT_NOT_IN_TREE;
}

const char *weir_audit_verdict_text(weir_audit_verdict_t verdict)
{
    static const char *const texts[] = {
        [WEIR_AUDIT_PROVED] = "the record is in the log",
        [WEIR_AUDIT_MALFORMED] = "this is not a proof of the form audit-proof/1",
        [WEIR_AUDIT_OTHER_KEY] = "the head was signed by another key",
        [WEIR_AUDIT_UNSIGNED] = "the signature is not that of the head",
        [WEIR_AUDIT_NO_CHAIN] = "the head does not cover the record's partition and position",
        [WEIR_AUDIT_NOT_IN_TREE] = "the record is not what was sealed at this position",
    };

    return texts[verdict];
}
