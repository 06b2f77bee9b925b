/*
 * The variant of a flag for a request, and its context.  See
 * ngx_http_weir_flag.h.
 *
 * What was evaluated is kept as a cleanup of the request's pool: an internal
 * redirect clears the contexts of modules.
 *
 * Where a flag depends on the key alone, the worker keeps its answers for some
 * keys.  Invariant: an answer points into the flag of its generation, and is not
 * used in another one; the generation grows before a flag is freed.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "flag/ngx_http_weir_flag.h"
#include "http/block/ngx_http_weir_block.h"


/* Bytes of a variant's name and value that need no memory of the pool. */
#define NGX_HTTP_WEIR_FLAG_TEXT  128


typedef struct {
    ngx_http_weir_block_t             block;  /* first member */
    ngx_http_weir_flag_t             *flag;   /* NULL: not evaluated */
    ngx_str_t                         variant;
    ngx_str_t                         value;
    u_char                            text[NGX_HTTP_WEIR_FLAG_TEXT];
} ngx_http_weir_flag_answer_t;


static void ngx_http_weir_flag_request_cleanup(void *data);
static ngx_int_t ngx_http_weir_flag_request_evaluate(ngx_http_request_t *r,
    ngx_http_weir_flag_t *wanted, ngx_http_weir_flag_answer_t *answer);
static const weir_flag_variant_t *ngx_http_weir_flag_request_remember(
    ngx_http_weir_flag_t *wanted, weir_flag_context_t *context);
static ngx_int_t ngx_http_weir_flag_request_key(ngx_http_request_t *r,
    ngx_http_weir_flag_t *flag, weir_str_t *key);
static bool ngx_http_weir_flag_request_lookup(void *data, weir_str_t name,
    weir_flag_value_t *value);
static ngx_int_t ngx_http_weir_flag_request_copy(ngx_pool_t *pool,
    ngx_http_weir_flag_answer_t *answer, const weir_flag_variant_t *variant);


static ngx_http_weir_blocks_t  ngx_http_weir_flag_request_blocks = {
    sizeof(ngx_http_weir_flag_answer_t), ngx_http_weir_flag_request_cleanup,
    NULL, 0
};


ngx_int_t
ngx_http_weir_flag_request(ngx_http_request_t *r, ngx_http_weir_flag_t *flag,
    ngx_str_t *variant, ngx_str_t *value)
{
    ngx_pool_cleanup_t           *cln;
    ngx_http_weir_flag_answer_t  *answer;

    /* subrequests share the pool of their request */

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler != ngx_http_weir_flag_request_cleanup) {
            continue;
        }

        answer = cln->data;

        if (answer->flag == flag) {
            goto found;
        }
    }

    answer = ngx_http_weir_block_take(&ngx_http_weir_flag_request_blocks,
                                      r->pool);
    if (answer == NULL) {
        return NGX_ERROR;
    }

    answer->flag = NULL;
    ngx_str_null(&answer->variant);

    if (ngx_http_weir_flag_request_evaluate(r, flag, answer) != NGX_OK) {
        return NGX_ERROR;
    }

    /* until now a key that is made of the flag itself has found nothing */

    answer->flag = flag;

found:

    *variant = answer->variant;
    *value = answer->value;

    return NGX_OK;
}


ngx_http_weir_flag_t *
ngx_http_weir_flag_request_find(ngx_http_request_t *r, u_char *name, size_t len)
{
    ngx_uint_t                      i;
    ngx_http_weir_flag_t          **flags;
    ngx_http_weir_flag_loc_conf_t  *flcf;

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_flag_module);

    if (flcf->flags == NULL) {
        return NULL;
    }

    flags = flcf->flags->elts;

    for (i = 0; i < flcf->flags->nelts; i++) {
        if (flags[i]->variable.len == len
            && ngx_memcmp(flags[i]->variable.data, name, len) == 0)
        {
            return flags[i];
        }
    }

    return NULL;
}


static void
ngx_http_weir_flag_request_cleanup(void *data)
{
    ngx_http_weir_block_give(&ngx_http_weir_flag_request_blocks, data);
}


static ngx_int_t
ngx_http_weir_flag_request_evaluate(ngx_http_request_t *r,
    ngx_http_weir_flag_t *wanted, ngx_http_weir_flag_answer_t *answer)
{
    weir_flag_t                     *flag;
    weir_flag_reason_t               reason;
    weir_flag_context_t              context;
    const weir_flag_variant_t       *variant;
    ngx_http_weir_flag_main_conf_t  *fmcf;

    fmcf = ngx_http_get_module_main_conf(r, ngx_http_weir_flag_module);

    answer->value = wanted->fallback;

    if (ngx_http_weir_flag_request_key(r, wanted, &context.key)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    context.time = ngx_time();
    context.lookup = ngx_http_weir_flag_request_lookup;
    context.data = r;

    flag = ngx_http_weir_flag_zone_get(fmcf, wanted);
    if (flag == NULL) {
        return NGX_OK;
    }

    if (weir_flag_is_by_key(flag)) {
        variant = ngx_http_weir_flag_request_remember(wanted, &context);

    } else {
        /* attributes may be made of other flags */

        fmcf->evaluating++;
        variant = weir_flag_evaluate(flag, &context, &reason);
        fmcf->evaluating--;
    }

    if (variant == NULL) {
        return NGX_OK;
    }

    return ngx_http_weir_flag_request_copy(r->pool, answer, variant);
}


/*
 * The variant that the known flag has for the key.  A key has one place, which
 * its last bytes choose: addresses of neighbours differ there.
 */

static const weir_flag_variant_t *
ngx_http_weir_flag_request_remember(ngx_http_weir_flag_t *wanted,
    weir_flag_context_t *context)
{
    uint64_t                    last;
    weir_str_t                  key;
    weir_flag_reason_t          reason;
    ngx_http_weir_flag_memo_t  *memo;

    key = context->key;

    if (key.len < sizeof(last) - 1 || key.len > NGX_HTTP_WEIR_FLAG_MEMO_KEY) {
        return weir_flag_evaluate(wanted->known, context, &reason);
    }

    last = 0;
    ngx_memcpy(&last, key.data + key.len - (sizeof(last) - 1),
               sizeof(last) - 1);
    last = (last ^ key.len) * 0x9e3779b97f4a7c15;
    memo = &wanted->memos[(last >> 32) % NGX_HTTP_WEIR_FLAG_MEMOS];

    if (memo->generation == wanted->generation && memo->len == key.len
        && ngx_memcmp(memo->key, key.data, key.len) == 0)
    {
        return memo->variant;
    }

    memo->variant = weir_flag_evaluate(wanted->known, context, &reason);
    memo->generation = wanted->generation;
    memo->len = key.len;
    ngx_memcpy(memo->key, key.data, key.len);

    return memo->variant;
}


/* A variable that is set and not empty. */

static ngx_uint_t
ngx_http_weir_flag_request_variable(ngx_http_request_t *r, ngx_int_t index,
    weir_str_t *text)
{
    ngx_http_variable_value_t  *v;

    v = ngx_http_get_flushed_variable(r, index);

    if (v == NULL || v->not_found || v->len == 0) {
        return 0;
    }

    text->data = (char *) v->data;
    text->len = v->len;

    return 1;
}


static ngx_int_t
ngx_http_weir_flag_request_key(ngx_http_request_t *r,
    ngx_http_weir_flag_t *flag, weir_str_t *key)
{
    ngx_str_t                        value;
    ngx_http_weir_flag_main_conf_t  *fmcf;

    key->data = NULL;
    key->len = 0;

    if (flag->index != NGX_ERROR) {
        if (ngx_http_weir_flag_request_variable(r, flag->index, key)) {
            return NGX_OK;
        }

    } else if (flag->key) {
        if (ngx_http_complex_value(r, flag->key, &value) != NGX_OK) {
            return NGX_ERROR;
        }

        if (value.len) {
            key->data = (char *) value.data;
            key->len = value.len;
            return NGX_OK;
        }
    }

    fmcf = ngx_http_get_module_main_conf(r, ngx_http_weir_flag_module);

    if (!ngx_http_weir_flag_request_variable(r, fmcf->subject, key)) {

        /* $remote_addr */

        key->data = (char *) r->connection->addr_text.data;
        key->len = r->connection->addr_text.len;
    }

    return NGX_OK;
}


/* Attributes are texts; one that is empty is not there. */

static bool
ngx_http_weir_flag_request_lookup(void *data, weir_str_t name,
    weir_flag_value_t *value)
{
    ngx_str_t                        text;
    ngx_uint_t                       i;
    ngx_http_request_t              *r = data;
    ngx_http_weir_flag_loc_conf_t   *flcf;
    ngx_http_weir_flag_main_conf_t  *fmcf;
    ngx_http_weir_flag_attribute_t  *a;

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_flag_module);

    value->type = WEIR_FLAG_STRING;

    if (flcf->context) {
        a = flcf->context->elts;

        for (i = 0; i < flcf->context->nelts; i++) {

            if (a[i].name.len != name.len
                || ngx_memcmp(a[i].name.data, name.data, name.len) != 0)
            {
                continue;
            }

            if (ngx_http_complex_value(r, a[i].value, &text) != NGX_OK
                || text.len == 0)
            {
                return false;
            }

            value->text.data = (char *) text.data;
            value->text.len = text.len;

            return true;
        }
    }

    fmcf = ngx_http_get_module_main_conf(r, ngx_http_weir_flag_module);

    if (weir_str_eq(name, WEIR_STR("version"))) {
        return ngx_http_weir_flag_request_variable(r, fmcf->version,
                                                   &value->text);
    }

    if (weir_str_eq(name, WEIR_STR("ip"))) {
        return ngx_http_weir_flag_request_variable(r, fmcf->address,
                                                   &value->text);
    }

    return false;
}


/* The flag itself may be another one before the request ends. */

static ngx_int_t
ngx_http_weir_flag_request_copy(ngx_pool_t *pool,
    ngx_http_weir_flag_answer_t *answer, const weir_flag_variant_t *variant)
{
    u_char  *p;
    size_t   len;

    p = answer->text;
    len = variant->name.len + variant->text.len;

    if (len > NGX_HTTP_WEIR_FLAG_TEXT) {
        p = ngx_pnalloc(pool, len);
        if (p == NULL) {
            return NGX_ERROR;
        }
    }

    answer->variant.data = p;
    answer->variant.len = variant->name.len;
    p = ngx_cpymem(p, variant->name.data, variant->name.len);

    answer->value.data = p;
    answer->value.len = variant->text.len;
    ngx_memcpy(p, variant->text.data, variant->text.len);

    return NGX_OK;
}
