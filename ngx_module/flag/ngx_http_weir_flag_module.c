/* weir_flag: directives and variables; see ngx_http_weir_flag.h. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "flag/ngx_http_weir_flag.h"
#include "http/ngx_http_weir.h"


#define NGX_HTTP_WEIR_FLAG_SIZE      (1024 * 1024)
#define NGX_HTTP_WEIR_FLAG_SIZE_MIN  (256 * 1024)


static char *ngx_http_weir_flags(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_weir_flag(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_weir_flag_add(ngx_conf_t *cf,
    ngx_http_weir_flag_loc_conf_t *flcf, ngx_http_weir_flag_t *flag);
static ngx_uint_t ngx_http_weir_flag_has(ngx_array_t *flags, ngx_uint_t n,
    ngx_http_weir_flag_t *flag);
static char *ngx_http_weir_flag_parameter(ngx_conf_t *cf,
    ngx_http_weir_flag_t *flag, ngx_str_t *value);
static ngx_int_t ngx_http_weir_flag_variable_name(ngx_pool_t *pool,
    ngx_http_weir_flag_t *flag);
static char *ngx_http_weir_flag_context(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_weir_flags_ofrep(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_int_t ngx_http_weir_flag_add_variables(ngx_conf_t *cf);
static ngx_int_t ngx_http_weir_flag_get_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_weir_flag_get_position(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_weir_flag_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_weir_flag_check_variables(ngx_conf_t *cf,
    ngx_http_weir_flag_main_conf_t *fmcf);
static void *ngx_http_weir_flag_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_weir_flag_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_weir_flag_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_http_weir_flag_merge_context(
    ngx_http_weir_flag_loc_conf_t *prev, ngx_http_weir_flag_loc_conf_t *conf);
static ngx_int_t ngx_http_weir_flag_init_process(ngx_cycle_t *cycle);
static void ngx_http_weir_flag_exit_process(ngx_cycle_t *cycle);


static ngx_command_t  ngx_http_weir_flag_commands[] = {

    { ngx_string("weir_flags"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE12,
      ngx_http_weir_flags,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_flag"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE123,
      ngx_http_weir_flag,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_flag_context"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE2,
      ngx_http_weir_flag_context,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_flags_ofrep"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_weir_flags_ofrep,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_weir_flag_module_ctx = {
    ngx_http_weir_flag_add_variables,      /* preconfiguration */
    ngx_http_weir_flag_init,               /* postconfiguration */

    ngx_http_weir_flag_create_main_conf,   /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_weir_flag_create_loc_conf,    /* create location configuration */
    ngx_http_weir_flag_merge_loc_conf      /* merge location configuration */
};


ngx_module_t  ngx_http_weir_flag_module = {
    NGX_MODULE_V1,
    &ngx_http_weir_flag_module_ctx,        /* module context */
    ngx_http_weir_flag_commands,           /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_weir_flag_init_process,       /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_weir_flag_exit_process,       /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


/* Not cacheable: an internal redirect may lead to another weir_flag. */

static ngx_http_variable_t  ngx_http_weir_flag_vars[] = {

    { ngx_string("weir_flag_"), NULL, ngx_http_weir_flag_get_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE|NGX_HTTP_VAR_PREFIX, 0 },

    { ngx_string("weir_flags_position"), NULL, ngx_http_weir_flag_get_position,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


static ngx_int_t
ngx_http_weir_flag_add_variables(ngx_conf_t *cf)
{
    return ngx_http_weir_add_variables(cf, ngx_http_weir_flag_vars);
}


static ngx_int_t
ngx_http_weir_flag_get_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t              variant, value, *name;
    ngx_http_weir_flag_t  *flag;

    name = (ngx_str_t *) data;
    flag = ngx_http_weir_flag_request_find(r,
                                name->data + sizeof("weir_flag_") - 1,
                                name->len - (sizeof("weir_flag_") - 1));
    if (flag == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    if (ngx_http_weir_flag_request(r, flag, &variant, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    v->data = value.data;
    v->len = value.len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


/* The ID of the last entry of the stream that this edge has applied. */

static ngx_int_t
ngx_http_weir_flag_get_position(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                          *p;
    weir_position_t                  position;
    ngx_http_weir_flag_main_conf_t  *fmcf;

    fmcf = ngx_http_get_module_main_conf(r, ngx_http_weir_flag_module);

    if (fmcf->sh == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN * 2 + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_shmtx_lock(&fmcf->shpool->mutex);
    position = fmcf->sh->log.position;
    ngx_shmtx_unlock(&fmcf->shpool->mutex);

    v->data = p;
    v->len = ngx_sprintf(p, "%uL-%uL", position.ms, position.seq) - p;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static char *
ngx_http_weir_flags(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_flag_main_conf_t *fmcf = conf;

    ssize_t      size;
    ngx_str_t   *value, text;
    ngx_uint_t   i;

    if (fmcf->redis) {
        return "is duplicate";
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "redis=", 6) == 0 && value[i].len > 6
            && fmcf->redis == NULL)
        {
            text.data = value[i].data + 6;
            text.len = value[i].len - 6;

            fmcf->redis = ngx_http_weir_redis_get(cf, &text);
            if (fmcf->redis == NULL) {
                return NGX_CONF_ERROR;
            }

            continue;
        }

        if (ngx_strncmp(value[i].data, "size=", 5) == 0 && fmcf->size == 0) {
            text.data = value[i].data + 5;
            text.len = value[i].len - 5;
            size = ngx_parse_size(&text);

            if (size != NGX_ERROR && size >= NGX_HTTP_WEIR_FLAG_SIZE_MIN) {
                fmcf->size = size;
                continue;
            }
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\" of \"weir_flags\": there"
                           " are redis=, the name of a weir_redis, and size=,"
                           " at least 256k", &value[i]);
        return NGX_CONF_ERROR;
    }

    if (fmcf->redis == NULL) {
        return "has no \"redis=\"";
    }

    if (fmcf->size == 0) {
        fmcf->size = NGX_HTTP_WEIR_FLAG_SIZE;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_flag(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_flag_loc_conf_t *flcf = conf;

    char                  *rv;
    ngx_str_t             *value;
    ngx_uint_t             i;
    weir_str_t             text;
    ngx_http_weir_flag_t  *flag;

    value = cf->args->elts;

    text.data = (char *) value[1].data;
    text.len = value[1].len;

    if (!weir_flag_is_name(text)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid name \"%V\" in \"weir_flag\": it has 1 to"
                           " 64 letters, digits, \"-\", \"_\" and \".\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    flag = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_flag_t));
    if (flag == NULL) {
        return NGX_CONF_ERROR;
    }

    flag->name = value[1];
    flag->index = NGX_ERROR;

    if (ngx_http_weir_flag_variable_name(cf->pool, flag) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < cf->args->nelts; i++) {
        rv = ngx_http_weir_flag_parameter(cf, flag, &value[i]);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    return ngx_http_weir_flag_add(cf, flcf, flag);
}


static char *
ngx_http_weir_flag_add(ngx_conf_t *cf, ngx_http_weir_flag_loc_conf_t *flcf,
    ngx_http_weir_flag_t *flag)
{
    ngx_str_t                       *name;
    ngx_http_weir_flag_t           **flags;
    ngx_http_weir_flag_main_conf_t  *fmcf;

    if (flcf->flags == NULL) {
        flcf->flags = ngx_array_create(cf->pool, 4,
                                       sizeof(ngx_http_weir_flag_t *));
        if (flcf->flags == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    if (ngx_http_weir_flag_has(flcf->flags, flcf->flags->nelts, flag)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"weir_flag\" \"%V\" has the variable"
                           " $weir_flag_%V, which another one of this level has",
                           &flag->name, &flag->variable);
        return NGX_CONF_ERROR;
    }

    flags = ngx_array_push(flcf->flags);
    fmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_flag_module);
    name = ngx_array_push(&fmcf->names);

    if (flags == NULL || name == NULL) {
        return NGX_CONF_ERROR;
    }

    *flags = flag;
    *name = flag->variable;
    fmcf->used = 1;

    return NGX_CONF_OK;
}


/* True if one of the first n of the flags has the same variable. */

static ngx_uint_t
ngx_http_weir_flag_has(ngx_array_t *flags, ngx_uint_t n,
    ngx_http_weir_flag_t *flag)
{
    ngx_uint_t              i;
    ngx_http_weir_flag_t  **own;

    own = flags->elts;

    for (i = 0; i < n; i++) {
        if (own[i]->variable.len == flag->variable.len
            && ngx_memcmp(own[i]->variable.data, flag->variable.data,
                          flag->variable.len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


static char *
ngx_http_weir_flag_parameter(ngx_conf_t *cf, ngx_http_weir_flag_t *flag,
    ngx_str_t *value)
{
    ngx_str_t  text, name;

    if (ngx_strncmp(value->data, "default=", 8) == 0
        && flag->fallback.data == NULL)
    {
        flag->fallback.data = value->data + 8;
        flag->fallback.len = value->len - 8;
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(value->data, "key=", 4) == 0 && value->len > 4
        && flag->key == NULL)
    {
        text.data = value->data + 4;
        text.len = value->len - 4;

        name.data = text.data + 1;
        name.len = strspn((char *) name.data,
                          "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                          "0123456789_");

        if (text.data[0] == '$' && name.len && name.len == text.len - 1) {
            flag->index = ngx_http_get_variable_index(cf, &name);
        }

        flag->key = ngx_http_weir_compile(cf, &text);

        return flag->key ? NGX_CONF_OK : NGX_CONF_ERROR;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\" of \"weir_flag\": there are"
                       " key= and default=", value);

    return NGX_CONF_ERROR;
}


static ngx_int_t
ngx_http_weir_flag_variable_name(ngx_pool_t *pool, ngx_http_weir_flag_t *flag)
{
    u_char      c;
    ngx_uint_t  i;

    flag->variable.len = flag->name.len;
    flag->variable.data = ngx_pnalloc(pool, flag->name.len);

    if (flag->variable.data == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < flag->name.len; i++) {
        c = ngx_tolower(flag->name.data[i]);
        flag->variable.data[i] = (c == '-' || c == '.') ? '_' : c;
    }

    return NGX_OK;
}


static char *
ngx_http_weir_flag_context(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_flag_loc_conf_t *flcf = conf;

    ngx_str_t                       *value;
    ngx_uint_t                       i;
    ngx_http_weir_flag_attribute_t  *a;

    value = cf->args->elts;

    if (value[1].len == 0) {
        return "has no name of an attribute";
    }

    if (flcf->context == NULL) {
        flcf->context = ngx_array_create(cf->pool, 4,
                                      sizeof(ngx_http_weir_flag_attribute_t));
        if (flcf->context == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    a = flcf->context->elts;

    for (i = 0; i < flcf->context->nelts; i++) {
        if (a[i].name.len == value[1].len
            && ngx_memcmp(a[i].name.data, value[1].data, value[1].len) == 0)
        {
            return "is duplicate";
        }
    }

    a = ngx_array_push(flcf->context);
    if (a == NULL) {
        return NGX_CONF_ERROR;
    }

    a->name = value[1];

    a->value = ngx_http_weir_compile(cf, &value[2]);

    return a->value ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_http_weir_flags_ofrep(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t        *clcf;
    ngx_http_weir_loc_conf_t        *wlcf;
    ngx_http_weir_flag_main_conf_t  *fmcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_weir_flag_ofrep_handler;

    wlcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_weir_module);
    wlcf->status = 1;

    fmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_flag_module);
    fmcf->used = 1;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_weir_flag_init(ngx_conf_t *cf)
{
    ngx_http_weir_flag_main_conf_t  *fmcf;

    static ngx_str_t  subject = ngx_string("weir_jwt_subject");
    static ngx_str_t  version = ngx_string("weir_version");
    static ngx_str_t  address = ngx_string("remote_addr");

    fmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_flag_module);

    if (ngx_http_weir_flag_check_variables(cf, fmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (fmcf->redis == NULL) {

        if (!fmcf->used) {
            return NGX_OK;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"weir_flag\" and \"weir_flags_ofrep\" need"
                           " \"weir_flags\", which says where the flags are");
        return NGX_ERROR;
    }

    fmcf->subject = ngx_http_get_variable_index(cf, &subject);
    fmcf->version = ngx_http_get_variable_index(cf, &version);
    fmcf->address = ngx_http_get_variable_index(cf, &address);

    if (fmcf->subject == NGX_ERROR || fmcf->version == NGX_ERROR
        || fmcf->address == NGX_ERROR)
    {
        return NGX_ERROR;
    }

    return ngx_http_weir_flag_zone_add(cf, fmcf);
}


/* Each variable of a flag has its weir_flag: else its name is misspelt. */

static ngx_int_t
ngx_http_weir_flag_check_variables(ngx_conf_t *cf,
    ngx_http_weir_flag_main_conf_t *fmcf)
{
    ngx_uint_t                  i, n;
    ngx_str_t                  *names, name;
    ngx_http_variable_t        *v;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    v = cmcf->variables.elts;
    names = fmcf->names.elts;

    for (i = 0; i < cmcf->variables.nelts; i++) {

        if (v[i].name.len <= sizeof("weir_flag_") - 1
            || ngx_strncmp(v[i].name.data, "weir_flag_",
                           sizeof("weir_flag_") - 1)
               != 0)
        {
            continue;
        }

        name.data = v[i].name.data + sizeof("weir_flag_") - 1;
        name.len = v[i].name.len - (sizeof("weir_flag_") - 1);

        for (n = 0; n < fmcf->names.nelts; n++) {
            if (names[n].len == name.len
                && ngx_memcmp(names[n].data, name.data, name.len) == 0)
            {
                break;
            }
        }

        if (n == fmcf->names.nelts) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "there is no \"weir_flag\" for the variable"
                               " \"$%V\"", &v[i].name);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static void *
ngx_http_weir_flag_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_weir_flag_main_conf_t  *fmcf;

    fmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_flag_main_conf_t));
    if (fmcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&fmcf->names, cf->pool, 4, sizeof(ngx_str_t))
        != NGX_OK)
    {
        return NULL;
    }

    return fmcf;
}


static void *
ngx_http_weir_flag_create_loc_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_flag_loc_conf_t));
}


/* What the outer level has and this one does not, is added. */

static char *
ngx_http_weir_flag_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_weir_flag_loc_conf_t *prev = parent;
    ngx_http_weir_flag_loc_conf_t *conf = child;

    ngx_uint_t               i, own;
    ngx_http_weir_flag_t   **outer, **flag;

    if (conf->flags == NULL) {
        conf->flags = prev->flags;

    } else if (prev->flags) {
        outer = prev->flags->elts;
        own = conf->flags->nelts;

        for (i = 0; i < prev->flags->nelts; i++) {

            if (ngx_http_weir_flag_has(conf->flags, own, outer[i])) {
                continue;
            }

            flag = ngx_array_push(conf->flags);
            if (flag == NULL) {
                return NGX_CONF_ERROR;
            }

            *flag = outer[i];
        }
    }

    return ngx_http_weir_flag_merge_context(prev, conf);
}


static char *
ngx_http_weir_flag_merge_context(ngx_http_weir_flag_loc_conf_t *prev,
    ngx_http_weir_flag_loc_conf_t *conf)
{
    ngx_uint_t                       i, n, own;
    ngx_http_weir_flag_attribute_t  *as, *outer, *a;

    if (conf->context == NULL) {
        conf->context = prev->context;
        return NGX_CONF_OK;
    }

    if (prev->context == NULL) {
        return NGX_CONF_OK;
    }

    outer = prev->context->elts;
    own = conf->context->nelts;

    for (i = 0; i < prev->context->nelts; i++) {
        as = conf->context->elts;

        for (n = 0; n < own; n++) {
            if (as[n].name.len == outer[i].name.len
                && ngx_memcmp(as[n].name.data, outer[i].name.data,
                              as[n].name.len) == 0)
            {
                break;
            }
        }

        if (n < own) {
            continue;
        }

        a = ngx_array_push(conf->context);
        if (a == NULL) {
            return NGX_CONF_ERROR;
        }

        *a = outer[i];
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_weir_flag_init_process(ngx_cycle_t *cycle)
{
    ngx_http_weir_flag_main_conf_t  *fmcf;

    fmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_weir_flag_module);

    if (fmcf == NULL || fmcf->redis == NULL
        || (ngx_process != NGX_PROCESS_WORKER
            && ngx_process != NGX_PROCESS_SINGLE))
    {
        return NGX_OK;
    }

    return ngx_http_weir_flag_zone_follow(fmcf);
}


static void
ngx_http_weir_flag_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_weir_flag_main_conf_t  *fmcf;

    fmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_weir_flag_module);

    if (fmcf) {
        ngx_http_weir_flag_zone_leave(fmcf);
    }
}
