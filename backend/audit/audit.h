/*
 * The audit log: records of sensitive operations that nobody can change unseen. This component
 * knows no operation; the SQL functions that change something write their records with audit_put(),
 * in their own transaction (sql/functions/audit.sql).
 *
 *   command ─▶ audit_records ─▶ sealer ─▶ audit_seals ─▶ every minute a signed head ─▶ audit_heads
 *              (PostgreSQL)                                                        ─▶ file, Redis
 *
 * Writing needs no order and takes no lock that another writer waits for. The sealer, one process
 * at a time, gives committed records their positions within about a second, in the order of their
 * ids; a record that commits late gets a later position (seal.c). A partition (a month) has a chain
 * of hashes and a Merkle tree over its records: common/audit/record.h, common/merkle/merkle.h.
 *
 * What it shows, and what not: whoever may write to PostgreSQL can invent records, and can remove a
 * record in the second until it is sealed (ids have a gap then, as a rollback leaves it) or, before
 * the next head, change the chain from there on. What a head has signed cannot be changed, removed
 * or moved without "weirctl audit verify" finding it: the file and Redis have heads that PostgreSQL
 * cannot change, and the key is in neither. The sealer itself compares each new head with those
 * before, and signs none if the log is not their continuation.
 */
#ifndef WEIR_AUDIT_H
#define WEIR_AUDIT_H

#include "db/migrate.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

/* backend/audit/sql: its tables and functions. */
extern const weir_sql_line_t weir_sql_audit;

#define WEIR_AUDIT_HEADS_STREAM "weir:audit:heads"
#define WEIR_AUDIT_HEADS_FIELD "head"
#define WEIR_AUDIT_REFUSED_STREAM "weir:refused"

/* The strings must live as long as the component runs. */
typedef struct {
    const char *database;
    const char *redis; /* as in redis/redis.h */
    const char *key;   /* file of the private key; empty: records are sealed, no head is signed */
    const char *heads; /* file that heads are appended to; empty: none */
    unsigned interval_ms; /* between heads */
} weir_audit_settings_t;

typedef struct weir_audit weir_audit_t;

/*
 * Starts the sealer. It waits while another one is active. Returns NULL, with a message in error,
 * when the key cannot be used or the URL of Redis is wrong. Reads the key: blocking.
 */
weir_audit_t *weir_audit_start(struct event_base *base, const weir_audit_settings_t *settings,
                               char *error, size_t error_size);

/* Finishes what is in flight, frees the component, and calls cb from the event loop. */
void weir_audit_stop(weir_audit_t *audit, void (*cb)(void *arg), void *arg);

#endif
