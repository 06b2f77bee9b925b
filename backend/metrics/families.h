/*
 * The table of the backend's metrics: names, labels, and what they count.
 *
 * Names are those of OpenTelemetry's semantic conventions, as Prometheus writes them, where the
 * conventions have one; all others begin with "weir_". Values of labels come from the code and the
 * configuration, never from a client, so the number of series is bounded.
 */
#ifndef WEIR_FAMILIES_H
#define WEIR_FAMILIES_H

#include "common/metrics/exposition.h"

#define WEIR_FAMILY_LABELS_MAX 5

typedef enum {
    WEIR_BUILD,
    WEIR_PROCESS_START,
    WEIR_PROCESS_CPU,
    WEIR_PROCESS_MEMORY,

    WEIR_HTTP_DURATION,
    WEIR_HTTP_ACTIVE,
    WEIR_HTTP_CONNECTIONS,

    WEIR_IDENTITY_CHECKS,
    WEIR_IDENTITY_DENIALS,
    WEIR_IDENTITY_KEYS_FAILED,

    WEIR_DB_DURATION,
    WEIR_DB_COMMIT,
    WEIR_DB_SESSIONS,
    WEIR_DB_SESSIONS_OPEN,
    WEIR_DB_SESSIONS_LOST,
    WEIR_BATCH_SIZE,
    WEIR_BATCH_WAIT,
    WEIR_BATCH_DURATION,
    WEIR_BATCH_REFUSED,
    WEIR_BATCH_SPLIT,

    WEIR_DB_REQUESTS,
    WEIR_DB_SECONDS,
    WEIR_DB_SECONDS_SAVED,
    WEIR_WAL_SAMPLES,
    WEIR_WAL_SAMPLES_UNUSABLE,
    WEIR_WAL_REQUESTS,
    WEIR_WAL_BYTES,
    WEIR_COST,
    WEIR_COST_PER_THOUSAND,
    WEIR_COST_SAVED,

    WEIR_OUTBOX_WAITING,
    WEIR_OUTBOX_AGE,
    WEIR_RELAY_ACTIVE,
    WEIR_RELAY_TERM,
    WEIR_RELAY_PUBLISHED,
    WEIR_RELAY_BATCHES,
    WEIR_RELAY_REFUSED,
    WEIR_RELAY_PARTITIONS,

    WEIR_GROUP_LAG,
    WEIR_GROUP_AGE,
    WEIR_GROUP_RETRIES,
    WEIR_GROUP_DEAD,
    WEIR_GROUP_PARTITIONS,
    WEIR_GROUP_PAUSED,
    WEIR_GROUP_MEMORY,
    WEIR_GROUP_IN_FLIGHT,
    WEIR_GROUP_HANDLED,
    WEIR_GROUP_FAILED,
    WEIR_GROUP_DIED,
    WEIR_GROUP_DURATION,
    WEIR_DEPENDENCY_STATE_NOW,
    WEIR_DEPENDENCY_TRANSITIONS,
    WEIR_DEPENDENCY_CALLS,

    WEIR_SPANS_ENDED,
    WEIR_SPANS_SENT,
    WEIR_SPANS_DROPPED,
    WEIR_SPANS_WAITING,
    WEIR_SPAN_EXPORTS,
    WEIR_LATE_SPANS,
    WEIR_LATE_SPANS_HELD,
    WEIR_LATE_BYTES_HELD,
    WEIR_LATE_SPANS_MISSING,
    WEIR_LATE_IDS,
    WEIR_LATE_IDS_FORGOTTEN,

    WEIR_READINGS_AGE,
    WEIR_FAMILIES
} weir_family_id_t;

typedef struct {
    weir_metric_t metric;
    const char *labels[WEIR_FAMILY_LABELS_MAX + 1]; /* their names; ends with NULL */
} weir_family_t;

extern const weir_family_t weir_families[WEIR_FAMILIES];

#endif
