/*
 * The address of a Redis server: redis://[[user]:password@]host[:port][/db], rediss:// for TLS, or
 * unix:/path.
 */
#ifndef WEIR_REDIS_URL_H
#define WEIR_REDIS_URL_H

#include <stdbool.h>

typedef struct {
    char *path; /* of a Unix socket; NULL: host and port are used */
    char *host;
    int port;
    char *user;     /* or NULL */
    char *password; /* or NULL */
    int db;
    bool tls; /* rediss:// */
} weir_redis_url_t;

/*
 * Fills r from url; user and password may be percent-encoded (RFC 3986 section 2.1). Returns NULL,
 * or what is wrong with the URL (a constant). The caller clears r in both cases.
 */
const char *weir_redis_url_parse(weir_redis_url_t *r, const char *url)
    __attribute__((warn_unused_result));
void weir_redis_url_clear(weir_redis_url_t *r);

#endif
