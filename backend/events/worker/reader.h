/*
 * From Redis and from the outbox into the queues.
 */
#ifndef WEIR_WORKER_READER_H
#define WEIR_WORKER_READER_H

#include "events/worker/lease/group.h"

/* The lease begins to flow. */
void weir_reader_open(weir_lease_t *lease);
/* Reads as far as there is room. */
void weir_reader_run(weir_group_t *group);
/* The group's connection is up. */
void weir_reader_up(weir_group_t *group);
/* Lets a read return early, because what it should name has changed. */
void weir_reader_kick(weir_group_t *group);
/* Told at each heartbeat the log's last position. */
void weir_reader_beat(weir_lease_t *lease, int64_t newest);
bool weir_reader_is_idle(const weir_lease_t *lease);

#endif
