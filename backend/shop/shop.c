#include "shop/shop.h"

#include "shop/analytics.h"
#include "shop/billing.h"
#include "shop/email.h"
#include "shop/flags.h"
#include "shop/users.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct weir_shop {
    struct event_base *base;
    const weir_config_t *config;
    weir_users_t *users; /* while it serves */
    weir_email_t *email; /* while it has that consumer */
};

/* The email group has a connection of its own to make, the others are constants. */
static const struct {
    const char *name;
    const weir_consumer_t *consumer;
} groups[] = {
    {"email", NULL},
    {"billing", &weir_billing_consumer},
    {"analytics", &weir_analytics_consumer},
    {"flags", &weir_flags_consumer},
};

#define N_GROUPS (sizeof(groups) / sizeof(groups[0]))

static bool is_named(const char *list, const char *group)
{
    const char *name;
    size_t len;

    while ((list = weir_config_next_name(list, &name, &len)) != NULL) {
        if ((len == strlen(group) && memcmp(name, group, len) == 0) ||
            (len == 3 && memcmp(name, "all", 3) == 0))
            return true;
    }

    return false;
}

static bool is_group(const char *name, size_t len)
{
    for (size_t i = 0; i < N_GROUPS; i++) {
        if (strlen(groups[i].name) == len && memcmp(name, groups[i].name, len) == 0)
            return true;
    }

    return len == 3 && memcmp(name, "all", 3) == 0;
}

bool weir_shop_check(const weir_config_t *config, char *error, size_t error_size)
{
    const char *list = config->groups, *name;
    char why[256];
    size_t len;

    while ((list = weir_config_next_name(list, &name, &len)) != NULL) {
        if (is_group(name, len))
            continue;
        snprintf(why, sizeof(why),
                 "there is no group \"%.*s\"; there are all, email, billing, analytics, flags",
                 len < 64 ? (int)len : 64, name);
        weir_config_complain(config, "groups", why, error, error_size);
        return false;
    }

    return true;
}

weir_shop_t *weir_shop_new(struct event_base *base, const weir_config_t *config)
{
    weir_shop_t *shop = calloc(1, sizeof(*shop));

    if (shop == NULL)
        abort();

    shop->base = base;
    shop->config = config;

    return shop;
}

void weir_shop_serve(weir_shop_t *shop, weir_http_t *http, weir_relay_t *relay)
{
    shop->users = weir_users_new(shop->base, shop->config->database, http, relay);
}

void weir_shop_unserve(weir_shop_t *shop)
{
    weir_users_free(shop->users);
    shop->users = NULL;
}

int weir_shop_consumers(weir_shop_t *shop, weir_consumer_t consumers[WEIR_SHOP_CONSUMERS_MAX],
                        char *error, size_t error_size)
{
    const weir_config_t *config = shop->config;
    int n = 0;

    for (size_t i = 0; i < N_GROUPS; i++) {
        if (!is_named(config->groups, groups[i].name))
            continue;

        if (groups[i].consumer != NULL) {
            consumers[n++] = *groups[i].consumer;
            continue;
        }

        shop->email = weir_email_new(shop->base, config->smtp, config->smtp_timeout,
                                     config->mail_from, error, error_size);
        if (shop->email == NULL)
            return -1;
        consumers[n++] = weir_email_consumer(shop->email);
    }

    return n;
}

void weir_shop_free(weir_shop_t *shop)
{
    if (shop == NULL)
        return;

    weir_shop_unserve(shop);
    if (shop->email != NULL)
        weir_email_free(shop->email);
    free(shop);
}
