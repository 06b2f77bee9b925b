#include "outbound/smtp/protocol.h"

#include "log/alloc.h"

#include <assert.h>

/* Adds an octet to the line; the first of a line replaces the line before. */
static void keep(weir_smtp_reply_t *reply, char c)
{
    if (reply->ended) {
        reply->ended = false;
        reply->len = 0;
    }
    if (reply->len < sizeof(reply->line) - 1) {
        reply->line[reply->len] = (unsigned char)c < ' ' || c == 0x7f ? ' ' : c;
        reply->line[reply->len + 1] = '\0';
    }
    reply->len++;
}

/* The code of a line, or 0 if it has none (RFC 5321 section 4.2: 2yz to 5yz). */
static int code_of(const weir_smtp_reply_t *reply)
{
    const char *s = reply->line;

    if (reply->len < 3 || s[0] < '2' || s[0] > '5' || s[1] < '0' || s[1] > '9' || s[2] < '0' ||
        s[2] > '9')
        return 0;
    if (reply->len > 3 && s[3] != ' ' && s[3] != '-')
        return 0;
    return (s[0] - '0') * 100 + (s[1] - '0') * 10 + (s[2] - '0');
}

void weir_smtp_reply_next(weir_smtp_reply_t *reply)
{
    reply->first = 0;
    reply->octets = 0;
    reply->ended = true;
}

static weir_smtp_reply_result_t end_line(weir_smtp_reply_t *reply)
{
    int code;

    if (reply->ended) { /* an empty line */
        reply->len = 0;
        reply->line[0] = '\0';
    }
    reply->ended = true;
    code = code_of(reply);
    if (code == 0 || (reply->first != 0 && code != reply->first))
        return WEIR_SMTP_REPLY_MALFORMED;
    reply->first = code;
    if (reply->len > 3 && reply->line[3] == '-')
        return WEIR_SMTP_REPLY_PARTIAL;
    reply->code = code;
    weir_smtp_reply_next(reply);
    return WEIR_SMTP_REPLY_WHOLE;
}

weir_smtp_reply_result_t weir_smtp_reply_read(weir_smtp_reply_t *reply, const char *data,
                                              size_t len, size_t *used)
{
    weir_smtp_reply_result_t result = WEIR_SMTP_REPLY_PARTIAL;
    size_t i = 0;

    while (i < len && result == WEIR_SMTP_REPLY_PARTIAL) {
        char c = data[i++];

        if (++reply->octets > WEIR_SMTP_REPLY_MAX)
            result = WEIR_SMTP_REPLY_MALFORMED;
        else if (c == '\n')
            result = end_line(reply);
        else if (c != '\r')
            keep(reply, c);
    }
    *used = i;
    return result;
}

char *weir_smtp_dotted(const char *text, size_t len, size_t *dotted_len)
{
    size_t lines = 0, n = 0;
    char *out;

    assert(len >= 2 && text[len - 2] == '\r' && text[len - 1] == '\n');
    for (size_t i = 0; i < len; i++)
        lines += text[i] == '\n';
    out = weir_alloc_array(len + lines, 1);
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '.' && (i == 0 || text[i - 1] == '\n'))
            out[n++] = '.';
        out[n++] = text[i];
    }
    *dotted_len = n;
    return out;
}
