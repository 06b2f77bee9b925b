#include "outbound/smtp.h"

#include "log/alloc.h"
#include "outbound/smtp/protocol.h"
#include "outbound/smtp/session.h"
#include "trace/tracer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

struct weir_smtp {
    weir_transfers_t *transfers;
    char *url;
    char *host; /* of url, with its port, without credentials; for spans */
    size_t n;
    weir_smtp_session_t **sessions; /* n of them */
    STAILQ_HEAD(waiting, mail) waiting;
};

typedef struct mail {
    STAILQ_ENTRY(mail) link; /* while it waits for a session */
    weir_delivery_t *delivery;
    weir_smtp_t *smtp;
    weir_open_span_t span;
    char *from, *to, *text;
    size_t len;
    char reply[200]; /* the server's last line, without the recipient */
} mail_t;

/* Another worker may be sending the mail. */
static bool may_end(void *arg)
{
    const mail_t *m = arg;

    return weir_delivery_is_owned(m->delivery);
}

/* The recipient's address is replaced: errors are kept longer than the data of a deleted user. */
static void note_reply(mail_t *m, const char *line)
{
    const char *at;
    size_t len = 0, address = strlen(m->to);

    for (; len < sizeof(m->reply) && (at = strcasestr(line, m->to)) != NULL; line = at + address)
        len += (size_t)snprintf(m->reply + len, sizeof(m->reply) - len, "%.*s(recipient)",
                                (int)(at - line), line);
    if (len < sizeof(m->reply))
        snprintf(m->reply + len, sizeof(m->reply) - len, "%s", line);
}

/*
 * True when a refusal of the recipient may concern the sender: servers that delay their
 * restrictions until they know the recipient (Postfix does) then reply that the client must log in
 * (RFC 4954 section 6), or may not send (security and policy, X.7.x of RFC 3463).
 */
static bool may_concern_sender(const mail_t *m, int reply)
{
    return reply == 530 || reply == 534 || reply == 535 || reply == 538 ||
           (strlen(m->reply) > 7 && strncmp(m->reply + 4, "5.7.", 4) == 0);
}

/*
 * Before RCPT TO, every reply (no service, log in first, sender refused) and no reply concern all
 * mails. After it, a plain reply concerns this mail; 421 (RFC 5321 section 3.8), a reply about the
 * sender's rights, a time-out and a lost connection may concern this recipient or all.
 */
static weir_delivery_result_t judge(const mail_t *m, const weir_smtp_outcome_t *outcome)
{
    if (outcome->end == WEIR_SMTP_GIVEN_UP)
        return WEIR_DELIVERY_GIVEN_UP;
    if (outcome->end == WEIR_SMTP_SENT)
        return WEIR_DELIVERY_OK;
    if (!outcome->named)
        return WEIR_DELIVERY_AWAY;
    if (outcome->end != WEIR_SMTP_REFUSED || outcome->code == 421 ||
        may_concern_sender(m, outcome->code))
        return WEIR_DELIVERY_UNAVAILABLE;
    if (outcome->code >= 500)
        return WEIR_DELIVERY_PERMANENT;
    return outcome->code >= 400 ? WEIR_DELIVERY_RETRY : WEIR_DELIVERY_UNAVAILABLE;
}

static void end_span(const mail_t *m, weir_delivery_result_t result, int reply, const char *error)
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

static void on_done(const weir_smtp_outcome_t *outcome, void *arg);

/* Sends mails that wait, as long as sessions are free: first over connections that are there. */
static void send_waiting(weir_smtp_t *smtp)
{
    mail_t *m;

    while ((m = STAILQ_FIRST(&smtp->waiting)) != NULL) {
        weir_smtp_session_t *found = NULL;

        for (size_t i = 0; i < smtp->n; i++) {
            weir_smtp_session_t *s = smtp->sessions[i];

            if (weir_smtp_session_is_free(s) && (found == NULL || weir_smtp_session_is_idle(s)))
                found = s;
        }
        if (found == NULL)
            return;
        STAILQ_REMOVE_HEAD(&smtp->waiting, link);
        weir_smtp_session_send(found, &(weir_smtp_envelope_t){.from = m->from,
                                                              .to = m->to,
                                                              .text = m->text,
                                                              .len = m->len,
                                                              .may_end = may_end,
                                                              .done = on_done,
                                                              .arg = m});
    }
}

static void on_done(const weir_smtp_outcome_t *outcome, void *arg)
{
    mail_t *m = arg;
    weir_smtp_t *smtp = m->smtp;
    weir_delivery_t *delivery = m->delivery;
    weir_delivery_result_t result;
    char error[CURL_ERROR_SIZE + sizeof(m->reply) + 30];

    note_reply(m, outcome->line);
    result = judge(m, outcome);
    snprintf(error, sizeof(error), "SMTP: %s (last reply: %s)", outcome->error,
             m->reply[0] != '\0' ? m->reply : "none");
    end_span(m, result, outcome->code, error);
    free(m->from);
    free(m->to);
    free(m->text);
    free(m);
    send_waiting(smtp);
    weir_delivery_done(delivery, result, error);
}

void weir_smtp_send(weir_smtp_t *smtp, const weir_mail_t *mail, weir_delivery_t *delivery)
{
    mail_t *m = weir_alloc(sizeof(*m));
    char *text, traceparent[WEIR_TRACEPARENT_LEN + 1];
    weir_mail_t traced;
    size_t len;

    assert(weir_mail_is_address(mail->from) && weir_mail_is_address(mail->to));
    assert(delivery != NULL);
    m->delivery = delivery;
    m->smtp = smtp;
    m->from = weir_alloc_text(mail->from);
    m->to = weir_alloc_text(mail->to);
    traced = *mail;
    if (weir_delivery_trace(delivery) != NULL) {
        weir_tracer_begin(&m->span, weir_delivery_trace(delivery));
        weir_traceparent_format(&m->span.trace.at, traceparent);
        traced.traceparent = traceparent;
    }
    text = weir_mail_text(&traced, &len);
    m->text = weir_smtp_dotted(text, len, &m->len);
    free(text);
    STAILQ_INSERT_TAIL(&smtp->waiting, m, link);
    send_waiting(smtp);
}

weir_smtp_t *weir_smtp_new(struct event_base *base, const char *url, unsigned timeout_ms,
                           size_t connections)
{
    weir_smtp_t *smtp = weir_alloc(sizeof(*smtp));

    assert(url != NULL && connections > 0);
    smtp->url = weir_alloc_text(url);
    smtp->host = weir_transfer_host(url);
    smtp->transfers = weir_transfers_new(base, (long)connections);
    smtp->n = connections;
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): the array is one of pointers */
    smtp->sessions = weir_alloc_array(connections, sizeof(*smtp->sessions));
    for (size_t i = 0; i < connections; i++)
        smtp->sessions[i] = weir_smtp_session_new(base, smtp->transfers, smtp->url, timeout_ms);
    STAILQ_INIT(&smtp->waiting);
    return smtp;
}

void weir_smtp_use_tls(weir_smtp_t *smtp, weir_tls_t *tls, bool starttls)
{
    for (size_t i = 0; i < smtp->n; i++)
        weir_smtp_session_use_tls(smtp->sessions[i], tls, starttls);
}

void weir_smtp_free(weir_smtp_t *smtp)
{
    const weir_smtp_outcome_t outcome = {.end = WEIR_SMTP_LOST, .error = "not sent", .line = ""};
    mail_t *m;

    while ((m = STAILQ_FIRST(&smtp->waiting)) != NULL) {
        STAILQ_REMOVE_HEAD(&smtp->waiting, link);
        on_done(&outcome, m);
    }
    for (size_t i = 0; i < smtp->n; i++)
        weir_smtp_session_close(smtp->sessions[i]);
    weir_transfers_free(smtp->transfers);
    for (size_t i = 0; i < smtp->n; i++)
        weir_smtp_session_free(smtp->sessions[i]);
    free(smtp->sessions);
    free(smtp->url);
    free(smtp->host);
    free(smtp);
}
