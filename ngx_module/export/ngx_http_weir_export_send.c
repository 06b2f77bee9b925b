/* Requests to the collector, and what its answers of 2xx say. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "export/ngx_http_weir_export_private.h"


void
ngx_http_weir_export_send(ngx_http_weir_exporter_t *ex,
    const ngx_http_weir_client_request_t *request,
    ngx_http_weir_client_done_pt done)
{
    ngx_http_weir_client_t  *client;

    client = &ex->client;

    client->server = &ex->server;
    client->data = ex;
    client->answer_max = NGX_HTTP_WEIR_EXPORT_ANSWER_MAX;

    /* one line for each change of state is enough */

    client->quiet = (ex->failures != 0
                     || ngx_http_weir_export_get(&ex->sh->metrics_failing));

    ngx_http_weir_client_send(client, request, done);
}


void
ngx_http_weir_export_partial(ngx_http_weir_exporter_t *ex,
    weir_partial_t *partial)
{
    weir_str_t      body;
    weir_answer_t  *answer;

    answer = ex->client.answer;
    body.data = answer->body;
    body.len = answer->body_len;

    partial->rejected = 0;
    partial->message[0] = '\0';

    if (ex->format == WEIR_SPAN_FORMAT_ZIPKIN || answer->encoded) {
        /* Zipkin has none; an encoding was not asked for */
        return;
    }

    if (answer->type == WEIR_ANSWER_PROTOBUF) {
        (void) weir_partial_protobuf(body, partial);

    } else if (answer->type == WEIR_ANSWER_JSON) {
        (void) weir_partial_json(body, partial);
    }
}
