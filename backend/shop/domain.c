/*
 * The shop's interface to the engine: the parts of its API, its consumer groups, its keys.
 */
#include "domain.h"

#include "shop/orders/aggregates.h"
#include "shop/orders/dashboard.h"
#include "shop/orders/orders.h"
#include "shop/payments/checkout.h"
#include "shop/payments/payments.h"
#include "shop/payments/webhooks.h"
#include "shop/products/products.h"
#include "shop/products/tags.h"
#include "shop/settings.h"
#include "shop/shop_api.h"
#include "shop/users/analytics.h"
#include "shop/users/billing.h"
#include "shop/users/deletion.h"
#include "shop/users/email.h"
#include "shop/users/flags.h"
#include "shop/users/users.h"

static const weir_endpoints_t *const endpoints[] = {
    &weir_signup_endpoints,   &weir_users_endpoints,
    &weir_products_endpoints, &weir_orders_endpoints,
    &weir_order_endpoints,    &weir_dashboard_endpoints,
    &weir_checkout_endpoints, &weir_webhooks_endpoints,
    &weir_deletion_endpoints, NULL,
};

static const weir_group_t *const groups[] = {
    &weir_email_group,      &weir_billing_group,
    &weir_analytics_group,  &weir_flags_group,
    &weir_aggregates_group, &weir_invalidation_group,
    &weir_payments_group,   &weir_access_group,
    &weir_privacy_group,    NULL,
};

extern const weir_sql_line_t weir_sql_shop; /* scripts/build/embed-sql.sh makes it of sql/ */

const weir_domain_t weir_domain = {
    .api = &weir_shop_api,
    .event_source = "weir/shop",
    .sql = &weir_sql_shop,
    .endpoints = endpoints,
    .groups = groups,
    .keys = weir_shop_keys,
    .settings_size = sizeof(weir_shop_settings_t),
    .retry_attempts = "8, email=20, payments=20",
    .check = weir_shop_check,
};
