/* The shop's keys of the configuration. */
#ifndef WEIR_SHOP_SETTINGS_H
#define WEIR_SHOP_SETTINGS_H

#include "config/config.h"

typedef struct {
    char *smtp;
    unsigned smtp_timeout; /* ms */
    char *mail_from;
    char *payments_url;
    unsigned payments_timeout; /* ms */
    unsigned payments_check;   /* s; 0: never */
    char *webhook_secret;      /* whsec_…, or empty */
    char *webhook_secret_old;  /* the same */
} weir_shop_settings_t;

extern const weir_config_key_t weir_shop_keys[]; /* ends with {0} */

/* The check of weir_domain_t. */
bool weir_shop_check(const void *settings, const weir_config_t *config, char *error,
                     size_t error_size);

#endif
