/*
 * The weir_api block: its directives, and the checks that need a single line.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "version/ngx_http_weir_version_block.h"
#include "version/rfc3339.h"

#include "common/text/token.h"


#define NGX_HTTP_WEIR_VERSIONS_MAX  64


static char *ngx_http_weir_version_line(ngx_conf_t *cf, ngx_command_t *dummy,
    void *conf);
static char *ngx_http_weir_version_media_type(ngx_conf_t *cf,
    ngx_http_weir_version_block_t *block);
static char *ngx_http_weir_version_header(ngx_conf_t *cf,
    ngx_http_weir_version_block_t *block);
static char *ngx_http_weir_version_versions(ngx_conf_t *cf,
    ngx_http_weir_version_block_t *block);
static char *ngx_http_weir_version_default(ngx_conf_t *cf,
    ngx_http_weir_version_block_t *block);
static char *ngx_http_weir_version_deprecated(ngx_conf_t *cf,
    ngx_http_weir_version_block_t *block);
static ngx_int_t ngx_http_weir_version_read_deprecated(ngx_conf_t *cf,
    ngx_str_t *value, ngx_http_weir_version_deprecated_t *deprecated);
static ngx_int_t ngx_http_weir_version_read_link(ngx_conf_t *cf,
    ngx_str_t *value, ngx_str_t *link);
static ngx_uint_t ngx_http_weir_version_is_token(ngx_str_t *s);
static ngx_uint_t ngx_http_weir_version_is_standard(ngx_str_t *subtype);


typedef struct {
    ngx_str_t     name;
    ngx_uint_t    min;                     /* number of arguments */
    ngx_uint_t    max;
    char        *(*set)(ngx_conf_t *cf, ngx_http_weir_version_block_t *block);
} ngx_http_weir_version_line_t;


static ngx_http_weir_version_line_t  ngx_http_weir_version_lines[] = {
    { ngx_string("media_type"), 1, 1, ngx_http_weir_version_media_type },
    { ngx_string("header"), 1, 1, ngx_http_weir_version_header },
    { ngx_string("versions"), 1, NGX_HTTP_WEIR_VERSIONS_MAX,
      ngx_http_weir_version_versions },
    { ngx_string("default"), 1, 1, ngx_http_weir_version_default },
    { ngx_string("deprecated"), 2, 5, ngx_http_weir_version_deprecated },
    { ngx_null_string, 0, 0, NULL }
};


ngx_int_t
ngx_http_weir_version_read_block(ngx_conf_t *cf,
    ngx_http_weir_version_block_t *block)
{
    char        *rv;
    ngx_conf_t   save;

    ngx_memzero(block, sizeof(ngx_http_weir_version_block_t));

    if (ngx_array_init(&block->versions, cf->temp_pool, 4, sizeof(ngx_str_t))
        != NGX_OK
        || ngx_array_init(&block->deprecated, cf->temp_pool, 4,
                          sizeof(ngx_http_weir_version_deprecated_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    save = *cf;
    cf->handler = ngx_http_weir_version_line;
    cf->handler_conf = (char *) block;

    rv = ngx_conf_parse(cf, NULL);

    *cf = save;

    return rv == NGX_CONF_OK ? NGX_OK : NGX_ERROR;
}


static char *
ngx_http_weir_version_line(ngx_conf_t *cf, ngx_command_t *dummy, void *conf)
{
    ngx_http_weir_version_block_t  *block = conf;

    char                          *rv;
    ngx_str_t                     *value;
    ngx_http_weir_version_line_t  *line;

    value = cf->args->elts;

    for (line = ngx_http_weir_version_lines; line->name.len; line++) {

        if (line->name.len != value[0].len
            || ngx_strncmp(line->name.data, value[0].data, value[0].len) != 0)
        {
            continue;
        }

        if (cf->args->nelts - 1 < line->min || cf->args->nelts - 1 > line->max)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid number of arguments in \"%V\" of"
                               " \"weir_api\"", &value[0]);
            return NGX_CONF_ERROR;
        }

        rv = line->set(cf, block);

        if (rv != NGX_CONF_OK && rv != NGX_CONF_ERROR) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" of \"weir_api\" %s", &value[0], rv);
            return NGX_CONF_ERROR;
        }

        return rv;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "unknown directive \"%V\" in \"weir_api\"; it takes"
                       " media_type, header, versions, default, deprecated",
                       &value[0]);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_weir_version_media_type(ngx_conf_t *cf,
    ngx_http_weir_version_block_t *block)
{
    ngx_str_t  *value, subtype;

    static ngx_str_t  prefix = ngx_string("application/");

    if (block->media_type.len) {
        return "is duplicate";
    }

    value = cf->args->elts;
    subtype = value[1];

    if (subtype.len > prefix.len
        && ngx_strncasecmp(subtype.data, prefix.data, prefix.len) == 0)
    {
        subtype.data += prefix.len;
        subtype.len -= prefix.len;

        if (ngx_http_weir_version_is_token(&subtype)
            && ngx_strlchr(subtype.data, subtype.data + subtype.len, '+')
               == NULL
            && ngx_strlchr(subtype.data, subtype.data + subtype.len, '*')
               == NULL
            && !ngx_http_weir_version_is_standard(&subtype))
        {
            ngx_strlow(value[1].data, value[1].data, value[1].len);
            block->media_type = value[1];
            return NGX_CONF_OK;
        }
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid media_type \"%V\" of \"weir_api\"; it must be"
                       " application/ and a name of your own without a suffix,"
                       " such as application/vnd.shop", &value[1]);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_weir_version_header(ngx_conf_t *cf,
    ngx_http_weir_version_block_t *block)
{
    ngx_str_t  *value;

    if (block->header.len) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (!ngx_http_weir_version_is_token(&value[1])) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid header \"%V\" of \"weir_api\"; it must be"
                           " the name of a header field", &value[1]);
        return NGX_CONF_ERROR;
    }

    block->header = value[1];

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_version_versions(ngx_conf_t *cf,
    ngx_http_weir_version_block_t *block)
{
    ngx_str_t   *value, *version;
    ngx_uint_t   i;

    if (block->versions.nelts) {
        return "is duplicate";
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (!ngx_http_weir_version_is_token(&value[i])
            || ngx_strlchr(value[i].data, value[i].data + value[i].len, '+')
               != NULL)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid version \"%V\" in \"versions\" of"
                               " \"weir_api\"; it must be a number or a name"
                               " without a plus sign", &value[i]);
            return NGX_CONF_ERROR;
        }

        /* the type adds its own "v": application/vnd.shop.v1+json */

        if (value[i].len > 1 && (value[i].data[0] | 0x20) == 'v'
            && value[i].data[1] >= '0' && value[i].data[1] <= '9')
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid version \"%V\" in \"versions\" of"
                               " \"weir_api\"; it must be without the \"v\", as"
                               " \"%s\"", &value[i], value[i].data + 1);
            return NGX_CONF_ERROR;
        }

        if (ngx_http_weir_version_find(&block->versions, &value[i])
            != NGX_ERROR)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate version \"%V\" in \"versions\" of"
                               " \"weir_api\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        version = ngx_array_push(&block->versions);
        if (version == NULL) {
            return NGX_CONF_ERROR;
        }

        *version = value[i];
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_version_default(ngx_conf_t *cf,
    ngx_http_weir_version_block_t *block)
{
    ngx_str_t  *value;

    if (block->default_version.len) {
        return "is duplicate";
    }

    value = cf->args->elts;
    block->default_version = value[1];

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_version_deprecated(ngx_conf_t *cf,
    ngx_http_weir_version_block_t *block)
{
    ngx_str_t                           *value;
    ngx_uint_t                           i;
    ngx_http_weir_version_deprecated_t  *deprecated;

    value = cf->args->elts;

    deprecated = ngx_array_push(&block->deprecated);
    if (deprecated == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(deprecated, sizeof(ngx_http_weir_version_deprecated_t));
    deprecated->version = value[1];
    deprecated->since = -1;

    for (i = 2; i < cf->args->nelts; i++) {
        if (ngx_http_weir_version_read_deprecated(cf, &value[i], deprecated)
            != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    if (deprecated->since == -1) {
        return "must have since=date";
    }

    if (deprecated->gone && deprecated->sunset == 0) {
        return "has sunset_action=gone but no sunset=date";
    }

    if (deprecated->sunset && deprecated->sunset < deprecated->since) {
        return "has a sunset before its since";
    }

    return NGX_CONF_OK;
}


/* One parameter.  NGX_OK, or NGX_ERROR after an error was logged. */

static ngx_int_t
ngx_http_weir_version_read_deprecated(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_weir_version_deprecated_t *deprecated)
{
    time_t     *t;
    ngx_str_t   s;

    if (ngx_strncmp(value->data, "since=", 6) == 0
        || ngx_strncmp(value->data, "sunset=", 7) == 0)
    {
        t = (value->data[1] == 'i') ? &deprecated->since : &deprecated->sunset;
        s.data = (u_char *) ngx_strchr(value->data, '=') + 1;
        s.len = value->data + value->len - s.data;

        if (weir_rfc3339_parse((weir_str_t) { (char *) s.data, s.len }, t)
            != 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid date \"%V\" in \"deprecated\" of"
                               " \"weir_api\"; it must be like 2026-01-31"
                               " or 2026-01-31T10:00:00Z", value);
            return NGX_ERROR;
        }

        return NGX_OK;
    }

    if (ngx_strncmp(value->data, "link=", 5) == 0) {
        return ngx_http_weir_version_read_link(cf, value, &deprecated->link);
    }

    if (ngx_strcmp(value->data, "sunset_action=gone") == 0) {
        deprecated->gone = 1;
        return NGX_OK;
    }

    if (ngx_strcmp(value->data, "sunset_action=serve") == 0) {
        deprecated->gone = 0;
        return NGX_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\" in \"deprecated\" of"
                       " \"weir_api\"; it takes since=date, sunset=date,"
                       " link=URI, sunset_action=serve|gone", value);
    return NGX_ERROR;
}


/*
 * True for a URI that clients can open: an absolute one, or a path on this
 * host.
 */

static ngx_int_t
ngx_http_weir_version_read_link(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *link)
{
    u_char  *p;

    p = value->data + 5;

    if (strpbrk((char *) p, "<>\" ") != NULL
        || (ngx_strncasecmp(p, (u_char *) "https://", 8) != 0
            && ngx_strncasecmp(p, (u_char *) "http://", 7) != 0
            && *p != '/'))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid link \"%V\" in \"deprecated\" of"
                           " \"weir_api\"; it must be like"
                           " https://api.example.com/v1-sunset or /v1-sunset",
                           value);
        return NGX_ERROR;
    }

    link->data = p;
    link->len = value->len - 5;

    return NGX_OK;
}


ngx_int_t
ngx_http_weir_version_find(ngx_array_t *versions, ngx_str_t *name)
{
    ngx_str_t   *version;
    ngx_uint_t   i;

    version = versions->elts;

    for (i = 0; i < versions->nelts; i++) {
        if (version[i].len == name->len
            && ngx_strncasecmp(version[i].data, name->data, name->len) == 0)
        {
            return i;
        }
    }

    return NGX_ERROR;
}


/* A token, RFC 9110 section 5.6.2. */

static ngx_uint_t
ngx_http_weir_version_is_token(ngx_str_t *s)
{
    size_t  i;

    for (i = 0; i < s->len; i++) {
        if (!weir_is_tchar(s->data[i])) {
            return 0;
        }
    }

    return s->len != 0;
}


/*
 * True if the name is a format in general use, whose responses would be
 * labelled as versions of JSON itself.  Private names are in the vendor tree of
 * RFC 6838 section 3 (vnd.shop), but private names without a tree are in use,
 * too.
 */

static ngx_uint_t
ngx_http_weir_version_is_standard(ngx_str_t *subtype)
{
    char  **name;

    static char  *names[] = {
        "json", "xml", "octet-stream", "x-www-form-urlencoded", "json-seq",
        "x-ndjson", "ndjson", "javascript", "x-javascript", "ecmascript",
        "yaml", "x-yaml", "cbor", "msgpack", "x-msgpack", "protobuf",
        "x-protobuf", "grpc", "graphql", "sql", "wasm", "pdf", "rtf", "zip",
        "gzip", "x-tar", "jwt", "jose", "http", NULL
    };

    for (name = names; *name; name++) {
        if (subtype->len == ngx_strlen(*name)
            && ngx_strncasecmp(subtype->data, (u_char *) *name, subtype->len)
               == 0)
        {
            return 1;
        }
    }

    return 0;
}
