/* Signatures of entries; see entry_mac.h. */

#include "cache/entry_mac.h"

#include "common/text/bytes.h"

static void derive(char *key, weir_str_t purpose, weir_str_t secret)
{
    weir_blake2b((uint8_t *)key, WEIR_BLAKE2B_MAX, WEIR_STR(""), purpose, secret);
}

static void add_secret(weir_entry_mac_t *mac, weir_str_t secret)
{
    weir_entry_mac_keys_t *keys = &mac->keys[mac->n++];

    derive(keys->sign, WEIR_STR("weir entry"), secret);
    derive(keys->vary, WEIR_STR("weir vary"), secret);

    if (mac->n == 1)
        weir_blake2b((uint8_t *)&mac->id, sizeof(mac->id), WEIR_STR(""), WEIR_STR("weir id"),
                     secret);
}

static bool is_printable(weir_str_t s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];

        if (c < 0x20 || c == 0x7f)
            return false;
    }

    return true;
}

const char *weir_entry_mac_read(weir_entry_mac_t *mac, weir_str_t text)
{
    const char *p = text.data;

    mac->n = 0;

    if (text.len > WEIR_ENTRY_MAC_FILE_MAX)
        return "it has more than 4096 bytes";

    for (size_t left = text.len; left != 0;) {
        const char *end = memchr(p, '\n', left);
        weir_str_t line = {p, end != NULL ? (size_t)(end - p) : left};

        left -= line.len + (end != NULL);
        p += line.len + (end != NULL);

        if (line.len != 0 && line.data[line.len - 1] == '\r')
            line.len--;

        if (!is_printable(line))
            return "it must be text, one secret per line";

        if (line.len < WEIR_ENTRY_MAC_SECRET_MIN)
            return "a secret must have at least 16 bytes";

        if (mac->n == WEIR_ENTRY_MAC_SECRETS)
            return "it has more than 4 secrets";

        add_secret(mac, line);
    }

    return mac->n != 0 ? NULL : "it is empty";
}

/*
 * Hash of both texts. The length comes first, so that no other pair of texts
 * gives the same input.
 */
static void hash_two(uint8_t *hash, size_t len, const char *key, weir_str_t first,
                     weir_str_t second)
{
    weir_blake2b_t b;
    char prefix[8];

    weir_put64(prefix, first.len);
    weir_blake2b_begin(&b, len, (weir_str_t){key, WEIR_BLAKE2B_MAX}, WEIR_STR(""));
    weir_blake2b_add(&b, (weir_str_t){prefix, sizeof(prefix)});
    weir_blake2b_add(&b, first);
    weir_blake2b_add(&b, second);
    weir_blake2b_end(&b, hash);
}

void weir_entry_mac_sign(const weir_entry_mac_t *mac, weir_str_t name, weir_str_t entry, char *out)
{
    hash_two((uint8_t *)out, WEIR_ENTRY_MAC_LEN, mac->keys[0].sign, name, entry);
}

/* Compares in constant time. */
static bool is_equal(const uint8_t *a, const char *b, size_t n)
{
    volatile uint8_t differ = 0;

    for (size_t i = 0; i < n; i++)
        differ |= a[i] ^ (uint8_t)b[i];

    return differ == 0;
}

bool weir_entry_mac_verify(const weir_entry_mac_t *mac, weir_str_t name, weir_str_t *value)
{
    uint8_t right[WEIR_ENTRY_MAC_LEN];
    weir_str_t entry;

    if (value->len < WEIR_ENTRY_MAC_LEN)
        return false;

    entry = (weir_str_t){value->data, value->len - WEIR_ENTRY_MAC_LEN};

    for (size_t i = 0; i < mac->n; i++) {
        hash_two(right, sizeof(right), mac->keys[i].sign, name, entry);

        if (is_equal(right, entry.data + entry.len, sizeof(right))) {
            *value = entry;
            return true;
        }
    }

    return false;
}

void weir_entry_mac_vary(const weir_entry_mac_t *mac, weir_str_t key, weir_str_t vary, char *out)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t hash[WEIR_ENTRY_MAC_VARY_LEN / 2];

    hash_two(hash, sizeof(hash), mac->keys[0].vary, key, vary);

    for (size_t i = 0; i < sizeof(hash); i++) {
        out[2 * i] = digits[hash[i] >> 4];
        out[2 * i + 1] = digits[hash[i] & 15];
    }
}
