#include "common/metrics/price.h"

bool weir_price_read(weir_str_t text, double *price)
{
    double value = 0, divisor = 1;
    bool digit = false, point = false;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];

        if (c == '.' && !point) {
            point = true;
            continue;
        }
        if (c < '0' || c > '9')
            return false;
        digit = true;
        if (!point) {
            value = value * 10 + (c - '0');
        } else if (divisor < 1e12) { /* a double has no more digits behind the point */
            value = value * 10 + (c - '0');
            divisor *= 10;
        }
        if (value > WEIR_PRICE_MAX * divisor)
            return false;
    }

    if (!digit)
        return false;
    *price = value / divisor;
    return true;
}

bool weir_currency_is_valid(weir_str_t text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < 'A' || text.data[i] > 'Z')
            return false;
    }
    return text.len == WEIR_CURRENCY_LEN;
}
