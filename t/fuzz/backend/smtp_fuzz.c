// uses: libevent jansson
// needs: backend/outbound/smtp/protocol.c backend/log/alloc.c
/*
 * What a mail server says, any bytes, cut into pieces as the first byte says.
 *
 * - Any cutting gives the same replies, and a second, naive reader finds the same.
 * - A text of the same bytes does not end before its end, and the server reads it as it was.
 */
#include "outbound/smtp/protocol.h"

#include "budget.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Per byte: in pieces of one byte, each is a call. */
static const budget_t budget = {500, 20, 0, 0};

typedef struct {
    size_t n;
    int codes[64];
    int malformed;
} replies_t;

static replies_t read_in(const char *data, size_t len, size_t piece)
{
    weir_smtp_reply_t reply = {0};
    replies_t r = {0};

    for (size_t at = 0, used; at < len && r.n < 64 && !r.malformed; at += used) {
        size_t left = len - at;

        switch (weir_smtp_reply_read(&reply, data + at, left < piece ? left : piece, &used)) {
        case WEIR_SMTP_REPLY_WHOLE:
            assert(data[at + used - 1] == '\n');
            r.codes[r.n++] = reply.code;
            break;
        case WEIR_SMTP_REPLY_MALFORMED:
            r.malformed = 1;
            break;
        case WEIR_SMTP_REPLY_PARTIAL:
            assert(used == (left < piece ? left : piece));
            break;
        }
        assert(used > 0 && strlen(reply.line) < sizeof(reply.line));
        for (const char *p = reply.line; *p != '\0'; p++)
            assert((unsigned char)*p >= ' ' && *p != 0x7f);
    }
    return r;
}

/* Line by line, of a whole copy without CR. */
static replies_t read_naively(const char *data, size_t len)
{
    replies_t r = {0};
    char *text = malloc(len + 1), *line, *end;
    size_t n = 0;
    int first = 0;

    assert(text != NULL);
    for (size_t i = 0; i < len; i++)
        if (data[i] != '\r')
            text[n++] = data[i] == '\0' ? ' ' : data[i];
    text[n] = '\0';
    for (line = text; r.n < 64 && (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        if (strspn(line, "0123456789") != 3 || line[0] < '2' || line[0] > '5' ||
            ((unsigned char)line[3] > ' ' && line[3] != '-' && line[3] != 0x7f)) {
            r.malformed = 1;
            break;
        }
        if (first != 0 && atoi(line) != first) {
            r.malformed = 1;
            break;
        }
        first = line[3] == '-' ? atoi(line) : 0;
        if (first == 0)
            r.codes[r.n++] = atoi(line);
    }
    free(text);
    return r;
}

static void check_text(const char *data, size_t len)
{
    char *text = malloc(len + 2), *dotted;
    size_t dotted_len, at = 0;

    assert(text != NULL);
    memcpy(text, data, len);
    memcpy(text + len, "\r\n", 2);
    dotted = weir_smtp_dotted(text, len + 2, &dotted_len);
    assert(memmem(dotted, dotted_len, "\n.\r\n", 4) == NULL);
    assert(dotted_len < 3 || memcmp(dotted, ".\r\n", 3) != 0);
    for (size_t i = 0; i < dotted_len; i++) {
        if (dotted[i] == '.' && (i == 0 || dotted[i - 1] == '\n'))
            i++;
        assert(at < len + 2 && dotted[i] == text[at]);
        at++;
    }
    assert(at == len + 2);
    free(text);
    free(dotted);
}

static void parse(const uint8_t *data, size_t size)
{
    weir_smtp_reply_t reply = {0};
    size_t used;

    for (size_t at = 0; at < size; at += used)
        if (weir_smtp_reply_read(&reply, (const char *)data + at, 1, &used) ==
            WEIR_SMTP_REPLY_MALFORMED)
            break;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    replies_t whole, cut, naive;
    const char *text;

    if (size == 0 || size > WEIR_SMTP_REPLY_MAX)
        return 0;
    text = (const char *)data + 1;
    whole = read_in(text, size - 1, size);
    cut = read_in(text, size - 1, (size_t)data[0] + 1);
    naive = read_naively(text, size - 1);
    assert(memcmp(&whole, &cut, sizeof(whole)) == 0);
    assert(memcmp(&whole, &naive, sizeof(whole)) == 0);
    check_text(text, size - 1);
    budget_check(parse, data, size, &budget);
    return 0;
}
