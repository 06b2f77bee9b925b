#include "http/chunked.h"

#include "http/head.h"

#include "common/text/hex.h"
#include "common/text/token.h"

#include <assert.h>
#include <string.h>

#define SIZE_DIGITS_MAX 16

enum {
    SIZE,          /* a digit of the size, or the character after it */
    EXT_NAME,      /* BWS before an extension's name, then the name */
    EXT_IN_NAME,   /* within the name, or the character after it */
    EXT_EQUALS,    /* BWS after a name, then "=" or ";" */
    EXT_VALUE,     /* BWS before a value, then the value */
    EXT_IN_TOKEN,  /* within a value that is a token, or the character after it */
    EXT_IN_QUOTES, /* within a quoted value */
    EXT_ESCAPED,   /* after a backslash in it */
    EXT_NEXT,      /* BWS, then ";" */
    EXT_END,       /* directly after a quoted value */
    SIZE_LF,       /* LF of the line with the size */
    DATA,          /* content */
    DATA_CR,       /* the CR and LF after the content */
    DATA_LF,
    TRAILER,       /* first character of a trailer field or of the last line */
    TRAILER_NAME,  /* within a name, or its colon */
    TRAILER_VALUE, /* within a value, or its CR */
    TRAILER_LF,
    LAST_LF
};

void weir_chunked_init(weir_chunked_t *c, uint64_t limit)
{
    *c = (weir_chunked_t){.state = SIZE, .room = limit};
}

/* Returns -1, which is not a state. */
static int wrong(weir_chunked_t *c, int status, const char *why)
{
    assert(status >= 400 && why != NULL);
    c->status = status;
    c->why = why;

    return -1;
}

static int in_size(weir_chunked_t *c, unsigned char ch)
{
    int digit = weir_unhex((char)ch, 1);

    if (digit >= 0) {
        if (++c->digits > SIZE_DIGITS_MAX)
            return wrong(c, 400, "The size of a chunk has too many digits.");
        c->left = c->left << 4 | (unsigned)digit;
        return SIZE;
    }
    if (c->digits > 0) {
        switch (ch) {
        case '\r':
            return SIZE_LF;
        case ';':
            return EXT_NAME;
        case ' ':
        case '\t':
            return EXT_NEXT;
        }
    }

    return wrong(c, 400, "The size of a chunk is not a hexadecimal number.");
}

static int after_extension(unsigned char ch)
{
    switch (ch) {
    case '\r':
        return SIZE_LF;
    case ';':
        return EXT_NAME;
    default:
        return weir_is_ows((char)ch) ? EXT_NEXT : -1;
    }
}

static int in_extension(weir_chunked_t *c, unsigned char ch)
{
    bool blank = weir_is_ows((char)ch);
    int next = -1;

    assert(c->state > SIZE && c->state < SIZE_LF);
    switch (c->state) {
    case EXT_NAME:
        next = blank ? EXT_NAME : weir_is_tchar(ch) ? EXT_IN_NAME : -1;
        break;
    case EXT_IN_NAME:
        next = weir_is_tchar(ch) ? EXT_IN_NAME
               : ch == '='       ? EXT_VALUE
               : blank           ? EXT_EQUALS
                                 : after_extension(ch);
        break;
    case EXT_EQUALS:
        next = blank ? EXT_EQUALS : ch == '=' ? EXT_VALUE : ch == ';' ? EXT_NAME : -1;
        break;
    case EXT_VALUE:
        next = blank               ? EXT_VALUE
               : ch == '"'         ? EXT_IN_QUOTES
               : weir_is_tchar(ch) ? EXT_IN_TOKEN
                                   : -1;
        break;
    case EXT_IN_TOKEN:
        next = weir_is_tchar(ch) ? EXT_IN_TOKEN : after_extension(ch);
        break;
    case EXT_IN_QUOTES:
        next = ch == '"'           ? EXT_END
               : ch == '\\'        ? EXT_ESCAPED
               : weir_is_value(ch) ? EXT_IN_QUOTES
                                   : -1;
        break;
    case EXT_ESCAPED:
        next = weir_is_value(ch) ? EXT_IN_QUOTES : -1;
        break;
    case EXT_NEXT:
        next = blank ? EXT_NEXT : ch == ';' ? EXT_NAME : -1;
        break;
    case EXT_END:
        next = after_extension(ch);
        break;
    }

    return next >= 0 ? next : wrong(c, 400, "A chunk extension is malformed.");
}

static int in_trailer(weir_chunked_t *c, unsigned char ch)
{
    int next = -1;

    assert(c->state >= TRAILER && c->state < LAST_LF);
    switch (c->state) {
    case TRAILER:
        next = ch == '\r' ? LAST_LF : weir_is_tchar(ch) ? TRAILER_NAME : -1;
        break;
    case TRAILER_NAME:
        next = weir_is_tchar(ch) ? TRAILER_NAME : ch == ':' ? TRAILER_VALUE : -1;
        break;
    case TRAILER_VALUE:
        next = weir_is_value(ch) ? TRAILER_VALUE : ch == '\r' ? TRAILER_LF : -1;
        break;
    case TRAILER_LF:
        next = ch == '\n' ? TRAILER : -1;
        break;
    }

    return next >= 0 ? next : wrong(c, 400, "A trailer field is malformed.");
}

static int after_size(weir_chunked_t *c, unsigned char ch)
{
    if (ch != '\n')
        return wrong(c, 400, "The line with the size of a chunk does not end with CR LF.");
    if (c->left > c->room)
        return wrong(c, 413, "The body is too large.");
    c->room -= c->left;
    c->digits = 0;

    return c->left > 0 ? DATA : TRAILER;
}

/* The state after a character that is not content; -1 if the character is not allowed. */
static int step(weir_chunked_t *c, unsigned char ch)
{
    switch (c->state) {
    case SIZE:
        return in_size(c, ch);
    case SIZE_LF:
        return after_size(c, ch);
    case DATA_CR:
        return ch == '\r' ? DATA_LF : wrong(c, 400, "A chunk is longer than its size.");
    case DATA_LF:
        return ch == '\n' ? SIZE : wrong(c, 400, "A chunk does not end with CR LF.");
    default:
        if (++c->extra > WEIR_CHUNKED_EXTRA_MAX)
            return wrong(c, 431, "Chunk extensions and trailer fields are too large.");
        return c->state < SIZE_LF ? in_extension(c, ch) : in_trailer(c, ch);
    }
}

weir_chunked_result_t weir_chunked_decode(weir_chunked_t *c, char *data, size_t len, size_t *used,
                                          size_t *content)
{
    size_t i = 0;

    assert(c->state >= 0 && (data != NULL || len == 0));
    *content = 0;
    while (i < len) {
        if (c->state == DATA) {
            size_t n = len - i < c->left ? len - i : (size_t)c->left;

            memmove(data + *content, data + i, n);
            *content += n;
            i += n;
            c->left -= n;
            if (c->left == 0)
                c->state = DATA_CR;
            continue;
        }
        if (c->state == LAST_LF) {
            *used = i + 1;
            if (data[i] == '\n')
                return WEIR_CHUNKED_WHOLE;
            wrong(c, 400, "The end of the body is not CR LF.");
            return WEIR_CHUNKED_WRONG;
        }
        c->state = step(c, (unsigned char)data[i++]);
        if (c->state < 0) {
            *used = i;
            return WEIR_CHUNKED_WRONG;
        }
    }
    *used = i;

    return WEIR_CHUNKED_MORE;
}
