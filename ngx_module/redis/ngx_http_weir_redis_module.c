/*
 * weir_redis: the servers by name.  Each worker has its own connections, opened
 * with its first command.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "http/ngx_http_weir.h"
#include "redis/ngx_http_weir_redis_connection.h"
#include "redis/ngx_http_weir_redis_url.h"


typedef struct {
    ngx_array_t   servers;          /* of ngx_http_weir_redis_t * */
} ngx_http_weir_redis_main_conf_t;


extern ngx_module_t  ngx_http_weir_redis_module;

static char *ngx_http_weir_redis_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_weir_redis_parameter(ngx_conf_t *cf,
    ngx_http_weir_redis_t *redis, ngx_str_t *value);
static void *ngx_http_weir_redis_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_weir_redis_init_main_conf(ngx_conf_t *cf, void *conf);
static ngx_int_t ngx_http_weir_redis_init_process(ngx_cycle_t *cycle);
static void ngx_http_weir_redis_exit_process(ngx_cycle_t *cycle);


static ngx_command_t  ngx_http_weir_redis_commands[] = {

    { ngx_string("weir_redis"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_2MORE,
      ngx_http_weir_redis_directive,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_weir_redis_module_ctx = {
    NULL,                                      /* preconfiguration */
    NULL,                                      /* postconfiguration */

    ngx_http_weir_redis_create_main_conf,      /* create main configuration */
    ngx_http_weir_redis_init_main_conf,        /* init main configuration */

    NULL,                                      /* create server configuration */
    NULL,                                      /* merge server configuration */

    NULL,                                      /* create location configuration */
    NULL                                       /* merge location configuration */
};


ngx_module_t  ngx_http_weir_redis_module = {
    NGX_MODULE_V1,
    &ngx_http_weir_redis_module_ctx,           /* module context */
    ngx_http_weir_redis_commands,              /* module directives */
    NGX_HTTP_MODULE,                           /* module type */
    NULL,                                      /* init master */
    NULL,                                      /* init module */
    ngx_http_weir_redis_init_process,          /* init process */
    NULL,                                      /* init thread */
    NULL,                                      /* exit thread */
    ngx_http_weir_redis_exit_process,          /* exit process */
    NULL,                                      /* exit master */
    NGX_MODULE_V1_PADDING
};


ngx_http_weir_redis_t *
ngx_http_weir_redis_get(ngx_conf_t *cf, ngx_str_t *name)
{
    ngx_uint_t                        i;
    ngx_http_weir_redis_t            *redis, **servers;
    ngx_http_weir_redis_main_conf_t  *rmcf;

    rmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_redis_module);
    servers = rmcf->servers.elts;

    for (i = 0; i < rmcf->servers.nelts; i++) {
        if (servers[i]->name.len == name->len
            && ngx_strncmp(servers[i]->name.data, name->data, name->len) == 0)
        {
            return servers[i];
        }
    }

    redis = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_redis_t));
    if (redis == NULL) {
        return NULL;
    }

    if (ngx_http_weir_place(cf, &redis->place) != NGX_OK) {
        return NULL;
    }

    redis->login = ngx_pcalloc(cf->pool,
                               sizeof(ngx_http_weir_redis_login_t));
    if (redis->login == NULL) {
        return NULL;
    }

    redis->name = *name;
    redis->timeout = 100;
    redis->connect_timeout = 100;

    servers = ngx_array_push(&rmcf->servers);
    if (servers == NULL) {
        return NULL;
    }

    *servers = redis;

    return redis;
}


ngx_str_t *
ngx_http_weir_redis_name(ngx_http_weir_redis_t *redis)
{
    return &redis->name;
}


static char *
ngx_http_weir_redis_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                   *rv;
    ngx_str_t              *value;
    ngx_uint_t              i;
    ngx_http_weir_redis_t  *redis;

    value = cf->args->elts;

    redis = ngx_http_weir_redis_get(cf, &value[1]);
    if (redis == NULL) {
        return NGX_CONF_ERROR;
    }

    if (redis->addr) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate \"weir_redis\" \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    if (ngx_strncmp(value[2].data, "rediss://", 9) == 0) {
        redis->tls = ngx_http_weir_tls_create(cf);
        if (redis->tls == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    for (i = 3; i < cf->args->nelts; i++) {

        if (ngx_http_weir_redis_parameter(cf, redis, &value[i]) != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    rv = ngx_http_weir_redis_url_parse(cf, redis, &value[2]);

    if (rv != NGX_CONF_OK && rv != NGX_CONF_ERROR) {
        /* the URL may contain a password: it is not logged */
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid URL of \"weir_redis\" \"%V\": %s",
                           &value[1], rv);
        return NGX_CONF_ERROR;
    }

    if (rv == NGX_CONF_ERROR && redis->tls) {
        /* OpenSSL has logged the file and the reason before this line */
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"weir_redis\" \"%V\" cannot use TLS with these"
                           " parameters", &value[1]);
    }

    if (rv == NGX_CONF_OK) {
        rv = ngx_http_weir_redis_login_init(cf, redis->login, &value[1]);
    }

    return rv;
}


/* One behind the URL. */

static char *
ngx_http_weir_redis_parameter(ngx_conf_t *cf, ngx_http_weir_redis_t *redis,
    ngx_str_t *value)
{
    ngx_int_t    n;
    ngx_str_t    s;
    ngx_msec_t  *time;

    if (redis->tls
        && ngx_http_weir_tls_parameter(redis->tls, value) == NGX_OK)
    {
        return NGX_CONF_OK;
    }

    if (ngx_http_weir_redis_login_parameter(redis->login, value) == NGX_OK) {
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(value->data, "timeout=", 8) == 0) {
        s.data = value->data + 8;
        time = &redis->timeout;

    } else if (ngx_strncmp(value->data, "connect_timeout=", 16) == 0) {
        s.data = value->data + 16;
        time = &redis->connect_timeout;

    } else if (ngx_strncmp(value->data, "ssl_", 4) == 0 && !redis->tls) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\" in \"weir_redis\":"
                           " ssl_ parameters need a URL with rediss://", value);
        return NGX_CONF_ERROR;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\" in \"weir_redis\"; it"
                           " takes timeout=time, connect_timeout=time, user=name,"
                           " password_file=file, password_env=name%s",
                           value,
                           redis->tls
                           ? ", ssl_trusted_certificate=file,"
                             " ssl_name=name, ssl_verify=on|off,"
                             " ssl_certificate=file,"
                             " ssl_certificate_key=file"
                           : "");
        return NGX_CONF_ERROR;
    }

    s.len = value->data + value->len - s.data;
    n = ngx_parse_time(&s, 0);

    if (n == NGX_ERROR || n < 1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid time \"%V\" in \"weir_redis\"; it must"
                           " be like 100ms or 1s", value);
        return NGX_CONF_ERROR;
    }

    *time = n;

    return NGX_CONF_OK;
}


static void *
ngx_http_weir_redis_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_weir_redis_main_conf_t  *rmcf;

    rmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_redis_main_conf_t));
    if (rmcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&rmcf->servers, cf->pool, 2,
                       sizeof(ngx_http_weir_redis_t *))
        != NGX_OK)
    {
        return NULL;
    }

    return rmcf;
}


static char *
ngx_http_weir_redis_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_weir_redis_main_conf_t  *rmcf = conf;

    u_char                  *p;
    size_t                   len;
    ngx_str_t                names;
    ngx_uint_t               i, k;
    ngx_http_weir_redis_t  **servers;

    servers = rmcf->servers.elts;

    for (i = 0; i < rmcf->servers.nelts; i++) {

        if (servers[i]->addr) {
            continue;
        }

        len = sizeof("none");

        for (k = 0; k < rmcf->servers.nelts; k++) {
            len += servers[k]->name.len + 2;
        }

        p = ngx_pnalloc(cf->pool, len);
        if (p == NULL) {
            return NGX_CONF_ERROR;
        }

        names.data = p;

        for (k = 0; k < rmcf->servers.nelts; k++) {
            if (servers[k]->addr) {
                p = ngx_sprintf(p, "%s%V", p == names.data ? "" : ", ",
                                &servers[k]->name);
            }
        }

        if (p == names.data) {
            p = ngx_cpymem(p, "none", 4);
        }

        names.len = p - names.data;

        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "no \"weir_redis\" defines the server \"%V\" that is"
                      " used in %V; there are: %V",
                      &servers[i]->name, &servers[i]->place, &names);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_weir_redis_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                         i;
    ngx_http_weir_redis_t            **servers;
    ngx_http_weir_redis_main_conf_t   *rmcf;

    rmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_weir_redis_module);
    if (rmcf == NULL) {
        return NGX_OK;
    }

    servers = rmcf->servers.elts;

    for (i = 0; i < rmcf->servers.nelts; i++) {
        ngx_http_weir_redis_init_worker(servers[i], cycle->log);
    }

    return NGX_OK;
}


static void
ngx_http_weir_redis_exit_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                         i;
    ngx_http_weir_redis_t            **servers;
    ngx_http_weir_redis_main_conf_t   *rmcf;

    rmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_weir_redis_module);
    if (rmcf == NULL) {
        return;
    }

    servers = rmcf->servers.elts;

    for (i = 0; i < rmcf->servers.nelts; i++) {
        ngx_http_weir_redis_exit_worker(servers[i]);
    }
}
