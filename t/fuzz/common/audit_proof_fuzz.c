// needs: common/audit/proof.c common/audit/head.c common/audit/record.c common/audit/key.c
// needs: common/merkle/merkle.c common/merkle/sha256.c
// uses: jansson libcrypto
/*
 * Proofs of the audit log of any bytes: nothing is proved without the key's signature. The head in
 * them is read without it, too, as one of a file would be.
 */
#include "common/audit/proof.h"
#include "budget.h"

#include <assert.h>
#include <openssl/ec.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const budget_t budget = {60000, 400, 1000000, 1500};

static void read_head(weir_str_t text)
{
    char again[WEIR_AUDIT_HEAD_MAX + 1];
    weir_audit_head_t head;

    if (!weir_audit_head_parse(text, &head))
        return;
    weir_audit_head_print(&head, again);
    assert(weir_str_eq(weir_str(again), text));
}

static void run(const uint8_t *data, size_t size)
{
    static weir_audit_key_t key;
    char *exact = malloc(size ? size : 1);
    weir_audit_proof_t proof;
    weir_audit_head_t head;
    weir_hash_t leaf;

    assert(exact != NULL);
    if (size)
        memcpy(exact, data, size);
    if (key.pkey == NULL) {
        key.pkey = EVP_EC_gen("P-256"); /* which has signed nothing */
        memcpy(key.id, "0123456789abcdef", sizeof(key.id));
    }

    read_head((weir_str_t){exact, size});
    if (weir_audit_proof_parse((weir_str_t){exact, size}, &proof)) {
        assert(weir_audit_proof_check(&proof, &key, &head) != WEIR_AUDIT_PROVED);
        read_head(weir_str(proof.head.text));
        weir_audit_leaf(&proof.record, &leaf);
        (void)weir_merkle_includes(&leaf, proof.position + 1, proof.position, &leaf, &proof.path);
        (void)weir_merkle_is_consistent(&leaf, proof.position, &leaf, proof.position * 2 + 1,
                                        &proof.path);
    }
    weir_audit_proof_release(&proof);
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    budget_check(run, data, size, &budget);
    return 0;
}
