/*
 * As whom the edge logs in to a Redis server: the parameters user=,
 * password_file= and password_env= of weir_redis, or the URL's user and
 * password.
 *
 * The file is read with the configuration, and by each worker before it logs
 * in, so that a password can change without a reload.
 */

#ifndef _NGX_HTTP_WEIR_REDIS_LOGIN_H_INCLUDED_
#define _NGX_HTTP_WEIR_REDIS_LOGIN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef struct {
    ngx_str_t    user;             /* may be empty */
    ngx_str_t    password;         /* empty: no login */
    ngx_str_t    file;             /* with a NUL behind it; empty: none */
    ngx_str_t    env;              /* a variable's name; empty: none */
    ngx_uint_t   unreadable;       /* the file was, which is logged */
} ngx_http_weir_redis_login_t;


/*
 * Reads a parameter of weir_redis: NGX_OK, or NGX_DECLINED if it is another
 * one.
 */
ngx_int_t ngx_http_weir_redis_login_parameter(
    ngx_http_weir_redis_login_t *login, ngx_str_t *arg);

/*
 * After the parameters and the URL: checks that they fit, and gets the
 * password.  NGX_CONF_OK, or NGX_CONF_ERROR with the fault logged; name is that
 * of the server.
 */
char *ngx_http_weir_redis_login_init(ngx_conf_t *cf,
    ngx_http_weir_redis_login_t *login, ngx_str_t *name);

/*
 * Reads the password from the file again, if there is one.  If that cannot be
 * used, the last password stays, and the log has one line.
 */
void ngx_http_weir_redis_login_renew(ngx_http_weir_redis_login_t *login,
    ngx_str_t *name, ngx_log_t *log);


#endif /* _NGX_HTTP_WEIR_REDIS_LOGIN_H_INCLUDED_ */
