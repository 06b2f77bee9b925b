/* The directives weir_trace and weir_trace_context. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "http/ngx_http_weir.h"
#include "record/ngx_http_weir_record.h"
#include "trace/ngx_http_weir_trace.h"


static ngx_int_t ngx_http_weir_trace_read_ratio(ngx_str_t *value,
    uint64_t *threshold);
static char *ngx_http_weir_trace_sampling(ngx_conf_t *cf,
    ngx_http_weir_trace_loc_conf_t *tlcf, ngx_str_t *value);
static char *ngx_http_weir_trace_tracestate(ngx_conf_t *cf,
    ngx_http_weir_trace_loc_conf_t *tlcf);
static char *ngx_http_weir_trace_parameter(ngx_conf_t *cf,
    ngx_http_weir_trace_loc_conf_t *tlcf, ngx_str_t *value);
static char *ngx_http_weir_trace_slow(ngx_conf_t *cf,
    ngx_http_weir_trace_loc_conf_t *tlcf, ngx_str_t *text);
static char *ngx_http_weir_trace_variable(ngx_conf_t *cf,
    ngx_http_weir_trace_loc_conf_t *tlcf, ngx_str_t *value);


char *
ngx_http_weir_trace_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_trace_loc_conf_t  *tlcf = conf;

    char                             *rv;
    ngx_str_t                        *value;
    ngx_uint_t                        i;
    ngx_http_weir_trace_main_conf_t  *tmcf;

    if (tlcf->mode != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    tlcf->slow = 0;
    tlcf->percentile = NGX_HTTP_WEIR_PERCENTILES;
    tlcf->errors = NGX_CONF_UNSET;

    value = cf->args->elts;

    if (ngx_http_weir_trace_sampling(cf, tlcf, &value[1]) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    if (tlcf->mode == NGX_HTTP_WEIR_TRACE_OFF && cf->args->nelts > 2) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"weir_trace off\" must have no parameters; to keep"
                           " only some requests, use \"ratio=0\"");
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < cf->args->nelts; i++) {
        rv = ngx_http_weir_trace_parameter(cf, tlcf, &value[i]);
        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    if (tlcf->errors == NGX_CONF_UNSET) {
        tlcf->errors = 0;
    }

    if (tlcf->mode != NGX_HTTP_WEIR_TRACE_OFF) {
        ngx_http_weir_record_require(cf);

        tmcf = ngx_http_conf_get_module_main_conf(cf,
                                                  ngx_http_weir_trace_module);
        tmcf->used = 1;
    }

    return NGX_CONF_OK;
}


/* "on", "off", "parent", "ratio=0.1", or a text with variables. */

static char *
ngx_http_weir_trace_sampling(ngx_conf_t *cf,
    ngx_http_weir_trace_loc_conf_t *tlcf, ngx_str_t *value)
{
    ngx_str_t  text;

    if (value->len > 6 && ngx_strncmp(value->data, "ratio=", 6) == 0) {
        text.data = value->data + 6;
        text.len = value->len - 6;

        if (ngx_http_weir_trace_read_ratio(&text, &tlcf->threshold)
            != NGX_OK)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid ratio \"%V\" in \"weir_trace\"; it must"
                               " be from 0 to 1, as \"0.1\"", &text);
            return NGX_CONF_ERROR;
        }

        tlcf->mode = NGX_HTTP_WEIR_TRACE_RATIO;

        return ngx_http_weir_trace_tracestate(cf, tlcf);
    }

    if (ngx_http_script_variables_count(value)) {
        return ngx_http_weir_trace_variable(cf, tlcf, value);
    }

    /* a ratio alone is a value for variables only */

    if (value->len == 0 || (value->data[0] >= '0' && value->data[0] <= '9')
        || ngx_http_weir_trace_read_mode(value, &tlcf->mode, &tlcf->threshold)
           != NGX_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"weir_trace\"; it must be"
                           " \"on\", \"off\", \"parent\", \"ratio=\" and a"
                           " number, or have a variable", value);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* A trace that is always sampled needs no member. */

static char *
ngx_http_weir_trace_tracestate(ngx_conf_t *cf,
    ngx_http_weir_trace_loc_conf_t *tlcf)
{
    char    room[WEIR_TRACESTATE_VALUE];
    size_t  len;

    if (tlcf->threshold == WEIR_SAMPLING_ALWAYS
        || tlcf->threshold == WEIR_SAMPLING_NEVER)
    {
        return NGX_CONF_OK;
    }

    len = weir_sampling_member(WEIR_STR(""), tlcf->threshold, room);

    tlcf->tracestate.len = 3 + len;
    tlcf->tracestate.data = ngx_pnalloc(cf->pool, 3 + len);
    if (tlcf->tracestate.data == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memcpy(ngx_cpymem(tlcf->tracestate.data, "ot=", 3), room, len);

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_trace_variable(ngx_conf_t *cf,
    ngx_http_weir_trace_loc_conf_t *tlcf, ngx_str_t *value)
{
    ngx_str_t  name;

    /* the decision may fall before the upstream is asked */

    if (ngx_http_weir_late_variable(value, &name)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"$%V\" in \"weir_trace\" has no value yet when"
                           " the trace begins", &name);
        return NGX_CONF_ERROR;
    }

    tlcf->sampling = ngx_http_weir_compile(cf, value);
    if (tlcf->sampling == NULL) {
        return NGX_CONF_ERROR;
    }

    tlcf->mode = NGX_HTTP_WEIR_TRACE_VARIABLE;

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_trace_parameter(ngx_conf_t *cf,
    ngx_http_weir_trace_loc_conf_t *tlcf, ngx_str_t *value)
{
    ngx_str_t  text;

    if (value->len > 5 && ngx_strncmp(value->data, "slow=", 5) == 0) {
        text.data = value->data + 5;
        text.len = value->len - 5;

        return ngx_http_weir_trace_slow(cf, tlcf, &text);
    }

    if (value->len > 7 && ngx_strncmp(value->data, "errors=", 7) == 0) {

        if (tlcf->errors != NGX_CONF_UNSET) {
            return "has two parameters \"errors=\"";
        }

        if (ngx_strcmp(value->data + 7, "on") == 0) {
            tlcf->errors = 1;
            return NGX_CONF_OK;
        }

        if (ngx_strcmp(value->data + 7, "off") == 0) {
            tlcf->errors = 0;
            return NGX_CONF_OK;
        }
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\" in \"weir_trace\"; it must be"
                       " \"slow=\" and a time or a percentile, \"errors=on\""
                       " or \"errors=off\"", value);

    return NGX_CONF_ERROR;
}


/* A time or a percentile; a request may be above one of both. */

static char *
ngx_http_weir_trace_slow(ngx_conf_t *cf, ngx_http_weir_trace_loc_conf_t *tlcf,
    ngx_str_t *text)
{
    ngx_uint_t  i;
    ngx_msec_t  slow;

    static ngx_str_t  percentiles[NGX_HTTP_WEIR_PERCENTILES] = {
        ngx_string("p50"),
        ngx_string("p90"),
        ngx_string("p95"),
        ngx_string("p99"),
        ngx_string("p99.9")
    };

    for (i = 0; i < NGX_HTTP_WEIR_PERCENTILES; i++) {

        if (text->len != percentiles[i].len
            || ngx_strncmp(text->data, percentiles[i].data, text->len) != 0)
        {
            continue;
        }

        if (tlcf->percentile != NGX_HTTP_WEIR_PERCENTILES) {
            return "has two percentiles in \"slow=\"";
        }

        tlcf->percentile = i;

        return ngx_http_weir_record_require_percentiles(cf) == NGX_OK
               ? NGX_CONF_OK : NGX_CONF_ERROR;
    }

    slow = ngx_parse_time(text, 0);

    if (slow == (ngx_msec_t) NGX_ERROR || slow == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"weir_trace\"; \"slow=\""
                           " must be a time of at least 1ms, or one of \"p50\","
                           " \"p90\", \"p95\", \"p99\", \"p99.9\"", text);
        return NGX_CONF_ERROR;
    }

    if (tlcf->slow) {
        return "has two times in \"slow=\"";
    }

    tlcf->slow = slow;

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_weir_trace_read_mode(ngx_str_t *value, ngx_uint_t *mode,
    uint64_t *threshold)
{
    if (value->len == 2 && ngx_strncmp(value->data, "on", 2) == 0) {
        *mode = NGX_HTTP_WEIR_TRACE_RATIO;
        *threshold = WEIR_SAMPLING_ALWAYS;
        return NGX_OK;
    }

    if (value->len == 3 && ngx_strncmp(value->data, "off", 3) == 0) {
        *mode = NGX_HTTP_WEIR_TRACE_OFF;
        return NGX_OK;
    }

    if (value->len == 6 && ngx_strncmp(value->data, "parent", 6) == 0) {
        *mode = NGX_HTTP_WEIR_TRACE_PARENT;
        return NGX_OK;
    }

    *mode = NGX_HTTP_WEIR_TRACE_RATIO;

    return ngx_http_weir_trace_read_ratio(value, threshold);
}


/* "1", "0", or "0." and up to 9 digits. */

static ngx_int_t
ngx_http_weir_trace_read_ratio(ngx_str_t *value, uint64_t *threshold)
{
    u_char      *p, *last;
    uint64_t     digits, unit;

    p = value->data;
    last = p + value->len;

    if (p == last || last - p > 11 || (*p != '0' && *p != '1')) {
        return NGX_DECLINED;
    }

    digits = *p++ - '0';
    unit = 1;

    if (p < last && (*p++ != '.' || p == last)) {
        return NGX_DECLINED;
    }

    for ( /* void */ ; p < last; p++) {

        if (*p < '0' || *p > '9') {
            return NGX_DECLINED;
        }

        digits = digits * 10 + (*p - '0');
        unit *= 10;
    }

    if (digits > unit) {
        return NGX_DECLINED;
    }

    *threshold = weir_sampling_threshold((double) digits / (double) unit);

    return NGX_OK;
}


/* "propagate" is extract and inject; B3 is used in the directions given. */

char *
ngx_http_weir_trace_set_context(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_trace_loc_conf_t  *tlcf = conf;

    ngx_str_t   *value;
    ngx_uint_t   i, n, bit, bits;

    static struct {
        char        *word;
        ngx_uint_t   bits;
    } words[] = {
        { "ignore", 0 },
        { "extract", NGX_HTTP_WEIR_TRACE_EXTRACT },
        { "inject", NGX_HTTP_WEIR_TRACE_INJECT },
        { "propagate",
          NGX_HTTP_WEIR_TRACE_EXTRACT|NGX_HTTP_WEIR_TRACE_INJECT }
    };

    if (tlcf->context != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;
    n = sizeof(words) / sizeof(words[0]);

    for (i = 0; i < n && ngx_strcmp(value[1].data, words[i].word) != 0; i++) {
        /* void */
    }

    if (i == n) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"weir_trace_context\"; it"
                           " must be \"ignore\", \"extract\", \"inject\" or"
                           " \"propagate\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    bits = words[i].bits;

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_strcmp(value[i].data, "b3") == 0) {
            bit = NGX_HTTP_WEIR_TRACE_B3;

        } else if (ngx_strcmp(value[i].data, "b3multi") == 0) {
            bit = NGX_HTTP_WEIR_TRACE_B3MULTI;

        } else {
            bit = 0;
        }

        if (bit == 0 || (bits & bit) || bits == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\" in"
                               " \"weir_trace_context\"; \"b3\" and \"b3multi\""
                               " may follow once, but for \"ignore\"",
                               &value[i]);
            return NGX_CONF_ERROR;
        }

        bits |= bit;
    }

    tlcf->context = bits;

    return NGX_CONF_OK;
}


void *
ngx_http_weir_trace_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_weir_trace_loc_conf_t  *tlcf;

    tlcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_trace_loc_conf_t));
    if (tlcf == NULL) {
        return NULL;
    }

    tlcf->mode = NGX_CONF_UNSET_UINT;
    tlcf->context = NGX_CONF_UNSET_UINT;

    return tlcf;
}


char *
ngx_http_weir_trace_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_weir_trace_loc_conf_t  *prev = parent;
    ngx_http_weir_trace_loc_conf_t  *conf = child;

    ngx_http_weir_trace_main_conf_t  *tmcf;

    if (conf->mode == NGX_CONF_UNSET_UINT) {

        if (prev->mode == NGX_CONF_UNSET_UINT) {
            prev->mode = NGX_HTTP_WEIR_TRACE_OFF;
            prev->percentile = NGX_HTTP_WEIR_PERCENTILES;
        }

        conf->mode = prev->mode;
        conf->threshold = prev->threshold;
        conf->tracestate = prev->tracestate;
        conf->sampling = prev->sampling;
        conf->slow = prev->slow;
        conf->percentile = prev->percentile;
        conf->errors = prev->errors;
    }

    ngx_conf_merge_uint_value(conf->context, prev->context,
                              NGX_HTTP_WEIR_TRACE_INJECT);

    tmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_trace_module);

    conf->keeps = conf->slow || conf->errors
                  || conf->percentile != NGX_HTTP_WEIR_PERCENTILES;
    conf->late = tmcf->publish && conf->keeps;

    if (conf->mode != NGX_HTTP_WEIR_TRACE_OFF) {
        conf->known = ngx_http_weir_trace_known_create(cf->pool);

        if (conf->known == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}
