// needs: backend/http/head.c backend/http/chunked.c
/*
 * Request framing of the backend on any bytes, as they come on a kept connection.  The first byte
 * says how the stream is cut into pieces.
 *
 * - Any cutting gives the same requests, bodies and refusals.
 * - What is taken is read by a second, naive reader in the same way: names, framing and length.
 * - Time has a budget per byte, whatever the pieces; memory is that of the caller's buffer.
 */
#include "http/chunked.h"
#include "http/head.h"
#include "budget.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define BODY_MAX 1000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const budget_t budget = {4000, 120, 0, 0};

/* What a stream was understood as: requests, their bodies, and how it ended. */
typedef struct {
    size_t n;
    size_t at[64]; /* where each request ends, in bytes of the stream */
    size_t body_len[64];
    uint32_t body_sum[64];
    int status; /* 0: it ended within a request, or between two */
} reading_t;

/* --- the second reader --------------------------------------------------------------------- */

/* Lines of the head that have that name, and the value of the last of them without blanks. */
static unsigned find(const char *head, size_t len, const char *name, char value[64])
{
    unsigned n = 0;
    const char *end = head + len;

    for (const char *line = memchr(head, '\n', len) + 1, *next; line < end; line = next) {
        next = (const char *)memchr(line, '\n', (size_t)(end - line)) + 1;
        if ((size_t)(next - line) > strlen(name) && strncasecmp(line, name, strlen(name)) == 0 &&
            line[strlen(name)] == ':') {
            const char *v = line + strlen(name) + 1, *v_end = next - 2;

            while (v < v_end && (*v == ' ' || *v == '\t'))
                v++;
            while (v_end > v && (v_end[-1] == ' ' || v_end[-1] == '\t'))
                v_end--;
            snprintf(value, 64, "%.*s", (int)(v_end - v), v);
            n++;
        }
    }

    return n;
}

static void check_head(const weir_head_t *h, const char *original)
{
    char value[64] = "";
    unsigned lengths, codings, hosts;

    assert(h->len >= 4 && h->len <= WEIR_HEAD_MAX);
    assert(memcmp(original + h->len - 4, "\r\n\r\n", 4) == 0);
    assert(memchr(original, '\0', h->len) == NULL);
    for (size_t i = 0; i < h->len; i++)
        assert((original[i] == '\n') == (i > 0 && original[i - 1] == '\r'));
    assert(memmem(original, h->len - 2, "\r\n ", 3) == NULL);
    assert(memmem(original, h->len - 2, "\r\n\t", 3) == NULL);

    hosts = find(original, h->len, "Host", value);
    assert(hosts == 1 || (hosts == 0 && h->minor == 0));
    codings = find(original, h->len, "Transfer-Encoding", value);
    assert(codings == 0 || (codings == 1 && strcasecmp(value, "chunked") == 0));
    lengths = find(original, h->len, "Content-Length", value);
    assert(lengths + codings <= 1);
    assert(h->framing == (codings   ? WEIR_BODY_CHUNKED
                          : lengths ? WEIR_BODY_LENGTH
                                    : WEIR_BODY_NONE));
    if (lengths == 1) {
        for (const char *p = value; *p != '\0'; p++)
            assert(isdigit((unsigned char)*p));
        if (strlen(value) < 20)
            assert(h->length == strtoull(value, NULL, 10));
    }
    assert(weir_head_count(h, "Host") == hosts);
}

/* --- the first reader, in pieces ------------------------------------------------------------- */

typedef struct {
    weir_head_t head;
    weir_chunked_t chunked;
    bool in_body;
    char *in;
    size_t len, begin; /* begin: of the request, in bytes of the stream */
    size_t taken;      /* bytes of the stream that are no longer in the buffer */
    size_t body_len;
    uint32_t sum;
} reader_t;

static void add_content(reader_t *r, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        r->sum = r->sum * 31 + (unsigned char)data[i];
    r->body_len += len;
}

static void drop(reader_t *r, size_t len)
{
    r->len -= len;
    r->taken += len;
    memmove(r->in, r->in + len, r->len);
}

static void end_request(reader_t *r, reading_t *out)
{
    out->at[out->n] = r->taken;
    out->body_len[out->n] = r->body_len;
    out->body_sum[out->n++] = r->sum;
    weir_head_init(&r->head);
    r->in_body = false;
    r->body_len = 0;
    r->sum = 0;
    r->begin = r->taken;
}

/* True when it has gone on. */
static bool read_body(reader_t *r, reading_t *out)
{
    size_t used, content;

    if (r->head.framing == WEIR_BODY_CHUNKED) {
        switch (weir_chunked_decode(&r->chunked, r->in, r->len, &used, &content)) {
        case WEIR_CHUNKED_WRONG:
            out->status = r->chunked.status;
            return false;
        case WEIR_CHUNKED_MORE:
            assert(used == r->len);
            add_content(r, r->in, content);
            drop(r, used);
            return false;
        case WEIR_CHUNKED_WHOLE:
            add_content(r, r->in, content);
            assert(r->body_len <= BODY_MAX);
            drop(r, used);
            break;
        }
    } else {
        used = r->len < r->head.length - r->body_len ? r->len : r->head.length - r->body_len;
        add_content(r, r->in, used);
        drop(r, used);
        if (r->body_len < r->head.length)
            return false;
    }
    end_request(r, out);

    return true;
}

static bool read_head(reader_t *r, const char *stream, reading_t *out)
{
    switch (weir_head_parse(&r->head, r->in, r->len)) {
    case WEIR_HEAD_PARTIAL:
        return false;
    case WEIR_HEAD_WRONG:
        assert(r->head.status >= 400 && r->head.why != NULL);
        out->status = r->head.status;
        return false;
    case WEIR_HEAD_WHOLE:
        break;
    }
    check_head(&r->head, stream + r->begin);
    drop(r, r->head.len);
    r->in_body = true;
    if (r->head.framing == WEIR_BODY_LENGTH && r->head.length > BODY_MAX) {
        out->status = 413;
        return false;
    }
    if (r->head.framing == WEIR_BODY_NONE)
        end_request(r, out);
    else
        weir_chunked_init(&r->chunked, BODY_MAX);

    return true;
}

static void read_stream(const char *stream, size_t size, size_t piece, reading_t *out)
{
    static reader_t r;
    static char buffer[65536];

    memset(&r, 0, sizeof(r));
    memset(out, 0, sizeof(*out));
    r.in = buffer;
    weir_head_init(&r.head);
    for (size_t at = 0; at < size && out->status == 0 && out->n < 64; at += piece) {
        size_t n = size - at < piece ? size - at : piece;

        memcpy(buffer + r.len, stream + at, n);
        r.len += n;
        while (out->status == 0 && out->n < 64 &&
               (r.in_body ? read_body(&r, out) : read_head(&r, stream, out))) {
        }
    }
}

static void run(const uint8_t *data, size_t size)
{
    static reading_t whole, pieces;
    size_t cuts[] = {1, 2, 0, 7};

    if (size < 2)
        return;
    cuts[2] = data[0] + 1u;
    read_stream((const char *)data + 1, size - 1, size, &whole);
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        read_stream((const char *)data + 1, size - 1, cuts[i], &pieces);
        assert(memcmp(&whole, &pieces, sizeof(whole)) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    budget_check(run, data, size, &budget);
    return 0;
}
