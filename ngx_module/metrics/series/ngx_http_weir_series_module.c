/*
 * weir_metrics_zone: the shared memory of series.  Without the directive a
 * configuration has a zone if it shows what is in it, with weir_metrics or
 * weir_status, or if records need percentiles.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "export/ngx_http_weir_export.h"
#include "metrics/series/ngx_http_weir_series.h"
#include "metrics/series/ngx_http_weir_series_table.h"
#include "object/ngx_http_weir_object.h"


#define NGX_HTTP_WEIR_SERIES_SIZE      (8 * 1024 * 1024)
#define NGX_HTTP_WEIR_SERIES_MIN_SIZE  (1024 * 1024)

/* ms between two times that a process does what it does again and again. */
#define NGX_HTTP_WEIR_SERIES_INTERVAL  1000


typedef struct {
    size_t           size;                 /* bytes; 0: off */
    ngx_uint_t       required;             /* bool */
    ngx_shm_zone_t  *shm_zone;             /* NULL: off */
} ngx_http_weir_series_main_conf_t;


static char *ngx_http_weir_series_set_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static void *ngx_http_weir_series_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_weir_series_init_main_conf(ngx_conf_t *cf, void *conf);
static ngx_int_t ngx_http_weir_series_init_process(ngx_cycle_t *cycle);
static void ngx_http_weir_series_begin(ngx_http_weir_series_zone_t *zone,
    ngx_uint_t workers, ngx_log_t *log);
static ngx_msec_t ngx_http_weir_series_apportion(
    ngx_http_weir_record_task_t *task);
static ngx_msec_t ngx_http_weir_series_keep(ngx_http_weir_record_task_t *task);
static void ngx_http_weir_series_exit_process(ngx_cycle_t *cycle);
static void ngx_http_weir_series_cleanup(void *data);


static ngx_command_t  ngx_http_weir_series_commands[] = {

    { ngx_string("weir_metrics_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_weir_series_set_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_weir_series_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    ngx_http_weir_series_create_main_conf, /* create main configuration */
    ngx_http_weir_series_init_main_conf,   /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_weir_series_module = {
    NGX_MODULE_V1,
    &ngx_http_weir_series_module_ctx,      /* module context */
    ngx_http_weir_series_commands,         /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_weir_series_init_process,     /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_weir_series_exit_process,     /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static void *
ngx_http_weir_series_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_weir_series_main_conf_t  *smcf;

    smcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_series_main_conf_t));
    if (smcf == NULL) {
        return NULL;
    }

    smcf->size = NGX_CONF_UNSET_SIZE;

    return smcf;
}


static char *
ngx_http_weir_series_set_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_series_main_conf_t  *smcf = conf;

    ssize_t     size;
    ngx_str_t  *value;

    if (smcf->size != NGX_CONF_UNSET_SIZE) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 3 && ngx_strncmp(value[1].data, "off", 3) == 0) {
        smcf->size = 0;
        return NGX_CONF_OK;
    }

    size = ngx_parse_size(&value[1]);

    if (size == NGX_ERROR || size < NGX_HTTP_WEIR_SERIES_MIN_SIZE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid size \"%V\" in \"weir_metrics_zone\"; it"
                           " must be \"off\", or like 8m and at least 1m",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    smcf->size = size;
    smcf->required = 1;

    return NGX_CONF_OK;
}


void
ngx_http_weir_series_require(ngx_conf_t *cf)
{
    ngx_http_weir_series_main_conf_t  *smcf;

    smcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_series_module);
    smcf->required = 1;
}


/*
 * Called when http {} was read.  The layout is a part of the zone's name: after
 * a reload with another build of the module the counters begin again.
 */

static char *
ngx_http_weir_series_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_weir_series_main_conf_t  *smcf = conf;

    ngx_str_t                     name, *place;
    ngx_http_weir_series_zone_t  *zone;

    ngx_conf_init_size_value(smcf->size, NGX_HTTP_WEIR_SERIES_SIZE);

    place = ngx_http_weir_record_needs_percentiles(cf);

    if (smcf->size == 0) {

        if (place) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "a percentile of \"slow=\" needs the counts of"
                          " metrics, and there is \"weir_metrics_zone off\""
                          " in %V", place);
            return NGX_CONF_ERROR;
        }

        return NGX_CONF_OK;
    }

    if (place == NULL && !smcf->required
        && !ngx_http_weir_export_has_metrics(cf))
    {
        return NGX_CONF_OK;
    }

    name.data = ngx_pnalloc(cf->pool, sizeof("weir_metrics:0123456789abcdef"));
    if (name.data == NULL) {
        return NGX_CONF_ERROR;
    }

    name.len = ngx_sprintf(name.data, "weir_metrics:%016xL",
                           ngx_http_weir_layout())
               - name.data;

    smcf->shm_zone = ngx_shared_memory_add(cf, &name, smcf->size,
                                           &ngx_http_weir_series_module);
    if (smcf->shm_zone == NULL) {
        return NGX_CONF_ERROR;
    }

    zone = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_series_zone_t));
    if (zone == NULL) {
        return NGX_CONF_ERROR;
    }

    smcf->shm_zone->init = ngx_http_weir_series_zone_init;
    smcf->shm_zone->data = zone;

    ngx_http_weir_record_require(cf);

    return NGX_CONF_OK;
}


ngx_http_weir_series_zone_t *
ngx_http_weir_series_zone(ngx_http_request_t *r)
{
    ngx_http_weir_series_main_conf_t  *smcf;

    smcf = ngx_http_get_module_main_conf(r, ngx_http_weir_series_module);

    return smcf->shm_zone ? smcf->shm_zone->data : NULL;
}


ngx_http_weir_series_zone_t *
ngx_http_weir_series_cycle_zone(void)
{
    ngx_http_weir_series_main_conf_t  *smcf;

    smcf = ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                               ngx_http_weir_series_module);

    return smcf && smcf->shm_zone ? smcf->shm_zone->data : NULL;
}


/* Called in helper processes, too, which have no requests. */

static ngx_int_t
ngx_http_weir_series_init_process(ngx_cycle_t *cycle)
{
    ngx_core_conf_t                   *ccf;
    ngx_pool_cleanup_t                *cln;
    ngx_http_weir_series_zone_t       *zone;
    ngx_http_weir_series_main_conf_t  *smcf;

    static ngx_http_weir_record_task_t  usage = {
        NULL, 0, ngx_http_weir_series_apportion
    };

    static ngx_http_weir_record_task_t  windows = {
        NULL, 0, ngx_http_weir_series_keep
    };

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    smcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_weir_series_module);

    if (smcf == NULL || smcf->shm_zone == NULL) {
        return NGX_OK;
    }

    zone = smcf->shm_zone->data;
    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    cln = ngx_pool_cleanup_add(cycle->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_weir_series_cleanup;

    ngx_http_weir_series_begin(zone, ccf->worker_processes, cycle->log);
    ngx_http_weir_series_windows_begin(zone);

    (void) ngx_http_weir_record_repeat(&usage, NGX_HTTP_WEIR_SERIES_INTERVAL);
    (void) ngx_http_weir_record_repeat(&windows, NGX_HTTP_WEIR_SERIES_INTERVAL);

    return NGX_OK;
}


/* A worker without a slot serves requests, and keeps windows. */

static void
ngx_http_weir_series_begin(ngx_http_weir_series_zone_t *zone,
    ngx_uint_t workers, ngx_log_t *log)
{
    if (ngx_http_weir_series_table_begin(zone, workers, log) != NGX_OK) {
        return;
    }

    ngx_http_weir_record_on_end(ngx_http_weir_series_count_fresh,
                                ngx_http_weir_series_count);
    ngx_http_weir_record_on_kept(ngx_http_weir_series_count_kept);

    if (ngx_http_weir_usage_begin(&zone->sh->usage, zone->shpool,
                                  ngx_http_weir_series_table.slot)
        != NGX_OK)
    {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "weir_metrics_zone has no room for what this worker's"
                      " requests use, which is not counted: make the zone"
                      " larger");
    }
}


static ngx_msec_t
ngx_http_weir_series_apportion(ngx_http_weir_record_task_t *task)
{
    ngx_http_weir_usage_apportion();

    return NGX_HTTP_WEIR_SERIES_INTERVAL;
}


static ngx_msec_t
ngx_http_weir_series_keep(ngx_http_weir_record_task_t *task)
{
    return ngx_http_weir_series_windows_keep() ? 1
                                               : NGX_HTTP_WEIR_SERIES_INTERVAL;
}


static void
ngx_http_weir_series_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_weir_series_cleanup(NULL);
}


/*
 * Without a master process a reload frees the configuration, whose memory this
 * process counts with; nginx calls no init_process for the next one.
 */

static void
ngx_http_weir_series_cleanup(void *data)
{
    ngx_http_weir_record_on_end(NULL, NULL);
    ngx_http_weir_record_on_kept(NULL);

    ngx_http_weir_usage_end();
    ngx_http_weir_series_windows_end();
    ngx_http_weir_series_table_end();
}
