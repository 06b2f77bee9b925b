/*
 * From Redis and from the outbox into the queues.
 */
#ifndef WEIR_WORKER_READER_H
#define WEIR_WORKER_READER_H

#include "events/worker/lease/group.h"

/* To be called when the lease becomes FLOWING. */
void weir_reader_open(weir_lease_t *lease);
/* Reads events as far as there is room. */
void weir_reader_run(weir_group_t *group);
/* The group's connection is up. */
void weir_reader_up(weir_group_t *group);
/* Ends a read early, because the list of its streams has changed. */
void weir_reader_kick(weir_group_t *group);
/* To be called at each heartbeat with the log's last position. */
void weir_reader_beat(weir_lease_t *lease, int64_t newest);
bool weir_reader_is_idle(const weir_lease_t *lease);

#endif
