#include "shop/users/email.h"

#include "common/ids/uuid7.h"
#include "db/batch/ask.h"
#include "log/alloc.h"
#include "outbound/mail.h"
#include "outbound/smtp.h"
#include "shop/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUP "email"
#define CONNECTIONS 8 /* to the SMTP server, and mails in flight */

static const char *const types[] = {"UserCreated", "OrderPaid", NULL};

#define RECIPIENTS "SELECT place, email, display_name, has_left FROM mail_recipients($1::uuid[])"
enum { RECIPIENT_EMAIL = 1, RECIPIENT_NAME, RECIPIENT_HAS_LEFT };

typedef struct {
    weir_db_t *db;
    weir_ask_t *recipients;
    weir_smtp_t *smtp;
    weir_tls_t *tls; /* or NULL */
    char *name;      /* of the sender, or NULL */
    char *address;
} email_t;

/* An event whose mail is not sent yet; the strings of event live until its delivery is done. */
typedef struct {
    email_t *email;
    const weir_event_t *event;
    weir_delivery_t *delivery;
} job_t;

/* --- what to send --------------------------------------------------------------------- */

static void send_text(job_t *job, const char *to, const char *name, const char *subject,
                      const char *body)
{
    email_t *e = job->email;
    weir_delivery_t *delivery = job->delivery;
    char id[300];
    weir_mail_t mail;

    snprintf(id, sizeof(id), "%s." GROUP "%s", job->event->id, strchr(e->address, '@'));
    mail = (weir_mail_t){
        .from_name = e->name,
        .from = e->address,
        .to_name = name,
        .to = to,
        .subject = subject,
        .message_id = id,
        .time = job->event->time,
        .body = body,
    };
    weir_smtp_send(e->smtp, &mail, delivery);
    free(job);
}

static void done(job_t *job, weir_delivery_result_t result, const char *error)
{
    weir_delivery_t *delivery = job->delivery;

    free(job);
    weir_delivery_done(delivery, result, error);
}

static void send_welcome(job_t *job)
{
    const char *to = json_string_value(json_object_get(job->event->data, "email"));
    const char *name = json_string_value(json_object_get(job->event->data, "displayName"));
    char *body;

    if (to == NULL || !weir_mail_is_address(to)) {
        done(job, WEIR_DELIVERY_PERMANENT,
             to == NULL ? "the event has no e-mail address"
                        : "mail cannot be sent to this address");
        return;
    }
    body = weir_alloc_format("Hello %s,\n\n"
                             "welcome! Your account has been created and is ready in a moment.\n",
                             name != NULL ? name : "");
    send_text(job, to, name, "Welcome", body);
    free(body);
}

/* An amount in minor units as people read it; ISO 4217 says how many digits are behind the point.
 */
static void show_amount(char out[48], json_int_t amount, const char *currency)
{
    static const char none[] = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF";
    static const char three[] = "BHD IQD JOD KWD LYD OMR TND";
    bool known = strlen(currency) == 3;

    if (known && strstr(none, currency) != NULL)
        snprintf(out, 48, "%" JSON_INTEGER_FORMAT " %s", amount, currency);
    else if (known && strstr(three, currency) != NULL)
        snprintf(out, 48, "%" JSON_INTEGER_FORMAT ".%03d %s", amount / 1000, (int)(amount % 1000),
                 currency);
    else
        snprintf(out, 48, "%" JSON_INTEGER_FORMAT ".%02d %.8s", amount / 100, (int)(amount % 100),
                 currency);
}

static void send_receipt(job_t *job, const char *to, const char *name)
{
    const json_t *data = job->event->data, *total = json_object_get(data, "total");
    const char *order = json_string_value(json_object_get(data, "orderId"));
    const char *currency = json_string_value(json_object_get(data, "currency"));
    char amount[48], *body;

    if (order == NULL || currency == NULL || !json_is_integer(total)) {
        done(job, WEIR_DELIVERY_PERMANENT, "the event has no order, total or currency");
        return;
    }
    if (!weir_mail_is_address(to)) {
        done(job, WEIR_DELIVERY_PERMANENT, "mail cannot be sent to this address");
        return;
    }
    show_amount(amount, json_integer_value(total), currency);
    body = weir_alloc_format("Hello %s,\n\nthank you! We have received %s for your order %s.\n",
                             name, amount, order);
    send_text(job, to, name, "Your receipt", body);
    free(body);
}

/* --- the consumer ------------------------------------------------------------------------ */

static void on_recipient(PGresult *result, int row, const char *error, const char *sqlstate,
                         void *arg)
{
    job_t *job = arg;

    if (result == NULL)
        done(job, weir_delivery_not_asked(sqlstate), error);
    else if (weir_column_bool(result, row, RECIPIENT_HAS_LEFT))
        done(job, WEIR_DELIVERY_OK, NULL); /* the user was deleted: no mail */
    else if (strcmp(job->event->type, "UserCreated") == 0)
        send_welcome(job);
    else if (PQgetisnull(result, row, RECIPIENT_EMAIL))
        done(job, WEIR_DELIVERY_PERMANENT, "there is no such user");
    else
        send_receipt(job, PQgetvalue(result, row, RECIPIENT_EMAIL),
                     PQgetvalue(result, row, RECIPIENT_NAME));
}

static void handle(void *self, const weir_event_t *event, weir_delivery_t *delivery)
{
    email_t *e = self;
    const char *user = json_string_value(json_object_get(event->data, "userId"));
    job_t *job = weir_alloc(sizeof(*job));
    char uuid[WEIR_UUID_LEN + 1];

    *job = (job_t){e, event, delivery};
    if (user == NULL || weir_uuid_parse((weir_str_t){user, strlen(user)}, uuid) != 0) {
        done(job, WEIR_DELIVERY_PERMANENT, "the event names no user");
        return;
    }
    weir_ask(e->recipients, event->trace, (const char *[]){uuid}, on_recipient, job);
}

static void *open_email(const weir_runtime_t *runtime, char *error, size_t error_size)
{
    const weir_shop_settings_t *settings = runtime->settings;
    email_t *e = weir_alloc(sizeof(*e));
    weir_tls_settings_t tls;

    if (!weir_mail_split(settings->mail_from, &e->name, &e->address)) {
        snprintf(error, error_size,
                 "mail_from \"%s\": it must be an address, or a name and an address in <>",
                 settings->mail_from);
        free(e);
        return NULL;
    }
    if (weir_shop_smtp_tls(settings, &tls)) {
        e->tls = weir_tls_new(runtime->base, &tls, error, error_size);
        if (e->tls == NULL) {
            free(e->name);
            free(e->address);
            free(e);
            return NULL;
        }
    }
    e->smtp = weir_smtp_new(runtime->base, settings->smtp, settings->smtp_timeout, CONNECTIONS);
    weir_smtp_use_tls(e->smtp, e->tls, settings->smtp_starttls != 0);
    e->db = weir_db_new(runtime->base, runtime->database, GROUP, NULL, NULL);
    e->recipients = weir_ask_new(runtime->base, e->db, GROUP, RECIPIENTS, 1);
    return e;
}

static void close_email(void *self)
{
    email_t *e = self;

    weir_smtp_free(e->smtp);
    weir_tls_free(e->tls);
    weir_db_free(e->db);
    weir_ask_free(e->recipients);
    free(e->name);
    free(e->address);
    free(e);
}

const weir_group_t weir_email_group = {
    .consumer =
        {
            .group = GROUP,
            .types = types,
            .apply = "email_apply",
            .permanent = "22,23",
            .dependency = "smtp",
            .concurrency = CONNECTIONS,
            .handle = handle,
        },
    .open = open_email,
    .close = close_email,
};
