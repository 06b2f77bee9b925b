// needs: ngx_module/cache/entry.c ngx_module/cache/checksum.c ngx_module/cache/checksum_avx2.c
// needs: ngx_module/cache/entry_check.c ngx_module/cache/policy/range.c
// needs: ngx_module/cache/policy/vary.c
/*
 * Cache entries from any bytes: read as they are, then with size and checksum
 * put right, so that what lies behind them is reached.  What passes the checks
 * for entries of Redis splits no message.
 */
#include "cache/entry_check.h"
#include "budget.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A list of Vary may have a name in two bytes, which is compared with 16 others. */
static const budget_t budget = {1000, 40, 1024, 8};

static void check(const char *data, size_t size)
{
    weir_entry_t entry;
    weir_str_t name, value;
    size_t pos = 0, n = 0, head;
    char *again;

    if (weir_entry_decode((weir_str_t){data, size}, &entry) != NULL)
        return;

    while (weir_entry_next_header(entry.headers, &pos, &name, &value)) {
        assert(name.len > 0);
        assert(value.len == 0 || value.data + value.len <= data + size);
        n++;
    }
    assert(n <= WEIR_ENTRY_HEADERS_MAX && pos == entry.headers.len);

    if (weir_entry_check(&entry, 1700000000000) == NULL) {
        for (pos = 0; weir_entry_next_header(entry.headers, &pos, &name, &value);) {
            for (size_t i = 0; i < name.len + value.len; i++)
                assert(name.data[i] != '\r' && name.data[i] != '\n' && name.data[i] != '\0');
            assert(!weir_str_caseeq(name, WEIR_STR("Content-Length")));
        }
        assert(entry.status == 0 || (entry.status >= 200 && entry.status < 600));
    }

    /* what was read is written as it was */
    head = weir_entry_head_size(&entry);
    assert(head + entry.body.len == size);
    again = malloc(size);
    assert(again != NULL);
    assert(weir_entry_begin(again, &entry) == again + head);
    if (entry.body.len != 0)
        memcpy(again + head, entry.body.data, entry.body.len);
    weir_entry_finish(again, size);
    assert(memcmp(again, data, size) == 0);
    free(again);
}

static void run(const uint8_t *data, size_t size)
{
    static const weir_entry_t none;
    char *copy, magic[8];

    check((const char *)data, size);

    if (size < weir_entry_head_size(&none))
        return;

    copy = malloc(size);
    assert(copy != NULL);
    weir_entry_begin(copy, &none);
    memcpy(magic, copy, sizeof(magic));
    memcpy(copy, data, size);
    memcpy(copy, magic, sizeof(magic));
    weir_entry_finish(copy, size);
    check(copy, size);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    budget_check(run, data, size, &budget);
    return 0;
}
