/*
 * Shared by the files of the audit log's sealer.
 *
 *   audit.c    which process seals; what is done next
 *   seal.c     records get their positions
 *   sign.c     heads
 *   export.c   heads to the file and to Redis
 *   file.c     the file
 *   refused_stream.c   refusals of edges become records
 *
 * audit.c calls the others. One statement is in flight at a time; each file's function sends one,
 * and calls done() at its end.
 */
#ifndef WEIR_AUDIT_PRIVATE_H
#define WEIR_AUDIT_PRIVATE_H

#include "audit/audit.h"
#include "audit/file.h"
#include "common/audit/head.h"
#include "db/db.h"
#include "redis/redis.h"

/* A place to which heads are exported. */
typedef struct {
    bool known;     /* last was read there */
    uint64_t last;  /* heads after this number are missing there */
    uint64_t there; /* of the stream: number of its last head, 0 if it is empty */
    bool refused;   /* the last attempt failed, and it was logged */
    unsigned sent;  /* commands without a reply */
    uint64_t after; /* ms: no attempt before */
} weir_audit_outlet_t;

/* What a head has signed of a chain. */
typedef struct {
    int partition;
    uint64_t size;
    weir_hash_t link;
} weir_audit_witness_t;

struct weir_audit {
    /* Functions of audit.c that the other files call: at the end of a statement, failed if it had
       no effect (the next one then waits for the tick). */
    void (*done)(weir_audit_t *audit, bool failed);

    struct event_base *base;
    weir_db_t *db;
    weir_redis_t *redis;
    weir_audit_settings_t settings;
    weir_audit_key_t key; /* {0}: no head is signed */
    struct event *tick;
    struct event *gone;
    bool locked;                  /* this session has the lock */
    bool waits;                   /* it was logged that another process seals */
    bool busy;                    /* a statement is in flight */
    bool may_seal;                /* there may be records without a seal */
    uint64_t prepare_at, sign_at; /* ms */

    /* sign.c */
    bool newest_known; /* newest, and the witnesses, were read */
    uint64_t newest;   /* number of the newest head in the database; 0: none */
    weir_hash_t newest_hash;
    int64_t newest_time; /* s since 1970 */
    size_t n_witnesses;
    weir_audit_witness_t witnesses[WEIR_AUDIT_CHAINS_MAX];
    bool diverged;             /* the log is not the continuation of its heads; this was logged */
    weir_audit_signed_t *head; /* being written */
    weir_audit_head_t *head_chains; /* the same, parsed */

    weir_audit_outlet_t file, stream;
    struct weir_audit_refused *refused; /* refused_stream.c */

    /* See db/refusal.h: */
    bool lock_refused, prepare_refused, look_refused, seal_refused, sign_refused, export_refused,
        take_refused;
    uint64_t sealed, signed_heads; /* since the start, for metrics */
    unsigned unsealed;             /* records that the last look found */
    void (*stopped)(void *arg);
    void *stopped_arg;
};

/* seal.c: looks for records, and seals them. False: no session. */
bool weir_audit_seal(weir_audit_t *audit);

/* sign.c: reads the newest head; makes the next one, if there is something to sign. */
bool weir_audit_read_newest(weir_audit_t *audit);
bool weir_audit_sign_next(weir_audit_t *audit);
/* Logs, once, that the log is not the continuation of its heads. */
void weir_audit_diverge(weir_audit_t *audit, const char *why);

/* export.c: true if a statement was sent. */
bool weir_audit_export(weir_audit_t *audit);
/*
 * refused_stream.c: made and freed with the component; the session was lost; asks Redis for
 * entries; true if a statement was sent.
 */
void weir_audit_refused_open(weir_audit_t *audit);
void weir_audit_refused_close(weir_audit_t *audit);
void weir_audit_refused_forget(weir_audit_t *audit);
void weir_audit_refused_read(weir_audit_t *audit);
bool weir_audit_refused_write(weir_audit_t *audit);
/* The connection to Redis was lost, or is open again. */
void weir_audit_forget_stream(weir_audit_t *audit);

#endif
