#include "shop/shop_api.h"

const weir_api_t weir_shop_api = {
    .title = "Weir Shop",
    .media_type = "application/vnd.shop",
    .first = 1,
    .standard = 2,
    .last = 3,
    .operator_scope = "shop:admin",
};
