#include "shop/email.h"

#include "common/uuid7.h"
#include "db/ask.h"
#include "events/transfer.h"
#include "shop/mail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define GROUP "email"
#define CONNECTIONS 8 /* to the SMTP server, and mails under way */

static const char *const types[] = {"UserCreated", "OrderPaid", NULL};

#define RECIPIENTS "SELECT place, email, display_name, has_left FROM mail_recipients($1::uuid[])"

struct weir_email {
    weir_db_t *db;
    weir_ask_t *recipients;
    weir_transfers_t *transfers;
    char *url;
    long timeout_ms;
    char *name; /* of the sender, or NULL */
    char *address;
};

/* An event under way, until its mail is; the strings of event live until it is done. */
typedef struct {
    weir_email_t *email;
    const weir_event_t *event;
    weir_delivery_t *delivery;
} job_t;

/* One mail on its way. */
typedef struct {
    weir_delivery_t *delivery;
    struct curl_slist *to;
    char *text;
    size_t len, sent;
    bool given_up;
    bool named;          /* the server was told the recipient */
    bool parted;         /* ... and QUIT */
    char reply[200];     /* the server's last line before that */
    char error[CURL_ERROR_SIZE];
} mail_t;

/*
 * The server keeps a mail when it has its text and the line after it that ends it, which libcurl
 * sends once there is no more text.  So the last moment at which a mail can be held back, that
 * another worker may be sending by now, is the call that says so; a transfer that ends before
 * leaves nothing.
 */
static size_t on_text(char *buffer, size_t size, size_t count, void *arg)
{
    mail_t *m = arg;
    size_t n = m->len - m->sent;

    if (!weir_delivery_is_owned(m->delivery)) {
        m->given_up = true;
        return CURL_READFUNC_ABORT;
    }
    if (n > size * count)
        n = size * count;
    memcpy(buffer, m->text + m->sent, n);
    m->sent += n;
    return n;
}

/* The recipient's address is left out: errors outlive a user who leaves. */
static void note_reply(mail_t *m, const char *data, size_t size)
{
    char line[512];
    const char *at;

    snprintf(line, sizeof(line), "%.*s", (int)(size < sizeof(line) ? size : sizeof(line) - 1),
             data);
    at = strcasestr(line, m->to->data);
    if (at == NULL)
        snprintf(m->reply, sizeof(m->reply), "%.199s", line);
    else
        snprintf(m->reply, sizeof(m->reply), "%.*s(recipient)%.60s", (int)(at - line) % 100, line,
                 at + strlen(m->to->data));
}

/* Notes the dialogue: what decides a mail's fate, and what an operator should read of it. */
static int on_dialogue(CURL *easy, curl_infotype type, char *data, size_t size, void *arg)
{
    mail_t *m = arg;

    (void)easy;
    if (type == CURLINFO_HEADER_OUT && size >= 7 && strncasecmp(data, "RCPT TO", 7) == 0) {
        m->named = true;
    } else if (type == CURLINFO_HEADER_OUT && size >= 4 && strncasecmp(data, "QUIT", 4) == 0) {
        m->parted = true;
    } else if (type == CURLINFO_HEADER_IN && !m->parted) {
        while (size > 0 && (data[size - 1] == '\n' || data[size - 1] == '\r'))
            size--;
        note_reply(m, data, size);
    }
    return 0;
}

/*
 * Whether a refusal of the recipient may be about us: servers that put off their restrictions until
 * they know the recipient (Postfix does) say then that we must log in (RFC 4954 section 6), or may
 * not send (security and policy, X.7.x of RFC 3463).
 */
static bool may_be_about_us(const mail_t *m, long reply)
{
    return reply == 530 || reply == 534 || reply == 535 || reply == 538 ||
           (strlen(m->reply) > 7 && strncmp(m->reply + 4, "5.7.", 4) == 0);
}

/*
 * Before the server was told the recipient all it says (no service, log in first, sender refused),
 * and its silence, is about us and all our mails.  After that a plain reply decides about this
 * mail; 421 (RFC 5321 section 3.8), a word on who may send, a time-out and a lost connection may be
 * about this recipient or about all.
 */
static weir_delivery_result_t judge(const mail_t *m, CURLcode code, long reply)
{
    if (m->given_up)
        return WEIR_DELIVERY_GIVEN_UP;
    if (code == CURLE_OK)
        return WEIR_DELIVERY_OK;
    if (!m->named)
        return WEIR_DELIVERY_AWAY;
    if (reply == 421 || code == CURLE_OPERATION_TIMEDOUT || may_be_about_us(m, reply))
        return WEIR_DELIVERY_UNAVAILABLE;
    if (reply >= 500 && reply <= 599)
        return WEIR_DELIVERY_PERMANENT;
    return reply >= 400 ? WEIR_DELIVERY_RETRY : WEIR_DELIVERY_UNAVAILABLE;
}

static void on_sent(CURL *easy, CURLcode code, void *arg)
{
    mail_t *m = arg;
    weir_delivery_t *delivery = m->delivery;
    weir_delivery_result_t result;
    char error[CURL_ERROR_SIZE + 300];
    long reply = 0;

    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &reply);
    result = judge(m, code, reply);
    snprintf(error, sizeof(error), "SMTP: %s (last reply: %s)",
             m->error[0] != '\0' ? m->error : curl_easy_strerror(code),
             m->reply[0] != '\0' ? m->reply : "none");
    curl_easy_cleanup(easy);
    curl_slist_free_all(m->to);
    free(m->text);
    free(m);
    weir_delivery_done(delivery, result, error);
}

static void send_mail(weir_email_t *e, const weir_mail_t *mail, weir_delivery_t *delivery)
{
    mail_t *m = calloc(1, sizeof(*m));
    CURL *easy = curl_easy_init();
    char from[300];

    if (m == NULL || easy == NULL)
        abort();
    m->delivery = delivery;
    m->text = weir_mail_text(mail, &m->len);
    m->to = curl_slist_append(NULL, mail->to);
    snprintf(from, sizeof(from), "<%s>", mail->from);
    curl_easy_setopt(easy, CURLOPT_URL, e->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, e->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, e->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_MAIL_FROM, from);
    curl_easy_setopt(easy, CURLOPT_MAIL_RCPT, m->to);
    curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_text);
    curl_easy_setopt(easy, CURLOPT_READDATA, m);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, m->error);
    curl_easy_setopt(easy, CURLOPT_VERBOSE, 1L);
    curl_easy_setopt(easy, CURLOPT_DEBUGFUNCTION, on_dialogue);
    curl_easy_setopt(easy, CURLOPT_DEBUGDATA, m);
    weir_transfers_add(e->transfers, easy, on_sent, m);
}

/* --- what to send --------------------------------------------------------------------- */

static void send_text(job_t *job, const char *to, const char *name, const char *subject,
                      const char *body)
{
    weir_email_t *e = job->email;
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
    send_mail(e, &mail, delivery);
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
    if (asprintf(&body,
                 "Hello %s,\n\n"
                 "welcome! Your account has been created and is ready in a moment.\n",
                 name != NULL ? name : "") < 0)
        abort();
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
    if (asprintf(&body, "Hello %s,\n\nthank you! We have received %s for your order %s.\n", name,
                 amount, order) < 0)
        abort();
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
    else if (*PQgetvalue(result, row, 3) == 't')
        done(job, WEIR_DELIVERY_OK, NULL); /* has left: no mail any more */
    else if (strcmp(job->event->type, "UserCreated") == 0)
        send_welcome(job);
    else if (PQgetisnull(result, row, 1))
        done(job, WEIR_DELIVERY_PERMANENT, "there is no such user");
    else
        send_receipt(job, PQgetvalue(result, row, 1), PQgetvalue(result, row, 2));
}

static void handle(void *self, const weir_event_t *event, weir_delivery_t *delivery)
{
    weir_email_t *e = self;
    const char *user = json_string_value(json_object_get(event->data, "userId"));
    job_t *job = calloc(1, sizeof(*job));
    char uuid[WEIR_UUID_LEN + 1];

    if (job == NULL)
        abort();
    *job = (job_t){e, event, delivery};
    if (user == NULL || weir_uuid_parse((weir_str_t){user, strlen(user)}, uuid) != 0) {
        done(job, WEIR_DELIVERY_PERMANENT, "the event names no user");
        return;
    }
    weir_ask(e->recipients, (const char *[]){uuid}, on_recipient, job);
}

const char *weir_email_check_from(const char *from)
{
    char *name, *address;

    if (!weir_mail_split(from, &name, &address))
        return "must be an address, or a name and an address in <>";
    free(name);
    free(address);
    return NULL;
}

weir_email_t *weir_email_new(struct event_base *base, const char *database, const char *url,
                             unsigned timeout_ms, const char *from, char *error, size_t error_size)
{
    weir_email_t *e;

    if (strncmp(url, "smtp://", 7) != 0 && strncmp(url, "smtps://", 8) != 0) {
        snprintf(error, error_size, "smtp \"%s\": it must be smtp://host:port or smtps://host:port",
                 url);
        return NULL;
    }
    e = calloc(1, sizeof(*e));
    if (e == NULL)
        abort();
    if (!weir_mail_split(from, &e->name, &e->address)) {
        snprintf(error, error_size,
                 "mail_from \"%s\": it must be an address, or a name and an address in <>", from);
        free(e);
        return NULL;
    }
    e->url = strdup(url);
    if (e->url == NULL)
        abort();
    e->timeout_ms = (long)timeout_ms;
    e->transfers = weir_transfers_new(base, CONNECTIONS);
    e->db = weir_db_new(base, database, GROUP, NULL, NULL);
    e->recipients = weir_ask_new(base, e->db, GROUP, RECIPIENTS, 1);
    return e;
}

void weir_email_free(weir_email_t *e)
{
    weir_transfers_free(e->transfers);
    weir_db_free(e->db);
    weir_ask_free(e->recipients);
    free(e->url);
    free(e->name);
    free(e->address);
    free(e);
}

weir_consumer_t weir_email_consumer(weir_email_t *email)
{
    return (weir_consumer_t){
        .group = GROUP,
        .types = types,
        .apply = "email_apply",
        .permanent = "22,23",
        .dependency = "smtp",
        .concurrency = CONNECTIONS,
        .handle = handle,
        .self = email,
    };
}
