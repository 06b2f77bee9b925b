/*
 * A head of the audit log: what was sealed in each partition at a time, as a text that is signed.
 * Lines end with a line feed; there is one way to write a head.
 *
 *   weir-audit-head/1
 *   number 12
 *   time 1796036400                        seconds since 1970
 *   previous <64 digits>                   SHA-256 of the text of the head before; zeros for none
 *   chain 202611 350 <root> <link>         partition, records, root of their tree, chain's hash
 *
 * Chains are in the order of their partitions. A head has the chains that have grown since the head
 * before, so the newest head of a partition need not be the newest of all.
 *
 * As a line of a file, and in Redis, a head is a JSON object: head (the text), key (the id of the
 * public key) and signature (hexadecimal digits).
 */
#ifndef WEIR_AUDIT_HEAD_H
#define WEIR_AUDIT_HEAD_H

#include "common/audit/key.h"
#include "common/audit/record.h"

#include <jansson.h>

#define WEIR_AUDIT_CHAINS_MAX 64        /* of one head */
#define WEIR_AUDIT_HEAD_MAX (16 * 1024) /* bytes of a head's text */
#define WEIR_AUDIT_LINE_MAX (20 * 1024) /* bytes of a head as JSON */

typedef struct {
    int partition;
    uint64_t size; /* at least 1 */
    weir_hash_t root, link;
} weir_audit_chain_t;

typedef struct {
    uint64_t number; /* at least 1 */
    int64_t time;    /* s since 1970 */
    weir_hash_t previous;
    size_t n;
    weir_audit_chain_t chains[WEIR_AUDIT_CHAINS_MAX];
} weir_audit_head_t;

/* A head with its signature; texts end with a NUL. */
typedef struct {
    char text[WEIR_AUDIT_HEAD_MAX + 1];
    char key[WEIR_AUDIT_KEY_ID + 1];
    char signature[WEIR_AUDIT_SIGNATURE_MAX + 1]; /* hexadecimal digits */
} weir_audit_signed_t;

/* Writes the text with a NUL. */
void weir_audit_head_print(const weir_audit_head_t *head, char out[WEIR_AUDIT_HEAD_MAX + 1]);
/* False if the text is not one that weir_audit_head_print() writes; *head is undefined then. */
bool weir_audit_head_parse(weir_str_t text, weir_audit_head_t *head);
/* SHA-256 of the text, for the head after. */
void weir_audit_head_hash(const char *text, weir_hash_t *hash);
/* The chain of that partition, or NULL. */
const weir_audit_chain_t *weir_audit_head_chain(const weir_audit_head_t *head, int partition);

/*
 * The JSON object, which the caller decrefs, or NULL without memory; and back: false if it has not
 * exactly these members, or a text that is too long. Signature and text are not checked.
 */
json_t *weir_audit_signed_json(const weir_audit_signed_t *head);
bool weir_audit_signed_read(const json_t *json, weir_audit_signed_t *head);

#endif
