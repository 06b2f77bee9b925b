#include "shop/users/flags.h"

static const char *const types[] = {"UserCreated", "UserDeleted", NULL};

const weir_group_t weir_flags_group = {.consumer = {
                                           .group = "flags",
                                           .types = types,
                                           .apply = "flags_apply",
                                           .permanent = "22,23",
                                       }};
