/*
 * The group aggregates: counts orders, of those with a checkout what was paid, by day and currency
 * in daily_order_stats, with one upsert for each batch (shop/sql/functions/orders/aggregates.sql),
 * which commits together with the mark that the events are handled.
 */
#ifndef WEIR_AGGREGATES_H
#define WEIR_AGGREGATES_H

#include "domain.h"

extern const weir_group_t weir_aggregates_group;

#endif
