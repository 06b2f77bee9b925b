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

#include "domain.h"

extern const weir_endpoints_t weir_products_endpoints;

#endif
