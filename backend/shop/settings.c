#include "shop/settings.h"

#include "config/kinds.h"
#include "http/signature.h"
#include "outbound/mail.h"
#include "outbound/transfer.h"
#include "shop/payments/secrets.h"

#include <stdio.h>
#include <stdlib.h>

#define FIELD(name) offsetof(weir_shop_settings_t, name)

static const char *const smtp_urls[] = {"smtp://", "smtps://", NULL};
static const char *const starttls[] = {"off", "required", NULL};
static const char *const http_urls[] = {"http://", "https://", NULL};

const weir_config_key_t weir_shop_keys[] = {
    {"smtp", &weir_config_url, FIELD(smtp), "smtp://127.0.0.1:25", 1, 1024,
     .allowed = "smtp://HOST[:PORT] or smtps://HOST[:PORT]", .choices = smtp_urls},
    {"smtp_timeout", &weir_config_time, FIELD(smtp_timeout), "5s", 100, 300000,
     .allowed = "a time from 100ms to 5m with its unit: ms, s or m"},
    {"smtp_starttls", &weir_config_choice, FIELD(smtp_starttls), "off", 0, 0,
     .allowed = "off or required", .choices = starttls},
    {"smtp_ca", &weir_config_text, FIELD(smtp_ca), "", 0, 1024,
     .allowed = "the name of a file, at most 1024 bytes, or nothing"},
    {"smtp_certificate", &weir_config_text, FIELD(smtp_certificate), "", 0, 1024,
     .allowed = "the name of a file, at most 1024 bytes, or nothing"},
    {"smtp_key", &weir_config_text, FIELD(smtp_key), "", 0, 1024,
     .allowed = "the name of a file, at most 1024 bytes, or nothing"},
    {"mail_from", &weir_config_text, FIELD(mail_from), "Weir Shop <shop@weir.example>", 3, 256,
     .allowed = "an address, or NAME <ADDRESS>", .privacy = WEIR_CONFIG_SHOWN},
    {"payments_url", &weir_config_url, FIELD(payments_url), "http://127.0.0.1:8084", 1, 1024,
     .allowed = "http://HOST[:PORT] or https://HOST[:PORT]", .choices = http_urls},
    {"payments_ca", &weir_config_text, FIELD(payments_ca), "", 0, 1024,
     .allowed = "the name of a file, at most 1024 bytes, or nothing"},
    {"payments_certificate", &weir_config_text, FIELD(payments_certificate), "", 0, 1024,
     .allowed = "the name of a file, at most 1024 bytes, or nothing"},
    {"payments_key", &weir_config_text, FIELD(payments_key), "", 0, 1024,
     .allowed = "the name of a file, at most 1024 bytes, or nothing"},
    {"payments_timeout", &weir_config_time, FIELD(payments_timeout), "5s", 100, 300000,
     .allowed = "a time from 100ms to 5m with its unit: ms, s or m"},
    {"payments_check", &weir_config_seconds, FIELD(payments_check), "1h", 0, 2592000,
     .allowed = "a time up to 30d with its unit: s, m, h or d; 0s: never"},
    {"webhook_secret", &weir_config_text, FIELD(webhook_secret), "", 0, 256,
     .allowed = "at most 256 bytes", .privacy = WEIR_CONFIG_SECRET},
    {"webhook_secret_old", &weir_config_text, FIELD(webhook_secret_old), "", 0, 256,
     .allowed = "at most 256 bytes", .privacy = WEIR_CONFIG_SECRET},
    {"webhook_secrets", &weir_config_text, FIELD(webhook_secrets), "", 0, 1024,
     .allowed = "the name of a file, at most 1024 bytes, or nothing"},
    {0},
};

/* Returns NULL, or what is wrong with a sender. */
static const char *check_mailbox(const char *mailbox)
{
    char *name, *address;

    if (!weir_mail_split(mailbox, &name, &address))
        return "must be an address, or a name and an address in <>";
    free(name);
    free(address);

    return NULL;
}

static const char *check_secret(const char *value)
{
    weir_secret_t secret;

    return *value == '\0' || weir_secret_parse(value, &secret)
               ? NULL
               : "must be whsec_ and the base64 of 24 to 64 bytes, or empty";
}

static const char *check_secrets(const char *file)
{
    weir_secret_t secrets[WEIR_SHOP_SECRETS_MAX];

    return *file == '\0' || weir_shop_secrets_read(file, secrets) > 0
               ? NULL
               : "must be a file with 1 to 8 secrets (whsec_…), a line each";
}

static bool has_files(const weir_tls_settings_t *tls)
{
    return *tls->ca != '\0' || *tls->certificate != '\0' || *tls->key != '\0';
}

bool weir_shop_smtp_tls(const weir_shop_settings_t *shop, weir_tls_settings_t *tls)
{
    *tls = (weir_tls_settings_t){.use = "smtp",
                                 .certificate = shop->smtp_certificate,
                                 .key = shop->smtp_key,
                                 .ca = shop->smtp_ca};

    return has_files(tls);
}

bool weir_shop_payments_tls(const weir_shop_settings_t *shop, weir_tls_settings_t *tls)
{
    *tls = (weir_tls_settings_t){.use = "payments",
                                 .certificate = shop->payments_certificate,
                                 .key = shop->payments_key,
                                 .ca = shop->payments_ca};

    return has_files(tls);
}

static bool check_tls(const weir_tls_settings_t *tls, const weir_config_t *config, char *error,
                      size_t error_size)
{
    static const char *const ends[] = {
        [WEIR_TLS_CERTIFICATE] = "certificate", [WEIR_TLS_KEY] = "key", [WEIR_TLS_CA] = "ca"};
    char why[512] = "", key[64];
    weir_tls_fault_t fault;

    if ((*tls->certificate == '\0') != (*tls->key == '\0')) {
        fault = *tls->certificate == '\0' ? WEIR_TLS_CERTIFICATE : WEIR_TLS_KEY;
        snprintf(why, sizeof(why), "%s_certificate and %s_key must be given together", tls->use,
                 tls->use);
    } else {
        fault = weir_tls_check(tls, why, sizeof(why));
    }
    if (fault == WEIR_TLS_NO_FAULT)
        return true;
    snprintf(key, sizeof(key), "%s_%s", tls->use, ends[fault]);
    weir_config_complain(config, key, why, error, error_size);

    return false;
}

bool weir_shop_check(const void *settings, const weir_config_t *config, char *error,
                     size_t error_size)
{
    const weir_shop_settings_t *shop = settings;
    weir_tls_settings_t tls;
    const struct {
        const char *key, *wrong;
    } checks[] = {
        {"smtp", weir_transfer_check_url(shop->smtp)},
        {"mail_from", check_mailbox(shop->mail_from)},
        {"payments_url", weir_transfer_check_url(shop->payments_url)},
        {"webhook_secret", check_secret(shop->webhook_secret)},
        {"webhook_secret_old", check_secret(shop->webhook_secret_old)},
        {"webhook_secrets", check_secrets(shop->webhook_secrets)},
    };

    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        if (checks[i].wrong != NULL) {
            weir_config_complain(config, checks[i].key, checks[i].wrong, error, error_size);
            return false;
        }
    }

    if (weir_shop_smtp_tls(shop, &tls) && !check_tls(&tls, config, error, error_size))
        return false;

    return !weir_shop_payments_tls(shop, &tls) || check_tls(&tls, config, error, error_size);
}
