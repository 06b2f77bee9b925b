/*
 * The domain, as main.c sees it: the routes of the api and the consumers of the
 * worker.  Whoever has another domain puts another folder in this one's place,
 * with these functions.
 */
#ifndef WEIR_SHOP_H
#define WEIR_SHOP_H

#include "config/config.h"
#include "db/migrate.h"
#include "events/events.h"
#include "http/http.h"

#define WEIR_SHOP_CONSUMERS_MAX 16

/* backend/shop/sql: the shop's tables and functions. */
extern const weir_sql_line_t weir_sql_shop;

typedef struct weir_shop weir_shop_t;

/* Checks what only the domain can know of the configuration.  False with a message. */
bool weir_shop_check(const weir_config_t *config, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* config must have passed the check and live as long as the shop. */
weir_shop_t *weir_shop_new(struct event_base *base, const weir_config_t *config);

/* Opens the sessions of the api and adds its routes.  relay as for weir_users_new(). */
void weir_shop_serve(weir_shop_t *shop, weir_http_t *http, weir_relay_t *relay);
/* Closes them, when the HTTP server has stopped. */
void weir_shop_unserve(weir_shop_t *shop);

/*
 * The consumers of the groups that the configuration names; they live as long as
 * the shop.  Returns their number, or -1 with a message.
 */
int weir_shop_consumers(weir_shop_t *shop, weir_consumer_t consumers[WEIR_SHOP_CONSUMERS_MAX],
                        char *error, size_t error_size);

/* After the worker has stopped. */
void weir_shop_free(weir_shop_t *shop);

#endif
