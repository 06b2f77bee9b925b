/*
 * Memory that a request needs for itself until its pool is destroyed, in blocks of
 * one size, which the worker uses again.  A block of the pool's own memory is cleared
 * or cut to size each time, and where it makes the pool need one piece of memory
 * more, that takes as long as all of the block's use.
 *
 * Invariant: a block that was given back is not freed at once, as the pool that is
 * being destroyed still reads its cleanup.
 */

#ifndef _NGX_HTTP_WEIR_BLOCK_H_INCLUDED_
#define _NGX_HTTP_WEIR_BLOCK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "common/hint.h"


/* Free blocks that are kept; with AddressSanitizer, each is freed before another
   one is taken, so that a use after the end is found. */
#if defined(__SANITIZE_ADDRESS__)
#define NGX_HTTP_WEIR_BLOCKS  0
#else
#define NGX_HTTP_WEIR_BLOCKS  512
#endif


typedef struct ngx_http_weir_block_s  ngx_http_weir_block_t;

/* First member of a block. */
struct ngx_http_weir_block_s {
    ngx_pool_cleanup_t       cleanup;      /* of the pool; its data is the block */
    ngx_http_weir_block_t   *next;         /* of free ones */
};


/* Of this process. */
typedef struct {
    size_t                   size;         /* of each block, bytes */
    ngx_pool_cleanup_pt      handler;      /* identifies blocks in a pool; calls
                                              give */
    ngx_http_weir_block_t   *free;         /* the last one that was given back
                                              first */
    ngx_uint_t               n;            /* free ones */
} ngx_http_weir_blocks_t;


/* Frees those that are too many, and allocates one; NULL: no memory. */
ngx_http_weir_block_t *ngx_http_weir_block_create(
    ngx_http_weir_blocks_t *blocks);


/* A block, with undefined content, for as long as the pool lives; NULL: no memory. */

static ngx_inline void *
ngx_http_weir_block_take(ngx_http_weir_blocks_t *blocks, ngx_pool_t *pool)
{
    ngx_http_weir_block_t  *block;

    if (blocks->n - 1 < NGX_HTTP_WEIR_BLOCKS) {
        block = blocks->free;
        blocks->free = block->next;
        blocks->n--;

    } else {
        block = ngx_http_weir_block_create(blocks);
        if (block == NULL) {
            return NULL;
        }
    }

    /* ngx_pool_cleanup_add() */

    block->cleanup.handler = blocks->handler;
    block->cleanup.data = block;
    block->cleanup.next = pool->cleanup;
    pool->cleanup = &block->cleanup;

    return block;
}


/* For the handler. */

static ngx_inline void
ngx_http_weir_block_give(ngx_http_weir_blocks_t *blocks,
    ngx_http_weir_block_t *block)
{
    block->next = blocks->free;
    blocks->free = block;
    blocks->n++;
}


#endif /* _NGX_HTTP_WEIR_BLOCK_H_INCLUDED_ */
