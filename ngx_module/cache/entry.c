/* Encoding and decoding of cached responses; see entry.h for the format. */

#include "cache/entry.h"

#include "cache/checksum.h"

#include "common/text/bytes.h"

static const char magic[8] = {'W', 'E', 'I', 'R', 'C', 'E', 0, 3};

enum {
    AT_CHECKSUM = 8,
    AT_SIZE = 16,
    AT_FLAGS = 24,
    AT_STATUS = 28,
    AT_STORED = 32,
    AT_INITIAL_AGE = 40,
    AT_LIFETIME = 44,
    AT_STALE_WHILE_REVALIDATE = 48,
    AT_STALE_IF_ERROR = 52,
    AT_ERA = 56,
    AT_POSITION_MS = 64,
    AT_POSITION_SEQ = 72,
    AT_ORIGIN = 80,
    AT_LOCAL = 88,
    AT_KEY_LEN = 96,
    AT_VARY_LEN = 100,
    AT_TAGS_LEN = 104,
    AT_HEADERS_LEN = 108,
    AT_STRINGS = 112
};

static char *put_str(char *p, weir_str_t s)
{
    if (s.len != 0)
        memcpy(p, s.data, s.len);

    return p + s.len;
}

size_t weir_entry_head_size(const weir_entry_t *e)
{
    return AT_STRINGS + e->key.len + e->vary.len + e->tags.len + e->headers.len;
}

char *weir_entry_begin(char *buf, const weir_entry_t *e)
{
    char *p;

    memcpy(buf, magic, sizeof(magic));
    weir_put32(buf + AT_FLAGS, e->flags);
    weir_put32(buf + AT_STATUS, e->status);
    weir_put64(buf + AT_STORED, (uint64_t)e->stored);
    weir_put32(buf + AT_INITIAL_AGE, e->initial_age);
    weir_put32(buf + AT_LIFETIME, e->lifetime);
    weir_put32(buf + AT_STALE_WHILE_REVALIDATE, e->stale_while_revalidate);
    weir_put32(buf + AT_STALE_IF_ERROR, e->stale_if_error);
    weir_put64(buf + AT_ERA, e->era);
    weir_put64(buf + AT_POSITION_MS, e->position_ms);
    weir_put64(buf + AT_POSITION_SEQ, e->position_seq);
    weir_put64(buf + AT_ORIGIN, e->origin);
    weir_put64(buf + AT_LOCAL, e->local);
    weir_put32(buf + AT_KEY_LEN, (uint32_t)e->key.len);
    weir_put32(buf + AT_VARY_LEN, (uint32_t)e->vary.len);
    weir_put32(buf + AT_TAGS_LEN, (uint32_t)e->tags.len);
    weir_put32(buf + AT_HEADERS_LEN, (uint32_t)e->headers.len);

    p = put_str(buf + AT_STRINGS, e->key);
    p = put_str(p, e->vary);
    p = put_str(p, e->tags);

    return put_str(p, e->headers);
}

void weir_entry_set_local(char *buf, uint64_t local)
{
    weir_put64(buf + AT_LOCAL, local);
}

void weir_entry_finish(char *buf, size_t size)
{
    weir_put64(buf + AT_SIZE, size);
    weir_put64(buf + AT_CHECKSUM, weir_checksum(buf + AT_SIZE, size - AT_SIZE));
}

int64_t weir_entry_stored(const char *data)
{
    return (int64_t)weir_get64(data + AT_STORED);
}

bool weir_entry_is_pointer(const char *data)
{
    return weir_get32(data + AT_FLAGS) & WEIR_ENTRY_VARY_POINTER;
}

size_t weir_entry_header_size(weir_str_t name, weir_str_t value)
{
    return 6 + name.len + value.len;
}

char *weir_entry_put_header(char *p, weir_str_t name, weir_str_t value)
{
    p[0] = (char)name.len;
    p[1] = (char)(name.len >> 8);
    weir_put32(p + 2, (uint32_t)value.len);

    return put_str(put_str(p + 6, name), value);
}

bool weir_entry_next_header(weir_str_t headers, size_t *pos, weir_str_t *name, weir_str_t *value)
{
    const char *p;
    size_t left = headers.len - *pos, name_len, value_len;

    if (left < 6)
        return false;

    p = headers.data + *pos;
    name_len = (size_t)(unsigned char)p[0] | (size_t)(unsigned char)p[1] << 8;
    value_len = weir_get32(p + 2);

    if (name_len > left - 6 || value_len > left - 6 - name_len)
        return false;

    *name = (weir_str_t){p + 6, name_len};
    *value = (weir_str_t){p + 6 + name_len, value_len};
    *pos += 6 + name_len + value_len;

    return true;
}

static bool headers_are_well_formed(weir_str_t headers)
{
    weir_str_t name, value;
    size_t pos = 0, n = 0;

    while (weir_entry_next_header(headers, &pos, &name, &value)) {
        if (name.len == 0 || ++n > WEIR_ENTRY_HEADERS_MAX)
            return false;
    }

    return pos == headers.len;
}

const char *weir_entry_view(weir_str_t data, weir_entry_t *e)
{
    const char *p = data.data;
    size_t left;
    weir_str_t *strings[] = {&e->key, &e->vary, &e->tags, &e->headers};

    if (data.len < AT_STRINGS)
        return "too short";

    if (memcmp(p, magic, sizeof(magic)) != 0)
        return memcmp(p, magic, sizeof(magic) - 1) == 0 ? "another version" : "no cache entry";

    if (weir_get64(p + AT_SIZE) != data.len)
        return "wrong size";

    e->flags = weir_get32(p + AT_FLAGS);
    e->status = weir_get32(p + AT_STATUS);
    e->stored = (int64_t)weir_get64(p + AT_STORED);
    e->initial_age = weir_get32(p + AT_INITIAL_AGE);
    e->lifetime = weir_get32(p + AT_LIFETIME);
    e->stale_while_revalidate = weir_get32(p + AT_STALE_WHILE_REVALIDATE);
    e->stale_if_error = weir_get32(p + AT_STALE_IF_ERROR);
    e->era = weir_get64(p + AT_ERA);
    e->position_ms = weir_get64(p + AT_POSITION_MS);
    e->position_seq = weir_get64(p + AT_POSITION_SEQ);
    e->origin = weir_get64(p + AT_ORIGIN);
    e->local = weir_get64(p + AT_LOCAL);

    if (e->flags & WEIR_ENTRY_VARY_POINTER ? e->status != 0 : e->status < 200 || e->status > 999)
        return "wrong status";

    left = data.len - AT_STRINGS;
    p += AT_STRINGS;

    for (int i = 0; i < 4; i++) {
        size_t len = weir_get32(data.data + AT_KEY_LEN + 4 * i);

        if (len > left)
            return "wrong lengths";

        *strings[i] = (weir_str_t){p, len};
        p += len;
        left -= len;
    }

    e->body = (weir_str_t){p, left};

    return NULL;
}

const char *weir_entry_decode(weir_str_t data, weir_entry_t *e)
{
    const char *wrong = weir_entry_view(data, e);

    if (wrong != NULL)
        return wrong;

    if (weir_get64(data.data + AT_CHECKSUM) !=
        weir_checksum(data.data + AT_SIZE, data.len - AT_SIZE))
        return "wrong checksum";

    return headers_are_well_formed(e->headers) ? NULL : "malformed headers";
}
