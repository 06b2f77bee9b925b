/*
 * A record of the audit log as bytes, and its hashes. The encoding has one form for each record:
 *
 *   "weir-audit-1", then each field in the order of the enum: its length as 4 bytes (big-endian),
 *   and its bytes; a field that is NULL has the length 0xffffffff.
 *
 * Its hash as a leaf of a tree is that of RFC 9162. The chain's hash is
 * SHA-256(0x02 || the chain's hash before || leaf), beginning with 32 zero bytes.
 */
#ifndef WEIR_AUDIT_RECORD_H
#define WEIR_AUDIT_RECORD_H

#include "common/merkle/merkle.h"
#include "common/text/str.h"

typedef enum {
    WEIR_AUDIT_PARTITION, /* decimal digits; the month in which it was written: 202611 */
    WEIR_AUDIT_ID,        /* decimal digits */
    WEIR_AUDIT_TIME,      /* us since 1970, decimal digits */
    WEIR_AUDIT_OPERATION, /* "user.delete" */
    WEIR_AUDIT_OBJECT,    /* "user:<uuid>" */
    WEIR_AUDIT_OUTCOME,   /* "accepted" */
    WEIR_AUDIT_SUBJECT,   /* on whose behalf */
    WEIR_AUDIT_ACTOR,     /* the program that did it */
    WEIR_AUDIT_ADDRESS,   /* of the caller, or NULL */
    WEIR_AUDIT_TRACE,     /* id of the trace, or NULL */
    WEIR_AUDIT_DETAIL,    /* JSON, or NULL */
    WEIR_AUDIT_FIELDS
} weir_audit_field_t;

/* Their names in documents, and of columns. */
extern const char *const weir_audit_field_names[WEIR_AUDIT_FIELDS];

/* A record; data of a field is NULL for NULL. */
typedef struct {
    weir_str_t fields[WEIR_AUDIT_FIELDS];
} weir_audit_record_t;

void weir_audit_leaf(const weir_audit_record_t *record, weir_hash_t *leaf);
/* link becomes the chain's hash after the leaf. */
void weir_audit_link(weir_hash_t *link, const weir_hash_t *leaf);

#define WEIR_AUDIT_DIGITS (2 * WEIR_SHA256_LEN)

/* A hash as lower-case digits with a NUL; and back: false if the text is anything else. */
void weir_audit_print_hash(char out[WEIR_AUDIT_DIGITS + 1], const weir_hash_t *hash);
bool weir_audit_read_hash(weir_str_t text, weir_hash_t *hash);

#endif
