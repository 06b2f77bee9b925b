/*
 * The parts of a domain's API. Opens their sessions, adds their routes, and runs the endpoints that
 * are defined by rows of a table.
 */
#ifndef WEIR_PARTS_H
#define WEIR_PARTS_H

#include "domain.h"

typedef struct weir_parts weir_parts_t;

/* The runtime, with its openapi, must outlive the result. */
weir_parts_t *weir_parts_open(const weir_domain_t *domain, const weir_runtime_t *runtime);
/* Call this after the HTTP server has stopped, and before weir_http_free(). NULL is allowed. */
void weir_parts_close(weir_parts_t *parts);

#endif
