/*
 * What the body of PUT /products/{id} may hold.  Plain C over jansson, no libevent.
 */
#ifndef WEIR_PRODUCT_INPUT_H
#define WEIR_PRODUCT_INPUT_H

#include "api/input.h"

/* Minor units. The total of the largest order stays below 2^53, which every JSON reader can count.
 */
#define WEIR_PRICE_MAX 1000000000

typedef struct {
    json_t *root; /* owns the strings */
    const char *name;
    const char *currency;
    long long price;
} weir_product_input_t;

/* As weir_signup_read(). */
int weir_product_read(weir_str_t body, weir_product_input_t *input,
                      weir_input_error_t errors[WEIR_INPUT_ERRORS_MAX], char *why, size_t why_size);

/* NULL if s is a code of a currency that ISO 4217 has in use for payments, else what is wrong. */
const char *weir_currency_check(weir_str_t s);

#endif
