#include "shop/flags.h"

static const char *const types[] = {"UserCreated", "UserDeleted", NULL};

const weir_consumer_t weir_flags_consumer = {
    .group = "flags",
    .types = types,
    .apply = "flags_apply",
    .permanent = "22,23",
};
