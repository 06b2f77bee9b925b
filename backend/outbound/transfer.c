#include "outbound/transfer.h"

#include "log/alloc.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/queue.h>

/* After it a kept connection gets no new request, so that changed certificates come into use. */
#define CONNECTION_LIFE_S 600L

typedef struct transfer {
    LIST_ENTRY(transfer) link;
    CURL *easy;
    weir_transfer_cb cb;
    void *arg;
    bool connects; /* and the connection is then its owner's */
} transfer_t;

struct weir_transfers {
    struct event_base *base;
    CURLM *multi;
    struct event *timer;
    LIST_HEAD(transfers, transfer) running;
};

static void end(weir_transfers_t *t, transfer_t *transfer, CURLcode code)
{
    transfer_t done = *transfer;

    LIST_REMOVE(transfer, link);
    free(transfer);
    if (!done.connects || code != CURLE_OK)
        curl_multi_remove_handle(t->multi, done.easy);
    done.cb(done.easy, code, done.arg);
}

/* Calls the callbacks of finished transfers, which may start new ones. */
static void reap(weir_transfers_t *t)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(t->multi, &left)) != NULL) {
        CURLcode code = message->data.result;
        transfer_t *transfer = NULL;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
        end(t, transfer, code);
    }
}

static void on_socket_event(evutil_socket_t fd, short what, void *arg)
{
    weir_transfers_t *t = arg;
    int flags = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
    int running;

    curl_multi_socket_action(t->multi, fd, flags, &running);
    reap(t);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
    weir_transfers_t *t = arg;
    int running;

    (void)fd;
    (void)what;
    curl_multi_socket_action(t->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    reap(t);
}

/* libcurl calls this to watch a socket. The event is stored as the socket's private pointer. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *of_socket)
{
    weir_transfers_t *t = arg;
    struct event *event = of_socket;
    short flags = EV_PERSIST;

    (void)easy;
    if (event != NULL)
        event_free(event);
    if (what == CURL_POLL_REMOVE) {
        curl_multi_assign(t->multi, fd, NULL);
        return 0;
    }
    if (what & CURL_POLL_IN)
        flags |= EV_READ;
    if (what & CURL_POLL_OUT)
        flags |= EV_WRITE;
    event = event_new(t->base, fd, flags, on_socket_event, t);
    event_add(event, NULL);
    curl_multi_assign(t->multi, fd, event);
    return 0;
}

static int on_timer(CURLM *multi, long ms, void *arg)
{
    weir_transfers_t *t = arg;
    struct timeval tv = {ms / 1000, ms % 1000 * 1000};

    (void)multi;
    if (ms < 0)
        evtimer_del(t->timer);
    else
        evtimer_add(t->timer, &tv);
    return 0;
}

weir_transfers_t *weir_transfers_new(struct event_base *base, long connections)
{
    weir_transfers_t *t = weir_alloc(sizeof(*t));

    assert(base != NULL && connections > 0);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        weir_alloc_check(NULL);
    t->base = base;
    t->multi = weir_alloc_check(curl_multi_init());
    t->timer = evtimer_new(base, on_timeout, t);
    curl_multi_setopt(t->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(t->multi, CURLMOPT_SOCKETDATA, t);
    curl_multi_setopt(t->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(t->multi, CURLMOPT_TIMERDATA, t);
    curl_multi_setopt(t->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, connections);
    return t;
}

void weir_transfers_free(weir_transfers_t *t)
{
    transfer_t *transfer;

    while ((transfer = LIST_FIRST(&t->running)) != NULL)
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): LIST_REMOVE() hides it */
        end(t, transfer, CURLE_ABORTED_BY_CALLBACK);
    curl_multi_cleanup(t->multi);
    event_free(t->timer);
    free(t);
    curl_global_cleanup();
}

/*
 * libcurl resolves names in threads. Without CURLOPT_QUICK_EXIT, a transfer that ends before its
 * name is resolved waits for the thread, so a name server that is silent would stop the event loop;
 * with it the thread ends by itself, and frees what is its own.
 */
static void start(weir_transfers_t *t, const transfer_t *made)
{
    transfer_t *transfer = weir_alloc(sizeof(*transfer));

    assert(made->easy != NULL && made->cb != NULL);
    *transfer = *made;
    LIST_INSERT_HEAD(&t->running, transfer, link);
    curl_easy_setopt(made->easy, CURLOPT_PRIVATE, transfer);
    curl_easy_setopt(made->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(made->easy, CURLOPT_QUICK_EXIT, 1L);
    if (curl_multi_add_handle(t->multi, made->easy) != CURLM_OK)
        weir_alloc_check(NULL);
}

void weir_transfers_add(weir_transfers_t *t, CURL *easy, weir_transfer_cb cb, void *arg)
{
    start(t, &(transfer_t){.easy = easy, .cb = cb, .arg = arg});
}

void weir_transfers_connect(weir_transfers_t *t, CURL *easy, weir_transfer_cb cb, void *arg)
{
    curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
    start(t, &(transfer_t){.easy = easy, .cb = cb, .arg = arg, .connects = true});
}

void weir_transfers_close(weir_transfers_t *t, CURL *easy)
{
    curl_multi_remove_handle(t->multi, easy);
    curl_easy_cleanup(easy);
}

static CURLcode on_context(CURL *easy, void *ctx, void *tls)
{
    (void)easy;
    weir_tls_apply(tls, ctx);

    return CURLE_OK;
}

void weir_transfer_use_tls(CURL *easy, weir_tls_t *tls)
{
    if (tls == NULL)
        return;

    curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_context);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, tls);
#if LIBCURL_VERSION_NUM >= 0x075700
    /* Else libcurl takes the authorities of its first connection for a day. */
    curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
#endif
    /* A resumed session would not show the certificate of today. */
    curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
    curl_easy_setopt(easy, CURLOPT_MAXLIFETIME_CONN, CONNECTION_LIFE_S);
}

uint64_t weir_transfer_retry_after(CURL *easy)
{
    curl_off_t seconds = 0;

    curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &seconds);
    if (seconds <= 0)
        return 0;
    return (uint64_t)seconds < UINT64_MAX / 1000 ? (uint64_t)seconds * 1000 : UINT64_MAX;
}

char *weir_transfer_host(const char *url)
{
    CURLU *parts = weir_alloc_check(curl_url());
    char *host = NULL, *port = NULL, *out;

    if (curl_url_set(parts, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK) {
        curl_url_get(parts, CURLUPART_HOST, &host, 0);
        curl_url_get(parts, CURLUPART_PORT, &port, 0);
    }
    out = weir_alloc_format("%s%s%s", host != NULL ? host : "", port != NULL ? ":" : "",
                            port != NULL ? port : "");
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parts);
    return out;
}

const char *weir_transfer_check_url(const char *url)
{
    CURLU *parts = weir_alloc_check(curl_url());
    char *value = NULL;
    const char *why = NULL;

    assert(url != NULL);
    if (curl_url_set(parts, CURLUPART_URL, url, 0) != CURLUE_OK)
        why = "is not a URL: host or port is malformed";
    else if (curl_url_get(parts, CURLUPART_QUERY, &value, 0) == CURLUE_OK ||
             curl_url_get(parts, CURLUPART_FRAGMENT, &value, 0) == CURLUE_OK)
        why = "must not contain ? or #";
    curl_free(value);
    curl_url_cleanup(parts);
    return why;
}
