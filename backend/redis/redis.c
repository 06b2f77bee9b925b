/*
 * The life of a connection:
 *
 *   waiting ─timer─▶ connecting ─▶ handshake (AUTH, CLIENT SETNAME, SELECT, PING) ─▶ up
 *      ▲                                                                             │
 *      └──────────────── lost: error, end of file, no reply in time ◀────────────────┘
 *
 * hiredis owns the context and frees it when a connection ends. Where this file closes a connection
 * first, it clears `ac` before redisAsyncFree(), so the callbacks of pending commands see the
 * connection as down. A weir_redis_t outlives its pending commands: the last callback frees it.
 */
#include "redis/redis.h"

#include "common/text/hex.h"
#include "log/alloc.h"
#include "log/clock.h"
#include "log/log.h"
#include "redis/bridge.h"
#include "redis/login.h"
#include "redis/reader.h"
#include "redis/url.h"

#include <assert.h>
#include <hiredis/adapters/libevent.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ms */
#define CONNECT_TIMEOUT 2000
#define REPLY_TIMEOUT 5000 /* longer than any BLOCK in use */
#define IDLE_PING 5000
#define BACKOFF_MIN 20
#define BACKOFF_MAX 1000

#define REPLY_MAX (256 * 1024 * 1024) /* bytes; the largest expected reply has some ten MB */

#define SCRIPTS_MAX 16

struct weir_redis {
    struct event_base *base;
    char *name;
    weir_redis_state_cb state;
    void *arg;

    weir_redis_url_t url;

    redisAsyncContext *ac; /* NULL while waiting */
    weir_bridge_t *bridge; /* NULL: no TLS */
    bool up;
    bool freed;      /* weir_redis_free() was called; pending commands still refer to it */
    bool complained; /* the log has the present outage */
    bool refused;    /* so has it a refusal of the handshake */
    bool unreadable; /* the file of the password is, and the log has it */
    unsigned pending;
    unsigned backoff;
    uint64_t progress; /* ms: the last reply, or the first command after a time without commands */
    struct event *timer;
};

typedef struct {
    weir_redis_t *redis;
    weir_redis_cb cb;
    void *arg;
    char
        *eval; /* EVAL with the whole script, for a server that does not know the script; or NULL */
    size_t eval_len;
} command_t;

static weir_tls_t *tls; /* for rediss:// */

void weir_redis_use_tls(weir_tls_t *of_process)
{
    tls = of_process;
}

static void arm(weir_redis_t *r, unsigned ms)
{
    struct timeval tv = {ms / 1000, (ms % 1000) * 1000};

    event_add(r->timer, &tv);
}

static void destroy(weir_redis_t *r)
{
    if (!r->freed || r->pending > 0)
        return;
    free(r->name);
    weir_redis_url_clear(&r->url);
    free(r);
}

/* --- commands ----------------------------------------------------------- */

static void on_reply(redisAsyncContext *ac, void *reply, void *data)
{
    command_t *c = data;
    weir_redis_t *r = c->redis;
    redisReply *rep = reply;

    assert(r->pending > 0);
    r->progress = weir_clock_ms();
    if (rep == NULL && r->ac == ac)
        r->up = false;

    if (rep != NULL && c->eval != NULL && rep->type == REDIS_REPLY_ERROR &&
        strncmp(rep->str, "NOSCRIPT", 8) == 0) {
        char *eval = c->eval;
        int sent;

        c->eval = NULL;
        sent = redisAsyncFormattedCommand(ac, on_reply, c, eval, c->eval_len);
        free(eval);
        if (sent == REDIS_OK)
            return;
        rep = NULL;
    }

    if (c->cb != NULL)
        c->cb(rep, c->arg);
    free(c->eval);
    free(c);
    r->pending--;
    destroy(r);
}

/* Also sends during the handshake. Takes ownership of eval. */
static bool send_formatted(weir_redis_t *r, const char *cmd, size_t len, weir_redis_cb cb,
                           void *arg, char *eval, size_t eval_len)
{
    command_t *c;

    assert(len > 0);
    if (r->ac != NULL) {
        c = weir_alloc(sizeof(*c));
        *c = (command_t){r, cb, arg, eval, eval_len};
        if (r->pending == 0)
            r->progress = weir_clock_ms();
        if (redisAsyncFormattedCommand(r->ac, on_reply, c, cmd, len) == REDIS_OK) {
            r->pending++;
            return true;
        }
        free(c);
    }
    free(eval);
    return false;
}

static bool send_argv(weir_redis_t *r, int argc, const char *const *argv, const size_t *argvlen,
                      weir_redis_cb cb, void *arg)
{
    char *cmd = NULL;
    long long len = redisFormatCommandArgv(&cmd, argc, (const char **)(uintptr_t)argv, argvlen);
    bool sent = len > 0 && send_formatted(r, cmd, (size_t)len, cb, arg, NULL, 0);

    assert(argc > 0);
    redisFreeCommand(cmd);
    return sent;
}

bool weir_redis_command(weir_redis_t *r, int argc, const char *const *argv, const size_t *argvlen,
                        weir_redis_cb cb, void *arg)
{
    return r->up && send_argv(r, argc, argv, argvlen, cb, arg);
}

/* The SHA1 of a script in hex. Scripts are constants, so the address identifies a script. */
static const char *sha1_of(const char *script)
{
    static struct {
        const char *script;
        char hex[41];
    } known[SCRIPTS_MAX];
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    int i = 0;

    for (; i < SCRIPTS_MAX && known[i].script != NULL; i++) {
        if (known[i].script == script)
            return known[i].hex;
    }
    if (i == SCRIPTS_MAX || !EVP_Digest(script, strlen(script), digest, &len, EVP_sha1(), NULL))
        return NULL;
    known[i].script = script;
    assert(2 * len < sizeof(known[i].hex));
    weir_hex(known[i].hex, digest, len);
    return known[i].hex;
}

bool weir_redis_script(weir_redis_t *r, const char *script, int nkeys, int argc,
                       const char *const *argv, const size_t *argvlen, weir_redis_cb cb, void *arg)
{
    const char *sha1 = sha1_of(script);
    const char **all;
    size_t *lens;
    char keys[16], *eval = NULL, *evalsha = NULL;
    long long eval_len = -1, evalsha_len = -1;
    bool sent = false;

    assert(script != NULL && nkeys >= 0 && nkeys <= argc);
    if (!r->up || sha1 == NULL)
        return false;

    all = weir_alloc_array((size_t)argc + 3, sizeof(*all));
    lens = weir_alloc_array((size_t)argc + 3, sizeof(*lens));
    snprintf(keys, sizeof(keys), "%d", nkeys);
    all[2] = keys;
    lens[2] = strlen(keys);
    for (int i = 0; i < argc; i++) {
        all[i + 3] = argv[i];
        lens[i + 3] = argvlen != NULL ? argvlen[i] : strlen(argv[i]);
    }
    all[0] = "EVAL";
    lens[0] = 4;
    all[1] = script;
    lens[1] = strlen(script);
    eval_len = redisFormatCommandArgv(&eval, argc + 3, all, lens);
    all[0] = "EVALSHA";
    lens[0] = 7;
    all[1] = sha1;
    lens[1] = strlen(sha1);
    evalsha_len = redisFormatCommandArgv(&evalsha, argc + 3, all, lens);
    if (eval_len > 0 && evalsha_len > 0) {
        sent = send_formatted(r, evalsha, (size_t)evalsha_len, cb, arg, eval, (size_t)eval_len);
        eval = NULL;
    }
    redisFreeCommand(eval);
    redisFreeCommand(evalsha);
    free(all);
    free(lens);
    return sent;
}

/* --- the connection ------------------------------------------------------ */

/* Frees the context; its pending commands get a NULL reply. */
static void drop(weir_redis_t *r)
{
    redisAsyncContext *ac = r->ac;

    r->ac = NULL;
    r->up = false;
    if (ac != NULL) {
        ac->data = NULL;
        redisAsyncFree(ac);
    }
    weir_bridge_free(r->bridge);
    r->bridge = NULL;
}

static void tell_lost(const weir_redis_t *r, const char *why)
{
    weir_log(WEIR_LOG_WARN, NULL, "Redis connection lost, reconnecting", "{s:s,s:s}", "connection",
             r->name, "error", why);
}

static void lost(weir_redis_t *r, const char *why)
{
    bool was_complained = r->complained;
    uint32_t jitter;

    assert(r->backoff >= BACKOFF_MIN && r->backoff <= BACKOFF_MAX);
    assert(!r->freed && why != NULL);
    r->complained = true;
    if (!was_complained)
        tell_lost(r, why);
    drop(r);
    /* Full jitter, so that the processes of a fleet do not reconnect at the same time. */
    evutil_secure_rng_get_bytes(&jitter, sizeof(jitter));
    arm(r, BACKOFF_MIN + jitter % (r->backoff - BACKOFF_MIN + 1));
    r->backoff = r->backoff * 2 > BACKOFF_MAX ? BACKOFF_MAX : r->backoff * 2;
    if (!was_complained && r->state != NULL)
        r->state(r, false, r->arg);
}

static void on_greeted(redisReply *reply, void *arg)
{
    weir_redis_t *r = arg;

    if (reply == NULL || r->freed || r->ac == NULL)
        return; /* on_disconnect() reports the end of the connection */
    if (reply->type == REDIS_REPLY_ERROR) {
        char why[200];

        snprintf(why, sizeof(why), "%s", reply->str);
        /* an operator must see why an outage does not end */
        if (r->complained && !r->refused)
            tell_lost(r, why);
        r->refused = true;
        lost(r, why); /* why is a copy: reply belongs to the context that lost() frees */
    }
}

static void on_pong(redisReply *reply, void *arg)
{
    weir_redis_t *r = arg;

    assert(r->pending > 0);
    on_greeted(reply, r);
    if (reply == NULL || reply->type == REDIS_REPLY_ERROR || r->freed || r->ac == NULL || r->up)
        return;

    r->up = true;
    r->backoff = BACKOFF_MIN * 2;
    r->complained = false;
    r->refused = false;
    arm(r, 1000);
    weir_log(WEIR_LOG_INFO, NULL, "Redis connection is up", "{s:s}", "connection", r->name);
    if (r->state != NULL)
        r->state(r, true, r->arg);
}

static void on_connect(const redisAsyncContext *ac, int status)
{
    weir_redis_t *r = ac->data;
    const char *auth[3];
    size_t lens[3];
    int words;
    char db[16];

    if (r == NULL)
        return;
    if (status != REDIS_OK) {
        r->ac = NULL; /* hiredis frees it after this call */
        lost(r, ac->errstr);
        return;
    }

    words = weir_redis_login_auth(&r->url, auth, lens);
    if (words > 0)
        (void)send_argv(r, words, auth, lens, on_greeted, r);
    snprintf(db, sizeof(db), "%d", r->url.db);
    (void)send_argv(r, 3, (const char *[]){"CLIENT", "SETNAME", r->name}, NULL, NULL, NULL);
    (void)send_argv(r, 2, (const char *[]){"SELECT", db}, NULL, on_greeted, r);
    /* A server that is still loading its data answers SELECT, but not PING. */
    (void)send_argv(r, 1, (const char *[]){"PING"}, NULL, on_pong, r);
}

static void on_disconnect(const redisAsyncContext *ac, int status)
{
    weir_redis_t *r = ac->data;

    (void)status;
    if (r == NULL || r->ac != ac)
        return;
    r->ac = NULL;
    lost(r, ac->err ? ac->errstr : "closed");
}

static void on_bridge_failed(const char *why, void *arg)
{
    lost(arg, why);
}

/*
 * hiredis speaks with the bridge from now on, to which it is connected. Returns NULL, or what is
 * wrong.
 */
static const char *add_tls(weir_redis_t *r, redisAsyncContext *ac)
{
    const char *error = "there are no certificates for rediss://";

    assert(r->bridge == NULL);
    if (tls != NULL)
        r->bridge =
            weir_bridge_new(r->base, tls, ac->c.fd, r->url.host, on_bridge_failed, r, &error);
    if (r->bridge == NULL)
        return error;
    ac->c.flags |= REDIS_CONNECTED;

    return NULL;
}

/* False if there is no password, but a file that should have it. */
static bool renew_password(weir_redis_t *r)
{
    const char *wrong;
    char why[200];

    if (!weir_redis_login_renew(&wrong)) {
        snprintf(why, sizeof(why), "redis_password_file: %s", wrong);
        lost(r, why);
        return false;
    }
    if (wrong != NULL && !r->unreadable)
        weir_log(WEIR_LOG_WARN, NULL,
                 "redis_password_file cannot be used, the last password stays in use", "{s:s,s:s}",
                 "connection", r->name, "error", wrong);
    r->unreadable = wrong != NULL;

    return true;
}

static redisAsyncContext *open_context(const weir_redis_t *r)
{
    return r->url.path != NULL ? redisAsyncConnectUnix(r->url.path)
                               : redisAsyncConnect(r->url.host, r->url.port);
}

static void start(weir_redis_t *r)
{
    const char *wrong = NULL;
    redisAsyncContext *ac;

    assert(r->ac == NULL && !r->up);
    if (!renew_password(r))
        return;
    ac = open_context(r);
    if (ac != NULL && !ac->err && r->url.tls)
        wrong = add_tls(r, ac);
    if (ac == NULL || ac->err || wrong != NULL || redisLibeventAttach(ac, r->base) != REDIS_OK) {
        char why[200];

        snprintf(why, sizeof(why), "%s",
                 wrong != NULL           ? wrong
                 : ac != NULL && ac->err ? ac->errstr
                                         : "out of memory");
        if (ac != NULL)
            redisAsyncFree(ac);
        lost(r, why);
        return;
    }
    weir_redis_reader_limit(ac->c.reader, &r->pending);
    ac->data = r;
    r->ac = ac;
    r->progress = weir_clock_ms();
    arm(r, CONNECT_TIMEOUT);
    redisAsyncSetConnectCallback(ac, on_connect);
    redisAsyncSetDisconnectCallback(ac, on_disconnect);
    if (r->bridge != NULL)
        on_connect(ac, REDIS_OK);
}

/* Connects, ends a handshake that takes too long, or checks that the server is alive. */
static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    weir_redis_t *r = arg;
    uint64_t silent = weir_clock_ms() - r->progress;

    (void)fd;
    (void)what;
    if (r->ac == NULL) {
        start(r);
    } else if (!r->up) {
        lost(r, "no connection within 2 s");
    } else if (r->ac->c.reader->len > REPLY_MAX) {
        lost(r, "the reply is larger than 256 MB");
    } else if (r->pending > 0 && silent >= REPLY_TIMEOUT) {
        lost(r, "no reply within 5 s");
    } else {
        if (r->pending == 0 && silent >= IDLE_PING)
            (void)send_argv(r, 1, (const char *[]){"PING"}, NULL, NULL, NULL);
        arm(r, 1000);
    }
}

/* --- making one ---------------------------------------------------------- */

weir_redis_t *weir_redis_new(struct event_base *base, const char *url, const char *name,
                             weir_redis_state_cb state, void *arg, char *error, size_t error_size)
{
    weir_redis_t *r = weir_alloc(sizeof(*r));
    const char *wrong;

    assert(url != NULL && name != NULL && error_size > 0);
    *r = (weir_redis_t){.base = base, .state = state, .arg = arg, .backoff = BACKOFF_MIN * 2};
    r->name = weir_alloc_text(name);
    r->timer = evtimer_new(base, on_timer, r);
    wrong = weir_redis_url_parse(&r->url, url);
    if (wrong != NULL) {
        snprintf(error, error_size, "redis: %s", wrong); /* the URL may have a password */
        weir_redis_free(r);
        return NULL;
    }
    arm(r, 0);
    return r;
}

void weir_redis_free(weir_redis_t *r)
{
    assert(!r->freed);
    r->state = NULL;
    event_free(r->timer);
    r->pending++; /* the callbacks that drop() causes must not free r yet */
    r->freed = true;
    drop(r);
    r->pending--;
    destroy(r);
}

bool weir_redis_is_up(const weir_redis_t *r)
{
    return r->up;
}
