/*
 * weir_redis_probe NAME; answers with the replies to the commands of the query
 * string, one a line: ?GET+a&SET+b+1 sends both at once.  "-GET+a" sends and
 * cancels at once, "!SET+a+1" sends without waiting, "=GET+a" wants strings of
 * eight bytes at most.  For tests only.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "redis/ngx_http_weir_redis.h"


#define PROBE_COMMANDS_MAX  1024


typedef struct {
    ngx_http_weir_redis_t  *redis;
} probe_conf_t;


typedef struct {
    ngx_http_request_t             *r;
    ngx_uint_t                      n;
    ngx_uint_t                      waiting;
    ngx_str_t                       lines[PROBE_COMMANDS_MAX];
    ngx_http_weir_redis_command_t   commands[PROBE_COMMANDS_MAX];
} probe_t;


static char *probe_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static void *probe_create_conf(ngx_conf_t *cf);


static ngx_command_t  probe_commands[] = {

    { ngx_string("weir_redis_probe"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      probe_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  probe_ctx = {
    NULL, NULL, NULL, NULL, NULL, NULL, probe_create_conf, NULL
};


ngx_module_t  ngx_http_weir_redis_probe_module = {
    NGX_MODULE_V1,
    &probe_ctx,
    probe_commands,
    NGX_HTTP_MODULE,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
probe_send(probe_t *probe)
{
    size_t               len;
    ngx_int_t            rc;
    ngx_buf_t           *b;
    ngx_uint_t           i;
    ngx_chain_t          out;
    ngx_http_request_t  *r = probe->r;

    len = 1;

    for (i = 0; i < probe->n; i++) {
        len += probe->lines[i].len + 1;
    }

    b = ngx_create_temp_buf(r->pool, len);
    if (b == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < probe->n; i++) {
        b->last = ngx_cpymem(b->last, probe->lines[i].data,
                             probe->lines[i].len);
        *b->last++ = '\n';
    }

    b->last_buf = 1;
    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = b->last - b->pos;

    rc = ngx_http_send_header(r);
    if (rc == NGX_ERROR || rc > NGX_OK) {
        return rc;
    }

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


static size_t
probe_print(u_char *p, ngx_http_weir_redis_reply_t *reply)
{
    size_t      n;
    ngx_uint_t  i;

    static char  prefix[] = { '_', '$', '+', '-', ':', '*' };

    if (p) {
        *p = prefix[reply->type];
    }

    n = 1;

    switch (reply->type) {

    case NGX_HTTP_WEIR_REDIS_INTEGER:
        if (p) {
            return n + (ngx_sprintf(p + n, "%L", reply->integer) - (p + n));
        }
        return n + NGX_INT64_LEN;

    case NGX_HTTP_WEIR_REDIS_ARRAY:
        for (i = 0; i < reply->nelements; i++) {
            n += probe_print(p ? p + n : NULL, reply->elements[i]);
            if (p) {
                p[n] = ' ';
            }
            n++;
        }
        return n;

    default:
        if (p) {
            ngx_memcpy(p + n, reply->str.data, reply->str.len);
        }
        return n + reply->str.len;
    }
}


static void
probe_reply(ngx_http_weir_redis_command_t *cmd, ngx_int_t rc,
    ngx_http_weir_redis_reply_t *reply)
{
    probe_t             *probe = cmd->data;
    ngx_str_t           *line;
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = probe->r;
    c = r->connection;
    line = &probe->lines[cmd - probe->commands];

    if (rc == NGX_ABORT) {
        ngx_str_set(line, "timeout");

    } else if (rc == NGX_ERROR) {
        ngx_str_set(line, "lost");

    } else {
        line->data = ngx_pnalloc(r->pool, probe_print(NULL, reply) + 1);
        if (line->data) {
            line->len = probe_print(line->data, reply);
        }
    }

    if (--probe->waiting == 0) {
        ngx_http_finalize_request(r, probe_send(probe));
        ngx_http_run_posted_requests(c);
    }
}


static ngx_int_t
probe_command(probe_t *probe, probe_conf_t *conf, u_char *p, u_char *end)
{
    u_char                         *dst, *plus;
    u_char                          mode;
    ngx_int_t                       rc;
    ngx_str_t                       argv[8];
    ngx_uint_t                      argc;
    ngx_http_weir_redis_command_t  *cmd;

    mode = *p;
    if (mode == '-' || mode == '!' || mode == '=') {
        p++;
    }

    for (argc = 0; argc < 8 && p < end; argc++) {
        plus = ngx_strlchr(p, end, '+');
        if (plus == NULL) {
            plus = end;
        }

        dst = ngx_pnalloc(probe->r->pool, plus - p + 1);
        if (dst == NULL) {
            return NGX_ERROR;
        }

        argv[argc].data = dst;
        ngx_unescape_uri(&dst, &p, plus - p, 0);
        argv[argc].len = dst - argv[argc].data;
        p = plus + 1;
    }

    cmd = &probe->commands[probe->n];
    cmd->pool = probe->r->pool;
    cmd->max = (mode == '=') ? 8 : 0;
    cmd->handler = (mode == '!') ? NULL : probe_reply;
    cmd->data = probe;
    cmd->log = probe->r->connection->log;

    rc = ngx_http_weir_redis_command(conf->redis, cmd, argc, argv);

    if (rc == NGX_DECLINED) {
        ngx_str_set(&probe->lines[probe->n], "declined");

    } else if (mode == '-') {
        ngx_http_weir_redis_cancel(cmd);
        ngx_str_set(&probe->lines[probe->n], "cancelled");

    } else if (mode == '!') {
        ngx_str_set(&probe->lines[probe->n], "sent");

    } else {
        probe->waiting++;
    }

    probe->n++;

    return NGX_OK;
}


static ngx_int_t
probe_handler(ngx_http_request_t *r)
{
    u_char        *p, *end, *amp;
    probe_t       *probe;
    probe_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_weir_redis_probe_module);

    if (ngx_http_discard_request_body(r) != NGX_OK) {
        return NGX_ERROR;
    }

    probe = ngx_pcalloc(r->pool, sizeof(probe_t));
    if (probe == NULL) {
        return NGX_ERROR;
    }

    probe->r = r;
    end = r->args.data + r->args.len;

    for (p = r->args.data; p < end && probe->n < PROBE_COMMANDS_MAX;
         p = amp + 1)
    {
        amp = ngx_strlchr(p, end, '&');
        if (amp == NULL) {
            amp = end;
        }

        if (probe_command(probe, conf, p, amp) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (probe->waiting == 0) {
        return probe_send(probe);
    }

    r->main->count++;

    return NGX_DONE;
}


static char *
probe_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    probe_conf_t              *pcf = conf;
    ngx_str_t                 *value;
    ngx_http_core_loc_conf_t  *clcf;

    value = cf->args->elts;

    pcf->redis = ngx_http_weir_redis_get(cf, &value[1]);
    if (pcf->redis == NULL) {
        return NGX_CONF_ERROR;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = probe_handler;

    return NGX_CONF_OK;
}


static void *
probe_create_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(probe_conf_t));
}
