/* The shop's keys of the configuration. */
#ifndef WEIR_SHOP_SETTINGS_H
#define WEIR_SHOP_SETTINGS_H

#include "config/config.h"
#include "tls/tls.h"

typedef struct {
    char *smtp;
    unsigned smtp_timeout;  /* ms */
    unsigned smtp_starttls; /* bool: required */
    char *smtp_ca, *smtp_certificate, *smtp_key;
    char *mail_from;
    char *payments_url;
    unsigned payments_timeout; /* ms */
    unsigned payments_check;   /* s; 0: never */
    char *payments_ca, *payments_certificate, *payments_key;
    char *webhook_secret;     /* whsec_…, or empty */
    char *webhook_secret_old; /* the same */
    char *webhook_secrets;    /* a file with more of them, or empty */
} weir_shop_settings_t;

extern const weir_config_key_t weir_shop_keys[]; /* ends with {0} */

/*
 * The certificates of the mail server and of the gateway; false if the configuration has none, and
 * the system's authorities count.
 */
bool weir_shop_smtp_tls(const weir_shop_settings_t *shop, weir_tls_settings_t *tls);
bool weir_shop_payments_tls(const weir_shop_settings_t *shop, weir_tls_settings_t *tls);

/* The check of weir_domain_t. */
bool weir_shop_check(const void *settings, const weir_config_t *config, char *error,
                     size_t error_size);

#endif
