/*
 * A document in a file, of at most WEIR_JWKS_MAX bytes.  It is read as nginx
 * reads its own files, which waits for the disk: hence only when the file is
 * another one than before.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/keys/ngx_http_weir_jwt_keys_private.h"


static ngx_int_t ngx_http_weir_jwt_keys_file_content(ngx_fd_t fd, u_char *buf,
    size_t *len, const char **fault, ngx_err_t *err);


ngx_int_t
ngx_http_weir_jwt_keys_file(ngx_http_weir_jwt_keys_t *keys, u_char *buf,
    size_t *len, ngx_http_weir_jwt_keys_stat_t *seen, const char **fault,
    ngx_err_t *err)
{
    ngx_fd_t                       fd;
    ngx_int_t                      rc;
    ngx_file_info_t                fi;
    ngx_http_weir_jwt_keys_stat_t  stat;

    *err = 0;

    fd = ngx_open_file(keys->source.data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                       NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        *err = ngx_errno;
        *fault = "can't be opened";
        return NGX_ERROR;
    }

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR || !ngx_is_file(&fi)) {
        *fault = "is not a file";
        (void) ngx_close_file(fd);
        return NGX_ERROR;
    }

    ngx_memzero(&stat, sizeof(ngx_http_weir_jwt_keys_stat_t));
    stat.mtime = (int64_t) fi.st_mtime * 1000000000;
    stat.size = ngx_file_size(&fi);
    stat.id = ngx_file_uniq(&fi);

#if (NGX_LINUX || NGX_FREEBSD)
    stat.mtime += fi.st_mtim.tv_nsec;
#endif

    if (ngx_memcmp(&stat, seen, sizeof(ngx_http_weir_jwt_keys_stat_t)) == 0) {
        (void) ngx_close_file(fd);
        return NGX_DECLINED;
    }

    *seen = stat;

    rc = ngx_http_weir_jwt_keys_file_content(fd, buf, len, fault, err);

    (void) ngx_close_file(fd);

    return rc;
}


/* One byte more than allowed, so that the parser refuses what is larger. */

static ngx_int_t
ngx_http_weir_jwt_keys_file_content(ngx_fd_t fd, u_char *buf, size_t *len,
    const char **fault, ngx_err_t *err)
{
    ssize_t  n;

    *len = 0;

    while (*len < WEIR_JWKS_MAX + 1) {
        n = ngx_read_fd(fd, buf + *len, WEIR_JWKS_MAX + 1 - *len);

        if (n == -1) {
            *err = ngx_errno;
            *fault = "can't be read";
            return NGX_ERROR;
        }

        if (n == 0) {
            break;
        }

        *len += n;
    }

    return NGX_OK;
}
