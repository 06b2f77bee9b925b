/*
 * The cache tags of the shop's answers, and the events that make them old (outbound/invalidation.h).
 */
#ifndef WEIR_TAGS_H
#define WEIR_TAGS_H

#include "outbound/invalidation.h"

extern const char *const weir_tags_types[]; /* ends with NULL */

/* As weir_invalidation_tags_fn. */
const char *weir_tags_of_event(const weir_event_t *event, char tags[WEIR_INVALIDATION_TAGS_MAX]);

#endif
