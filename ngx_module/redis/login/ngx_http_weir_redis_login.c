#include "redis/login/ngx_http_weir_redis_login.h"

#include "common/secret/secret.h"
#include "http/ngx_http_weir_assert.h"


static const char *ngx_http_weir_redis_login_read(
    ngx_http_weir_redis_login_t *login);


ngx_int_t
ngx_http_weir_redis_login_parameter(ngx_http_weir_redis_login_t *login,
    ngx_str_t *arg)
{
    size_t       skip;
    ngx_str_t   *value;

    if (ngx_strncmp(arg->data, "user=", 5) == 0) {
        value = &login->user;
        skip = 5;

    } else if (ngx_strncmp(arg->data, "password_file=", 14) == 0) {
        value = &login->file;
        skip = 14;

    } else if (ngx_strncmp(arg->data, "password_env=", 13) == 0) {
        value = &login->env;
        skip = 13;

    } else {
        return NGX_DECLINED;
    }

    value->data = arg->data + skip;
    value->len = arg->len - skip;

    return NGX_OK;
}


char *
ngx_http_weir_redis_login_init(ngx_conf_t *cf,
    ngx_http_weir_redis_login_t *login, ngx_str_t *name)
{
    char        *value;
    const char  *wrong;

    if ((login->password.len != 0) + (login->file.len != 0)
        + (login->env.len != 0) > 1)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"weir_redis\" \"%V\" has more than one password:"
                           " in its URL, by password_file= or by"
                           " password_env=", name);
        return NGX_CONF_ERROR;
    }

    if (login->env.len) {
        /* arguments have a NUL behind them */
        value = getenv((char *) login->env.data);

        if (value == NULL || *value == '\0') {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"weir_redis\" \"%V\": the environment has no"
                               " \"%V\", or it is empty", name, &login->env);
            return NGX_CONF_ERROR;
        }

        login->password.data = (u_char *) value;
        login->password.len = ngx_strlen(value);

        login->password.data = ngx_pstrdup(cf->pool, &login->password);
        if (login->password.data == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    if (login->file.len) {

        if (ngx_conf_full_name(cf->cycle, &login->file, 1) != NGX_OK) {
            return NGX_CONF_ERROR;
        }

        login->password.data = ngx_pnalloc(cf->pool, WEIR_SECRET_MAX);
        if (login->password.data == NULL) {
            return NGX_CONF_ERROR;
        }

        wrong = ngx_http_weir_redis_login_read(login);

        if (wrong) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"weir_redis\" \"%V\" cannot use the"
                               " password_file \"%V\": %s",
                               name, &login->file, wrong);
            return NGX_CONF_ERROR;
        }
    }

    if (login->user.len && login->password.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"weir_redis\" \"%V\" has a user without a"
                           " password: give password_file= or password_env=",
                           name);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


void
ngx_http_weir_redis_login_renew(ngx_http_weir_redis_login_t *login,
    ngx_str_t *name, ngx_log_t *log)
{
    const char  *wrong;

    if (login->file.len == 0) {
        return;
    }

    wrong = ngx_http_weir_redis_login_read(login);

    if (wrong && !login->unreadable) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "weir_redis \"%V\" cannot use the password_file \"%V\","
                      " and goes on with its last password: %s",
                      name, &login->file, wrong);
    }

    if (wrong == NULL && login->unreadable) {
        ngx_log_error(NGX_LOG_NOTICE, log, 0,
                      "weir_redis \"%V\" can use the password_file \"%V\""
                      " again", name, &login->file);
    }

    login->unreadable = wrong != NULL;
}


/* NULL, or what is wrong; then the password stays. */

static const char *
ngx_http_weir_redis_login_read(ngx_http_weir_redis_login_t *login)
{
    char         text[WEIR_SECRET_FILE_MAX + 1];
    size_t       len;
    const char  *at, *line, *wrong;

    wrong = weir_secret_read((char *) login->file.data, text);
    if (wrong) {
        return wrong;
    }

    at = text;
    line = weir_secret_next(&at, &len);

    ngx_http_weir_assert(line && len <= WEIR_SECRET_MAX);

    ngx_memcpy(login->password.data, line, len);
    login->password.len = len;

    explicit_bzero(text, sizeof(text));

    return NULL;
}
