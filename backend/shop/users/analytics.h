/* The group analytics records every signup for analysis. */
#ifndef WEIR_ANALYTICS_H
#define WEIR_ANALYTICS_H

#include "domain.h"

extern const weir_group_t weir_analytics_group;

#endif
