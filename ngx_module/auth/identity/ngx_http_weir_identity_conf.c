/* The parameters of weir_identity, and what locations inherit. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/identity/ngx_http_weir_identity_private.h"
#include "common/text/token.h"
#include "http/ngx_http_weir.h"


#define NGX_HTTP_WEIR_IDENTITY_TTL      30    /* s */
#define NGX_HTTP_WEIR_IDENTITY_TTL_MAX  3600
#define NGX_HTTP_WEIR_IDENTITY_NAME_MAX 255   /* bytes of issuer and audience */


/* The parameters as they are read. */
typedef struct {
    ngx_str_t   key;
    ngx_str_t   next_key;
    ngx_str_t   old_key;
    ngx_str_t   issuer;
    ngx_str_t   audience;
    ngx_str_t   ttl;
    ngx_str_t   bind;
    ngx_str_t   path;
    ngx_str_t   header;
} ngx_http_weir_identity_parameters_t;


static char *ngx_http_weir_identity_conf_read(ngx_conf_t *cf,
    ngx_http_weir_identity_parameters_t *p);
static char *ngx_http_weir_identity_conf_keys(ngx_conf_t *cf,
    ngx_http_weir_identity_loc_conf_t *ilcf,
    ngx_http_weir_identity_parameters_t *p);
static char *ngx_http_weir_identity_conf_values(ngx_conf_t *cf,
    ngx_http_weir_identity_loc_conf_t *ilcf,
    ngx_http_weir_identity_parameters_t *p);
static char *ngx_http_weir_identity_conf_bind(ngx_conf_t *cf,
    ngx_http_weir_identity_loc_conf_t *ilcf,
    ngx_http_weir_identity_parameters_t *p);
static char *ngx_http_weir_identity_conf_name(ngx_conf_t *cf, ngx_str_t *value,
    char *parameter);
static char *ngx_http_weir_identity_conf_header(ngx_conf_t *cf,
    ngx_http_weir_identity_loc_conf_t *ilcf, ngx_str_t *name);
static ngx_int_t ngx_http_weir_identity_conf_leave_out(ngx_conf_t *cf,
    ngx_str_t *name);
static char *ngx_http_weir_identity_conf_invalid(ngx_conf_t *cf,
    char *parameter, ngx_str_t *value, char *allowed);


static struct {
    ngx_str_t   name;
    ngx_uint_t  offset;
} ngx_http_weir_identity_parameters[] = {
    { ngx_string("key="),
      offsetof(ngx_http_weir_identity_parameters_t, key) },
    { ngx_string("next_key="),
      offsetof(ngx_http_weir_identity_parameters_t, next_key) },
    { ngx_string("old_key="),
      offsetof(ngx_http_weir_identity_parameters_t, old_key) },
    { ngx_string("issuer="),
      offsetof(ngx_http_weir_identity_parameters_t, issuer) },
    { ngx_string("audience="),
      offsetof(ngx_http_weir_identity_parameters_t, audience) },
    { ngx_string("ttl="),
      offsetof(ngx_http_weir_identity_parameters_t, ttl) },
    { ngx_string("bind="),
      offsetof(ngx_http_weir_identity_parameters_t, bind) },
    { ngx_string("path="),
      offsetof(ngx_http_weir_identity_parameters_t, path) },
    { ngx_string("header="),
      offsetof(ngx_http_weir_identity_parameters_t, header) },
    { ngx_null_string, 0 }
};


char *
ngx_http_weir_identity_conf_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_identity_loc_conf_t  *ilcf = conf;

    char                                 *rv;
    ngx_str_t                            *value;
    ngx_http_weir_identity_main_conf_t   *imcf;
    ngx_http_weir_identity_parameters_t   p;

    if (ilcf->on != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        ilcf->on = 0;
        return NGX_CONF_OK;
    }

    ilcf->on = 1;

    ngx_memzero(&p, sizeof(ngx_http_weir_identity_parameters_t));

    rv = ngx_http_weir_identity_conf_read(cf, &p);

    if (rv == NGX_CONF_OK) {
        rv = ngx_http_weir_identity_conf_values(cf, ilcf, &p);
    }

    if (rv == NGX_CONF_OK) {
        rv = ngx_http_weir_identity_conf_bind(cf, ilcf, &p);
    }

    if (rv == NGX_CONF_OK) {
        rv = ngx_http_weir_identity_conf_keys(cf, ilcf, &p);
    }

    imcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_weir_identity_module);
    imcf->used = 1;

    return rv;
}


static char *
ngx_http_weir_identity_conf_read(ngx_conf_t *cf,
    ngx_http_weir_identity_parameters_t *p)
{
    ngx_str_t   *value, *name, *to;
    ngx_uint_t   i, n;

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        for (n = 0; /* void */ ; n++) {
            name = &ngx_http_weir_identity_parameters[n].name;

            if (name->len == 0
                || (value[i].len >= name->len
                    && ngx_strncmp(value[i].data, name->data, name->len) == 0))
            {
                break;
            }
        }

        if (name->len == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\" in \"weir_identity\";"
                               " it takes off, or key=, audience=, issuer=,"
                               " ttl=, bind=, path=, header=, next_key=,"
                               " old_key=", &value[i]);
            return NGX_CONF_ERROR;
        }

        to = (ngx_str_t *) ((u_char *) p
                            + ngx_http_weir_identity_parameters[n].offset);

        if (to->data) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"weir_identity\" has \"%V\" twice", name);
            return NGX_CONF_ERROR;
        }

        to->data = value[i].data + name->len;
        to->len = value[i].len - name->len;

        if (to->len == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" in \"weir_identity\" has no value",
                               name);
            return NGX_CONF_ERROR;
        }
    }

    if (p->key.len == 0) {
        return "needs key=FILE";
    }

    return p->audience.len ? NGX_CONF_OK : "needs audience=NAME";
}


static char *
ngx_http_weir_identity_conf_values(ngx_conf_t *cf,
    ngx_http_weir_identity_loc_conf_t *ilcf,
    ngx_http_weir_identity_parameters_t *p)
{
    char  *rv;

    if (p->issuer.len == 0) {
        ngx_str_set(&p->issuer, "weir");
    }

    rv = ngx_http_weir_identity_conf_name(cf, &p->issuer, "issuer");

    if (rv == NGX_CONF_OK) {
        rv = ngx_http_weir_identity_conf_name(cf, &p->audience, "audience");
    }

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    ilcf->issuer = p->issuer;
    ilcf->audience = p->audience;
    ilcf->ttl = NGX_HTTP_WEIR_IDENTITY_TTL;

    if (p->ttl.len) {
        ilcf->ttl = ngx_parse_time(&p->ttl, 1);

        if (ilcf->ttl == (time_t) NGX_ERROR || ilcf->ttl < 1
            || ilcf->ttl > NGX_HTTP_WEIR_IDENTITY_TTL_MAX)
        {
            return ngx_http_weir_identity_conf_invalid(cf, "ttl", &p->ttl,
                                                       "a time from 1s to 1h");
        }
    }

    if (p->header.len == 0) {
        ngx_str_set(&p->header, "Weir-Identity");
    }

    return ngx_http_weir_identity_conf_header(cf, ilcf, &p->header);
}


/* Issuer and audience: compared byte by byte, so nothing that is not seen. */

static char *
ngx_http_weir_identity_conf_name(ngx_conf_t *cf, ngx_str_t *value,
    char *parameter)
{
    ngx_uint_t  i;

    for (i = 0; i < value->len && value->data[i] > 0x20
                && value->data[i] < 0x7f; i++)
    {
        /* void */
    }

    if (i == value->len && value->len <= NGX_HTTP_WEIR_IDENTITY_NAME_MAX
        && ngx_strlchr(value->data, value->data + value->len, '$') == NULL)
    {
        return NGX_CONF_OK;
    }

    return ngx_http_weir_identity_conf_invalid(cf, parameter, value,
                "1 to 255 visible ASCII characters without \"$\"");
}


static char *
ngx_http_weir_identity_conf_bind(ngx_conf_t *cf,
    ngx_http_weir_identity_loc_conf_t *ilcf,
    ngx_http_weir_identity_parameters_t *p)
{
    ngx_str_t                            trace_id;
    ngx_http_weir_identity_main_conf_t  *imcf;

    if (p->bind.len == 0 || ngx_strcmp(p->bind.data, "path") == 0) {
        ilcf->bind = NGX_HTTP_WEIR_IDENTITY_PATH;

    } else if (ngx_strcmp(p->bind.data, "location") == 0) {
        ilcf->bind = NGX_HTTP_WEIR_IDENTITY_LOCATION;

    } else if (ngx_strcmp(p->bind.data, "request") == 0) {
        ilcf->bind = NGX_HTTP_WEIR_IDENTITY_REQUEST;

    } else {
        return ngx_http_weir_identity_conf_invalid(cf, "bind", &p->bind,
                                               "path, location or request");
    }

    if (ilcf->bind == NGX_HTTP_WEIR_IDENTITY_REQUEST) {
        imcf = ngx_http_conf_get_module_main_conf(cf,
                                               ngx_http_weir_identity_module);

        ngx_str_set(&trace_id, "weir_trace_id");
        imcf->trace_id = ngx_http_get_variable_index(cf, &trace_id);

        if (imcf->trace_id == NGX_ERROR) {
            return NGX_CONF_ERROR;
        }
    }

    if (p->path.len == 0) {
        return NGX_CONF_OK;
    }

    if (p->path.data[0] != '/' && p->path.data[0] != '$') {
        return ngx_http_weir_identity_conf_invalid(cf, "path", &p->path,
                                 "a path that begins with \"/\" or a variable");
    }

    ilcf->path = ngx_http_weir_compile(cf, &p->path);

    return ilcf->path ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_http_weir_identity_conf_keys(ngx_conf_t *cf,
    ngx_http_weir_identity_loc_conf_t *ilcf,
    ngx_http_weir_identity_parameters_t *p)
{
    ilcf->key = ngx_http_weir_identity_key_read(cf, "key", &p->key);

    if (ilcf->key == NULL
        || (p->next_key.len
            && ngx_http_weir_identity_key_read(cf, "next_key", &p->next_key)
               == NULL)
        || (p->old_key.len
            && ngx_http_weir_identity_key_read(cf, "old_key", &p->old_key)
               == NULL))
    {
        return NGX_CONF_ERROR;
    }

    if (!ilcf->key->signer.is_private) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "key \"%V\" in \"weir_identity\" is a public key,"
                           " which cannot sign", &ilcf->key->file);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_identity_conf_header(ngx_conf_t *cf,
    ngx_http_weir_identity_loc_conf_t *ilcf, ngx_str_t *name)
{
    ngx_uint_t                     i;
    ngx_http_weir_forward_name_t  *header;

    for (i = 0; i < name->len; i++) {
        if (!weir_is_tchar((char) name->data[i]) || name->data[i] == '$') {
            break;
        }
    }

    if (i < name->len || name->len > 63) {
        return ngx_http_weir_identity_conf_invalid(cf, "header", name,
                  "the name of a header field, with at most 63 bytes");
    }

    header = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_forward_name_t));
    if (header == NULL) {
        return NGX_CONF_ERROR;
    }

    header->name = *name;
    header->lowcase = ngx_pnalloc(cf->pool, name->len);
    if (header->lowcase == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_strlow(header->lowcase, name->data, name->len);

    ilcf->name = header;

    return ngx_http_weir_identity_conf_leave_out(cf, name) == NGX_OK
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}


/* What clients may not send. */

static ngx_int_t
ngx_http_weir_identity_conf_leave_out(ngx_conf_t *cf, ngx_str_t *name)
{
    ngx_str_t                           *other;
    ngx_uint_t                           i;
    ngx_http_weir_identity_main_conf_t  *imcf;

    imcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_weir_identity_module);
    other = imcf->names.elts;

    for (i = 0; i < imcf->names.nelts; i++) {
        if (other[i].len == name->len
            && ngx_strncasecmp(other[i].data, name->data, name->len) == 0)
        {
            return NGX_OK;
        }
    }

    other = ngx_array_push(&imcf->names);
    if (other == NULL) {
        return NGX_ERROR;
    }

    *other = *name;

    return NGX_OK;
}


static char *
ngx_http_weir_identity_conf_invalid(ngx_conf_t *cf, char *parameter,
    ngx_str_t *value, char *allowed)
{
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid value \"%V\" of \"%s=\" in \"weir_identity\";"
                       " it must be %s", value, parameter, allowed);

    return NGX_CONF_ERROR;
}


char *
ngx_http_weir_identity_conf_merge(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_weir_identity_loc_conf_t  *prev = parent;
    ngx_http_weir_identity_loc_conf_t  *conf = child;

    ngx_http_core_loc_conf_t  *clcf;

    if (conf->on == NGX_CONF_UNSET) {
        conf->on = (prev->on == 1);
        conf->key = prev->key;
        conf->issuer = prev->issuer;
        conf->audience = prev->audience;
        conf->ttl = prev->ttl;
        conf->bind = prev->bind;
        conf->path = prev->path;
        conf->name = prev->name;
    }

    if (!conf->on) {
        return NGX_CONF_OK;
    }

    switch (ngx_http_weir_identity_path_merge(cf, prev, conf)) {

    case NGX_OK:
        return NGX_CONF_OK;

    case NGX_DECLINED:
        clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"weir_identity\" needs path=... in location"
                           " \"%V\": the path of \"proxy_pass\" has variables",
                           &clcf->name);
        return NGX_CONF_ERROR;

    default: /* NGX_ERROR */
        return NGX_CONF_ERROR;
    }
}
