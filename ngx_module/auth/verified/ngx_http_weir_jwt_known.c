/*
 * Tokens that a worker knows; see ngx_http_weir_jwt_known.h.
 *
 * The hash is that of the end of the text, which is the signature's.  Nobody but
 * the issuer can make another token that is verified and ends so, and others are
 * not in the table; the whole text is compared in any case.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/verified/ngx_http_weir_jwt_known.h"
#include "common/ids/random.h"
#include "http/ngx_http_weir_assert.h"


/* Characters at the end of the text, of which the first eight are hashed: each
   of them has six bits of the signature. */
#define NGX_HTTP_WEIR_JWT_KNOWN_TAIL  32


static uint64_t ngx_http_weir_jwt_known_hash(
    ngx_http_weir_jwt_known_table_t *table, weir_str_t text);


ngx_http_weir_jwt_known_table_t *
ngx_http_weir_jwt_known_create(ngx_log_t *log)
{
    ngx_http_weir_jwt_known_table_t  *table;

    table = ngx_calloc(sizeof(ngx_http_weir_jwt_known_table_t), log);
    if (table == NULL) {
        return NULL;
    }

    weir_random(table->seed, sizeof(table->seed));
    ngx_queue_init(&table->queue);

    return table;
}


void
ngx_http_weir_jwt_known_destroy(ngx_http_weir_jwt_known_table_t *table)
{
    ngx_queue_t  *q;

    while (!ngx_queue_empty(&table->queue)) {
        q = ngx_queue_head(&table->queue);
        ngx_http_weir_jwt_known_forget(table,
                        ngx_queue_data(q, ngx_http_weir_jwt_known_t, queue));
    }

    ngx_free(table);
}


static uint64_t
ngx_http_weir_jwt_known_hash(ngx_http_weir_jwt_known_table_t *table,
    weir_str_t text)
{
    uint64_t     seed, word;
    const char  *last;

    if (text.len < NGX_HTTP_WEIR_JWT_KNOWN_TAIL) {
        return 0;
    }

    ngx_memcpy(&seed, table->seed, sizeof(seed));

    last = text.data + text.len;
    ngx_memcpy(&word, last - NGX_HTTP_WEIR_JWT_KNOWN_TAIL, sizeof(word));

    /* the high half of a product depends on all bits of a word */

    seed = (word ^ seed) * 0x9e3779b97f4a7c15;

    return seed >> 32 ^ seed;
}


ngx_http_weir_jwt_known_t *
ngx_http_weir_jwt_known_find(ngx_http_weir_jwt_known_table_t *table,
    weir_str_t text, void **issuers, ngx_uint_t n)
{
    uint64_t                    hash;
    ngx_uint_t                  i;
    ngx_http_weir_jwt_known_t  *known;

    hash = ngx_http_weir_jwt_known_hash(table, text);
    known = table->buckets[hash & (NGX_HTTP_WEIR_JWT_KNOWN_BUCKETS - 1)];

    for ( /* void */ ; known; known = known->chain) {

        if (known->hash != hash || known->text.len != text.len
            || ngx_memcmp(known->text.data, text.data, text.len) != 0)
        {
            continue;
        }

        for (i = 0; i < n && issuers[i] != known->issuer; i++) {
            /* void */
        }

        if (i < n) {
            break;
        }
    }

    if (known && ngx_queue_head(&table->queue) != &known->queue) {
        ngx_queue_remove(&known->queue);
        ngx_queue_insert_head(&table->queue, &known->queue);
    }

    return known;
}


ngx_http_weir_jwt_known_t *
ngx_http_weir_jwt_known_add(ngx_http_weir_jwt_known_table_t *table,
    weir_str_t text, weir_token_t *token, ngx_log_t *log)
{
    ngx_queue_t                 *q;
    ngx_http_weir_jwt_known_t   *known, **bucket;

    known = ngx_alloc(sizeof(ngx_http_weir_jwt_known_t) + text.len, log);
    if (known == NULL) {
        return NULL;
    }

    ngx_memzero(known, sizeof(ngx_http_weir_jwt_known_t));

    known->text.data = (char *) (known + 1);
    known->text.len = text.len;
    ngx_memcpy(known + 1, text.data, text.len);

    known->token = *token;
    known->token.signed_text.data = known->text.data;
    ngx_memzero(token, sizeof(weir_token_t));

    while (table->n
           && (table->n >= NGX_HTTP_WEIR_JWT_KNOWN_MAX
               || table->bytes + text.len > NGX_HTTP_WEIR_JWT_KNOWN_BYTES))
    {
        q = ngx_queue_last(&table->queue);
        ngx_http_weir_jwt_known_forget(table,
                        ngx_queue_data(q, ngx_http_weir_jwt_known_t, queue));
    }

    known->hash = ngx_http_weir_jwt_known_hash(table, known->text);
    known->refs = 1;

    bucket = &table->buckets[known->hash
                             & (NGX_HTTP_WEIR_JWT_KNOWN_BUCKETS - 1)];
    known->chain = *bucket;
    *bucket = known;

    ngx_queue_insert_head(&table->queue, &known->queue);
    table->bytes += text.len;
    table->n++;

    return known;
}


void
ngx_http_weir_jwt_known_forget(ngx_http_weir_jwt_known_table_t *table,
    ngx_http_weir_jwt_known_t *known)
{
    ngx_http_weir_jwt_known_t  **at;

    /* the queue is a ring, whose last element is another one each time */

    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
    at = &table->buckets[known->hash & (NGX_HTTP_WEIR_JWT_KNOWN_BUCKETS - 1)];

    while (*at != known) {
        ngx_http_weir_assert(*at != NULL);
        at = &(*at)->chain;
    }

    *at = known->chain;
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
    ngx_queue_remove(&known->queue);
    table->bytes -= known->text.len;
    table->n--;

    ngx_http_weir_jwt_known_release(known);
}


void
ngx_http_weir_jwt_known_release(ngx_http_weir_jwt_known_t *known)
{
    ngx_http_weir_assert(known->refs > 0);

    if (--known->refs == 0) {
        weir_token_release(&known->token);
        ngx_free(known);
    }
}
