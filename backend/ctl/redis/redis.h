/*
 * weirctl's connection to Redis: one question after the other, each with an answer within two
 * seconds. It has the URL, the login and the TLS of the backend (redis/).
 */
#ifndef WEIR_CTL_REDIS_H
#define WEIR_CTL_REDIS_H

#include "ctl/ctl.h"

#include <hiredis/hiredis.h>

typedef struct weir_ctl_redis weir_ctl_redis_t;

/* NULL with a message in error on failure. */
weir_ctl_redis_t *weir_ctl_redis_open(const weir_ctl_t *ctl, char *error, size_t size);

/*
 * Sends the words as one command, and returns the reply, for freeReplyObject(); NULL with a message
 * if there is none, or it is an error. Behind a failure without a reply, the connection is of no
 * more use. lens may be NULL.
 */
redisReply *weir_ctl_redis_ask(weir_ctl_redis_t *redis, int argc, const char *const *argv,
                               const size_t *lens, char *error, size_t size);

void weir_ctl_redis_close(weir_ctl_redis_t *redis);

#endif
