/* Prices of an operator, by which the cost of requests is reckoned. */
#ifndef WEIR_PRICE_H
#define WEIR_PRICE_H

#include "common/text/str.h"

#include <stdbool.h>

#define WEIR_PRICE_MAX 1000000000.0
#define WEIR_CURRENCY_LEN 3

/*
 * Reads a price such as "40", "0.085" or ".5": digits with at most one point, and at most
 * WEIR_PRICE_MAX. False for other text; price is not changed then.
 */
bool weir_price_read(weir_str_t text, double *price);

/* True for a code such as "EUR" (ISO 4217): three capital letters. */
bool weir_currency_is_valid(weir_str_t text);

#endif
