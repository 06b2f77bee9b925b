/*
 * The body of an order, for POST /orders and other calls that create one:
 *   {"userId": UUID, "items": [{"productId": UUID, "quantity": 1 to 1000}, …]}
 * Plain C with jansson, no libevent.
 */
#ifndef WEIR_ORDER_INPUT_H
#define WEIR_ORDER_INPUT_H

#include "api/input.h"
#include "common/ids/uuid7.h"

#define WEIR_ORDER_ITEMS_MAX 100
#define WEIR_QUANTITY_MAX 1000

/* The body that weir_order_read() parses. */
extern const weir_resource_t weir_order_body;

typedef struct {
    char user[WEIR_UUID_LEN + 1];
    /* PostgreSQL array literals of the same length, for orders_put(): "{uuid,uuid}", "{1,2}" */
    char products[WEIR_ORDER_ITEMS_MAX * (WEIR_UUID_LEN + 1) + 3];
    char quantities[WEIR_ORDER_ITEMS_MAX * 5 + 3];
} weir_order_input_t;

/*
 * Parses the body like weir_input_read(); no product may be in two items. If the result is 0, input
 * is filled in; there is nothing to release.
 */
int weir_order_read(weir_str_t body, int version, weir_order_input_t *input,
                    weir_input_error_t errors[WEIR_INPUT_ERRORS_MAX], char *why, size_t why_size);

/*
 * The error for an outcome of orders_put() other than 'created'; item is the column of that name.
 */
weir_input_error_t weir_order_outcome_error(const char *outcome, int item);

#endif
