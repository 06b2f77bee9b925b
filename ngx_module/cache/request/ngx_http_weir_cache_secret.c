/*
 * weir_cache_zone secret_file=: the master reads the file with each
 * configuration.  Workers inherit the keys derived from the secrets; the file's
 * text is erased.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/request/ngx_http_weir_cache_request.h"


static ngx_int_t ngx_http_weir_cache_secret_text(ngx_conf_t *cf,
    ngx_str_t *file, u_char *buf, size_t size, size_t *len);


char *
ngx_http_weir_cache_secret_read(ngx_conf_t *cf,
    ngx_http_weir_cache_zone_t *zone, ngx_str_t *file)
{
    u_char       buf[WEIR_ENTRY_MAC_FILE_MAX + 1];
    size_t       len;
    ngx_str_t    path;
    const char  *wrong;

    path = *file;

    if (ngx_conf_full_name(cf->cycle, &path, 1) != NGX_OK
        || ngx_http_weir_cache_secret_text(cf, &path, buf, sizeof(buf), &len)
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    zone->mac = ngx_palloc(cf->pool, sizeof(weir_entry_mac_t));
    if (zone->mac == NULL) {
        return NGX_CONF_ERROR;
    }

    wrong = weir_entry_mac_read(zone->mac, (weir_str_t) { (char *) buf, len });

    ngx_explicit_memzero(buf, sizeof(buf));

    if (wrong) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid secret_file \"%V\" in \"weir_cache_zone\":"
                           " %s", &path, wrong);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/*
 * Reads the first size bytes of the file.  NGX_OK, or NGX_ERROR after an error
 * was logged.
 */

static ngx_int_t
ngx_http_weir_cache_secret_text(ngx_conf_t *cf, ngx_str_t *file, u_char *buf,
    size_t size, size_t *len)
{
    ssize_t          n;
    ngx_fd_t         fd;
    ngx_file_info_t  fi;

    fd = ngx_open_file(file->data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                       NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "secret_file \"%V\" in \"weir_cache_zone\" can't be"
                           " opened", file);
        return NGX_ERROR;
    }

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR || !ngx_is_file(&fi)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "secret_file \"%V\" in \"weir_cache_zone\" is not"
                           " a regular file", file);
        goto failed;
    }

    if (fi.st_mode & S_IRWXO) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "all users of this machine can read or write"
                           " secret_file \"%V\" in \"weir_cache_zone\";"
                           " restrict it to the master's user with chmod 600", file);
    }

    n = 0;
    *len = 0;

    do {
        *len += n;
        n = ngx_read_fd(fd, buf + *len, size - *len);
    } while (n > 0);

    if (n == -1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "secret_file \"%V\" in \"weir_cache_zone\" can't be"
                           " read", file);
        goto failed;
    }

    (void) ngx_close_file(fd);

    return NGX_OK;

failed:

    (void) ngx_close_file(fd);

    return NGX_ERROR;
}
