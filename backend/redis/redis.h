/*
 * The backend's Redis connection: hiredis async on the event loop, with the
 * handshake (AUTH, SELECT), reconnection with back-off, and a liveness check.
 *
 * When the connection is lost, commands in flight get a NULL reply; whether Redis executed them is
 * unknown. While the connection is down, commands are refused.
 *
 * rediss:// is TLS with the files of weir_redis_use_tls(). Changed files are used for the next
 * connection; one that exists stays. So does a password in a file (login.h).
 *
 * A host name in the URL is resolved by a blocking call; numeric addresses and sockets need none.
 */
#ifndef WEIR_REDIS_H
#define WEIR_REDIS_H

#include "tls/tls.h"

#include <event2/event.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct weir_redis weir_redis_t;

/* reply is NULL when the connection was lost; otherwise valid during the call. */
typedef void (*weir_redis_cb)(redisReply *reply, void *arg);
typedef void (*weir_redis_state_cb)(weir_redis_t *redis, bool up, void *arg);

/*
 * The certificates for rediss:// of all connections that are made later; it must outlive them. The
 * server's certificate must have the host of the URL.
 */
void weir_redis_use_tls(weir_tls_t *tls);

/*
 * url is redis://[user:pass@]host:port[/db], rediss://… or unix:/path. Starts to connect at once,
 * and reconnects until weir_redis_free(). Returns NULL, with a message in error, when the URL is
 * wrong.
 */
weir_redis_t *weir_redis_new(struct event_base *base, const char *url, const char *name,
                             weir_redis_state_cb state, void *arg, char *error, size_t error_size);
void weir_redis_free(weir_redis_t *redis);
bool weir_redis_is_up(const weir_redis_t *redis);

/*
 * Sends one command; the bytes are copied. cb may be NULL. Returns false when the connection is
 * down.
 */
bool weir_redis_command(weir_redis_t *redis, int argc, const char *const *argv,
                        const size_t *argvlen, weir_redis_cb cb, void *arg)
    __attribute__((warn_unused_result));

/*
 * Sends EVALSHA, and then EVAL if the server does not know the script. script is a constant; its
 * SHA1 is computed once.
 */
bool weir_redis_script(weir_redis_t *redis, const char *script, int nkeys, int argc,
                       const char *const *argv, const size_t *argvlen, weir_redis_cb cb, void *arg)
    __attribute__((warn_unused_result));

#endif
