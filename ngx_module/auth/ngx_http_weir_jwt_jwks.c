/* jwks of a weir_jwt_issuer: the file is read with each configuration. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/ngx_http_weir_jwt_private.h"
#include "common/hash/blake2b.h"


static ngx_int_t ngx_http_weir_jwt_jwks_text(ngx_conf_t *cf, ngx_str_t *file,
    ngx_http_weir_jwt_issuer_t *issuer, ngx_str_t *text);
static ngx_int_t ngx_http_weir_jwt_jwks_parse(ngx_conf_t *cf, ngx_str_t *file,
    ngx_http_weir_jwt_issuer_t *issuer, ngx_str_t *text);
static void ngx_http_weir_jwt_jwks_cleanup(void *data);


ngx_int_t
ngx_http_weir_jwt_jwks_read(ngx_conf_t *cf, ngx_str_t *file,
    ngx_http_weir_jwt_issuer_t *issuer)
{
    ngx_str_t            path, text;
    weir_str_t           bytes, none;
    ngx_pool_cleanup_t  *cln;

    path = *file;

    if (ngx_conf_full_name(cf->cycle, &path, 1) != NGX_OK) {
        return NGX_ERROR;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);

    if (cln == NULL
        || ngx_http_weir_jwt_jwks_text(cf, &path, issuer, &text) != NGX_OK
        || ngx_http_weir_jwt_jwks_parse(cf, &path, issuer, &text) != NGX_OK)
    {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_weir_jwt_jwks_cleanup;
    cln->data = issuer;

    bytes.data = (char *) text.data;
    bytes.len = text.len;
    none.data = NULL;
    none.len = 0;

    weir_blake2b(issuer->keys, sizeof(issuer->keys), none,
                 WEIR_STR("weir jwks"), bytes);

    return NGX_OK;
}


/* The file's text, in the temporary pool. */

static ngx_int_t
ngx_http_weir_jwt_jwks_text(ngx_conf_t *cf, ngx_str_t *file,
    ngx_http_weir_jwt_issuer_t *issuer, ngx_str_t *text)
{
    size_t           size;
    ssize_t          n;
    ngx_fd_t         fd;
    ngx_int_t        rc;
    ngx_file_info_t  fi;

    rc = NGX_ERROR;

    fd = ngx_open_file(file->data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                       NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "jwks \"%V\" of \"weir_jwt_issuer\" \"%V\" can't be"
                           " opened", file, &issuer->name);
        return NGX_ERROR;
    }

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR || !ngx_is_file(&fi)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "jwks \"%V\" of \"weir_jwt_issuer\" \"%V\" is not a"
                           " file", file, &issuer->name);
        goto done;
    }

    /* one byte more than allowed, so that the parser refuses what is larger */

    size = WEIR_JWKS_MAX + 1;

    text->len = 0;
    text->data = ngx_palloc(cf->temp_pool, size);

    if (text->data == NULL) {
        goto done;
    }

    while (text->len < size) {
        n = ngx_read_fd(fd, text->data + text->len, size - text->len);

        if (n == -1) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                               "jwks \"%V\" of \"weir_jwt_issuer\" \"%V\" can't"
                               " be read", file, &issuer->name);
            goto done;
        }

        if (n == 0) {
            break;
        }

        text->len += n;
    }

    rc = NGX_OK;

done:

    (void) ngx_close_file(fd);

    return rc;
}


static ngx_int_t
ngx_http_weir_jwt_jwks_parse(ngx_conf_t *cf, ngx_str_t *file,
    ngx_http_weir_jwt_issuer_t *issuer, ngx_str_t *text)
{
    char         why[WEIR_JWKS_WHY_MAX];
    ngx_uint_t   i;
    unsigned     algorithms;
    weir_str_t   bytes;
    weir_jwks_t  *set;

    bytes.data = (char *) text->data;
    bytes.len = text->len;

    set = &issuer->token.keys;

    if (!weir_jwks_parse(bytes, set, why)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid jwks \"%V\" of \"weir_jwt_issuer\" \"%V\":"
                           " %s", file, &issuer->name, why);
        return NGX_ERROR;
    }

    algorithms = 0;

    for (i = 0; i < set->n; i++) {
        algorithms |= set->keys[i].algorithms;
    }

    if (!(algorithms & issuer->token.algorithms)) {
        weir_jwks_release(set);
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid jwks \"%V\" of \"weir_jwt_issuer\" \"%V\":"
                           " no key is for one of its algorithms",
                           file, &issuer->name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_weir_jwt_jwks_cleanup(void *data)
{
    ngx_http_weir_jwt_issuer_t  *issuer = data;

    weir_jwks_release(&issuer->token.keys);
}
