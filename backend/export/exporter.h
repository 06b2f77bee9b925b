/*
 * Sends finished spans (trace/tracer.h) to a collector over libcurl, on the event loop: OTLP/HTTP
 * (opentelemetry.io/docs/specs/otlp).
 *
 * One request is under way at a time. It is repeated with a growing pause, or after the time in
 * Retry-After, as long as the collector cannot be reached or asks to come again (429, 502, 503,
 * 504), for a minute at most; then its spans are dropped. Meanwhile others wait in the queue, which
 * has a limit. What a collector rejects is not sent again.
 */
#ifndef WEIR_EXPORTER_H
#define WEIR_EXPORTER_H

#include "export/settings.h"

#include <event2/event.h>

typedef struct weir_exporter weir_exporter_t;

/* The settings are on, and must outlive the exporter. Starts the tracer, too. */
weir_exporter_t *weir_exporter_start(struct event_base *base,
                                     const weir_export_settings_t *settings, const char *roles);

/*
 * Sends what waits, for WEIR_EXPORTER_STOP_MS at most, and calls cb once, from the event loop. The
 * exporter must be freed afterwards.
 */
#define WEIR_EXPORTER_STOP_MS 2000
void weir_exporter_stop(weir_exporter_t *exporter, void (*cb)(void *arg), void *arg);
/* NULL is allowed. */
void weir_exporter_free(weir_exporter_t *exporter);

#endif
