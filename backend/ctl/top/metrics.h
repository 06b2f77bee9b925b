/* Metrics of Prometheus' text format (0.0.4), as a backend's listener for operators answers. */
#ifndef WEIR_TOP_METRICS_H
#define WEIR_TOP_METRICS_H

#include <jansson.h>

/*
 * The samples of a text, which the caller frees: an object with a member for each name, an array of
 * {"labels":{…},"value":number}. Lines that cannot be read, and values that are no finite number,
 * are left out.
 */
json_t *weir_top_metrics(const char *text);

/* The array of a name; NULL: there is none. It is the object's. */
const json_t *weir_top_samples(const json_t *metrics, const char *name);
/* The text of a sample's label; "" without it. */
const char *weir_top_label(const json_t *sample, const char *name);
double weir_top_value(const json_t *sample);

#endif
