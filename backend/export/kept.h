/*
 * Follows the stream weir:traces:kept (common/trace/late), and gives the ids of traces that edges
 * have kept late to the spans that are held (trace/late.h). It has a connection to Redis of its
 * own. While Redis is away spans are held as long as they may be; ids that come later are applied
 * then.
 */
#ifndef WEIR_KEPT_H
#define WEIR_KEPT_H

#include <event2/event.h>

typedef struct weir_kept weir_kept_t;

/*
 * redis is a URL that weir_redis_url_parse() takes. Reads the ids of the last remember_ms first:
 * spans of their traces may still end.
 */
weir_kept_t *weir_kept_start(struct event_base *base, const char *redis, unsigned remember_ms);
/* NULL is allowed. */
void weir_kept_free(weir_kept_t *kept);

#endif
