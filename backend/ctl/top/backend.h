/* What weirctl top shows of a backend: its metrics as a few figures. */
#ifndef WEIR_TOP_BACKEND_H
#define WEIR_TOP_BACKEND_H

#include <jansson.h>

/*
 * The figures of metrics (metrics.h), which the caller frees:
 *
 *   {"outbox":{"waiting":…,"oldest_s":…},
 *    "groups":[{"group":…,"lag":…,"oldest_s":…,"retries":…,"dead":…,"paused":…}],
 *    "waits":[{"what":…,"name":…,"count":…,"p50_ms":…,"p99_ms":…}]}
 *
 * Waits are where the time of requests and events goes, the slowest P99 first; what is "batch" (a
 * request waits for its batch), "statement" (of the database, its commit included), "commit" (of
 * that, the disk) or "handler" (an attempt of a consumer group, with its calls of others).
 * Percentiles are of what was counted since the earlier metrics; of all since the process began if
 * they are NULL. Without a figure its member is missing.
 */
json_t *weir_top_backend(const json_t *metrics, const json_t *earlier);

#endif
