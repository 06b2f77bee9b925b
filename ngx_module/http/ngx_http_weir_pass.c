/*
 * The *_pass modules of nginx.  Their location configurations and handlers are
 * private to them.  Upstreams are read at the start of the location
 * configuration, where every module keeps them.  Handlers are determined by
 * running the directive on a location that is discarded.  Request fields are
 * found by their offset in the table of commands.  Not all modules keep the
 * argument of the directive: while the configuration is read, a function of
 * Weir replaces the directive's handler in that table, keeps the text, and
 * calls the module's own handler.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "http/ngx_http_weir.h"
#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_pass.h"


static char *ngx_http_weir_pass_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_int_t ngx_http_weir_pass_keep(ngx_conf_t *cf,
    ngx_http_weir_pass_t *pass);
static ngx_http_handler_pt ngx_http_weir_pass_handler(ngx_conf_t *cf,
    ngx_module_t *module, ngx_http_weir_pass_t *pass);
static ngx_command_t *ngx_http_weir_pass_command(ngx_module_t *module,
    char *name);
static ngx_array_t *ngx_http_weir_pass_fields(ngx_conf_t *cf,
    ngx_http_weir_pass_t *pass);
static ngx_uint_t ngx_http_weir_pass_is_field(ngx_keyval_t *kv,
    ngx_str_t *field);


static ngx_http_weir_pass_t  ngx_http_weir_passes[] = {
    { "ngx_http_proxy_module", "proxy_pass", "proxy_set_header",
      ngx_string("http://$host"), NULL, NULL },
    { "ngx_http_fastcgi_module", "fastcgi_pass", NULL, ngx_string("$host"),
      NULL, NULL },
    { "ngx_http_grpc_module", "grpc_pass", "grpc_set_header",
      ngx_string("$host"), NULL, NULL },
    { "ngx_http_uwsgi_module", "uwsgi_pass", NULL, ngx_string("$host"), NULL,
      NULL },
    { "ngx_http_scgi_module", "scgi_pass", NULL, ngx_string("$host"), NULL,
      NULL },
    { "ngx_http_memcached_module", "memcached_pass", NULL, ngx_null_string,
      NULL, NULL },
    { NULL, NULL, NULL, ngx_null_string, NULL, NULL }
};


ngx_int_t
ngx_http_weir_watch_passes(ngx_conf_t *cf)
{
    ngx_module_t          *module;
    ngx_pool_cleanup_t    *cln;
    ngx_http_weir_pass_t  *pass;

    /* for a configuration that is refused; Weir may be unloaded after that */

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_weir_leave_passes;

    for (pass = ngx_http_weir_passes; pass->module; pass++) {

        module = ngx_http_weir_find_module(cf, pass->module);
        pass->command = module ? ngx_http_weir_pass_command(module,
                                                            pass->directive)
                               : NULL;

        if (pass->command && pass->command->set != ngx_http_weir_pass_set) {
            pass->set = pass->command->set;
            pass->command->set = ngx_http_weir_pass_set;
        }
    }

    return NGX_OK;
}


void
ngx_http_weir_leave_passes(void *data)
{
    ngx_http_weir_pass_t  *pass;

    for (pass = ngx_http_weir_passes; pass->module; pass++) {

        if (pass->command && pass->command->set == ngx_http_weir_pass_set) {
            pass->command->set = pass->set;
        }
    }
}


static char *
ngx_http_weir_pass_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                  *rv;
    ngx_http_weir_pass_t  *pass;

    for (pass = ngx_http_weir_passes; pass->command != cmd; pass++) {
        /* the command belongs to one of them */

        ngx_http_weir_assert(pass->module != NULL);

    }

    rv = pass->set(cf, cmd, conf);

    if (rv == NGX_CONF_OK && ngx_http_weir_pass_keep(cf, pass) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return rv;
}


static ngx_int_t
ngx_http_weir_pass_keep(ngx_conf_t *cf, ngx_http_weir_pass_t *pass)
{
    ngx_str_t                 *value;
    ngx_http_conf_ctx_t       *ctx;
    ngx_http_weir_loc_conf_t  *wlcf;

    static u_char  key[] = " $memcached_key";

    ctx = cf->ctx;
    wlcf = ctx->loc_conf[ngx_http_weir_module.ctx_index];

    if (wlcf == NULL) {
        /* a location that is discarded */
        return NGX_OK;
    }

    value = cf->args->elts;

    if (pass->url.len) {
        wlcf->pass = value[1];
        return NGX_OK;
    }

    /* memcached is asked for the value of a variable */

    wlcf->pass.len = value[1].len + sizeof(key) - 1;
    wlcf->pass.data = ngx_pnalloc(cf->pool, wlcf->pass.len);
    if (wlcf->pass.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(ngx_cpymem(wlcf->pass.data, value[1].data, value[1].len), key,
               sizeof(key) - 1);

    return NGX_OK;
}


ngx_module_t *
ngx_http_weir_find_module(ngx_conf_t *cf, char *name)
{
    ngx_uint_t  i;

    for (i = 0; cf->cycle->modules[i]; i++) {
        if (ngx_strcmp(cf->cycle->modules[i]->name, name) == 0) {
            return cf->cycle->modules[i];
        }
    }

    return NULL;
}


ngx_http_weir_pass_t *
ngx_http_weir_find_pass(ngx_conf_t *cf, ngx_http_handler_pt handler)
{
    ngx_module_t          *module;
    ngx_http_weir_pass_t  *pass;

    for (pass = ngx_http_weir_passes; pass->module; pass++) {

        module = ngx_http_weir_find_module(cf, pass->module);

        if (module && pass->url.len
            && ngx_http_weir_pass_handler(cf, module, pass) == handler)
        {
            return pass;
        }
    }

    return NULL;
}


/*
 * The value is read at the start of the location configuration of the module,
 * where all of them keep it.
 */

ngx_int_t
ngx_http_weir_pass_upstream(ngx_conf_t *cf, ngx_http_weir_pass_t **pass,
    ngx_str_t *name)
{
    ngx_module_t                  *module;
    ngx_http_conf_ctx_t           *ctx;
    ngx_http_weir_pass_t          *p;
    ngx_http_upstream_conf_t      *ucf;
    ngx_http_upstream_srv_conf_t  *us;

    ctx = cf->ctx;

    for (p = *pass ? *pass + 1 : ngx_http_weir_passes; p->module; p++) {

        module = ngx_http_weir_find_module(cf, p->module);
        if (module == NULL) {
            continue;
        }

        ucf = ctx->loc_conf[module->ctx_index];
        us = ucf->upstream;

        if (us == NULL || us == NGX_CONF_UNSET_PTR) {
            continue;
        }

        *pass = p;
        *name = us->host;

        if (us->port == 0) {
            return NGX_OK;
        }

        name->data = ngx_pnalloc(cf->pool,
                                 us->host.len + sizeof(":65535") - 1);
        if (name->data == NULL) {
            return NGX_ERROR;
        }

        name->len = ngx_sprintf(name->data, "%V:%ui", &us->host,
                                (ngx_uint_t) us->port)
                    - name->data;

        return NGX_OK;
    }

    return NGX_DECLINED;
}


static ngx_http_handler_pt
ngx_http_weir_pass_handler(ngx_conf_t *cf, ngx_module_t *module,
    ngx_http_weir_pass_t *pass)
{
    char                      *rv;
    ngx_str_t                  value[2];
    ngx_conf_t                 scratch;
    ngx_array_t                args;
    ngx_command_t             *cmd;
    ngx_http_module_t         *m;
    ngx_http_conf_ctx_t        ctx;
    ngx_http_core_loc_conf_t   clcf;

    cmd = ngx_http_weir_pass_command(module, pass->directive);
    m = module->ctx;

    if (cmd == NULL || m->create_loc_conf == NULL) {
        return NULL;
    }

    ngx_memzero(&clcf, sizeof(ngx_http_core_loc_conf_t));

    ctx = *(ngx_http_conf_ctx_t *) cf->ctx;
    ctx.loc_conf = ngx_pcalloc(cf->temp_pool,
                               sizeof(void *) * ngx_http_max_module);
    if (ctx.loc_conf == NULL) {
        return NULL;
    }

    ctx.loc_conf[ngx_http_core_module.ctx_index] = &clcf;
    ctx.loc_conf[module->ctx_index] = m->create_loc_conf(cf);
    if (ctx.loc_conf[module->ctx_index] == NULL) {
        return NULL;
    }

    value[0] = cmd->name;
    value[1] = pass->url;

    ngx_memzero(&args, sizeof(ngx_array_t));
    args.elts = value;
    args.nelts = 2;
    args.size = sizeof(ngx_str_t);
    args.nalloc = 2;

    scratch = *cf;
    scratch.ctx = &ctx;
    scratch.args = &args;

    rv = cmd->set(&scratch, cmd, ctx.loc_conf[module->ctx_index]);

    return rv == NGX_CONF_OK ? clcf.handler : NULL;
}


static ngx_command_t *
ngx_http_weir_pass_command(ngx_module_t *module, char *name)
{
    ngx_command_t  *cmd;

    for (cmd = module->commands; cmd->name.len; cmd++) {
        if (ngx_strcmp(cmd->name.data, name) == 0) {
            return cmd;
        }
    }

    return NULL;
}


/* The fields that a *_set_header has configured; NULL: none, or not known. */

static ngx_array_t *
ngx_http_weir_pass_fields(ngx_conf_t *cf, ngx_http_weir_pass_t *pass)
{
    char                 *conf;
    ngx_array_t          *fields;
    ngx_module_t         *module;
    ngx_command_t        *cmd;
    ngx_http_conf_ctx_t  *ctx;

    module = ngx_http_weir_find_module(cf, pass->module);
    cmd = ngx_http_weir_pass_command(module, pass->set_header);

    if (cmd == NULL || cmd->set != ngx_conf_set_keyval_slot) {
        return NULL;
    }

    ctx = cf->ctx;
    conf = ctx->loc_conf[module->ctx_index];
    fields = *(ngx_array_t **) (conf + cmd->offset);

    return fields == NGX_CONF_UNSET_PTR ? NULL : fields;
}


static ngx_uint_t
ngx_http_weir_pass_is_field(ngx_keyval_t *kv, ngx_str_t *field)
{
    return kv->key.len == field->len
           && ngx_strncasecmp(kv->key.data, field->data, field->len) == 0;
}


ngx_uint_t
ngx_http_weir_pass_sets(ngx_conf_t *cf, ngx_str_t *field, char *value)
{
    ngx_uint_t                 i, lines;
    ngx_array_t               *fields;
    ngx_keyval_t              *kv;
    ngx_http_weir_pass_t      *pass;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    pass = clcf->handler ? ngx_http_weir_find_pass(cf, clcf->handler) : NULL;

    if (pass == NULL || pass->set_header == NULL) {
        return 0;
    }

    fields = ngx_http_weir_pass_fields(cf, pass);

    if (fields == NULL) {
        return 0;
    }

    kv = fields->elts;
    lines = 0;

    for (i = 0; i < fields->nelts; i++) {

        if (!ngx_http_weir_pass_is_field(&kv[i], field)) {
            continue;
        }

        if (ngx_strcmp(kv[i].value.data, value) != 0) {
            return 0;
        }

        lines++;
    }

    return lines == 1;
}


ngx_http_upstream_conf_t *
ngx_http_weir_pass_plain(ngx_conf_t *cf, ngx_str_t *fields, ngx_uint_t n)
{
    ngx_uint_t                 i, k, *version;
    ngx_array_t               *set;
    ngx_module_t              *module;
    ngx_keyval_t              *kv;
    ngx_command_t             *cmd;
    ngx_http_conf_ctx_t       *ctx;
    ngx_http_weir_pass_t      *pass;
    ngx_http_core_loc_conf_t  *clcf;
    ngx_http_upstream_conf_t  *ucf;

    pass = ngx_http_weir_passes;           /* proxy_pass */
    module = ngx_http_weir_find_module(cf, pass->module);
    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (module == NULL || clcf->handler == NULL) {
        return NULL;
    }

    ctx = cf->ctx;
    ucf = ctx->loc_conf[module->ctx_index];

    if (ucf->upstream == NULL || ucf->upstream == NGX_CONF_UNSET_PTR
        || ngx_http_weir_pass_handler(cf, module, pass) != clcf->handler)
    {
        return NULL;
    }

#if (NGX_HTTP_CACHE)

    if (ucf->cache) {
        return NULL;
    }

#endif

    cmd = ngx_http_weir_pass_command(module, "proxy_http_version");

    if (cmd == NULL || cmd->set != ngx_conf_set_enum_slot) {
        return NULL;
    }

    version = (ngx_uint_t *) ((char *) ucf + cmd->offset);

    if (*version != NGX_HTTP_VERSION_10 && *version != NGX_HTTP_VERSION_11) {
        return NULL;
    }

    set = ngx_http_weir_pass_fields(cf, pass);
    kv = set ? set->elts : NULL;

    for (i = 0; set && i < set->nelts; i++) {
        for (k = 0; k < n; k++) {
            if (ngx_http_weir_pass_is_field(&kv[i], &fields[k])) {
                return NULL;
            }
        }
    }

    return ucf;
}
