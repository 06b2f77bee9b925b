/* Metrics of requests. */
#ifndef WEIR_HTTP_MEASURE_H
#define WEIR_HTTP_MEASURE_H

#include "http/server/private.h"

bool weir_http_is_known_method(const char *method);

/* A request has come; it was answered; it ends. */
void weir_http_measure_begin(weir_http_request_t *request);
void weir_http_measure_answer(weir_http_request_t *request);
void weir_http_measure_end(weir_http_request_t *request);

#endif
