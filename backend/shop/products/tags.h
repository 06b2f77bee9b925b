/*
 * The group invalidation: the cache tags of the shop's answers, and the events that invalidate them
 * (outbound/invalidation.h).
 */
#ifndef WEIR_TAGS_H
#define WEIR_TAGS_H

#include "domain.h"

extern const weir_group_t weir_invalidation_group;

#endif
