/*
 * A proof that a record is in the audit log, for someone who has the public key only. As JSON:
 *
 *   weir        "audit-proof/1"
 *   record      an object with the fields of the record as texts, or null
 *   position    its place in its partition's chain, from 0 on
 *   path        the hashes of RFC 9162 section 2.1.3, as digits
 *   head        the signed head (head.h), which has the chain
 */
#ifndef WEIR_AUDIT_PROOF_H
#define WEIR_AUDIT_PROOF_H

#include "common/audit/head.h"

#define WEIR_AUDIT_PROOF_MAX (128 * 1024) /* bytes of the JSON */

typedef struct {
    json_t *json; /* has the texts of the record */
    weir_audit_record_t record;
    int partition;
    uint64_t position;
    weir_merkle_path_t path;
    weir_audit_signed_t head;
} weir_audit_proof_t;

typedef enum {
    WEIR_AUDIT_PROVED,
    WEIR_AUDIT_MALFORMED,  /* no proof of this form */
    WEIR_AUDIT_OTHER_KEY,  /* signed by another key, as the head says itself */
    WEIR_AUDIT_UNSIGNED,   /* the signature is not that of the head */
    WEIR_AUDIT_NO_CHAIN,   /* the head does not have the partition, or fewer records */
    WEIR_AUDIT_NOT_IN_TREE /* record, position or path are not those of the tree */
} weir_audit_verdict_t;

/* Makes the JSON object, which the caller decrefs; NULL without memory. */
json_t *weir_audit_proof_json(const weir_audit_record_t *record, uint64_t position,
                              const weir_merkle_path_t *path, const weir_audit_signed_t *head);

/*
 * Reads a proof. The caller releases it with weir_audit_proof_release(), also after false. The text
 * need not live longer.
 */
bool weir_audit_proof_parse(weir_str_t text, weir_audit_proof_t *proof)
    __attribute__((warn_unused_result));
void weir_audit_proof_release(weir_audit_proof_t *proof);

/*
 * Verifies a proof that was read. If the result is WEIR_AUDIT_PROVED, *head is the head as it was
 * signed.
 */
weir_audit_verdict_t weir_audit_proof_check(const weir_audit_proof_t *proof,
                                            const weir_audit_key_t *key, weir_audit_head_t *head);
/* The verdict as a sentence without a full stop. */
const char *weir_audit_verdict_text(weir_audit_verdict_t verdict);

#endif
