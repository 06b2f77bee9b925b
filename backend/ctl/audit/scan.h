/*
 * Compares all records of the audit log with their seals, and the seals with the signed heads: one
 * pass over the tables, in the order of positions. Memory does not depend on their size.
 */
#ifndef WEIR_CTL_SCAN_H
#define WEIR_CTL_SCAN_H

#include "ctl/audit/heads.h"

typedef struct {
    uint64_t records; /* with a seal */
    uint64_t covered; /* of these, those that a head has signed */
} weir_scan_t;

/*
 * To be called in a transaction whose snapshot is older than none of the heads. Exits with a
 * message if PostgreSQL fails.
 */
weir_scan_t weir_scan(weir_ctl_t *ctl, const weir_heads_t *heads, weir_findings_t *findings);

#endif
