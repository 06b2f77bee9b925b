#include "shop/shop.h"

#include "api/openapi.h"
#include "http/signature.h"
#include "outbound/invalidation.h"
#include "outbound/transfer.h"
#include "shop/aggregates.h"
#include "shop/analytics.h"
#include "shop/billing.h"
#include "shop/checkout.h"
#include "shop/dashboard.h"
#include "shop/deletion.h"
#include "shop/email.h"
#include "shop/flags.h"
#include "shop/orders.h"
#include "shop/payments.h"
#include "shop/products.h"
#include "shop/shop_api.h"
#include "shop/tags.h"
#include "shop/users.h"
#include "shop/webhooks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct weir_shop {
    struct event_base *base;
    const weir_config_t *config;
    /* while it serves */
    weir_openapi_t *openapi;
    weir_users_t *users;
    weir_products_t *products;
    weir_orders_t *orders;
    weir_dashboard_t *dashboard;
    weir_checkout_t *checkout;
    weir_webhooks_t *webhooks;
    weir_deletion_t *deletion;
    /* while it has that consumer */
    weir_email_t *email;
    weir_invalidation_t *invalidation;
    weir_payments_t *payments;
};

static bool make_email(weir_shop_t *shop, weir_consumer_t *out, char *error, size_t size)
{
    const weir_config_t *config = shop->config;

    shop->email = weir_email_new(shop->base, config->database, config->smtp, config->smtp_timeout,
                                 config->mail_from, error, size);
    if (shop->email == NULL)
        return false;
    *out = weir_email_consumer(shop->email);

    return true;
}

static bool make_invalidation(weir_shop_t *shop, weir_consumer_t *out, char *error, size_t size)
{
    shop->invalidation = weir_invalidation_new(shop->base, shop->config->redis, weir_tags_types,
                                               weir_tags_of_event, error, size);
    if (shop->invalidation == NULL)
        return false;
    *out = weir_invalidation_consumer(shop->invalidation);

    return true;
}

static bool make_payments(weir_shop_t *shop, weir_consumer_t *out, char *error, size_t size)
{
    const weir_config_t *config = shop->config;

    shop->payments = weir_payments_new(shop->base, config->database, config->payments_url,
                                       config->payments_timeout, config->payments_check, error, size);
    if (shop->payments == NULL)
        return false;
    *out = weir_payments_consumer(shop->payments);

    return true;
}

/* Some have a connection of their own to make, the others are constants. */
static const struct {
    const char *name;
    const weir_consumer_t *consumer;
    bool (*make)(weir_shop_t *shop, weir_consumer_t *out, char *error, size_t size);
} groups[] = {
    {"email", NULL, make_email},
    {"billing", &weir_billing_consumer, NULL},
    {"analytics", &weir_analytics_consumer, NULL},
    {"flags", &weir_flags_consumer, NULL},
    {"aggregates", &weir_aggregates_consumer, NULL},
    {"invalidation", NULL, make_invalidation},
    {"payments", NULL, make_payments},
    {"access", &weir_access_consumer, NULL},
    {"privacy", &weir_privacy_consumer, NULL},
};

#define N_GROUPS (sizeof(groups) / sizeof(groups[0]))

static bool is_all(const char *name, size_t len)
{
    return len == 3 && memcmp(name, "all", 3) == 0;
}

static bool is_named(const char *list, const char *group)
{
    const char *name;
    size_t len;

    while ((list = weir_config_next_name(list, &name, &len)) != NULL) {
        if ((len == strlen(group) && memcmp(name, group, len) == 0) || is_all(name, len))
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

    return false;
}

/* The message for a list that names a group that there is not; false. */
static bool no_group(const weir_config_t *config, const char *key, const char *name, size_t len,
                     const char *besides, char *error, size_t error_size)
{
    char why[512], known[256];
    size_t known_len = (size_t)snprintf(known, sizeof(known), "%s", besides);

    for (size_t i = 0; i < N_GROUPS; i++)
        known_len += (size_t)snprintf(known + known_len, sizeof(known) - known_len, "%s%s",
                                      i > 0 ? ", " : "", groups[i].name);
    snprintf(why, sizeof(why), "there is no group \"%.*s\"; there are %s", len < 64 ? (int)len : 64,
             name, known);
    weir_config_complain(config, key, why, error, error_size);

    return false;
}

static bool check_secret(const weir_config_t *config, const char *key, const char *value,
                         char *error, size_t error_size)
{
    weir_secret_t secret;

    if (*value == '\0' || weir_secret_parse(value, &secret))
        return true;
    weir_config_complain(config, key, "must be whsec_ and the base64 of 24 to 64 bytes, or empty",
                         error, error_size);

    return false;
}

static bool check_text(const weir_config_t *config, const char *key, const char *why, char *error,
                       size_t size)
{
    if (why != NULL)
        weir_config_complain(config, key, why, error, size);

    return why == NULL;
}

bool weir_shop_check(const weir_config_t *config, char *error, size_t error_size)
{
    const char *list = config->groups, *name;
    weir_config_limit_t limit;
    size_t len;

    while ((list = weir_config_next_name(list, &name, &len)) != NULL) {
        if (!is_group(name, len) && !is_all(name, len))
            return no_group(config, "groups", name, len, "all, ", error, error_size);
    }

    list = config->retry_attempts;
    while ((list = weir_config_next_limit(list, &limit)) != NULL) {
        if (limit.len > 0 && !is_group(limit.group, limit.len))
            return no_group(config, "retry_attempts", limit.group, limit.len, "", error,
                            error_size);
    }

    return check_text(config, "smtp", weir_transfer_check_url(config->smtp), error, error_size) &&
           check_text(config, "mail_from", weir_email_check_from(config->mail_from), error,
                      error_size) &&
           check_text(config, "payments_url", weir_transfer_check_url(config->payments_url), error,
                      error_size) &&
           check_secret(config, "webhook_secret", config->webhook_secret, error, error_size) &&
           check_secret(config, "webhook_secret_old", config->webhook_secret_old, error,
                        error_size);
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
    const char *database = shop->config->database;

    shop->openapi = weir_openapi_new(http, &weir_shop_api);
    shop->users = weir_users_new(shop->base, database, shop->openapi, relay);
    shop->products = weir_products_new(shop->base, database, shop->openapi, relay);
    shop->orders = weir_orders_new(shop->base, database, shop->openapi, relay);
    shop->dashboard = weir_dashboard_new(shop->base, database, shop->openapi);
    shop->checkout = weir_checkout_new(shop->base, database, shop->openapi, relay);
    shop->webhooks = weir_webhooks_new(shop->base, shop->config, shop->openapi, relay);
    shop->deletion = weir_deletion_new(shop->base, database, shop->openapi, relay);
}

void weir_shop_unserve(weir_shop_t *shop)
{
    weir_users_free(shop->users);
    weir_products_free(shop->products);
    weir_orders_free(shop->orders);
    weir_dashboard_free(shop->dashboard);
    weir_checkout_free(shop->checkout);
    weir_webhooks_free(shop->webhooks);
    weir_deletion_free(shop->deletion);
    shop->users = NULL;
    shop->products = NULL;
    shop->orders = NULL;
    shop->dashboard = NULL;
    shop->checkout = NULL;
    shop->webhooks = NULL;
    shop->deletion = NULL;
}

int weir_shop_consumers(weir_shop_t *shop, weir_consumer_t consumers[WEIR_SHOP_CONSUMERS_MAX],
                        char *error, size_t error_size)
{
    int n = 0;

    for (size_t i = 0; i < N_GROUPS; i++) {
        if (!is_named(shop->config->groups, groups[i].name))
            continue;

        if (groups[i].consumer != NULL)
            consumers[n] = *groups[i].consumer;
        else if (!groups[i].make(shop, &consumers[n], error, error_size))
            return -1;
        consumers[n++].retry_attempts =
            weir_config_limit(shop->config->retry_attempts, groups[i].name);
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
    if (shop->invalidation != NULL)
        weir_invalidation_free(shop->invalidation);
    weir_payments_free(shop->payments);
    weir_openapi_free(shop->openapi);
    free(shop);
}
