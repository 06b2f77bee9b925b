/*
 * A receiver of spans for a machine without a collector: it takes OTLP/HTTP and keeps the newest
 * spans in a file (file.h).
 *
 *   POST /v1/traces      protobuf or JSON, also gzip. 200 when all is in the file; with what was
 *                        rejected, as partial_success. 400 for a malformed request, 413 for one of
 *                        more than 8 MiB, 415 for another type, 503 if the file cannot be written:
 *                        the exporter keeps the spans and tries again
 *   GET /traces/ID       one trace (find.h)
 *   GET /traces          traces (summary.h) as {"traces":[…]}: limit=N (20), sort=slow, errors=1
 *   GET /health          200; 503 while the file cannot be written
 *
 * It listens on the loopback interface or a unix socket only: what it has may be personal, and is
 * shown to everyone who asks. A Host with a dot that is no address gets 421 instead of traces.
 */
#ifndef WEIR_SPANS_RECEIVE_H
#define WEIR_SPANS_RECEIVE_H

#include "tls/tls.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Runs until SIGTERM or SIGINT; requests that have begun are finished. limit is that of the file,
 * in bytes. tls (may be NULL): clients prove who they are (tls/tls.h). False with a message if it
 * cannot start.
 */
bool weir_spans_receive(const char *listen, const char *path, size_t limit,
                        const weir_tls_settings_t *tls, char *error, size_t size);

#endif
