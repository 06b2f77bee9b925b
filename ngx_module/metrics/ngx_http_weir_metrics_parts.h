/*
 * A document that is sent in parts: each is written in one turn of the event
 * loop, and the next one when the client has taken it.  So a document of any
 * length takes one buffer, and holds the loop no longer than one part does.
 */

#ifndef _NGX_HTTP_WEIR_METRICS_PARTS_H_INCLUDED_
#define _NGX_HTTP_WEIR_METRICS_PARTS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* Bytes of a part at most. */
#define NGX_HTTP_WEIR_METRICS_PART  (64 * 1024)


/*
 * Writes the next part to b, which is empty and has NGX_HTTP_WEIR_METRICS_PART
 * bytes.  NGX_OK: it was the last one, which may be empty; NGX_AGAIN: there are
 * more, and this one is not empty.
 */
typedef ngx_int_t (*ngx_http_weir_metrics_part_pt)(void *data, ngx_buf_t *b);


/*
 * Sends the header, then head, then the parts; without next the document is
 * head.  It has a length if the first part is the last one.  r->headers_out has
 * status and type.  Returns the value for the content handler.
 */
ngx_int_t ngx_http_weir_metrics_parts_send(ngx_http_request_t *r,
    ngx_buf_t *head, ngx_http_weir_metrics_part_pt next, void *data);


#endif /* _NGX_HTTP_WEIR_METRICS_PARTS_H_INCLUDED_ */
