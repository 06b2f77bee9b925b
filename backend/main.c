/*
 * weir-backend: reads the configuration, starts the components of its roles on one event loop, and
 * stops them in order.
 *
 *   SIGTERM, SIGINT: api and worker take no more requests and events, and finish those that they
 *   have taken.  Then the relay stops, which the last of them may have woken.  Exit code 0.
 *   After STOP_LIMIT_S, or at a second SIGINT, unfinished work is dropped.  Exit code 1.
 */
#include "audit/audit.h"
#include "audit/refused.h"
#include "common/version.h"
#include "common/output.h"
#include "db/batch/batch.h"
#include "db/cost/spent.h"
#include "db/migrate.h"
#include "db/settings.h"
#include "domain.h"
#include "events/events.h"
#include "export/exporter.h"
#include "groups.h"
#include "http/http.h"
#include "http/idempotency.h"
#include "http/listen.h"
#include "identity/guard.h"
#include "log/alloc.h"
#include "log/clock.h"
#include "log/log.h"
#include "operate/operate.h"
#include "outbound/invalidation.h"
#include "parts.h"
#include "redis/login.h"
#include "redis/redis.h"
#include "sandbox/sandbox.h"
#include "settings.h"
#include "tls/tls.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STOP_LIMIT_S 10

enum { API = 1, RELAY = 2, WORKER = 4, ALL = API | RELAY | WORKER, MIGRATE = 8 };

static const struct {
    const char *name;
    int bits;
} roles[] = {
    {"api", API}, {"relay", RELAY}, {"worker", WORKER}, {"all", ALL}, {"migrate", MIGRATE},
};

typedef struct {
    struct event_base *base;
    weir_settings_t settings;
    weir_events_settings_t relay_events, worker_events;
    weir_runtime_t api_runtime, worker_runtime;
    weir_parts_t *parts;
    weir_groups_t *groups;
    weir_http_t *http;
    weir_guard_t *guard; /* NULL: requests need no identity */
    weir_relay_t *relay;
    weir_audit_t *audit; /* runs beside the relay */
    weir_worker_t *worker;
    weir_exporter_t *exporter;                 /* NULL: no spans are recorded */
    weir_tls_t *tls, *metrics_tls, *redis_tls; /* NULL: in the clear */
    weir_operate_t *operate;                   /* NULL: metrics_listen is off */
    const char *names[WEIR_GROUPS_MAX + 1];    /* of the groups that run here; ends with NULL */
    struct event *limit;
    int taking; /* components that take requests or events and have not stopped */
    bool stopping;
    int status; /* to exit with */
} app_t;

/* In the order in which they are migrated. */
static const weir_sql_line_t *lines[] = {
    &weir_sql_db, &weir_sql_audit, &weir_sql_events, &weir_sql_http, &weir_sql_outbound, NULL,
    NULL};

static void usage(FILE *out)
{
    fputs("usage: weir-backend -c FILE ROLE...   runs these roles in one process:\n"
          "         api      answers HTTP requests\n"
          "         relay    publishes events from the outbox\n"
          "         worker   runs consumer groups\n"
          "         all      all three\n"
          "       weir-backend -c FILE migrate   brings the database's schema up to date\n"
          "       weir-backend -c FILE -t        checks the configuration\n"
          "       weir-backend --version | --help\n"
          "Every key of FILE may be overridden by the environment: WEIR_LISTEN=127.0.0.1:80\n",
          out);
}

static int complain(const char *message)
{
    fprintf(stderr, "weir-backend: %s\n", message);

    return 1;
}

/* --- stopping -------------------------------------------------------------------- */

static void on_exported(void *arg)
{
    const app_t *app = arg;

    event_base_loopexit(app->base, NULL);
}

/* Nothing makes spans any more. */
static void stop_exporter(app_t *app)
{
    if (app->exporter != NULL)
        weir_exporter_stop(app->exporter, on_exported, app);
    else
        event_base_loopexit(app->base, NULL);
}

static void on_audit_stopped(void *arg)
{
    app_t *app = arg;

    app->audit = NULL;
    stop_exporter(app);
}

static void stop_audit(app_t *app)
{
    if (app->audit != NULL)
        weir_audit_stop(app->audit, on_audit_stopped, app);
    else
        stop_exporter(app);
}

static void on_relay_stopped(void *arg)
{
    app_t *app = arg;

    assert(app->relay != NULL && app->taking == 0);
    app->relay = NULL;
    stop_audit(app);
}

/* api and worker have stopped, so nothing wakes the relay any more. */
static void stop_relay(app_t *app)
{
    assert(app->taking == 0);
    weir_parts_close(app->parts);
    app->parts = NULL;
    weir_http_free(app->http);
    app->http = NULL;
    weir_audit_refused_stop();
    weir_guard_free(app->guard);
    app->guard = NULL;

    if (app->relay != NULL)
        weir_relay_stop(app->relay, on_relay_stopped, app);
    else
        stop_audit(app);
}

static void on_http_stopped(void *arg)
{
    app_t *app = arg;

    assert(app->taking > 0);
    if (--app->taking == 0)
        stop_relay(app);
}

static void on_worker_stopped(void *arg)
{
    app_t *app = arg;

    assert(app->taking > 0);
    app->worker = NULL;
    if (--app->taking == 0)
        stop_relay(app);
}

static void stop(app_t *app)
{
    static const struct timeval limit = {STOP_LIMIT_S, 0};

    assert(!app->stopping && app->taking == 0);
    app->stopping = true;
    weir_operate_stopping(app->operate);
    evtimer_add(app->limit, &limit);
    weir_log(WEIR_LOG_INFO, NULL, "stopping", NULL);

    app->taking = (app->http != NULL) + (app->worker != NULL);
    if (app->taking == 0) {
        stop_relay(app);
        return;
    }

    if (app->worker != NULL)
        weir_worker_stop(app->worker, on_worker_stopped, app);
    if (app->http != NULL)
        weir_http_stop(app->http, on_http_stopped, app);
}

static void on_limit(evutil_socket_t fd, short what, void *arg)
{
    app_t *app = arg;

    (void)fd;
    (void)what;
    weir_log(WEIR_LOG_ERROR, NULL, "stopped with unfinished work", "{s:b,s:b,s:b}", "api",
             app->http != NULL, "relay", app->relay != NULL, "worker", app->worker != NULL);
    app->status = 1;
    event_base_loopbreak(app->base);
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
    app_t *app = arg;

    if (!app->stopping)
        stop(app);
    else if (fd == SIGINT) /* libevent passes the signal's number here */
        on_limit(fd, what, app);
}

/* --- running --------------------------------------------------------------------- */

static bool start_worker(app_t *app, char *error, size_t size)
{
    const weir_consumer_t *consumers;
    size_t n;

    app->groups = weir_groups_open(&weir_domain, &app->worker_runtime, app->settings.groups,
                                   app->settings.retry_attempts, error, size);
    if (app->groups == NULL)
        return false;

    consumers = weir_groups_consumers(app->groups, &n);
    for (size_t i = 0; i < n; i++)
        app->names[i] = consumers[i].group;
    app->worker = weir_worker_start(app->base, &app->worker_events, consumers, n, error, size);

    return app->worker != NULL;
}

/*
 * Reports that the process is up. The state of its dependencies is not part of the answer: they are
 * no reason to restart the process.
 */
static void get_health(weir_http_request_t *request, void *arg)
{
    static const char ok[] = "{\"status\":\"ok\"}\n";

    (void)arg;
    weir_http_reply(request, 200, "application/json", ok, sizeof(ok) - 1);
}

static bool start_audit(app_t *app, char *error, size_t size)
{
    const weir_audit_settings_t settings = {
        .database = weir_settings_database(&app->settings, WEIR_SETTINGS_RELAY),
        .redis = app->settings.redis,
        .key = app->settings.audit_key,
        .heads = app->settings.audit_heads,
        .interval_ms = app->settings.audit_interval,
    };

    app->audit = weir_audit_start(app->base, &settings, error, size);

    return app->audit != NULL;
}

/* Without identities, whoever reaches the port may do everything. */
static bool start_guard(app_t *app, char *error, size_t size)
{
    const weir_settings_t *s = &app->settings;

    if (strcmp(s->identity_jwks, WEIR_SETTINGS_OFF) != 0) {
        app->guard = weir_guard_new(app->base, app->http, s->identity_jwks, s->identity_issuer,
                                    s->identity_audience, s->identity_callers, error, size);
        if (app->guard == NULL)
            return false;
        weir_audit_refused_start(app->base, s->database);
        return true;
    }
    if (!weir_listen_is_local(s->listen))
        weir_log(
            WEIR_LOG_WARN, NULL,
            "requests need no identity, and the address is not a local one: whoever reaches it "
            "may do everything; set identity_jwks",
            "{s:s}", "listen", s->listen);

    return true;
}

static bool start(app_t *app, int bits, char *error, size_t size)
{
    assert(bits != 0 && (bits & MIGRATE) == 0);
    if (bits & RELAY) {
        app->relay = weir_relay_start(app->base, &app->relay_events, error, size);
        if (app->relay == NULL || !start_audit(app, error, size))
            return false;
    }

    if (bits & WORKER && !start_worker(app, error, size))
        return false;

    if (bits & API) {
        app->http = weir_http_new(app->base, app->settings.body_limit);
        if (!start_guard(app, error, size))
            return false;
        weir_http_route_open(app->http, "GET", "/health", get_health, NULL);
        app->api_runtime.openapi = weir_openapi_new(app->http, weir_domain.api);
        app->worker_runtime.openapi = app->api_runtime.openapi;
        app->api_runtime.relay = app->worker_runtime.relay = app->relay;
        app->parts = weir_parts_open(&weir_domain, &app->api_runtime);
        weir_http_use_tls(app->http, app->tls);
        if (!weir_http_listen(app->http, app->settings.listen, error, size))
            return false;
    }

    return true;
}

static bool start_operate(app_t *app, int bits, const char *role, char *error, size_t size)
{
    /* The relay's role may read what is shown about groups, too. */
    weir_settings_part_t part = bits & RELAY    ? WEIR_SETTINGS_RELAY
                                : bits & WORKER ? WEIR_SETTINGS_WORKER
                                                : WEIR_SETTINGS_API;
    const weir_operate_settings_t settings = {
        .listen = app->settings.metrics_listen,
        .database = weir_settings_database(&app->settings, part),
        .redis = bits & (RELAY | WORKER) ? app->settings.redis : NULL,
        .roles = role,
        .lines = lines,
        .reads_outbox = (bits & RELAY) != 0,
        .groups = app->names,
        .tls = app->metrics_tls,
    };

    if (strcmp(settings.listen, WEIR_SETTINGS_OFF) == 0)
        return true;
    weir_spent_begin(&(weir_spent_prices_t){
        .currency = app->settings.cost_currency[0] != '\0' ? app->settings.cost_currency : NULL,
        .database = app->settings.cost_database,
        .wal = app->settings.cost_wal,
    });
    app->operate = weir_operate_start(app->base, &settings, error, size);

    return app->operate != NULL;
}

static bool open_one(app_t *app, weir_tls_t **tls, weir_tls_settings_t *settings, char *error,
                     size_t size)
{
    *tls = weir_tls_new(app->base, settings, error, size);

    return *tls != NULL;
}

/* Reads the certificates of what runs here. A socket file has no TLS: its owner decides. */
static bool open_tls(app_t *app, int bits, char *error, size_t size)
{
    const weir_settings_t *s = &app->settings;
    weir_tls_settings_t listen = weir_settings_tls(s, "listen");
    weir_tls_settings_t metrics = weir_settings_tls(s, "metrics");
    weir_tls_settings_t redis = weir_settings_tls(s, "redis");
    bool has_tls = *listen.certificate != '\0';
    bool fine = true;

    if (has_tls && bits & API && strncmp(s->listen, "unix:", 5) != 0)
        fine = open_one(app, &app->tls, &listen, error, size);
    if (fine && has_tls && s->tls_metrics && strncmp(s->metrics_listen, "unix:", 5) != 0 &&
        strcmp(s->metrics_listen, WEIR_SETTINGS_OFF) != 0)
        fine = open_one(app, &app->metrics_tls, &metrics, error, size);
    if (fine && strncmp(s->redis, "rediss://", 9) == 0)
        fine = open_one(app, &app->redis_tls, &redis, error, size);
    weir_redis_use_tls(app->redis_tls);
    weir_redis_login_use(s->redis_user, s->redis_password_file);

    return fine;
}

/* What the components are passed. */
static void set_up(app_t *app)
{
    app->relay_events = (weir_events_settings_t){
        .database = weir_settings_database(&app->settings, WEIR_SETTINGS_RELAY),
        .redis = app->settings.redis,
        .retry_base_ms = app->settings.retry_base,
        .retry_max_ms = app->settings.retry_max,
        .stream_limit = app->settings.stream_limit,
        .outbox_keep_s = app->settings.outbox_keep,
        .source = weir_domain.event_source,
    };
    app->worker_events = app->relay_events;
    app->worker_events.database = weir_settings_database(&app->settings, WEIR_SETTINGS_WORKER);
    app->worker_runtime = (weir_runtime_t){
        .base = app->base,
        .database = app->worker_events.database,
        .redis = app->settings.redis,
        .settings = app->settings.domain,
    };
    app->api_runtime = app->worker_runtime;
    app->api_runtime.database = weir_settings_database(&app->settings, WEIR_SETTINGS_API);
}

/* Without it the process does all the same. */
static void confine(const weir_settings_t *settings)
{
    char error[256];

    if (settings->sandbox && !weir_sandbox_enter(error, sizeof(error)))
        weir_log(WEIR_LOG_WARN, NULL,
                 "the process is not confined; \"sandbox = off\" turns this message off", "{s:s}",
                 "reason", error);
}

static int run(app_t *app, int bits, const char *role)
{
    struct event *term, *interrupt, *clock;
    char error[1024];
    bool started;
    sigset_t stops;

    confine(&app->settings);
    signal(SIGPIPE, SIG_IGN);
    /* A signal that comes before its handler is set waits for it. */
    sigemptyset(&stops);
    sigaddset(&stops, SIGTERM);
    sigaddset(&stops, SIGINT);
    sigprocmask(SIG_BLOCK, &stops, NULL);
    /*
     * libevent restores this after the loop: a late signal must not end the process with an error.
     */
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    app->base = event_base_new();
    if (app->base == NULL)
        return complain("cannot create the event loop: out of memory or descriptors");

    set_up(app);
    weir_batch_ceiling((int)app->settings.batch_max);
    weir_idempotency_anonymous(app->settings.anonymous_keys);
    weir_caller_address(app->settings.audit_address);
    app->limit = evtimer_new(app->base, on_limit, app);
    term = evsignal_new(app->base, SIGTERM, on_signal, app);
    interrupt = evsignal_new(app->base, SIGINT, on_signal, app);
    event_add(term, NULL);
    event_add(interrupt, NULL);
    sigprocmask(SIG_UNBLOCK, &stops, NULL);
    clock = weir_clock_watch(app->base);

    started = open_tls(app, bits, error, sizeof(error));
    if (started && app->settings.export.on)
        app->exporter = weir_exporter_start(app->base, &app->settings.export, role);
    started = started && start(app, bits, error, sizeof(error)) &&
              start_operate(app, bits, role, error, sizeof(error));
    if (!started) {
        app->status = complain(error);
    } else {
        weir_log(WEIR_LOG_INFO, NULL, "started", "{s:s,s:i,s:s*}", "roles", role, "pid",
                 (int)getpid(), "listen", bits & API ? app->settings.listen : NULL);
        event_base_dispatch(app->base);
    }

    /* After a clean stop all components are freed. After any other, exiting frees them. */
    if (started && app->status == 0) {
        weir_operate_free(app->operate);
        weir_exporter_free(app->exporter);
        weir_groups_close(app->groups);
        weir_openapi_free(app->api_runtime.openapi);
        weir_tls_free(app->tls);
        weir_tls_free(app->metrics_tls);
        weir_tls_free(app->redis_tls);
        event_free(term);
        event_free(interrupt);
        event_free(clock);
        event_free(app->limit);
        event_base_free(app->base);
        weir_log(WEIR_LOG_INFO, NULL, "stopped", NULL);
    }

    return app->status;
}

static int migrate(const weir_settings_t *settings)
{
    char error[1024];

    if (*settings->sql != '\0')
        weir_log(
            WEIR_LOG_INFO, NULL,
            "the key \"sql\" has no effect and can be removed: the migrations are in the program",
            "{s:s}", "sql", settings->sql);
    if (!weir_migrate(weir_settings_database(settings, WEIR_SETTINGS_MIGRATE), lines, error,
                      sizeof(error)))
        return complain(error);

    return 0;
}

/*
 * Returns the bits of the named roles; 0 with a message when a name is no role. names becomes
 * "api,relay".
 */
static int parse_roles(char *const *argv, int argc, char *names, size_t size)
{
    int bits = 0;
    size_t len = 0;

    assert(size > 0);
    for (int i = 0; i < argc; i++) {
        int found = 0;

        for (size_t k = 0; k < sizeof(roles) / sizeof(roles[0]); k++) {
            if (strcmp(argv[i], roles[k].name) == 0)
                found = roles[k].bits;
        }

        if (found == 0) {
            fprintf(stderr,
                    "weir-backend: there is no role \"%s\"; the roles are api, relay, worker, all "
                    "and migrate\n",
                    argv[i]);
            return 0;
        }
        if (bits & found) {
            fprintf(stderr, "weir-backend: the role \"%s\" is given twice\n", argv[i]);
            return 0;
        }

        bits |= found;
        len += (size_t)snprintf(names + len, size - len, "%s%s", len > 0 ? "," : "", argv[i]);
    }

    if (bits & MIGRATE && bits != MIGRATE) {
        complain("migrate cannot be combined with a role");
        return 0;
    }

    return bits;
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {0}};
    static app_t app;
    static char names[64];
    char error[2048];
    const char *file = NULL;
    bool check = false;
    int option, bits, status;

    lines[sizeof(lines) / sizeof(lines[0]) - 2] = weir_domain.sql;
    weir_alloc_libraries();
    weir_output_check_at_exit("weir-backend", 1);
    while ((option = getopt_long(argc, argv, "c:thV", long_options, NULL)) != -1) {
        switch (option) {
        case 'c':
            file = optarg;
            break;
        case 't':
            check = true;
            break;
        case 'h':
            usage(stdout);
            return 0;
        case 'V':
            return puts("weir-backend " WEIR_VERSION) < 0;
        default:
            usage(stderr);
            return 2;
        }
    }

    if (file == NULL || (optind == argc && !check)) {
        fprintf(stderr, "weir-backend: %s is missing\n", file == NULL ? "-c FILE" : "ROLE");
        usage(stderr);
        return 2;
    }

    bits = parse_roles(argv + optind, argc - optind, names, sizeof(names));
    if (bits == 0 && !(check && optind == argc))
        return 2;

    if (!weir_settings_read(&app.settings, &weir_domain, file, error, sizeof(error)))
        return complain(error);

    weir_db_password_file(app.settings.database, app.settings.database_password_file);
    weir_log_init(app.settings.log_level, names);
    if (!weir_settings_check(&app.settings, &weir_domain, error, sizeof(error)) ||
        ((bits == 0 || bits & RELAY) &&
         !weir_settings_check_key(&app.settings, error, sizeof(error))))
        status = complain(error);
    else if (check)
        status = printf("weir-backend: the configuration %s is fine\n", file) < 0;
    else
        status = bits == MIGRATE ? migrate(&app.settings) : run(&app, bits, names);
    weir_settings_free(&app.settings);

    return status;
}
