/*
 * The metrics of the worker's groups.
 */
#ifndef WEIR_WORKER_MEASURE_H
#define WEIR_WORKER_MEASURE_H

#include "events/worker/private.h"

/* From the start of the worker, when all groups exist, until it is freed. */
void weir_measure_open(weir_worker_t *worker);
void weir_measure_close(weir_worker_t *worker);

#endif
