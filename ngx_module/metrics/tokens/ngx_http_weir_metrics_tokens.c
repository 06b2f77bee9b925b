/* Tokens and their issuers in weir_metrics; nothing if no location needs one. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "metrics/ngx_http_weir_metrics.h"


static void ngx_http_weir_metrics_tokens_audit(weir_exposition_t *e,
    ngx_atomic_t *counts);
static void ngx_http_weir_metrics_tokens_results(weir_exposition_t *e,
    const weir_metric_t *metric, ngx_http_weir_metrics_t *metrics,
    ngx_uint_t tokens);


static weir_metric_t  ngx_http_weir_metrics_tokens = {
    "weir_jwt_tokens", NULL, WEIR_METRIC_COUNTER,
    "Requests where a token is looked for, by issuer and result."
};

static weir_metric_t  ngx_http_weir_metrics_fetches = {
    "weir_jwt_fetches", NULL, WEIR_METRIC_COUNTER,
    "Times that the keys of an issuer were fetched or read, by result."
};

static weir_metric_t  ngx_http_weir_metrics_keys = {
    "weir_jwt_keys", NULL, WEIR_METRIC_GAUGE,
    "Keys of an issuer; 0: its set is not there yet."
};

static weir_metric_t  ngx_http_weir_metrics_keys_age = {
    "weir_jwt_keys_age_seconds", "seconds", WEIR_METRIC_GAUGE,
    "Time since the issuer last gave its set."
};

static weir_metric_t  ngx_http_weir_metrics_audit = {
    "weir_jwt_audit", NULL, WEIR_METRIC_COUNTER,
    "Refusals for the audit log, by what became of them."
};


ngx_int_t
ngx_http_weir_metrics_tokens_read(ngx_http_request_t *r,
    ngx_http_weir_metrics_t *metrics)
{
    ngx_uint_t  i, n;

    n = ngx_http_weir_jwt_issuers(r);

    metrics->issuers = 0;
    metrics->issuer = ngx_palloc(r->pool,
                                 (n + 1) * sizeof(ngx_http_weir_jwt_counts_t));
    if (metrics->issuer == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        metrics->issuers += ngx_http_weir_jwt_issuer_counts(r, i,
                                           &metrics->issuer[metrics->issuers]);
    }

    metrics->audited = ngx_http_weir_jwt_audited(r);

    return NGX_OK;
}


void
ngx_http_weir_metrics_tokens_write(weir_exposition_t *e,
    ngx_http_weir_metrics_t *metrics)
{
    ngx_uint_t                   i;
    weir_label_t                 label;
    ngx_http_weir_jwt_counts_t  *issuer;

    if (metrics->issuers == 0) {
        return;
    }

    ngx_http_weir_metrics_tokens_results(e, &ngx_http_weir_metrics_tokens,
                                         metrics, 1);
    ngx_http_weir_metrics_tokens_results(e, &ngx_http_weir_metrics_fetches,
                                         metrics, 0);

    if (metrics->audited) {
        ngx_http_weir_metrics_tokens_audit(e, metrics->audited);
    }

    issuer = metrics->issuer;
    label.name = "issuer";

    weir_exposition_family(e, &ngx_http_weir_metrics_keys);

    for (i = 0; i < metrics->issuers; i++) {
        label.value.data = (char *) issuer[i].name.data;
        label.value.len = issuer[i].name.len;
        weir_exposition_sample(e, &ngx_http_weir_metrics_keys, &label, 1,
                               issuer[i].keys.keys);
    }

    weir_exposition_family(e, &ngx_http_weir_metrics_keys_age);

    for (i = 0; i < metrics->issuers; i++) {

        if (issuer[i].keys.keys == 0) {
            continue;
        }

        label.value.data = (char *) issuer[i].name.data;
        label.value.len = issuer[i].name.len;
        weir_exposition_sample(e, &ngx_http_weir_metrics_keys_age, &label, 1,
                               issuer[i].keys.age / 1000);
    }
}


static void
ngx_http_weir_metrics_tokens_audit(weir_exposition_t *e, ngx_atomic_t *counts)
{
    ngx_uint_t    i;
    weir_label_t  label;

    static const char  *results[] = { "sent", "counted", "dropped" };

    weir_exposition_family(e, &ngx_http_weir_metrics_audit);

    label.name = "result";

    for (i = 0; i < NGX_HTTP_WEIR_JWT_AUDIT_RESULTS; i++) {
        label.value = weir_str(results[i]);
        weir_exposition_sample(e, &ngx_http_weir_metrics_audit, &label, 1,
                               counts[i]);
    }
}


/* A counter of all issuers and results: tokens, or fetches. */

static void
ngx_http_weir_metrics_tokens_results(weir_exposition_t *e,
    const weir_metric_t *metric, ngx_http_weir_metrics_t *metrics,
    ngx_uint_t tokens)
{
    uint64_t                    *count;
    ngx_uint_t                   i, k, n;
    weir_label_t                 labels[2];
    ngx_http_weir_jwt_counts_t  *issuer;

    weir_exposition_family(e, metric);

    labels[0].name = "issuer";
    labels[1].name = "result";

    n = tokens ? (ngx_uint_t) NGX_HTTP_WEIR_JWT_COUNTS
               : (ngx_uint_t) NGX_HTTP_WEIR_JWT_FETCHES;

    for (i = 0; i < metrics->issuers; i++) {
        issuer = &metrics->issuer[i];
        count = tokens ? issuer->keys.tokens : issuer->keys.fetches;

        labels[0].value.data = (char *) issuer->name.data;
        labels[0].value.len = issuer->name.len;

        for (k = 0; k < n; k++) {
            labels[1].value = weir_str(tokens
                                  ? ngx_http_weir_jwt_keys_count_name(k)
                                  : ngx_http_weir_jwt_keys_fetch_name(k));
            weir_exposition_sample(e, metric, labels, 2, count[k]);
        }
    }
}
