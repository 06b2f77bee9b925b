/* The shop's API: its title, media type and versions. */
#ifndef WEIR_SHOP_API_H
#define WEIR_SHOP_API_H

#include "api/api.h"

extern const weir_api_t weir_shop_api;

#endif
