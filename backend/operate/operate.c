#include "operate/operate.h"

#include "http/http.h"
#include "log/alloc.h"
#include "metrics/series.h"
#include "operate/health.h"
#include "operate/process.h"
#include "operate/readings.h"

#include <assert.h>
#include <stdlib.h>

#define BODY_LIMIT 1024 /* bytes; no request here has a body */

struct weir_operate {
    weir_http_t *http;
    weir_db_t *db; /* of health and readings */
    weir_redis_t *redis;
    weir_health_t *health;
    weir_readings_t *readings;
    bool stopping;
};

static void reply(weir_http_request_t *request, const char *body)
{
    weir_http_reply(request, 200, "application/json", body, strlen(body));
}

static void get_livez(weir_http_request_t *request, void *arg)
{
    (void)arg;
    reply(request, "{\"status\":\"live\"}\n");
}

static void get_readyz(weir_http_request_t *request, void *arg)
{
    const weir_operate_t *o = arg;
    const char *why = "The process is stopping.";

    if (!o->stopping)
        why = weir_health_why_not(o->health);
    if (why == NULL)
        reply(request, "{\"status\":\"ready\"}\n");
    else
        weir_http_error(request, 503, "%s", why);
}

static void get_metrics(weir_http_request_t *request, void *arg)
{
    const char *accept = weir_http_header(request, "Accept");
    weir_str_t line = {accept, accept != NULL ? strlen(accept) : 0};
    bool openmetrics = weir_exposition_accepts_openmetrics(&line, 1);
    size_t len;
    char *text;

    (void)arg;
    text = weir_series_text(openmetrics, &len);
    weir_http_add_header(request, "Vary", "Accept");
    weir_http_reply(request, 200, weir_exposition_media_type(openmetrics), text, len);
    free(text);
}

static void on_db(weir_db_t *db, bool up, void *arg)
{
    weir_operate_t *o = arg;

    (void)db;
    if (!up)
        return;
    weir_health_check(o->health);
    weir_readings_read(o->readings);
}

weir_operate_t *weir_operate_start(struct event_base *base, const weir_operate_settings_t *settings,
                                   char *error, size_t size)
{
    weir_operate_t *o = weir_alloc(sizeof(*o));

    assert(settings->listen != NULL && settings->database != NULL && settings->lines != NULL);
    if (settings->redis != NULL) {
        o->redis = weir_redis_new(base, settings->redis, "operate", NULL, NULL, error, size);
        if (o->redis == NULL) {
            free(o);
            return NULL;
        }
    }
    o->db = weir_db_new(base, settings->database, "operate", on_db, o);
    /* A long reading must not look like a database that does not answer. */
    weir_db_begin_with(o->db, "SET statement_timeout = '3s'");
    o->health = weir_health_new(base, o->db, o->redis, settings->lines);
    o->readings = weir_readings_new(base, o->db, settings->reads_outbox, settings->groups);
    weir_process_measure(settings->roles);

    o->http = weir_http_new(base, BODY_LIMIT);
    weir_http_be_quiet(o->http);
    weir_http_use_tls(o->http, settings->tls);
    weir_http_route(o->http, "GET", "/metrics", get_metrics, o);
    weir_http_route(o->http, "GET", "/livez", get_livez, o);
    weir_http_route(o->http, "GET", "/readyz", get_readyz, o);
    if (!weir_http_listen(o->http, settings->listen, error, size)) {
        weir_operate_free(o);
        return NULL;
    }

    return o;
}

void weir_operate_stopping(weir_operate_t *o)
{
    if (o != NULL)
        o->stopping = true;
}

void weir_operate_free(weir_operate_t *o)
{
    if (o == NULL)
        return;
    weir_http_free(o->http);
    if (o->redis != NULL)
        weir_redis_free(o->redis);
    weir_db_free(o->db);
    weir_health_free(o->health);
    weir_readings_free(o->readings);
    free(o);
}
