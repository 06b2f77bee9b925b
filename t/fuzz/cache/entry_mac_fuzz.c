// needs: ngx_module/cache/entry_mac.c common/hash/blake2b.c ngx_module/cache/entry.c
// needs: ngx_module/cache/checksum.c ngx_module/cache/checksum_avx2.c
// needs: ngx_module/cache/entry_check.c ngx_module/cache/policy/range.c
// needs: ngx_module/cache/policy/vary.c
/*
 * Signed values of Redis from any bytes, and files of secrets.  A value that
 * nobody has signed never verifies; one that was signed does, until a bit of it
 * or its name is another.
 */
#include "cache/entry_check.h"
#include "cache/entry_mac.h"
#include "budget.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const budget_t budget = {40000, 60, 1024, 8};

static void read_file(weir_str_t text)
{
    weir_entry_mac_t mac;
    size_t lines = 1;

    for (size_t i = 0; i + 1 < text.len; i++)
        lines += text.data[i] == '\n';

    if (weir_entry_mac_read(&mac, text) != NULL)
        return;

    assert(mac.n == lines && mac.n <= WEIR_ENTRY_MAC_SECRETS);
    assert(text.len >= mac.n * WEIR_ENTRY_MAC_SECRET_MIN);
}

/* As the edge reads what Redis returns. */
static bool take(const weir_entry_mac_t *mac, weir_str_t name, weir_str_t value)
{
    weir_entry_t entry;

    if (!weir_entry_mac_verify(mac, name, &value))
        return false;

    if (weir_entry_decode(value, &entry) == NULL)
        (void)weir_entry_check(&entry, 1700000000000);

    return true;
}

static void run(const uint8_t *data, size_t size)
{
    weir_entry_mac_t mac;
    weir_str_t name = WEIR_STR("weir:cache:z:{1}"), other = WEIR_STR("weir:cache:y:{1}"), value;
    char *copy;

    read_file((weir_str_t){(const char *)data, size});
    assert(weir_entry_mac_read(&mac, WEIR_STR("a first secret 01\na second secret 0")) == NULL);
    assert(!take(&mac, name, (weir_str_t){(const char *)data, size}));

    copy = malloc(size + WEIR_ENTRY_MAC_LEN);
    assert(copy != NULL);
    if (size != 0)
        memcpy(copy, data, size);
    value = (weir_str_t){copy, size + WEIR_ENTRY_MAC_LEN};
    weir_entry_mac_sign(&mac, name, (weir_str_t){copy, size}, copy + size);

    assert(take(&mac, name, value));
    assert(!take(&mac, other, value));

    if (size != 0) {
        copy[data[0] * size / 256] ^= (char)(1 << data[size - 1] % 8);
        assert(!take(&mac, name, value));
    }

    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    budget_check(run, data, size, &budget);
    return 0;
}
