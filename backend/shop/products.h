/*
 * Products over HTTP:
 *   GET /products        a page of them; ?after={id} for the next
 *   GET /products/{id}   one row of the set-based query products_by_id
 *   PUT /products/{id}   one row of the set-based command products_put
 *
 * Both reads may be cached.  A PUT's answer has Weir-Invalidate, so that the edge
 * that it passes drops what it had before the client reads the answer; the event
 * ProductChanged tells all others (invalidation.h).
 */
#ifndef WEIR_PRODUCTS_H
#define WEIR_PRODUCTS_H

#include "api/openapi.h"
#include "events/events.h"

typedef struct weir_products weir_products_t;

/* As weir_users_new(). */
weir_products_t *weir_products_new(struct event_base *base, const char *database,
                                   weir_openapi_t *openapi, weir_relay_t *relay);
void weir_products_free(weir_products_t *products);

#endif
