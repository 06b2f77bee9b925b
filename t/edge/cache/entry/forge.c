/*
 * forge FAULT <entry >forged: an entry as Redis has it, changed in one way and
 * given its size and checksum again, for forged.t.
 */
#include "cache/entry.h"

#include <stdio.h>
#include <stdlib.h>

static char in[1 << 20], headers[1 << 16], out[1 << 20];

static const struct {
    const char *fault, *name, *value;
} fields[] = {
    {"value", "X-A", "b\r\nX-Split: yes"},       {"name", "X-B: b\r\nX-Split: yes\r\nX-C", "c"},
    {"etag", "ETag", "\"x\"\r\nX-Split: yes"},   {"nul", "X-A", "b\x01"},
    {"framing", "Transfer-Encoding", "chunked"}, {"length", "Content-Length", "5"},
    {"cookie", "Set-Cookie", "X-Split=yes"},     {"range", "Content-Range", "bytes 0-1/2"},
};

int main(int argc, char **argv)
{
    const char *fault = argc > 1 ? argv[1] : "none";
    size_t n = fread(in, 1, sizeof(in), stdin), size;
    weir_entry_t e;
    char *p;

    if (weir_entry_decode((weir_str_t){in, n}, &e) != NULL)
        return 2;

    memcpy(headers, e.headers.data, e.headers.len);
    p = headers + e.headers.len;

    if (e.status != 0)
        p = weir_entry_put_header(p, WEIR_STR("X-Forged"), WEIR_STR("yes"));

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (strcmp(fault, fields[i].fault) == 0)
            p = weir_entry_put_header(p, weir_str(fields[i].name), weir_str(fields[i].value));
    }

    if (strncmp(fault, "status-", 7) == 0)
        e.status = (uint32_t)atoi(fault + 7);
    if (strncmp(fault, "flags-", 6) == 0)
        e.flags |= (uint32_t)atoi(fault + 6);
    if (strncmp(fault, "stored-", 7) == 0)
        e.stored += atoll(fault + 7);
    if (strcmp(fault, "lifetime") == 0)
        e.lifetime = UINT32_MAX;

    /* what a pointer leads to, as somebody would write it who wants a loop */
    if (strncmp(fault, "vary-", 5) == 0) {
        e.vary = weir_str(fault + 5);
        e.flags |= WEIR_ENTRY_VARIANT;
    }

    e.headers = (weir_str_t){headers, (size_t)(p - headers)};
    size = weir_entry_head_size(&e) + e.body.len;
    p = weir_entry_begin(out, &e);
    memcpy(p, e.body.data, e.body.len);
    weir_entry_finish(out, size);
    fwrite(out, 1, size, stdout);

    return 0;
}
