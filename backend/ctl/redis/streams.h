/* weirctl's queries about the streams of events. */
#ifndef WEIR_CTL_STREAMS_H
#define WEIR_CTL_STREAMS_H

#include "ctl/redis/redis.h"

#include <jansson.h>

/*
 * An array with an object for each partition, in their order: partition, stream_last (the position
 * of the stream's last entry) and stream_length. Both are 0 without a stream, and null when Redis
 * does not answer or redis is NULL; then error has the last reason, otherwise it is unchanged. The
 * caller must json_decref() the array.
 *
 * The caller reads the positions from the database afterwards: an event has its position before it
 * is in the stream, so events between the two queries do not make a stream look ahead.
 */
json_t *weir_ctl_streams(weir_ctl_t *ctl, weir_ctl_redis_t *redis, char *error, size_t size);

#endif
