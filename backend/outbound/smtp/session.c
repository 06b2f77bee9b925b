#include "outbound/smtp/session.h"

#include "log/alloc.h"
#include "log/clock.h"
#include "outbound/smtp/protocol.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Servers close an idle connection after minutes (RFC 5321 section 4.5.3.2). */
#define IDLE_MS 60000

/* A mail goes from CLOSED or IDLE to IDLE, line by line; any state may end in CLOSED. */
typedef enum {
    CLOSED,     /* without a connection */
    CONNECTING, /* libcurl is at work; on_connected() ends it */
    MAIL,       /* MAIL was sent, or a part of it; its reply is awaited */
    RCPT,
    DATA,
    TEXT, /* the text is being sent; no reply is due */
    END,  /* the line that ends the text was sent, or a part of it; the reply is awaited */
    IDLE  /* connected, without a mail */
} state_t;

struct weir_smtp_session {
    struct event_base *base;
    weir_transfers_t *transfers;
    const char *url;
    weir_tls_t *tls; /* or NULL */
    bool starttls;
    unsigned timeout_ms;
    state_t state;
    CURL *easy;                        /* CONNECTING and all later states */
    struct event *readable, *writable; /* MAIL and all later states */
    struct event *timer;               /* of the mail, or of an idle connection */
    size_t login;                      /* octets that the server has sent to libcurl */
    bool reused;                       /* an earlier mail had this connection */
    weir_smtp_reply_t reply;           /* the last one, or the one that arrives */
    char command[300];                 /* room for one with an address */
    const char *out;                   /* what is being sent: command, text, or its end */
    size_t out_len, sent;
    weir_smtp_envelope_t mail; /* done is NULL if there is none */
    uint64_t deadline;         /* of the mail, weir_clock_ms() */
    bool named;                /* as in the outcome */
    bool ended;                /* the mail's outcome is known, and reported next: */
    weir_smtp_end_t end;
    char error[CURL_ERROR_SIZE];
};

static bool is_connected(const weir_smtp_session_t *s)
{
    return s->state >= MAIL;
}

static void arm(weir_smtp_session_t *s, uint64_t ms)
{
    struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};

    evtimer_add(s->timer, &tv);
}

/* What is left of the mail's time, in ms. */
static uint64_t time_left(const weir_smtp_session_t *s)
{
    uint64_t now = weir_clock_ms();

    return s->deadline > now ? s->deadline - now : 0;
}

static void disconnect(weir_smtp_session_t *s)
{
    assert(is_connected(s));
    evtimer_del(s->timer);
    event_free(s->readable);
    event_free(s->writable);
    weir_transfers_close(s->transfers, s->easy);
    s->easy = NULL;
    s->state = CLOSED;
}

/*
 * RFC 5321 section 4.1.1.10 wants the client to wait for the reply to QUIT. Nothing depends on it,
 * and a server that is silent would keep the session from the next mail.
 */
static void leave(weir_smtp_session_t *s)
{
    size_t n;

    (void)curl_easy_send(s->easy, "QUIT\r\n", 6, &n);
    disconnect(s);
}

/* Ends the mail; report() tells so. The connection stays if the server waits for the next mail. */
__attribute__((format(printf, 3, 4))) static void
end_mail(weir_smtp_session_t *s, weir_smtp_end_t end, const char *format, ...)
{
    va_list arguments;

    assert(s->mail.done != NULL && !s->ended);
    s->ended = true;
    s->end = end;
    va_start(arguments, format);
    vsnprintf(s->error, sizeof(s->error), format, arguments);
    va_end(arguments);
    if (end == WEIR_SMTP_SENT) {
        s->state = IDLE;
        arm(s, IDLE_MS);
    } else if (end == WEIR_SMTP_REFUSED && s->sent == s->out_len) {
        leave(s);
    } else {
        disconnect(s);
    }
}

/*
 * Reports a mail that has ended. The callback may send the next one, or free other sessions, so an
 * event's handling ends with this call.
 */
static void report(weir_smtp_session_t *s)
{
    weir_smtp_envelope_t mail = s->mail;
    weir_smtp_outcome_t outcome = {.end = s->end,
                                   .named = s->named,
                                   .code = s->reply.code,
                                   .error = s->error,
                                   .line = s->reply.line};

    if (!s->ended)
        return;
    s->ended = false;
    s->mail.done = NULL;
    mail.done(&outcome, mail.arg);
}

/* --- the dialogue ------------------------------------------------------------------------- */

static void receive(weir_smtp_session_t *s);
static void reconnect(weir_smtp_session_t *s);

/* What flush() is to send. */
static void put(weir_smtp_session_t *s, state_t state, const char *out, size_t len)
{
    s->state = state;
    s->out = out;
    s->out_len = len;
    s->sent = 0;
}

static void put_command(weir_smtp_session_t *s, state_t state, const char *name,
                        const char *address, const char *end)
{
    int n = snprintf(s->command, sizeof(s->command), "%s%s%s\r\n", name, address, end);

    assert(n > 0 && (size_t)n < sizeof(s->command));
    put(s, state, s->command, (size_t)n);
}

/* Sends what the connection takes; the rest when it is writable again. */
static void flush(weir_smtp_session_t *s)
{
    while (s->sent < s->out_len) {
        size_t n = 0;
        CURLcode code;

        if (s->state == END && !s->mail.may_end(s->mail.arg)) {
            end_mail(s, WEIR_SMTP_GIVEN_UP, "the text was not ended");
            return;
        }
        code = curl_easy_send(s->easy, s->out + s->sent, s->out_len - s->sent, &n);
        if (code == CURLE_AGAIN) {
            event_add(s->writable, NULL);
            return;
        }
        if (code != CURLE_OK) { /* the server may have said why */
            receive(s);
            if (is_connected(s))
                end_mail(s, WEIR_SMTP_LOST, "sending failed: %s", curl_easy_strerror(code));
            return;
        }
        s->sent += n;
        if (s->sent == s->out_len && s->state == TEXT)
            put(s, END, ".\r\n", 3);
    }
}

/*
 * Acts on a whole reply. `last`: nothing was received after it. The server may reply only to what
 * it has received, and once; but a refusal is one, also when it comes too early.
 */
static void on_reply(weir_smtp_session_t *s, bool last)
{
    static const char *const names[] = {
        [MAIL] = "MAIL", [RCPT] = "RCPT", [DATA] = "DATA", [TEXT] = "text", [END] = "text"};
    int code = s->reply.code;

    if (s->state == DATA ? code != 354 : code / 100 != 2) {
        end_mail(s, WEIR_SMTP_REFUSED, "%s failed: %d", names[s->state], code);
    } else if (s->sent < s->out_len) {
        end_mail(s, WEIR_SMTP_LOST, "the reply to %s came before its end", names[s->state]);
    } else if (s->state == END) {
        end_mail(s, WEIR_SMTP_SENT, "%s", "");
    } else if (!last) {
        end_mail(s, WEIR_SMTP_LOST, "%s has several replies", names[s->state]);
    } else if (s->state == MAIL) {
        s->named = true;
        put_command(s, RCPT, "RCPT TO:<", s->mail.to, ">");
        flush(s);
    } else if (s->state == RCPT) {
        put_command(s, DATA, "DATA", "", "");
        flush(s);
    } else {
        put(s, TEXT, s->mail.text, s->mail.len);
        flush(s);
    }
}

static void on_octets(weir_smtp_session_t *s, const char *data, size_t len)
{
    size_t place = 0, used;

    while (place < len && is_connected(s)) {
        if (s->state == IDLE) { /* whatever it says, it is about to close the connection */
            disconnect(s);
            return;
        }
        switch (weir_smtp_reply_read(&s->reply, data + place, len - place, &used)) {
        case WEIR_SMTP_REPLY_WHOLE:
            on_reply(s, place + used == len);
            break;
        case WEIR_SMTP_REPLY_MALFORMED:
            end_mail(s, WEIR_SMTP_LOST, "a reply is malformed, or too long");
            break;
        case WEIR_SMTP_REPLY_PARTIAL:
            break;
        }
        place += used;
    }
}

/* Nothing more comes. A connection may have been closed before the server had this mail. */
static void on_closed(weir_smtp_session_t *s, CURLcode code)
{
    if (s->state == IDLE)
        disconnect(s);
    else if (s->state == MAIL && s->reused && s->reply.octets == 0)
        reconnect(s);
    else
        end_mail(s, WEIR_SMTP_LOST, "the connection was lost%s%s", code != CURLE_OK ? ": " : "",
                 code != CURLE_OK ? curl_easy_strerror(code) : "");
}

/* Reads until there is no more: octets that TLS has decrypted raise no event. */
static void receive(weir_smtp_session_t *s)
{
    char data[4096];

    while (is_connected(s)) {
        size_t n = 0;
        CURLcode code = curl_easy_recv(s->easy, data, sizeof(data), &n);

        if (code == CURLE_AGAIN)
            return;
        if (code != CURLE_OK || n == 0)
            on_closed(s, code);
        else
            on_octets(s, data, n);
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    receive(arg);
    report(arg);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    flush(arg);
    report(arg);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    weir_smtp_session_t *s = arg;

    (void)fd;
    (void)what;
    if (s->state == IDLE)
        leave(s);
    else
        end_mail(s, WEIR_SMTP_TIMED_OUT, "no reply within %u ms", s->timeout_ms);
    report(s);
}

/* --- the connection ------------------------------------------------------------------------ */

/* A line of the server before the dialogue is ours. libcurl bounds lines, but not their number. */
static size_t on_login(char *data, size_t size, size_t count, void *arg)
{
    weir_smtp_session_t *s = arg;
    size_t len = size * count, used, place = 0;

    s->login += len;
    if (s->login > WEIR_SMTP_REPLY_MAX)
        return 0; /* ends the transfer with an error */
    for (; place < len; place += used)
        weir_smtp_reply_read(&s->reply, data + place, len - place, &used);
    return len;
}

/* Lets the event loop send MAIL. */
static void begin(weir_smtp_session_t *s)
{
    arm(s, time_left(s));
    weir_smtp_reply_next(&s->reply);
    put_command(s, MAIL, "MAIL FROM:<", s->mail.from, ">");
    event_active(s->writable, EV_WRITE, 0);
}

static void on_connected(CURL *easy, CURLcode code, void *arg)
{
    weir_smtp_session_t *s = arg;
    curl_socket_t fd = CURL_SOCKET_BAD;

    assert(s->state == CONNECTING && s->easy == easy);
    if (code != CURLE_OK) {
        s->easy = NULL;
        s->state = CLOSED;
        s->ended = true;
        s->end = code == CURLE_OPERATION_TIMEDOUT ? WEIR_SMTP_TIMED_OUT : WEIR_SMTP_LOST;
        if (s->login > WEIR_SMTP_REPLY_MAX)
            snprintf(s->error, sizeof(s->error), "the server's replies are too long");
        else if (s->error[0] == '\0')
            snprintf(s->error, sizeof(s->error), "%s", curl_easy_strerror(code));
        curl_easy_cleanup(easy);
    } else {
        curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &fd);
        s->readable =
            weir_alloc_check(event_new(s->base, fd, EV_READ | EV_PERSIST, on_readable, s));
        s->writable = weir_alloc_check(event_new(s->base, fd, EV_WRITE, on_writable, s));
        event_add(s->readable, NULL);
        begin(s);
    }
    report(s);
}

static void connect_now(weir_smtp_session_t *s)
{
    CURL *easy = weir_alloc_check(curl_easy_init());
    long ms = (long)time_left(s);

    s->state = CONNECTING;
    s->easy = easy;
    s->login = 0;
    s->reused = false;
    s->reply = (weir_smtp_reply_t){0};
    s->error[0] = '\0';
    curl_easy_setopt(easy, CURLOPT_URL, s->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, ms > 0 ? ms : 1); /* 0 would be no limit */
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, ms > 0 ? ms : 1);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_login);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, s);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, s->error);
    if (s->starttls)
        curl_easy_setopt(easy, CURLOPT_USE_SSL, (long)CURLUSESSL_ALL);
    weir_transfer_use_tls(easy, s->tls);
    weir_transfers_connect(s->transfers, easy, on_connected, s);
}

static void reconnect(weir_smtp_session_t *s)
{
    disconnect(s);
    connect_now(s);
}

void weir_smtp_session_send(weir_smtp_session_t *s, const weir_smtp_envelope_t *mail)
{
    assert(weir_smtp_session_is_free(s) && mail->done != NULL && mail->may_end != NULL);
    s->mail = *mail;
    s->named = false;
    s->deadline = weir_clock_ms() + s->timeout_ms;
    if (s->state == CLOSED) {
        connect_now(s);
    } else {
        s->reused = true;
        begin(s);
    }
}

weir_smtp_session_t *weir_smtp_session_new(struct event_base *base, weir_transfers_t *transfers,
                                           const char *url, unsigned timeout_ms)
{
    weir_smtp_session_t *s = weir_alloc(sizeof(*s));

    s->base = base;
    s->transfers = transfers;
    s->url = url;
    s->timeout_ms = timeout_ms;
    s->timer = weir_alloc_check(evtimer_new(base, on_timer, s));
    return s;
}

void weir_smtp_session_close(weir_smtp_session_t *s)
{
    if (s->state == IDLE)
        leave(s);
    else if (is_connected(s))
        end_mail(s, WEIR_SMTP_LOST, "the mail was interrupted");
    report(s);
}

void weir_smtp_session_use_tls(weir_smtp_session_t *s, weir_tls_t *tls, bool starttls)
{
    s->tls = tls;
    s->starttls = starttls;
}

void weir_smtp_session_free(weir_smtp_session_t *s)
{
    assert(s->state == CLOSED && s->mail.done == NULL);
    event_free(s->timer);
    free(s);
}

bool weir_smtp_session_is_free(const weir_smtp_session_t *s)
{
    return s->mail.done == NULL;
}

bool weir_smtp_session_is_idle(const weir_smtp_session_t *s)
{
    return s->state == IDLE;
}
