/* Problem details, RFC 9457 section 3; strings escaped by RFC 8259 section 7. */

#include "problem.h"

#include "common/text/utf8.h"

#include <stdio.h>

/* Output that counts all bytes and keeps those that fit. */
typedef struct {
    char *buf;
    size_t cap;
    size_t len;
} out_t;

static void put(out_t *o, const char *s, size_t n)
{
    if (o->len < o->cap) {
        size_t room = o->cap - o->len;

        memcpy(o->buf + o->len, s, n < room ? n : room);
    }

    o->len += n;
}

static void puts_(out_t *o, const char *s)
{
    put(o, s, strlen(s));
}

/* The number of bytes at the start that need no escape: printable ASCII, without two characters. */
static size_t plain(const char *p, size_t len)
{
    size_t n = 0;

    while (n < len && p[n] >= 0x20 && p[n] < 0x7f && p[n] != '"' && p[n] != '\\')
        n++;

    return n;
}

static void put_string(out_t *o, weir_str_t s)
{
    const char *p = s.data;

    put(o, "\"", 1);

    for (size_t i = 0; i < s.len;) {
        size_t n = plain(p + i, s.len - i);

        if (n > 0) {
            put(o, p + i, n);
            i += n;
            continue;
        }

        n = weir_utf8_sequence(p + i, s.len - i);
        if (n == 0) {
            puts_(o, WEIR_UTF8_REPLACEMENT);
            i++;
            continue;
        }

        if (p[i] == '"' || p[i] == '\\') {
            put(o, "\\", 1);
            put(o, p + i, 1);
        } else if ((unsigned char)p[i] < 0x20) {
            char esc[7];

            snprintf(esc, sizeof(esc), "\\u%04x", p[i]);
            puts_(o, esc);
        } else {
            put(o, p + i, n);
        }

        i += n;
    }

    put(o, "\"", 1);
}

size_t weir_json_string(char *buf, size_t cap, weir_str_t s)
{
    out_t o = {buf, cap, 0};

    put_string(&o, s);

    return o.len;
}

size_t weir_problem_json(char *buf, size_t cap, const weir_problem_t *problem)
{
    out_t o = {buf, cap, 0};
    const char *type = problem->type != NULL ? problem->type : "about:blank";
    char status[32];

    puts_(&o, "{\"type\":");
    put_string(&o, (weir_str_t){type, strlen(type)});
    puts_(&o, ",\"title\":");
    put_string(&o, (weir_str_t){problem->title, strlen(problem->title)});
    snprintf(status, sizeof(status), ",\"status\":%d", problem->status);
    puts_(&o, status);

    if (problem->detail.len != 0) {
        puts_(&o, ",\"detail\":");
        put_string(&o, problem->detail);
    }

    if (problem->instance.len != 0) {
        puts_(&o, ",\"instance\":");
        put_string(&o, problem->instance);
    }

    if (problem->extensions != NULL) {
        puts_(&o, ",");
        puts_(&o, problem->extensions);
    }

    puts_(&o, "}\n");

    return o.len;
}
