/* Blocks that are used again; see ngx_http_weir_block.h. */

#include <ngx_config.h>
#include <ngx_core.h>

#include "http/block/ngx_http_weir_block.h"


weir_apart ngx_http_weir_block_t *
ngx_http_weir_block_create(ngx_http_weir_blocks_t *blocks)
{
    ngx_http_weir_block_t  *block;

    while (blocks->n > NGX_HTTP_WEIR_BLOCKS) {
        block = blocks->free;
        blocks->free = block->next;
        blocks->n--;

        ngx_free(block);
    }

    return ngx_alloc(blocks->size, ngx_cycle->log);
}
