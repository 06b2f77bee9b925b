/*
 * Keys of weir_identity: the master reads them with each configuration, and
 * workers inherit them.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/identity/ngx_http_weir_identity_private.h"


static ngx_int_t ngx_http_weir_identity_key_load(ngx_conf_t *cf,
    char *parameter, ngx_http_weir_identity_key_t *key);
static ngx_int_t ngx_http_weir_identity_key_text(ngx_conf_t *cf,
    char *parameter, ngx_str_t *file, u_char *buf, size_t size, size_t *len,
    ngx_uint_t *shared);
static void ngx_http_weir_identity_key_cleanup(void *data);


ngx_http_weir_identity_key_t *
ngx_http_weir_identity_key_read(ngx_conf_t *cf, char *parameter,
    ngx_str_t *file)
{
    ngx_str_t                            path;
    ngx_uint_t                           i;
    ngx_pool_cleanup_t                  *cln;
    ngx_http_weir_identity_key_t        *key, **keys;
    ngx_http_weir_identity_main_conf_t  *imcf;

    path = *file;

    if (ngx_conf_full_name(cf->cycle, &path, 1) != NGX_OK) {
        return NULL;
    }

    imcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_weir_identity_module);
    keys = imcf->keys.elts;

    for (i = 0; i < imcf->keys.nelts; i++) {
        if (keys[i]->file.len == path.len
            && ngx_strncmp(keys[i]->file.data, path.data, path.len) == 0)
        {
            return keys[i];
        }
    }

    key = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_identity_key_t));
    cln = ngx_pool_cleanup_add(cf->pool, 0);
    keys = ngx_array_push(&imcf->keys);

    if (key == NULL || cln == NULL || keys == NULL) {
        return NULL;
    }

    *keys = key;
    key->file = path;

    if (ngx_http_weir_identity_key_load(cf, parameter, key) != NGX_OK) {
        return NULL;
    }

    cln->handler = ngx_http_weir_identity_key_cleanup;
    cln->data = key;

    return key;
}


static ngx_int_t
ngx_http_weir_identity_key_load(ngx_conf_t *cf, char *parameter,
    ngx_http_weir_identity_key_t *key)
{
    u_char       buf[WEIR_SIGN_KEY_MAX + 1];
    size_t       len;
    ngx_uint_t   shared;
    const char  *wrong;

    if (ngx_http_weir_identity_key_text(cf, parameter, &key->file, buf,
                                        sizeof(buf), &len, &shared)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    wrong = weir_signer_read(&key->signer,
                             (weir_str_t) { (char *) buf, len });

    ngx_explicit_memzero(buf, sizeof(buf));

    if (wrong) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid %s \"%V\" in \"weir_identity\": %s",
                           parameter, &key->file, wrong);
        return NGX_ERROR;
    }

    if (key->signer.is_private && shared) {
        weir_signer_release(&key->signer);

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "%s \"%V\" in \"weir_identity\" is a private key"
                           " that all users of this machine can read or write;"
                           " restrict it to the master's user with chmod 600",
                           parameter, &key->file);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * Reads the first size bytes of the file.  shared: other users may read or
 * write it.  NGX_OK, or NGX_ERROR after an error was logged.
 */

static ngx_int_t
ngx_http_weir_identity_key_text(ngx_conf_t *cf, char *parameter,
    ngx_str_t *file, u_char *buf, size_t size, size_t *len, ngx_uint_t *shared)
{
    ssize_t          n;
    ngx_fd_t         fd;
    ngx_int_t        rc;
    ngx_file_info_t  fi;

    rc = NGX_ERROR;

    fd = ngx_open_file(file->data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                       NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "%s \"%V\" in \"weir_identity\" can't be opened",
                           parameter, file);
        return NGX_ERROR;
    }

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR || !ngx_is_file(&fi)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "%s \"%V\" in \"weir_identity\" is not a regular"
                           " file", parameter, file);
        goto done;
    }

    *shared = (fi.st_mode & S_IRWXO) != 0;

    n = 0;
    *len = 0;

    do {
        *len += n;
        n = ngx_read_fd(fd, buf + *len, size - *len);
    } while (n > 0);

    if (n == -1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "%s \"%V\" in \"weir_identity\" can't be read",
                           parameter, file);
        goto done;
    }

    rc = NGX_OK;

done:

    (void) ngx_close_file(fd);

    return rc;
}


static void
ngx_http_weir_identity_key_cleanup(void *data)
{
    ngx_http_weir_identity_key_t  *key = data;

    weir_signer_release(&key->signer);
}
