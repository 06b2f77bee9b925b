/* The weir_jwt_issuer block. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/ngx_http_weir_jwt_private.h"


/* seconds */
#define NGX_HTTP_WEIR_JWT_LEEWAY      30
#define NGX_HTTP_WEIR_JWT_LEEWAY_MAX  600


/* The block while it is read. */
typedef struct {
    ngx_http_weir_jwt_issuer_t  *issuer;
    ngx_array_t                  audiences;    /* of weir_str_t */
    ngx_uint_t                   seen;         /* lines, as bits */
} ngx_http_weir_jwt_block_t;


typedef struct {
    ngx_str_t     name;
    ngx_uint_t    max;                     /* number of arguments */
    ngx_uint_t    required;                /* bool */
    char        *(*set)(ngx_conf_t *cf, ngx_http_weir_jwt_block_t *block);
} ngx_http_weir_jwt_line_t;


static ngx_int_t ngx_http_weir_jwt_issuer_read(ngx_conf_t *cf,
    ngx_http_weir_jwt_block_t *block);
static ngx_int_t ngx_http_weir_jwt_issuer_finish(ngx_conf_t *cf,
    ngx_http_weir_jwt_block_t *block);
static ngx_uint_t ngx_http_weir_jwt_issuer_is_name(ngx_str_t *name);
static char *ngx_http_weir_jwt_issuer_line(ngx_conf_t *cf,
    ngx_command_t *dummy, void *conf);
static char *ngx_http_weir_jwt_issuer_set_issuer(ngx_conf_t *cf,
    ngx_http_weir_jwt_block_t *block);
static char *ngx_http_weir_jwt_issuer_set_audience(ngx_conf_t *cf,
    ngx_http_weir_jwt_block_t *block);
static char *ngx_http_weir_jwt_issuer_set_jwks(ngx_conf_t *cf,
    ngx_http_weir_jwt_block_t *block);
static char *ngx_http_weir_jwt_issuer_set_algorithms(ngx_conf_t *cf,
    ngx_http_weir_jwt_block_t *block);
static char *ngx_http_weir_jwt_issuer_set_leeway(ngx_conf_t *cf,
    ngx_http_weir_jwt_block_t *block);
static char *ngx_http_weir_jwt_issuer_set_max_age(ngx_conf_t *cf,
    ngx_http_weir_jwt_block_t *block);
static char *ngx_http_weir_jwt_issuer_set_type(ngx_conf_t *cf,
    ngx_http_weir_jwt_block_t *block);


static ngx_http_weir_jwt_line_t  ngx_http_weir_jwt_lines[] = {
    { ngx_string("issuer"), 1, 1, ngx_http_weir_jwt_issuer_set_issuer },
    { ngx_string("audience"), 16, 1, ngx_http_weir_jwt_issuer_set_audience },
    { ngx_string("jwks"), 10, 1, ngx_http_weir_jwt_issuer_set_jwks },
    { ngx_string("algorithms"), WEIR_TOKEN_ALGORITHMS, 0,
      ngx_http_weir_jwt_issuer_set_algorithms },
    { ngx_string("leeway"), 1, 0, ngx_http_weir_jwt_issuer_set_leeway },
    { ngx_string("type"), 1, 0, ngx_http_weir_jwt_issuer_set_type },
    { ngx_string("max_age"), 1, 0, ngx_http_weir_jwt_issuer_set_max_age },
    { ngx_null_string, 0, 0, NULL }
};


char *
ngx_http_weir_jwt_issuer_block(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_jwt_main_conf_t  *jmcf = conf;

    ngx_str_t                    *value;
    ngx_http_weir_jwt_block_t     block;
    ngx_http_weir_jwt_issuer_t   *issuer, **place;

    value = cf->args->elts;

    if (!ngx_http_weir_jwt_issuer_is_name(&value[1])) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid name \"%V\" in \"weir_jwt_issuer\"; it has"
                           " letters, digits, \"-\" and \"_\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    if (ngx_http_weir_jwt_issuer_find(jmcf, &value[1])) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate \"weir_jwt_issuer\" \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&block, sizeof(ngx_http_weir_jwt_block_t));

    issuer = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_jwt_issuer_t));
    place = ngx_array_push(&jmcf->issuers);

    if (issuer == NULL || place == NULL
        || ngx_array_init(&block.audiences, cf->pool, 2, sizeof(weir_str_t))
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    *place = issuer;

    /* the lines of the block overwrite cf->args */

    issuer->name = value[1];
    issuer->token.algorithms = WEIR_TOKEN_ALL_ALGORITHMS;
    issuer->token.leeway = NGX_HTTP_WEIR_JWT_LEEWAY;
    block.issuer = issuer;

    if (ngx_http_weir_jwt_issuer_read(cf, &block) != NGX_OK
        || ngx_http_weir_jwt_issuer_finish(cf, &block) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* Reads the lines; NGX_ERROR after an error was logged. */

static ngx_int_t
ngx_http_weir_jwt_issuer_read(ngx_conf_t *cf, ngx_http_weir_jwt_block_t *block)
{
    char        *rv;
    ngx_conf_t   save;

    save = *cf;
    cf->handler = ngx_http_weir_jwt_issuer_line;
    cf->handler_conf = (char *) block;

    rv = ngx_conf_parse(cf, NULL);

    *cf = save;

    return rv == NGX_CONF_OK ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_weir_jwt_issuer_finish(ngx_conf_t *cf,
    ngx_http_weir_jwt_block_t *block)
{
    ngx_http_weir_jwt_line_t    *line;
    ngx_http_weir_jwt_issuer_t  *issuer;

    issuer = block->issuer;

    for (line = ngx_http_weir_jwt_lines; line->name.len; line++) {

        if (line->required
            && !(block->seen & ((ngx_uint_t) 1
                                << (line - ngx_http_weir_jwt_lines))))
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"weir_jwt_issuer\" \"%V\" has no \"%V\"",
                               &issuer->name, &line->name);
            return NGX_ERROR;
        }
    }

    issuer->token.audiences = block->audiences.elts;
    issuer->token.n_audiences = block->audiences.nelts;

    return ngx_http_weir_jwt_keys_finish(cf, issuer->source);
}


ngx_http_weir_jwt_issuer_t *
ngx_http_weir_jwt_issuer_find(ngx_http_weir_jwt_main_conf_t *jmcf,
    ngx_str_t *name)
{
    ngx_uint_t                     i;
    ngx_http_weir_jwt_issuer_t  **issuers;

    issuers = jmcf->issuers.elts;

    for (i = 0; i < jmcf->issuers.nelts; i++) {
        if (issuers[i]->name.len == name->len
            && ngx_strncmp(issuers[i]->name.data, name->data, name->len) == 0)
        {
            return issuers[i];
        }
    }

    return NULL;
}


/* The name is in WWW-Authenticate, and beside words of weir_jwt. */

static ngx_uint_t
ngx_http_weir_jwt_issuer_is_name(ngx_str_t *name)
{
    u_char      c;
    ngx_uint_t  i;

    for (i = 0; i < name->len; i++) {
        c = name->data[i];

        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z')
            && !(c >= 'A' && c <= 'Z') && c != '-' && c != '_')
        {
            return 0;
        }
    }

    return name->len && ngx_strcmp(name->data, "off") != 0
           && ngx_strcmp(name->data, "optional") != 0;
}


static char *
ngx_http_weir_jwt_issuer_line(ngx_conf_t *cf, ngx_command_t *dummy, void *conf)
{
    ngx_http_weir_jwt_block_t  *block = conf;

    char                      *rv;
    ngx_str_t                 *value;
    ngx_uint_t                 bit;
    ngx_http_weir_jwt_line_t  *line;

    value = cf->args->elts;

    for (line = ngx_http_weir_jwt_lines; line->name.len; line++) {
        if (line->name.len == value[0].len
            && ngx_strncmp(line->name.data, value[0].data, value[0].len) == 0)
        {
            break;
        }
    }

    if (line->name.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown directive \"%V\" in \"weir_jwt_issuer\"; it"
                           " takes issuer, audience, jwks, algorithms, leeway,"
                           " type, max_age", &value[0]);
        return NGX_CONF_ERROR;
    }

    bit = (ngx_uint_t) 1 << (line - ngx_http_weir_jwt_lines);

    if (block->seen & bit) {
        rv = "is duplicate";

    } else if (cf->args->nelts < 2 || cf->args->nelts - 1 > line->max) {
        rv = "has an invalid number of arguments";

    } else {
        block->seen |= bit;
        rv = line->set(cf, block);
    }

    if (rv == NGX_CONF_OK || rv == NGX_CONF_ERROR) {
        return rv;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"%V\" of \"weir_jwt_issuer\" \"%V\" %s",
                       &value[0], &block->issuer->name, rv);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_weir_jwt_issuer_set_issuer(ngx_conf_t *cf,
    ngx_http_weir_jwt_block_t *block)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    if (value[1].len == 0) {
        return "is empty";
    }

    block->issuer->token.issuer.data = (char *) value[1].data;
    block->issuer->token.issuer.len = value[1].len;

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_jwt_issuer_set_audience(ngx_conf_t *cf,
    ngx_http_weir_jwt_block_t *block)
{
    ngx_str_t   *value;
    weir_str_t  *audience;
    ngx_uint_t   i;

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        return cf->args->nelts == 2
               ? NGX_CONF_OK : "has \"off\" beside other values";
    }

    for (i = 1; i < cf->args->nelts; i++) {

        if (value[i].len == 0) {
            return "is empty";
        }

        if (ngx_strcmp(value[i].data, "off") == 0) {
            return "has \"off\" beside other values";
        }

        audience = ngx_array_push(&block->audiences);
        if (audience == NULL) {
            return NGX_CONF_ERROR;
        }

        audience->data = (char *) value[i].data;
        audience->len = value[i].len;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_jwt_issuer_set_jwks(ngx_conf_t *cf,
    ngx_http_weir_jwt_block_t *block)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    if (value[1].len == 0) {
        return "is empty";
    }

    block->issuer->source = ngx_http_weir_jwt_keys_conf(cf,
                                                        &block->issuer->name,
                                                        &block->issuer->token,
                                                        block->issuer->keys);

    return block->issuer->source ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_http_weir_jwt_issuer_set_algorithms(ngx_conf_t *cf,
    ngx_http_weir_jwt_block_t *block)
{
    ngx_str_t                     *value;
    ngx_uint_t                     i;
    const weir_token_algorithm_t  *algorithm;

    value = cf->args->elts;
    block->issuer->token.algorithms = 0;

    for (i = 1; i < cf->args->nelts; i++) {

        algorithm = weir_token_algorithm((weir_str_t) {
                                (const char *) value[i].data, value[i].len });

        if (algorithm == NULL) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid algorithm \"%V\" of"
                               " \"weir_jwt_issuer\" \"%V\"; there are RS256,"
                               " RS384, RS512, PS256, PS384, PS512, ES256,"
                               " ES384, ES512, EdDSA",
                               &value[i], &block->issuer->name);
            return NGX_CONF_ERROR;
        }

        block->issuer->token.algorithms |= algorithm->bit;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_jwt_issuer_set_leeway(ngx_conf_t *cf,
    ngx_http_weir_jwt_block_t *block)
{
    ngx_int_t   seconds;
    ngx_str_t  *value;

    value = cf->args->elts;
    seconds = ngx_parse_time(&value[1], 1);

    if (seconds == (ngx_int_t) NGX_ERROR
        || seconds > NGX_HTTP_WEIR_JWT_LEEWAY_MAX)
    {
        return "must be a time of at most 10m";
    }

    block->issuer->token.leeway = seconds;

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_jwt_issuer_set_max_age(ngx_conf_t *cf,
    ngx_http_weir_jwt_block_t *block)
{
    ngx_int_t   seconds;
    ngx_str_t  *value;

    value = cf->args->elts;
    seconds = ngx_parse_time(&value[1], 1);

    if (seconds == (ngx_int_t) NGX_ERROR || seconds == 0) {
        return "must be a time of at least 1s";
    }

    block->issuer->token.max_age = seconds;

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_jwt_issuer_set_type(ngx_conf_t *cf,
    ngx_http_weir_jwt_block_t *block)
{
    ngx_str_t  *value;

    static ngx_str_t  prefix = ngx_string("application/");

    value = cf->args->elts;

    if (value[1].len == 0) {
        return "is empty";
    }

    if (value[1].len >= prefix.len
        && ngx_strncasecmp(value[1].data, prefix.data, prefix.len) == 0)
    {
        return "is written without \"application/\"";
    }

    block->issuer->token.type.data = (char *) value[1].data;
    block->issuer->token.type.len = value[1].len;

    return NGX_CONF_OK;
}
