#include "outbound/smtp.h"

#include "log/alloc.h"
#include "outbound/transfer.h"
#include "trace/tracer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct weir_smtp {
    weir_transfers_t *transfers;
    char *url;
    char *host; /* of url, with its port, without credentials; for spans */
    long timeout_ms;
};

/* A mail in flight. */
typedef struct {
    weir_delivery_t *delivery;
    const weir_smtp_t *smtp;
    weir_open_span_t span;
    struct curl_slist *to;
    char *text;
    size_t len, sent;
    bool given_up;
    bool named;      /* RCPT TO was sent */
    bool has_quit;   /* QUIT was sent */
    char reply[200]; /* the server's last line before QUIT */
    char error[CURL_ERROR_SIZE];
} mail_t;

/*
 * The server accepts a mail when it has the text and the line that ends it. libcurl sends this line
 * after the call that returns no more text. So that call is the last point at which a mail can be
 * stopped because another worker may be sending it; an earlier end of the transfer sends no mail.
 */
static size_t on_text(char *buffer, size_t size, size_t count, void *arg)
{
    mail_t *m = arg;
    size_t n = m->len - m->sent;

    assert(m->sent <= m->len);
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

/* The recipient's address is replaced: errors are kept longer than the data of a deleted user. */
static void note_reply(mail_t *m, const char *data, size_t size)
{
    const char *rest, *at;
    char line[512];
    size_t len = 0, address = strlen(m->to->data);

    snprintf(line, sizeof(line), "%.*s", (int)(size < sizeof(line) ? size : sizeof(line) - 1),
             data);
    for (rest = line;
         address > 0 && len < sizeof(m->reply) && (at = strcasestr(rest, m->to->data)) != NULL;
         rest = at + address)
        len += (size_t)snprintf(m->reply + len, sizeof(m->reply) - len, "%.*s(recipient)",
                                (int)(at - rest), rest);
    if (len < sizeof(m->reply))
        snprintf(m->reply + len, sizeof(m->reply) - len, "%.199s", rest);
}

/* Notes the parts of the dialogue that decide the result, and the last reply for operators. */
static int on_dialogue(CURL *easy, curl_infotype type, char *data, size_t size, void *arg)
{
    mail_t *m = arg;

    (void)easy;
    if (type == CURLINFO_HEADER_OUT && size >= 7 && strncasecmp(data, "RCPT TO", 7) == 0) {
        m->named = true;
    } else if (type == CURLINFO_HEADER_OUT && size >= 4 && strncasecmp(data, "QUIT", 4) == 0) {
        m->has_quit = true;
    } else if (type == CURLINFO_HEADER_IN && !m->has_quit) {
        while (size > 0 && (data[size - 1] == '\n' || data[size - 1] == '\r'))
            size--;
        note_reply(m, data, size);
    }
    return 0;
}

/*
 * True when a refusal of the recipient may concern the sender: servers that delay their
 * restrictions until they know the recipient (Postfix does) then reply that the client must log in
 * (RFC 4954 section 6), or may not send (security and policy, X.7.x of RFC 3463).
 */
static bool may_concern_sender(const mail_t *m, long reply)
{
    return reply == 530 || reply == 534 || reply == 535 || reply == 538 ||
           (strlen(m->reply) > 7 && strncmp(m->reply + 4, "5.7.", 4) == 0);
}

/*
 * Before RCPT TO, every reply (no service, log in first, sender refused) and no reply concern all
 * mails. After it, a plain reply concerns this mail; 421 (RFC 5321 section 3.8), a reply about the
 * sender's rights, a time-out and a lost connection may concern this recipient or all.
 */
static weir_delivery_result_t judge(const mail_t *m, CURLcode code, long reply)
{
    if (m->given_up)
        return WEIR_DELIVERY_GIVEN_UP;
    if (code == CURLE_OK)
        return WEIR_DELIVERY_OK;
    if (!m->named)
        return WEIR_DELIVERY_AWAY;
    if (reply == 421 || code == CURLE_OPERATION_TIMEDOUT || may_concern_sender(m, reply))
        return WEIR_DELIVERY_UNAVAILABLE;
    if (reply >= 500 && reply <= 599)
        return WEIR_DELIVERY_PERMANENT;
    return reply >= 400 ? WEIR_DELIVERY_RETRY : WEIR_DELIVERY_UNAVAILABLE;
}

static void end_span(const mail_t *m, weir_delivery_result_t result, long reply, const char *error)
{
    weir_attribute_t attributes[] = {
        {.name = "network.protocol.name",
         .type = WEIR_ATTRIBUTE_TEXT,
         .value.text = WEIR_STR("smtp")},
        {.name = "server.address",
         .type = WEIR_ATTRIBUTE_TEXT,
         .value.text = weir_str(m->smtp->host)},
        {.name = "weir.smtp.reply_code", .type = WEIR_ATTRIBUTE_NUMBER, .value.number = reply},
        {.name = "error.type", .type = WEIR_ATTRIBUTE_TEXT, .value.text = WEIR_STR("_OTHER")},
    };
    weir_span_t span = {.name = WEIR_STR("SMTP"), .kind = WEIR_SPAN_CLIENT};

    span.attributes = (weir_attributes_t){attributes, 3};
    if (result != WEIR_DELIVERY_OK) {
        span.attributes.n = 4;
        span.status = WEIR_SPAN_STATUS_ERROR;
        span.status_message = weir_str(error);
    }
    weir_tracer_end(&m->span, &span);
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
    end_span(m, result, reply, error);
    curl_easy_cleanup(easy);
    curl_slist_free_all(m->to);
    free(m->text);
    free(m);
    weir_delivery_done(delivery, result, error);
}

void weir_smtp_send(weir_smtp_t *smtp, const weir_mail_t *mail, weir_delivery_t *delivery)
{
    mail_t *m = weir_alloc(sizeof(*m));
    CURL *easy = weir_alloc_check(curl_easy_init());
    char from[300], traceparent[WEIR_TRACEPARENT_LEN + 1];
    weir_mail_t traced;

    assert(mail->to != NULL && delivery != NULL);
    m->delivery = delivery;
    m->smtp = smtp;
    traced = *mail;
    if (weir_delivery_trace(delivery) != NULL) {
        weir_tracer_begin(&m->span, weir_delivery_trace(delivery));
        weir_traceparent_format(&m->span.trace.at, traceparent);
        traced.traceparent = traceparent;
    }
    m->text = weir_mail_text(&traced, &m->len);
    m->to = curl_slist_append(NULL, mail->to);
    snprintf(from, sizeof(from), "<%s>", mail->from);
    curl_easy_setopt(easy, CURLOPT_URL, smtp->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, smtp->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, smtp->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_MAIL_FROM, from);
    curl_easy_setopt(easy, CURLOPT_MAIL_RCPT, m->to);
    curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_text);
    curl_easy_setopt(easy, CURLOPT_READDATA, m);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, m->error);
    curl_easy_setopt(easy, CURLOPT_VERBOSE, 1L);
    curl_easy_setopt(easy, CURLOPT_DEBUGFUNCTION, on_dialogue);
    curl_easy_setopt(easy, CURLOPT_DEBUGDATA, m);
    weir_transfers_add(smtp->transfers, easy, on_sent, m);
}

weir_smtp_t *weir_smtp_new(struct event_base *base, const char *url, unsigned timeout_ms,
                           long connections)
{
    weir_smtp_t *smtp = weir_alloc(sizeof(*smtp));

    assert(url != NULL && connections > 0);
    smtp->url = weir_alloc_text(url);
    smtp->host = weir_transfer_host(url);
    smtp->timeout_ms = (long)timeout_ms;
    smtp->transfers = weir_transfers_new(base, connections);
    return smtp;
}

void weir_smtp_free(weir_smtp_t *smtp)
{
    weir_transfers_free(smtp->transfers);
    free(smtp->url);
    free(smtp->host);
    free(smtp);
}
