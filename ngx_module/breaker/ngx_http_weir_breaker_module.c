/*
 * weir_breaker: a circuit breaker before any *_pass.
 *
 * A precontent handler asks the breaker; a request that may pass owes it a
 * result.  The result is told by the first header filter of all, which sees
 * the upstream's own answer, or nginx's 502 or 504 in its place.  A client
 * that drains the body slowly has no part in it; a body that breaks off in
 * the upstream counts as a failure when the request ends.
 *
 * What a request owes is kept in the data of a cleanup of its pool, because
 * an internal redirect wipes module contexts.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "breaker/ngx_http_weir_breaker_zone.h"
#include "http/ngx_http_weir.h"


#define NGX_HTTP_WEIR_BREAKER_ON_ERROR    0x0001
#define NGX_HTTP_WEIR_BREAKER_ON_TIMEOUT  0x0002
#define NGX_HTTP_WEIR_BREAKER_ON_500      0x0004
#define NGX_HTTP_WEIR_BREAKER_ON_502      0x0008
#define NGX_HTTP_WEIR_BREAKER_ON_503      0x0010
#define NGX_HTTP_WEIR_BREAKER_ON_504      0x0020
#define NGX_HTTP_WEIR_BREAKER_ON_429      0x0040


typedef struct {
    ngx_shm_zone_t              *zone;
    ngx_http_complex_value_t    *key;      /* NULL: the upstream's name */
    weir_breaker_settings_t      settings;
    ngx_msec_t                   slow;     /* 0: none */
    ngx_uint_t                   on;
} ngx_http_weir_breaker_t;


typedef struct {
    ngx_http_weir_breaker_t     *breaker;  /* NULL: off */
} ngx_http_weir_breaker_loc_conf_t;


/* A result that is owed. */
typedef struct {
    ngx_http_request_t          *request;
    ngx_http_weir_breaker_t     *breaker;
    ngx_str_t                    key;
    uint64_t                     generation;
    ngx_http_upstream_t         *upstream; /* whose header was counted */
    unsigned                     reported:1;
    unsigned                     failed:1;
} ngx_http_weir_breaker_debt_t;


static ngx_int_t ngx_http_weir_breaker_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_breaker_refuse(ngx_http_request_t *r,
    ngx_str_t *key, ngx_msec_t retry_after);
static ngx_int_t ngx_http_weir_breaker_key(ngx_http_request_t *r,
    ngx_http_weir_breaker_t *breaker, ngx_str_t *key);
static ngx_http_weir_breaker_debt_t *ngx_http_weir_breaker_debt(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_breaker_header_filter(ngx_http_request_t *r);
static void ngx_http_weir_breaker_settle(ngx_http_weir_breaker_debt_t *debt,
    ngx_uint_t final);
static weir_breaker_outcome_t ngx_http_weir_breaker_outcome(
    ngx_http_request_t *r, ngx_http_weir_breaker_t *breaker);
static ngx_uint_t ngx_http_weir_breaker_broke_off(ngx_http_request_t *r);
static void ngx_http_weir_breaker_cleanup(void *data);
static ngx_int_t ngx_http_weir_breaker_state_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_weir_breaker_add_variables(ngx_conf_t *cf);
static void *ngx_http_weir_breaker_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_weir_breaker_merge_loc_conf(ngx_conf_t *cf,
    void *parent, void *child);
static char *ngx_http_weir_breaker_directive(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static ngx_int_t ngx_http_weir_breaker_parameter(ngx_conf_t *cf,
    ngx_http_weir_breaker_t *breaker, ngx_str_t *name, ngx_str_t *value);
static ngx_int_t ngx_http_weir_breaker_parse_ratio(ngx_str_t *value);
static ngx_int_t ngx_http_weir_breaker_parse_on(
    ngx_http_weir_breaker_t *breaker, ngx_str_t *value);
static ngx_int_t ngx_http_weir_breaker_init(ngx_conf_t *cf);


static ngx_conf_bitmask_t  ngx_http_weir_breaker_on[] = {
    { ngx_string("error"), NGX_HTTP_WEIR_BREAKER_ON_ERROR },
    { ngx_string("timeout"), NGX_HTTP_WEIR_BREAKER_ON_TIMEOUT },
    { ngx_string("http_429"), NGX_HTTP_WEIR_BREAKER_ON_429 },
    { ngx_string("http_500"), NGX_HTTP_WEIR_BREAKER_ON_500 },
    { ngx_string("http_502"), NGX_HTTP_WEIR_BREAKER_ON_502 },
    { ngx_string("http_503"), NGX_HTTP_WEIR_BREAKER_ON_503 },
    { ngx_string("http_504"), NGX_HTTP_WEIR_BREAKER_ON_504 },
    { ngx_null_string, 0 }
};


static ngx_command_t  ngx_http_weir_breaker_commands[] = {

    { ngx_string("weir_breaker_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE2,
      ngx_http_weir_breaker_zone,
      0,
      0,
      NULL },

    { ngx_string("weir_breaker"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_weir_breaker_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_weir_breaker_module_ctx = {
    ngx_http_weir_breaker_add_variables,       /* preconfiguration */
    ngx_http_weir_breaker_init,                /* postconfiguration */

    NULL,                                      /* create main configuration */
    NULL,                                      /* init main configuration */

    NULL,                                      /* create server configuration */
    NULL,                                      /* merge server configuration */

    ngx_http_weir_breaker_create_loc_conf,     /* create location configuration */
    ngx_http_weir_breaker_merge_loc_conf       /* merge location configuration */
};


ngx_module_t  ngx_http_weir_breaker_module = {
    NGX_MODULE_V1,
    &ngx_http_weir_breaker_module_ctx,         /* module context */
    ngx_http_weir_breaker_commands,            /* module directives */
    NGX_HTTP_MODULE,                           /* module type */
    NULL,                                      /* init master */
    NULL,                                      /* init module */
    NULL,                                      /* init process */
    NULL,                                      /* init thread */
    NULL,                                      /* exit thread */
    NULL,                                      /* exit process */
    NULL,                                      /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_str_t  ngx_http_weir_breaker_retry_after =
                                                  ngx_string("Retry-After");

static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;


/*
 * Only the request that the client made is counted.  What an earlier pass of
 * the same request owes (error_page, X-Accel-Redirect) is settled first, while
 * r->upstream is still the one that it went to.
 */

static ngx_int_t
ngx_http_weir_breaker_handler(ngx_http_request_t *r)
{
    ngx_int_t                          rc;
    ngx_str_t                          key;
    uint64_t                           generation;
    ngx_msec_t                         retry_after;
    ngx_pool_cleanup_t                *cln;
    ngx_http_weir_breaker_t           *breaker;
    ngx_http_weir_breaker_debt_t      *debt;
    ngx_http_weir_breaker_loc_conf_t  *blcf;

    if (r != r->main) {
        return NGX_DECLINED;
    }

    if (r->internal) {
        debt = ngx_http_weir_breaker_debt(r);

        if (debt) {
            ngx_http_weir_breaker_settle(debt, 1);
        }
    }

    blcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_breaker_module);
    breaker = blcf->breaker;

    if (breaker == NULL || r->content_handler == NULL) {
        return NGX_DECLINED;
    }

    if (ngx_http_weir_breaker_key(r, breaker, &key) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* before the breaker is asked: what it lets pass must be able to report */

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_weir_breaker_debt_t));
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    retry_after = 0;
    generation = 0;

    rc = ngx_http_weir_breaker_zone_admit(breaker->zone, &key,
                                          &breaker->settings, &generation,
                                          &retry_after, r->connection->log);

    if (rc == NGX_BUSY) {
        return ngx_http_weir_breaker_refuse(r, &key, retry_after);
    }

    if (rc == NGX_OK) {
        debt = cln->data;
        ngx_memzero(debt, sizeof(ngx_http_weir_breaker_debt_t));
        debt->request = r;
        debt->breaker = breaker;
        debt->key = key;
        debt->generation = generation;

        cln->handler = ngx_http_weir_breaker_cleanup;
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_weir_breaker_refuse(ngx_http_request_t *r, ngx_str_t *key,
    ngx_msec_t retry_after)
{
    u_char          *p;
    ngx_str_t        value;
    weir_problem_t   problem;

    p = ngx_pnalloc(r->pool, NGX_TIME_T_LEN + key->len
                             + sizeof("The circuit breaker \"\" is open."));
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* RFC 9110 section 10.2.3: whole seconds */

    value.data = p;
    p = ngx_sprintf(p, "%T", (time_t) ((retry_after + 999) / 1000));
    value.len = p - value.data;

    if (ngx_http_weir_add_header(r, &ngx_http_weir_breaker_retry_after, &value)
        == NULL)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memzero(&problem, sizeof(weir_problem_t));
    problem.status = NGX_HTTP_SERVICE_UNAVAILABLE;
    problem.title = "Service unavailable";
    problem.detail.data = (char *) p;
    problem.detail.len = ngx_sprintf(p, "The circuit breaker \"%V\" is open.",
                                     key) - p;

    return ngx_http_weir_send_problem(r, &problem);
}


/*
 * Without key= the breaker is the upstream's: its name and port as *_pass has
 * them.  That is read where every *_pass module keeps it, at the start of its
 * location configuration: $proxy_host itself is not known before the content
 * phase.  Where *_pass has variables, server and location name the breaker.
 */

static ngx_int_t
ngx_http_weir_breaker_key(ngx_http_request_t *r,
    ngx_http_weir_breaker_t *breaker, ngx_str_t *key)
{
    ngx_uint_t                     i, m;
    ngx_http_upstream_conf_t      *ucf;
    ngx_http_core_loc_conf_t      *clcf;
    ngx_http_core_srv_conf_t      *cscf;
    ngx_http_upstream_srv_conf_t  *us;

    static char  *passes[] = { "ngx_http_proxy_module",
                               "ngx_http_fastcgi_module",
                               "ngx_http_grpc_module",
                               "ngx_http_uwsgi_module",
                               "ngx_http_scgi_module" };
    static ngx_int_t   indexes[5] = { -2, -2, -2, -2, -2 };

    if (breaker->key) {
        if (ngx_http_complex_value(r, breaker->key, key) != NGX_OK) {
            return NGX_ERROR;
        }

        if (key->len) {
            key->len = ngx_min(key->len, NGX_HTTP_WEIR_BREAKER_KEY_MAX);
            return NGX_OK;
        }
    }

    for (i = 0; i < 5; i++) {

        if (indexes[i] == -2) {
            indexes[i] = -1;

            for (m = 0; ngx_cycle->modules[m]; m++) {
                if (ngx_strcmp(ngx_cycle->modules[m]->name, passes[i]) == 0) {
                    indexes[i] = ngx_cycle->modules[m]->ctx_index;
                }
            }
        }

        if (indexes[i] == -1) {
            continue;
        }

        ucf = r->loc_conf[indexes[i]];
        us = ucf->upstream;

        if (us == NULL || us == NGX_CONF_UNSET_PTR) {
            continue;
        }

        if (us->port == 0) {
            *key = us->host;
            key->len = ngx_min(key->len, NGX_HTTP_WEIR_BREAKER_KEY_MAX);
            return NGX_OK;
        }

        key->data = ngx_pnalloc(r->pool, us->host.len + sizeof(":65535") - 1);
        if (key->data == NULL) {
            return NGX_ERROR;
        }

        key->len = ngx_sprintf(key->data, "%V:%ui", &us->host,
                               (ngx_uint_t) us->port) - key->data;
        key->len = ngx_min(key->len, NGX_HTTP_WEIR_BREAKER_KEY_MAX);

        return NGX_OK;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);
    cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);

    key->data = ngx_pnalloc(r->pool, cscf->server_name.len + clcf->name.len);
    if (key->data == NULL) {
        return NGX_ERROR;
    }

    key->len = ngx_sprintf(key->data, "%V%V", &cscf->server_name, &clcf->name)
               - key->data;
    key->len = ngx_min(key->len, NGX_HTTP_WEIR_BREAKER_KEY_MAX);

    return NGX_OK;
}


/* What the request's last pass owes, or NULL; older ones are settled. */

static ngx_http_weir_breaker_debt_t *
ngx_http_weir_breaker_debt(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t  *cln;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_weir_breaker_cleanup) {
            return cln->data;
        }
    }

    return NULL;
}


static ngx_int_t
ngx_http_weir_breaker_header_filter(ngx_http_request_t *r)
{
    ngx_http_weir_breaker_debt_t  *debt;

    if (r == r->main && r->upstream) {
        debt = ngx_http_weir_breaker_debt(r);

        if (debt) {
            ngx_http_weir_breaker_settle(debt, 0);
        }
    }

    return ngx_http_next_header_filter(r);
}


/*
 * Reports what is known.  Not final: an upstream that has said nothing yet may
 * still.  Final: it is given up, or its body turns out to have broken off.
 */

static void
ngx_http_weir_breaker_settle(ngx_http_weir_breaker_debt_t *debt,
    ngx_uint_t final)
{
    ngx_http_request_t      *r;
    weir_breaker_outcome_t   outcome;

    r = debt->request;

    if (!debt->reported) {
        outcome = ngx_http_weir_breaker_outcome(r, debt->breaker);

        if (outcome == WEIR_BREAKER_ABANDONED && !final) {
            return;
        }

    } else if (final && !debt->failed && r->upstream
               && r->upstream == debt->upstream
               && (debt->breaker->on & NGX_HTTP_WEIR_BREAKER_ON_ERROR)
               && ngx_http_weir_breaker_broke_off(r))
    {
        outcome = WEIR_BREAKER_FAILURE;

    } else {
        return;
    }

    debt->reported = 1;
    debt->failed = (outcome != WEIR_BREAKER_SUCCESS);
    debt->upstream = r->upstream;

    ngx_http_weir_breaker_zone_report(debt->breaker->zone, &debt->key,
                                      &debt->breaker->settings,
                                      debt->generation, outcome,
                                      r->connection->log);
}


/*
 * u->state belongs to the last server that was tried.  headers_in.status_n is
 * set once its header was read; otherwise nginx notes why it gave up: 504 for
 * a timeout, 502 or another code for an error, 0 when it did not give up.
 */

static weir_breaker_outcome_t
ngx_http_weir_breaker_outcome(ngx_http_request_t *r,
    ngx_http_weir_breaker_t *breaker)
{
    ngx_uint_t            what;
    ngx_http_upstream_t  *u;

    u = r->upstream;

    if (u == NULL || u->state == NULL) {
        return WEIR_BREAKER_ABANDONED;
    }

    if (u->headers_in.status_n == 0) {

        if (u->state->status == 0) {
            return WEIR_BREAKER_ABANDONED;
        }

        what = (u->state->status == NGX_HTTP_GATEWAY_TIME_OUT)
               ? NGX_HTTP_WEIR_BREAKER_ON_TIMEOUT
               : NGX_HTTP_WEIR_BREAKER_ON_ERROR;

        return (breaker->on & what) ? WEIR_BREAKER_FAILURE
                                    : WEIR_BREAKER_SUCCESS;
    }

    switch (u->headers_in.status_n) {
    case 429:
        what = NGX_HTTP_WEIR_BREAKER_ON_429;
        break;
    case NGX_HTTP_INTERNAL_SERVER_ERROR:
        what = NGX_HTTP_WEIR_BREAKER_ON_500;
        break;
    case NGX_HTTP_BAD_GATEWAY:
        what = NGX_HTTP_WEIR_BREAKER_ON_502;
        break;
    case NGX_HTTP_SERVICE_UNAVAILABLE:
        what = NGX_HTTP_WEIR_BREAKER_ON_503;
        break;
    case NGX_HTTP_GATEWAY_TIME_OUT:
        what = NGX_HTTP_WEIR_BREAKER_ON_504;
        break;
    default:
        what = 0;
    }

    if (breaker->on & what) {
        return WEIR_BREAKER_FAILURE;
    }

    if (breaker->slow
        && u->state->header_time != (ngx_msec_t) -1
        && u->state->header_time > breaker->slow)
    {
        return WEIR_BREAKER_FAILURE;
    }

    return WEIR_BREAKER_SUCCESS;
}


/*
 * Whether the upstream left its body unfinished.  A client that went away, or
 * was too slow, leaves it unfinished too: that is no word on the upstream.
 */

static ngx_uint_t
ngx_http_weir_breaker_broke_off(ngx_http_request_t *r)
{
    ngx_event_pipe_t     *p;
    ngx_http_upstream_t  *u;

    u = r->upstream;
    p = u->pipe;

    if (r->header_only || r->connection->error || r->connection->timedout) {
        return 0;
    }

    if (!u->buffering) {
        return u->error || u->length > 0;
    }

    if (p == NULL || p->downstream_error) {
        return 0;
    }

    return p->upstream_error || (p->upstream_eof && p->length > 0);
}


static void
ngx_http_weir_breaker_cleanup(void *data)
{
    ngx_http_weir_breaker_settle(data, 1);
}


static ngx_int_t
ngx_http_weir_breaker_state_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                          key, *name;
    weir_breaker_state_t               state;
    ngx_http_weir_breaker_t           *breaker;
    ngx_http_weir_breaker_loc_conf_t  *blcf;

    static ngx_str_t  names[] = { ngx_string("closed"), ngx_string("open"),
                                  ngx_string("half-open") };

    blcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_breaker_module);
    breaker = blcf->breaker;

    if (breaker == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    if (ngx_http_weir_breaker_key(r, breaker, &key) != NGX_OK) {
        return NGX_ERROR;
    }

    state = ngx_http_weir_breaker_zone_state(breaker->zone, &key,
                                             &breaker->settings);
    name = &names[state];

    v->data = name->data;
    v->len = name->len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_breaker_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var;

    static ngx_str_t  name = ngx_string("weir_breaker_state");

    var = ngx_http_add_variable(cf, &name, NGX_HTTP_VAR_NOCACHEABLE);
    if (var == NULL) {
        return NGX_ERROR;
    }

    var->get_handler = ngx_http_weir_breaker_state_variable;

    return NGX_OK;
}


static void *
ngx_http_weir_breaker_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_weir_breaker_loc_conf_t  *blcf;

    blcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_breaker_loc_conf_t));
    if (blcf == NULL) {
        return NULL;
    }

    blcf->breaker = NGX_CONF_UNSET_PTR;

    return blcf;
}


static char *
ngx_http_weir_breaker_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child)
{
    ngx_http_weir_breaker_loc_conf_t  *prev = parent;
    ngx_http_weir_breaker_loc_conf_t  *conf = child;

    ngx_conf_merge_ptr_value(conf->breaker, prev->breaker, NULL);

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_breaker_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_breaker_loc_conf_t  *blcf = conf;

    u_char                   *p;
    ngx_str_t                *value, name, argument;
    ngx_uint_t                i;
    ngx_http_weir_breaker_t  *breaker;

    if (blcf->breaker != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        blcf->breaker = NULL;
        return NGX_CONF_OK;
    }

    breaker = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_breaker_t));
    if (breaker == NULL) {
        return NGX_CONF_ERROR;
    }

    breaker->settings.failures = 5;
    breaker->settings.window = 10000;
    breaker->settings.open = 5000;
    breaker->settings.probes = 1;
    breaker->on = NGX_HTTP_WEIR_BREAKER_ON_ERROR
                  |NGX_HTTP_WEIR_BREAKER_ON_TIMEOUT
                  |NGX_HTTP_WEIR_BREAKER_ON_500
                  |NGX_HTTP_WEIR_BREAKER_ON_502
                  |NGX_HTTP_WEIR_BREAKER_ON_503
                  |NGX_HTTP_WEIR_BREAKER_ON_504;

    for (i = 1; i < cf->args->nelts; i++) {

        p = (u_char *) ngx_strchr(value[i].data, '=');

        if (p) {
            name.data = value[i].data;
            name.len = p - value[i].data;
            argument.data = p + 1;
            argument.len = value[i].data + value[i].len - argument.data;

            switch (ngx_http_weir_breaker_parameter(cf, breaker, &name,
                                                    &argument))
            {
            case NGX_OK:
                continue;
            case NGX_ABORT:
                return NGX_CONF_ERROR;
            default:
                break;
            }
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\" in \"weir_breaker\"; it"
                           " takes zone=name, key=string, failures=number,"
                           " window=time, open=time, probes=number,"
                           " ratio=percent%%, slow=time, on=list", &value[i]);
        return NGX_CONF_ERROR;
    }

    if (breaker->zone == NULL) {
        return "must have zone=name, or be \"off\"";
    }

    blcf->breaker = breaker;

    return NGX_CONF_OK;
}


/* NGX_ERROR: the value is wrong; NGX_ABORT: an error that has been logged. */

static ngx_int_t
ngx_http_weir_breaker_parameter(ngx_conf_t *cf,
    ngx_http_weir_breaker_t *breaker, ngx_str_t *name, ngx_str_t *value)
{
    ngx_int_t                          n;
    ngx_http_compile_complex_value_t   ccv;

#define is(text)  (name->len == sizeof(text) - 1                              \
                   && ngx_strncmp(name->data, text, sizeof(text) - 1) == 0)

    if (value->len == 0) {
        return NGX_ERROR;
    }

    if (is("zone")) {
        breaker->zone = ngx_shared_memory_add(cf, value, 0,
                                              &ngx_http_weir_breaker_module);
        return breaker->zone ? NGX_OK : NGX_ABORT;
    }

    if (is("key")) {
        breaker->key = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
        if (breaker->key == NULL) {
            return NGX_ABORT;
        }

        ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));
        ccv.cf = cf;
        ccv.value = value;
        ccv.complex_value = breaker->key;

        return ngx_http_compile_complex_value(&ccv) == NGX_OK ? NGX_OK
                                                              : NGX_ABORT;
    }

    if (is("failures") || is("probes")) {
        n = ngx_atoi(value->data, value->len);

        if (n < 1 || n > 1000000) {
            return NGX_ERROR;
        }

        if (is("failures")) {
            breaker->settings.failures = n;
        } else {
            breaker->settings.probes = n;
        }

        return NGX_OK;
    }

    if (is("window") || is("open") || is("slow")) {
        n = ngx_parse_time(value, 0);

        if (n == NGX_ERROR || n < WEIR_BREAKER_BUCKETS) {
            return NGX_ERROR;
        }

        if (is("window")) {
            breaker->settings.window = n;
        } else if (is("open")) {
            breaker->settings.open = n;
        } else {
            breaker->slow = n;
        }

        return NGX_OK;
    }

    if (is("ratio")) {
        n = ngx_http_weir_breaker_parse_ratio(value);
        breaker->settings.ratio = n;
        return n == NGX_ERROR ? NGX_ERROR : NGX_OK;
    }

    if (is("on")) {
        return ngx_http_weir_breaker_parse_on(breaker, value);
    }

#undef is

    return NGX_ERROR;
}


/* "50%" as 500, or NGX_ERROR */

static ngx_int_t
ngx_http_weir_breaker_parse_ratio(ngx_str_t *value)
{
    ngx_int_t  n;

    if (value->data[value->len - 1] != '%') {
        return NGX_ERROR;
    }

    n = ngx_atoi(value->data, value->len - 1);

    return (n >= 1 && n <= 100) ? n * 10 : NGX_ERROR;
}


static ngx_int_t
ngx_http_weir_breaker_parse_on(ngx_http_weir_breaker_t *breaker,
    ngx_str_t *value)
{
    u_char              *p, *last, *comma;
    ngx_conf_bitmask_t  *on;

    breaker->on = 0;
    last = value->data + value->len;

    for (p = value->data; p <= last; p = comma + 1) {

        comma = ngx_strlchr(p, last, ',');
        if (comma == NULL) {
            comma = last;
        }

        for (on = ngx_http_weir_breaker_on; on->name.len; on++) {
            if (on->name.len == (size_t) (comma - p)
                && ngx_strncmp(on->name.data, p, on->name.len) == 0)
            {
                breaker->on |= on->mask;
                break;
            }
        }

        if (on->name.len == 0) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_breaker_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_weir_breaker_handler;

    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_weir_breaker_header_filter;

    return NGX_OK;
}
