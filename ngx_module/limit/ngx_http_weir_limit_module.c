/*
 * weir_limit: how many requests are at work at an upstream at the same time.
 *
 * A precontent handler, behind those of cache and breaker, asks for a slot; the
 * request goes on with it, waits for it, or is refused with 503.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "http/ngx_http_weir.h"
#include "http/ngx_http_weir_clock.h"
#include "limit/ngx_http_weir_limit_wake.h"
#include "limit/ngx_http_weir_limit_zone.h"
#include "limit/urgency.h"
#include "record/ngx_http_weir_record.h"


static ngx_int_t ngx_http_weir_limit_rewrite_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_limit_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_limit_ask(ngx_http_request_t *r,
    ngx_http_weir_limit_loc_conf_t *llcf);
static ngx_int_t ngx_http_weir_limit_urgency(ngx_http_request_t *r,
    ngx_http_weir_limit_loc_conf_t *llcf, uint8_t *urgency);
static ngx_int_t ngx_http_weir_limit_pass(ngx_http_request_t *r,
    ngx_http_weir_limit_hold_t *hold);
static ngx_int_t ngx_http_weir_limit_refuse(ngx_http_request_t *r,
    ngx_http_weir_limit_hold_t *hold);
static ngx_int_t ngx_http_weir_limit_status_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_weir_limit_add_variables(ngx_conf_t *cf);
static ngx_int_t ngx_http_weir_limit_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_weir_limit_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_weir_limit_init_process(ngx_cycle_t *cycle);
static void ngx_http_weir_limit_exit_process(ngx_cycle_t *cycle);
static void ngx_http_weir_limit_news(void);


static ngx_command_t  ngx_http_weir_limit_commands[] = {

    { ngx_string("weir_limit_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE2,
      ngx_http_weir_limit_zone,
      0,
      0,
      NULL },

    { ngx_string("weir_limit"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_weir_limit_set,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_priority"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_weir_limit_priority,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_weir_limit_module_ctx = {
    ngx_http_weir_limit_add_variables,         /* preconfiguration */
    ngx_http_weir_limit_init,                  /* postconfiguration */

    ngx_http_weir_limit_create_main_conf,      /* create main configuration */
    NULL,                                      /* init main configuration */

    NULL,                                      /* create server configuration */
    NULL,                                      /* merge server configuration */

    ngx_http_weir_limit_create_loc_conf,       /* create location configuration */
    ngx_http_weir_limit_merge_loc_conf         /* merge location configuration */
};


ngx_module_t  ngx_http_weir_limit_module = {
    NGX_MODULE_V1,
    &ngx_http_weir_limit_module_ctx,           /* module context */
    ngx_http_weir_limit_commands,              /* module directives */
    NGX_HTTP_MODULE,                           /* module type */
    NULL,                                      /* init master */
    ngx_http_weir_limit_init_module,           /* init module */
    ngx_http_weir_limit_init_process,          /* init process */
    NULL,                                      /* init thread */
    NULL,                                      /* exit thread */
    ngx_http_weir_limit_exit_process,          /* exit process */
    NULL,                                      /* exit master */
    NGX_MODULE_V1_PADDING
};


/* In the order of ngx_http_weir_limit_status_e. */
static ngx_str_t  ngx_http_weir_limit_statuses[] = {
    ngx_string("passed"),
    ngx_string("waited"),
    ngx_string("uncounted"),
    ngx_string("queued"),
    ngx_string("full"),
    ngx_string("shed"),
    ngx_string("expired")
};

static ngx_str_t  ngx_http_weir_limit_retry_after = ngx_string("Retry-After");


/*
 * Called at the beginning of each pass of a request through a location: gives
 * back the slot of an earlier pass (error_page, X-Accel-Redirect), whose upstream
 * has finished, before the request waits for anything in this one.
 */

static ngx_int_t
ngx_http_weir_limit_rewrite_handler(ngx_http_request_t *r)
{
    ngx_http_weir_limit_hold_t  *hold;

    if (r->internal) {
        hold = ngx_http_weir_limit_hold(r);

        if (hold) {
            ngx_http_weir_limit_hold_leave(hold);
        }
    }

    return NGX_DECLINED;
}


/*
 * Called for each pass of a request through a location, and once more when it has
 * waited.
 */

static ngx_int_t
ngx_http_weir_limit_handler(ngx_http_request_t *r)
{
    ngx_http_weir_limit_hold_t      *hold;
    ngx_http_weir_limit_loc_conf_t  *llcf;

    hold = ngx_http_weir_limit_hold(r);

    if (hold && hold->ready) {
        hold->ready = 0;

        return hold->ticketed ? ngx_http_weir_limit_pass(r, hold)
                              : ngx_http_weir_limit_refuse(r, hold);
    }

    if (hold) {
        ngx_http_weir_limit_hold_leave(hold);
    }

    llcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_limit_module);

    if (llcf->limit == NULL || !llcf->pass || r->content_handler == NULL) {
        return NGX_DECLINED;
    }

    return ngx_http_weir_limit_ask(r, llcf);
}


/*
 * Returns the value for the phase handler.  A subrequest does not wait: it
 * delays, or has no effect on, a response whose request has been let through.
 */

static ngx_int_t
ngx_http_weir_limit_ask(ngx_http_request_t *r,
    ngx_http_weir_limit_loc_conf_t *llcf)
{
    ngx_int_t                    rc;
    weir_slots_request_t         request;
    ngx_http_weir_limit_hold_t  *hold;

    hold = ngx_http_weir_limit_hold_new(r);
    if (hold == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    hold->limit = llcf->limit;

    rc = ngx_http_weir_limit_key(r, llcf, &hold->key, &hold->hash);

    if (rc == NGX_DECLINED) {
        hold->status = NGX_HTTP_WEIR_LIMIT_UNCOUNTED;
        return NGX_DECLINED;
    }

    if (rc != NGX_OK
        || ngx_http_weir_limit_urgency(r, llcf, &request.urgency) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    request.key.data = (char *) hold->key.data;
    request.key.len = hold->key.len;
    request.hash = hold->hash;
    request.settings = &llcf->limit->settings;
    request.flow = llcf->flow;
    request.source = ngx_http_weir_limit_key_source(r, llcf->limit->zone);
    request.may_wait = (r == r->main);
    request.owner = hold;

    switch (ngx_http_weir_limit_zone_enter(llcf->limit->zone, &request,
                                           &hold->ticket, &hold->retry_after))
    {

    case WEIR_SLOTS_ADMITTED:
        hold->ticketed = 1;
        return ngx_http_weir_limit_pass(r, hold);

    case WEIR_SLOTS_QUEUED:
        hold->ticketed = 1;
        ngx_http_weir_record_enter(r, NGX_HTTP_WEIR_PHASE_LIMIT);
        return ngx_http_weir_limit_hold_wait(hold);

    case WEIR_SLOTS_REFUSED:
        hold->status = NGX_HTTP_WEIR_LIMIT_FULL;
        return ngx_http_weir_limit_refuse(r, hold);

    default:
        hold->status = NGX_HTTP_WEIR_LIMIT_UNCOUNTED;
        return ngx_http_weir_limit_pass(r, hold);
    }
}


static ngx_int_t
ngx_http_weir_limit_urgency(ngx_http_request_t *r,
    ngx_http_weir_limit_loc_conf_t *llcf, uint8_t *urgency)
{
    ngx_str_t  value;

    *urgency = WEIR_URGENCY_DEFAULT;

    if (llcf->priority == NULL) {
        return NGX_OK;
    }

    if (ngx_http_complex_value(r, llcf->priority, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    *urgency = weir_urgency((weir_str_t) { (char *) value.data, value.len });

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_limit_pass(ngx_http_request_t *r,
    ngx_http_weir_limit_hold_t *hold)
{
    if (hold->limit->settings.concurrent == 0) {
        hold->since = ngx_http_weir_ticks();
        hold->earlier = r->upstream;
    }

    ngx_http_weir_record_enter(r, NGX_HTTP_WEIR_PHASE_UPSTREAM);

    return NGX_DECLINED;
}


/*
 * The response does not contain the key: it may be an internal address, or text
 * of another client.  A subrequest has no document of its own.
 */

static ngx_int_t
ngx_http_weir_limit_refuse(ngx_http_request_t *r,
    ngx_http_weir_limit_hold_t *hold)
{
    ngx_str_t        value;
    weir_problem_t   problem;

    /* in the order of ngx_http_weir_limit_status_e */
    static char  *events[] = {
        NULL, NULL, NULL, NULL,
        "weir.limit.full", "weir.limit.shed", "weir.limit.expired"
    };

    ngx_http_weir_record_event(r, events[hold->status]);

    if (r != r->main) {
        return NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    value.data = ngx_pnalloc(r->pool, NGX_INT32_LEN);
    if (value.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    value.len = ngx_sprintf(value.data, "%uD", hold->retry_after) - value.data;

    if (ngx_http_weir_add_header(r, &ngx_http_weir_limit_retry_after, &value)
        == NULL)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memzero(&problem, sizeof(weir_problem_t));
    problem.status = NGX_HTTP_SERVICE_UNAVAILABLE;
    problem.title = "Service unavailable";
    problem.detail = WEIR_STR("The service works on as many requests as it can."
                              " Retry after the time in Retry-After.");

    return ngx_http_weir_send_problem(r, &problem);
}


ngx_str_t *
ngx_http_weir_limit_reason(weir_slots_reason_t reason)
{
    return &ngx_http_weir_limit_statuses[NGX_HTTP_WEIR_LIMIT_FULL + reason];
}


static ngx_int_t
ngx_http_weir_limit_status_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                   *name;
    ngx_http_weir_limit_hold_t  *hold;

    hold = ngx_http_weir_limit_hold(r);

    if (hold == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    name = &ngx_http_weir_limit_statuses[hold->status];

    v->data = name->data;
    v->len = name->len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_limit_add_variables(ngx_conf_t *cf)
{
    static ngx_http_variable_t  vars[] = {

        { ngx_string("weir_limit_status"), NULL,
          ngx_http_weir_limit_status_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

          ngx_http_null_variable
    };

    return ngx_http_weir_add_variables(cf, vars);
}


static ngx_int_t
ngx_http_weir_limit_init(ngx_conf_t *cf)
{
    ngx_http_weir_limit_main_conf_t  *lmcf;

    lmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_limit_module);

    if (lmcf->limits.nelts == 0) {
        return NGX_OK;
    }

    if (ngx_http_weir_limit_check(cf) != NGX_OK
        || ngx_http_weir_add_handler(cf, NGX_HTTP_REWRITE_PHASE,
                                     ngx_http_weir_limit_rewrite_handler)
           != NGX_OK
        || ngx_http_weir_add_handler(cf, NGX_HTTP_PRECONTENT_PHASE,
                                     ngx_http_weir_limit_handler)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_weir_limit_filter_init();

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_limit_init_module(ngx_cycle_t *cycle)
{
    ngx_http_weir_limit_main_conf_t  *lmcf;

    lmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_weir_limit_module);

    if (lmcf == NULL || lmcf->zones.nelts == 0 || ngx_test_config) {
        return NGX_OK;
    }

    ngx_http_weir_limit_wake_prepare(cycle);

    return NGX_OK;
}


/* Processes that take no requests (of nginx's own cache) have no seat. */

static ngx_int_t
ngx_http_weir_limit_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                        i;
    ngx_shm_zone_t                  **zone;
    ngx_http_weir_limit_main_conf_t  *lmcf;

    lmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_weir_limit_module);

    if (lmcf == NULL || lmcf->zones.nelts == 0
        || (ngx_process != NGX_PROCESS_WORKER
            && ngx_process != NGX_PROCESS_SINGLE))
    {
        return NGX_OK;
    }

    if (ngx_http_weir_limit_wake_begin(cycle, ngx_http_weir_limit_news)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    zone = lmcf->zones.elts;

    for (i = 0; i < lmcf->zones.nelts; i++) {
        ngx_http_weir_limit_zone_sit(zone[i], 0);
    }

    return NGX_OK;
}


/* A process that is stopped has requests that do not end any more. */

static void
ngx_http_weir_limit_exit_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                        i;
    ngx_shm_zone_t                  **zone;
    ngx_http_weir_limit_main_conf_t  *lmcf;

    lmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_weir_limit_module);

    if (lmcf == NULL
        || (ngx_process != NGX_PROCESS_WORKER
            && ngx_process != NGX_PROCESS_SINGLE))
    {
        return;
    }

    zone = lmcf->zones.elts;

    for (i = 0; i < lmcf->zones.nelts; i++) {
        ngx_http_weir_limit_zone_sit(zone[i], 1);
    }

    ngx_http_weir_limit_wake_end();
}


static void
ngx_http_weir_limit_news(void)
{
    ngx_uint_t                        i;
    ngx_shm_zone_t                  **zone;
    ngx_http_weir_limit_main_conf_t  *lmcf;

    lmcf = ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                               ngx_http_weir_limit_module);

    zone = lmcf->zones.elts;

    for (i = 0; i < lmcf->zones.nelts; i++) {
        ngx_http_weir_limit_hold_news(zone[i]);
    }
}
