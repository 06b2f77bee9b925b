/*
 * Where spans are sent, and which: the keys "traces_…", "service_name" and "resource_attributes" of
 * the configuration, and, for each that the configuration leaves empty, OpenTelemetry's environment
 * variable (opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables).
 *
 *   key                  variable
 *   traces_endpoint      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT; OTEL_EXPORTER_OTLP_ENDPOINT
 *                        with /v1/traces after it
 *   traces_protocol      OTEL_EXPORTER_OTLP_[TRACES_]PROTOCOL
 *   traces_headers       OTEL_EXPORTER_OTLP_[TRACES_]HEADERS
 *   traces_timeout       OTEL_EXPORTER_OTLP_[TRACES_]TIMEOUT
 *   traces_compression   OTEL_EXPORTER_OTLP_[TRACES_]COMPRESSION
 *   traces_certificate   OTEL_EXPORTER_OTLP_[TRACES_]CERTIFICATE
 *   traces_client_certificate, traces_client_key
 *                        OTEL_EXPORTER_OTLP_[TRACES_]CLIENT_CERTIFICATE, …CLIENT_KEY
 *   traces_sampler       OTEL_TRACES_SAMPLER
 *   traces_sampler_arg   OTEL_TRACES_SAMPLER_ARG
 *   service_name         OTEL_SERVICE_NAME
 *   resource_attributes  OTEL_RESOURCE_ATTRIBUTES
 *
 * A wrong value of a key is refused; a wrong value of a variable is logged and counts as unset, as
 * the specification wants. OTEL_SDK_DISABLED=true and OTEL_TRACES_EXPORTER=none end it all.
 */
#ifndef WEIR_EXPORT_SETTINGS_H
#define WEIR_EXPORT_SETTINGS_H

#include "trace/tracer.h"

#include <stddef.h>

/* The values of the keys, as texts; empty: not set. */
typedef struct {
    const char *endpoint;
    const char *protocol;
    const char *headers;
    const char *timeout;
    const char *compression;
    const char *certificate;
    const char *client_certificate;
    const char *client_key;
    const char *sampler;
    const char *sampler_arg;
    const char *service_name;
    const char *resource_attributes;
} weir_export_keys_t;

#define WEIR_EXPORT_ATTRIBUTES_MAX 64 /* of the resource */

typedef struct {
    bool on;
    char *url;
    weir_span_format_t format;
    char **headers; /* lines, ends with NULL */
    unsigned timeout_ms;
    bool gzip;
    char *certificate;                     /* a file, or NULL */
    char *client_certificate, *client_key; /* the same */
    weir_sampler_t sampler;
    double ratio;
    char *service_name;
    size_t n_attributes;
    char *names[WEIR_EXPORT_ATTRIBUTES_MAX]; /* of the resource, and their values */
    char *values[WEIR_EXPORT_ATTRIBUTES_MAX];

    /* The caller's: of traces that are kept late (trace/late.h); their ids come from that Redis. */
    const char *late_redis;
    size_t late_bytes; /* 0: no spans are held */
    unsigned late_hold_ms;
    unsigned late_remember_ms;
} weir_export_settings_t;

/*
 * Reads keys and environment. If a key's value is wrong, returns its name, with the reason in why;
 * there is nothing to free then. NULL: all is well.
 */
const char *weir_export_settings_read(weir_export_settings_t *settings,
                                      const weir_export_keys_t *keys, char *why, size_t size);
void weir_export_settings_free(weir_export_settings_t *settings);

#endif
