/* The tail of a route in weir_status. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/problem.h"
#include "common/text/hex.h"
#include "http/ngx_http_weir_assert.h"
#include "metrics/tail/ngx_http_weir_tail.h"


static u_char *ngx_http_weir_tail_causes(ngx_http_weir_tail_t *tail,
    double p99, u_char *p, u_char *last);
static ngx_uint_t ngx_http_weir_tail_most(uint64_t *cause);
static u_char *ngx_http_weir_tail_title(ngx_http_weir_tail_t *tail,
    double p99, u_char *p, u_char *last);
static u_char *ngx_http_weir_tail_words(
    ngx_http_weir_series_cause_e phase, ngx_http_weir_series_blame_t *blame,
    ngx_uint_t first, double share, u_char *p, u_char *last);
static u_char *ngx_http_weir_tail_slowest(ngx_http_weir_tail_t *tail,
    u_char *p, u_char *last);
static u_char *ngx_http_weir_tail_string(u_char *s, size_t len, u_char *p,
    u_char *last);


u_char *
ngx_http_weir_tail_status(ngx_http_weir_tail_t *tail, double p99, u_char *p,
    u_char *last)
{
    p = ngx_http_weir_tail_causes(tail, p99, p, last);

    return ngx_http_weir_tail_slowest(tail, p, last);
}


/* The causes, the greatest share first; and in words. */

static u_char *
ngx_http_weir_tail_causes(ngx_http_weir_tail_t *tail, double p99, u_char *p,
    u_char *last)
{
    u_char                        *text, *end;
    double                         share;
    uint64_t                       total, cause[WEIR_WINDOW_CAUSES];
    ngx_uint_t                     i, n;
    ngx_http_weir_series_cause_e   phase;
    ngx_http_weir_series_blame_t  *blame;
    u_char                         buf[NGX_HTTP_WEIR_TAIL_TEXT];

    ngx_memcpy(cause, tail->sum->cause, sizeof(cause));

    total = 0;

    for (i = 0; i < WEIR_WINDOW_CAUSES; i++) {
        total += cause[i];
    }

    if (total == 0) {
        return p;
    }

    end = buf + sizeof(buf);
    text = ngx_http_weir_tail_title(tail, p99, buf, end);

    p = ngx_slprintf(p, last, ",\"slow\":%uL,\"tail\":[", total);

    for (n = 0; /* void */ ; n++) {
        i = ngx_http_weir_tail_most(cause);

        if (cause[i] == 0) {
            break;
        }

        share = (double) cause[i] / total;
        cause[i] = 0;

        blame = ngx_http_weir_series_cause_of(tail->group, i, &phase);

        p = ngx_slprintf(p, last, "%s{\"phase\":\"%V\"", n ? "," : "",
                         ngx_http_weir_series_cause_name(phase));

        if (blame) {
            p = ngx_slprintf(p, last, ",\"dependency\":");
            p = ngx_http_weir_tail_string(blame->name.data, blame->name.len,
                                          p, last);
        }

        p = ngx_slprintf(p, last, ",\"share\":%.3f}", share);

        if (n < NGX_HTTP_WEIR_TAIL_CAUSES && (n == 0 || share >= 0.005)) {
            text = ngx_http_weir_tail_words(phase, blame, n == 0, share, text,
                                            end);
        }
    }

    p = ngx_slprintf(p, last, "],\"text\":");

    return ngx_http_weir_tail_string(buf, text - buf, p, last);
}


static ngx_uint_t
ngx_http_weir_tail_most(uint64_t *cause)
{
    ngx_uint_t  i, most;

    most = 0;

    for (i = 1; i < WEIR_WINDOW_CAUSES; i++) {
        if (cause[i] > cause[most]) {
            most = i;
        }
    }

    return most;
}


/* "P99 of /products/ v2 is 84 ms". */

static u_char *
ngx_http_weir_tail_title(ngx_http_weir_tail_t *tail, double p99, u_char *p,
    u_char *last)
{
    ngx_str_t  *name, *version;

    name = &tail->group->name;

    p = ngx_slprintf(p, last, "P99 of %*s",
                     ngx_min(name->len, (size_t) NGX_HTTP_WEIR_TAIL_ROUTE),
                     name->data);

    if (tail->view) {
        version = &tail->view->version;

        p = ngx_slprintf(p, last, " v%*s",
                         ngx_min(version->len,
                                 (size_t) NGX_HTTP_WEIR_TAIL_VERSION),
                         version->data);
    }

    if (p99 < 0.01) {
        return ngx_slprintf(p, last, " is %.2f ms", p99 * 1000);
    }

    return ngx_slprintf(p, last, " is %uL ms", (uint64_t) (p99 * 1000 + 0.5));
}


/* ": 71% Redis main", or ", 22% connecting to api". */

static u_char *
ngx_http_weir_tail_words(ngx_http_weir_series_cause_e phase,
    ngx_http_weir_series_blame_t *blame, ngx_uint_t first, double share,
    u_char *p, u_char *last)
{
    p = ngx_slprintf(p, last, "%s %ui%% %V", first ? ":" : ",",
                     (ngx_uint_t) (share * 100 + 0.5),
                     ngx_http_weir_series_cause_words(phase, blame != NULL));

    return blame ? ngx_slprintf(p, last, "%V", &blame->name) : p;
}


static u_char *
ngx_http_weir_tail_slowest(ngx_http_weir_tail_t *tail, u_char *p,
    u_char *last)
{
    char              id[2 * sizeof(((weir_exemplar_t *) 0)->trace_id)];
    ngx_tm_t          tm;
    ngx_uint_t        i;
    weir_exemplar_t  *exemplar;

    if (tail->slowest->n == 0) {
        return p;
    }

    p = ngx_slprintf(p, last, ",\"slowest\":[");

    for (i = 0; i < tail->slowest->n; i++) {
        exemplar = &tail->slowest->exemplar[i];

        weir_hex(id, exemplar->trace_id, sizeof(exemplar->trace_id));
        ngx_gmtime(exemplar->time / 1000000000, &tm);

        p = ngx_slprintf(p, last, "%s{\"trace_id\":\"%*s\",\"duration_ms\":%.3f,"
                         "\"time\":\"%4d-%02d-%02dT%02d:%02d:%02d.%03uiZ\"}",
                         i ? "," : "", sizeof(id), id, exemplar->value * 1000,
                         tm.ngx_tm_year, tm.ngx_tm_mon, tm.ngx_tm_mday,
                         tm.ngx_tm_hour, tm.ngx_tm_min, tm.ngx_tm_sec,
                         (ngx_uint_t) (exemplar->time / 1000000 % 1000));
    }

    return ngx_slprintf(p, last, "]");
}


static u_char *
ngx_http_weir_tail_string(u_char *s, size_t len, u_char *p, u_char *last)
{
    weir_str_t  text;

    text.data = (char *) s;
    text.len = len;

    p += weir_json_string((char *) p, last - p, text);

    ngx_http_weir_assert(p < last);

    return p;
}
