/*
 * The group aggregates counts orders by day and currency in daily_order_stats; an order with a
 * checkout is counted when it is paid. One upsert per batch
 * (shop/sql/functions/orders/aggregates.sql) commits together with the mark that the events are
 * handled.
 */
#ifndef WEIR_AGGREGATES_H
#define WEIR_AGGREGATES_H

#include "domain.h"

extern const weir_group_t weir_aggregates_group;

#endif
