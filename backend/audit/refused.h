/*
 * Records of requests that the API has refused, because the caller proved nothing or too little
 * (api/authorize.h, identity/guard.h): sampled by common/audit/refused.h, and written once a second
 * by a session of its own, which is only open while there are some. A request never waits for it.
 *
 * Without PostgreSQL at most WEIR_AUDIT_REFUSED_MAX records wait; others are dropped and counted
 * (weir_audit_refused).
 */
#ifndef WEIR_AUDIT_REFUSED_H
#define WEIR_AUDIT_REFUSED_H

#include "http/http.h"

#include <event2/event.h>

#define WEIR_AUDIT_REFUSED_MAX 1000

/* Called once; database must live until weir_audit_refused_stop(). */
void weir_audit_refused_start(struct event_base *base, const char *database);

/* Drops what was not written. */
void weir_audit_refused_stop(void);

/*
 * The request was refused for that reason, a name of at most 31 characters; it is recorded with its
 * method and route, never its path. Without a start it does nothing.
 */
void weir_audit_refused(const weir_http_request_t *request, const char *reason);

#endif
