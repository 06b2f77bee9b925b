/*
 * An HTTP/1.1 client: one request at a time, over one connection that may be
 * kept, to a server whose URL is in the configuration.  Never blocks.
 *
 *     url       a directive's URL: server, TLS, addresses
 *     client    the request and its answer
 *     connect   a new connection
 *     answer    plain core
 *
 * The server is not trusted: see answer.h for the limits of its answers.
 */

#ifndef _NGX_HTTP_WEIR_CLIENT_H_INCLUDED_
#define _NGX_HTTP_WEIR_CLIENT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>
#include <ngx_http.h>

#include "client/answer.h"
#include "tls/ngx_http_weir_tls.h"


/* A server; lives as long as the configuration. */
typedef struct {
    ngx_str_t                       url;           /* as configured */
    ngx_url_t                       parsed;
    ngx_str_t                       host;          /* value of Host */
    ngx_resolver_t                 *resolver;      /* NULL: the addresses of the
                                                      configuration only */
    ngx_msec_t                      resolver_timeout;
    ngx_http_weir_tls_t            *tls;           /* NULL: http:// */
    ngx_msec_t                      timeout;       /* of a request */
} ngx_http_weir_client_server_t;


/* What is sent; all of it remains until the end of the request. */
typedef struct {
    ngx_str_t                      *head;          /* request line and header
                                                      lines, without the lines
                                                      about the body and the
                                                      empty one */
    u_char                         *body;          /* NULL: there is none */
    size_t                          len;
    ngx_uint_t                      zipped;        /* bool */
} ngx_http_weir_client_request_t;


/* The result of a request. */
typedef struct {
    enum {
        NGX_HTTP_WEIR_CLIENT_ANSWERED,     /* answer is complete */
        NGX_HTTP_WEIR_CLIENT_LOST,         /* by a kept connection, before
                                              anything of an answer came */
        NGX_HTTP_WEIR_CLIENT_FAILED        /* see fault */
    }                               how;
    char                           *fault;         /* constant */
    char                           *detail;        /* more of it, or NULL */
    ngx_err_t                       err;           /* 0: none */
} ngx_http_weir_client_outcome_t;


typedef struct ngx_http_weir_client_s  ngx_http_weir_client_t;


typedef void (*ngx_http_weir_client_done_pt)(ngx_http_weir_client_t *client,
    ngx_http_weir_client_outcome_t *outcome);


/* fault is NULL if the connection can be used; detail may be, err may be 0. */
typedef void (*ngx_http_weir_client_connected_pt)(
    ngx_http_weir_client_t *client, char *fault, char *detail, ngx_err_t err);


typedef enum {
    NGX_HTTP_WEIR_CLIENT_CLOSED = 0,
    NGX_HTTP_WEIR_CLIENT_RESOLVING,
    NGX_HTTP_WEIR_CLIENT_CONNECTING,   /* the TLS handshake, too */
    NGX_HTTP_WEIR_CLIENT_ASKING,       /* the request, and its answer */
    NGX_HTTP_WEIR_CLIENT_KEPT          /* the connection is idle */
} ngx_http_weir_client_e;


/* The connection of a process to a server. */
struct ngx_http_weir_client_s {
    /* set by the owner before the first request; zero otherwise */
    ngx_http_weir_client_server_t  *server;
    void                           *data;          /* of the owner */
    size_t                          answer_max;    /* bytes of an answer, with
                                                      framing */

    /* set by the owner before any request */
    ngx_uint_t                      quiet;         /* bool: nginx itself is not
                                                      to log failures */

    /* complete while done is called, with NGX_HTTP_WEIR_CLIENT_ANSWERED */
    weir_answer_t                  *answer;        /* malloc'ed; NULL: none */

    /* see ngx_http_weir_client_busy() */
    ngx_http_weir_client_done_pt    done;

    ngx_http_weir_client_request_t  request;       /* with done */

    /* private */
    ngx_http_weir_client_e          state;
    ngx_peer_connection_t           peer;
    ngx_resolver_ctx_t             *resolving;
    ngx_event_t                     deadline;      /* of the request */
    ngx_http_weir_client_connected_pt  connected;
    ngx_uint_t                      reused;        /* bool */
    ngx_log_t                       log;
    ngx_uint_t                      turn;          /* of the addresses */
    ngx_sockaddr_t                  resolved;
    u_char                         *head;          /* malloc'ed */
    size_t                          head_size;
    size_t                          head_len;
    size_t                          sent;          /* bytes of head and body */
};


/*
 * url: reads server->url, and loads the certificates of server->tls.  The path
 * is in server->parsed.uri.  Returns as ngx_http_weir_tls_init() does.
 */
char *ngx_http_weir_client_url(ngx_conf_t *cf,
    ngx_http_weir_client_server_t *server);

/* url: the fault of a path that a request line cannot contain, or NULL. */
char *ngx_http_weir_client_path(ngx_str_t *path);

/*
 * url: with the configuration complete, finds out how the name is resolved: by
 * the resolver of http {}, or now.  Without a resolver the name must have an
 * address.  NGX_OK, or NGX_ERROR if the reason was logged with the name of the
 * directive.
 */
ngx_int_t ngx_http_weir_client_resolve(ngx_conf_t *cf,
    ngx_http_weir_client_server_t *server, const char *directive);


/*
 * Sends a request; its head and body must remain until done is called.  That
 * may happen from within this function.  The client must not be busy.
 */
void ngx_http_weir_client_send(ngx_http_weir_client_t *client,
    const ngx_http_weir_client_request_t *request,
    ngx_http_weir_client_done_pt done);

/* True while a request is under way. */
static ngx_inline ngx_uint_t
ngx_http_weir_client_busy(ngx_http_weir_client_t *client)
{
    return client->done != NULL;
}


/* Of the answer; 0 if there is none. */
static ngx_inline unsigned
ngx_http_weir_client_status(ngx_http_weir_client_t *client,
    ngx_http_weir_client_outcome_t *outcome)
{
    return outcome->how == NGX_HTTP_WEIR_CLIENT_ANSWERED
           ? client->answer->status : 0;
}


/* Ends a request without calling done, and closes the connection. */
void ngx_http_weir_client_close(ngx_http_weir_client_t *client);

/* Frees what the client has allocated; it must be closed. */
void ngx_http_weir_client_free(ngx_http_weir_client_t *client);


/*
 * connect, private: makes a new connection; client->connected is called, from
 * within or later.
 */
void ngx_http_weir_client_connect(ngx_http_weir_client_t *client);


#endif /* _NGX_HTTP_WEIR_CLIENT_H_INCLUDED_ */
