/*
 * Products over HTTP:
 *   GET /products        a page of them; ?after={id} for the next
 *   GET /products/{id}   one row of the set-based query products_by_id
 *   PUT /products/{id}   one row of the set-based command products_put
 *
 * Both reads may be cached. The answer to a PUT has Weir-Invalidate, so that its edge invalidates
 * stored answers before the client gets the answer. The event ProductChanged informs all other
 * edges (outbound/invalidation.h).
 */
#ifndef WEIR_PRODUCTS_H
#define WEIR_PRODUCTS_H

#include "domain.h"

extern const weir_endpoints_t weir_products_endpoints;

#endif
