/*
 * TLS of the edge's own connections to other servers: the parameters ssl_... of
 * a directive, the handshake, and the check of the server's certificate.
 *
 * A worker reads the files again when they have changed, at most once a second
 * and when it makes a connection.  If they cannot be used, it keeps those that
 * it has and logs the fault once.  A connection keeps what it was made with.
 */

#ifndef _NGX_HTTP_WEIR_TLS_H_INCLUDED_
#define _NGX_HTTP_WEIR_TLS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


/* The settings of a server. */
typedef struct ngx_http_weir_tls_s  ngx_http_weir_tls_t;


/* Creates empty settings in the configuration's pool; NULL: no memory. */
ngx_http_weir_tls_t *ngx_http_weir_tls_create(ngx_conf_t *cf);

/*
 * Reads a parameter of a directive.  NGX_OK, or NGX_DECLINED if it is not a
 * parameter of TLS.
 */
ngx_int_t ngx_http_weir_tls_parameter(ngx_http_weir_tls_t *tls,
    ngx_str_t *arg);

/*
 * Loads the certificates.  host is the URL's host; the server's certificate must
 * contain that name or address, or the name of ssl_name=.  NGX_CONF_OK, the
 * fault (a constant string), or NGX_CONF_ERROR if the fault was logged.
 */
char *ngx_http_weir_tls_init(ngx_conf_t *cf, ngx_http_weir_tls_t *tls,
    ngx_str_t *host);

/*
 * Does the TLS handshake on a new connection, with the certificates as their
 * files are now, and gives it a pool.  NGX_OK: it
 * has ended, see ngx_http_weir_tls_check(); NGX_AGAIN: ended is called when it
 * has, from an event of the connection, also after the timer of c->read;
 * NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_weir_tls_connect(ngx_http_weir_tls_t *tls,
    ngx_connection_t *c, ngx_connection_handler_pt ended);

/*
 * After the handshake: NGX_OK if the server's certificate is the expected one;
 * NGX_DECLINED if not, with the reason in *wrong (a constant string); NGX_ERROR
 * if the handshake has failed.
 */
ngx_int_t ngx_http_weir_tls_check(ngx_http_weir_tls_t *tls,
    ngx_connection_t *c, char **wrong);

/* Closes a connection, with or without TLS, and destroys its pool. */
void ngx_http_weir_tls_close(ngx_connection_t *c);


#endif /* _NGX_HTTP_WEIR_TLS_H_INCLUDED_ */
