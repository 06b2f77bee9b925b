/*
 * The signed heads of the audit log, from the database, the file and Redis, as one list without
 * duplicates. Places that cannot be changed together show what was removed from one of them.
 */
#ifndef WEIR_CTL_HEADS_H
#define WEIR_CTL_HEADS_H

#include "common/audit/head.h"
#include "ctl/audit/findings.h"
#include "ctl/ctl.h"

typedef enum {
    WEIR_HEADS_DATABASE = 1,
    WEIR_HEADS_FILE = 2,
    WEIR_HEADS_REDIS = 4
} weir_heads_place_t;

/* A chain as a head has signed it. */
typedef struct {
    weir_audit_chain_t chain;
    uint64_t number; /* of the head */
    int64_t time;    /* of the head */
} weir_heads_end_t;

typedef struct {
    struct weir_heads_item *items; /* in the order of numbers, when they were checked */
    size_t n, room;
    unsigned places;        /* of which at least one head was read: weir_heads_place_t */
    weir_heads_end_t *ends; /* in the order of partitions and sizes */
    size_t n_ends;
} weir_heads_t;

/*
 * Adds the heads of the file, and those of Redis. Exits with a message if the file cannot be read.
 * False with a message: Redis does not answer.
 */
void weir_heads_read_file(weir_heads_t *heads, const char *path, weir_findings_t *findings);
bool weir_heads_read_redis(weir_heads_t *heads, const weir_ctl_t *ctl, weir_findings_t *findings,
                           char *error, size_t size);
/* Adds those of the database. */
void weir_heads_read_database(weir_heads_t *heads, weir_ctl_t *ctl, weir_findings_t *findings);

/*
 * Checks the list, and fills ends. A head counts if the key has signed it, or if a head that counts
 * names it as the one before.
 */
void weir_heads_check(weir_heads_t *heads, const weir_audit_key_t *key, weir_findings_t *findings);

void weir_heads_free(weir_heads_t *heads);

#endif
