/* Records and their hashes; see record.h. */
#include "common/audit/record.h"

#include "common/text/hex.h"

#include <assert.h>

#define VERSION "weir-audit-1"
#define NONE UINT32_MAX

const char *const weir_audit_field_names[WEIR_AUDIT_FIELDS] = {
    [WEIR_AUDIT_PARTITION] = "partition", [WEIR_AUDIT_ID] = "id",
    [WEIR_AUDIT_TIME] = "time",           [WEIR_AUDIT_OPERATION] = "operation",
    [WEIR_AUDIT_OBJECT] = "object",       [WEIR_AUDIT_OUTCOME] = "outcome",
    [WEIR_AUDIT_SUBJECT] = "subject",     [WEIR_AUDIT_ACTOR] = "actor",
    [WEIR_AUDIT_ADDRESS] = "address",     [WEIR_AUDIT_TRACE] = "trace_id",
    [WEIR_AUDIT_DETAIL] = "detail",
};

void weir_audit_leaf(const weir_audit_record_t *record, weir_hash_t *leaf)
{
    uint8_t lengths[WEIR_AUDIT_FIELDS][4];
    weir_hash_part_t parts[1 + 2 * WEIR_AUDIT_FIELDS];
    size_t n = 0;

    parts[n++] = (weir_hash_part_t){VERSION, sizeof(VERSION) - 1};
    for (int i = 0; i < WEIR_AUDIT_FIELDS; i++) {
        const weir_str_t *field = &record->fields[i];
        uint32_t len = field->data != NULL ? (uint32_t)field->len : NONE;

        assert(field->len < NONE);
        for (int k = 0; k < 4; k++)
            lengths[i][k] = (uint8_t)(len >> (24 - 8 * k));
        parts[n++] = (weir_hash_part_t){lengths[i], 4};
        if (field->len > 0)
            parts[n++] = (weir_hash_part_t){field->data, field->len};
    }
    weir_merkle_leaf(parts, n, leaf);
}

void weir_audit_link(weir_hash_t *link, const weir_hash_t *leaf)
{
    uint8_t bytes[1 + 2 * WEIR_SHA256_LEN];

    bytes[0] = 0x02;
    memcpy(bytes + 1, link->bytes, WEIR_SHA256_LEN);
    memcpy(bytes + 1 + WEIR_SHA256_LEN, leaf->bytes, WEIR_SHA256_LEN);
    weir_sha256(&(weir_hash_part_t){bytes, sizeof(bytes)}, 1, link);
}

void weir_audit_print_hash(char out[WEIR_AUDIT_DIGITS + 1], const weir_hash_t *hash)
{
    weir_hex(out, hash->bytes, WEIR_SHA256_LEN);
    out[WEIR_AUDIT_DIGITS] = '\0';
}

bool weir_audit_read_hash(weir_str_t text, weir_hash_t *hash)
{
    if (text.len != WEIR_AUDIT_DIGITS)
        return false;
    for (size_t i = 0; i < WEIR_SHA256_LEN; i++) {
        int high = weir_unhex(text.data[2 * i], 0), low = weir_unhex(text.data[2 * i + 1], 0);

        if (high < 0 || low < 0)
            return false;
        hash->bytes[i] = (uint8_t)(high << 4 | low);
    }

    return true;
}
