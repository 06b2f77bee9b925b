/*
 * A line is built in one buffer and written with one call. It is never longer than PIPE_BUF: a
 * write of that size to a pipe is atomic, so lines of several writers do not mix.
 */
#include "log/log.h"

#include "common/problem.h"
#include "common/text/rfc3339.h"

#include <assert.h>
#include <jansson.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = {"debug", "info", "warn", "error", "fatal"};
static const char truncated[] = ",\"truncated\":true";

static weir_log_level_t threshold = WEIR_LOG_INFO;
static const char *role_name = "weir";

/* Room that must be left after the fields: for the mark above and "}\n". */
#define TAIL (sizeof(truncated) + 2)

void weir_log_init(weir_log_level_t level, const char *role)
{
    assert(role != NULL);
    threshold = level;
    role_name = role;
}

static size_t put_raw(char *line, size_t len, const char *s)
{
    size_t n = strlen(s);

    assert(len <= PIPE_BUF - TAIL);
    if (len + n > PIPE_BUF - TAIL)
        return len;

    memcpy(line + len, s, n);

    return len + n;
}

/* Appends ,"name":"value"; omits it when there is no room. */
static size_t put_member(char *line, size_t len, const char *name, const char *value)
{
    size_t before = len, room, n;

    assert(len <= PIPE_BUF - TAIL);
    assert(value != NULL);
    len = put_raw(line, len, name);
    room = PIPE_BUF - TAIL - len;
    n = weir_json_string(line + len, room, (weir_str_t){value, strlen(value)});

    return n <= room ? len + n : before;
}

/* Appends the object's members without its braces. Returns the new length. */
static size_t put_fields(char *line, size_t len, json_t *object)
{
    size_t room = PIPE_BUF - TAIL - len;
    size_t n = json_dumpb(object, line + len, room, JSON_COMPACT | JSON_REAL_PRECISION(9));

    if (n <= 2)
        return len; /* "{}" */

    if (n > room) {
        memcpy(line + len, truncated, sizeof(truncated) - 1);
        return len + sizeof(truncated) - 1;
    }

    line[len] = ',';

    return len + n - 1;
}

void weir_log(weir_log_level_t level, const weir_trace_t *trace, const char *msg,
              const char *fields, ...)
{
    char line[PIPE_BUF], when[WEIR_RFC3339_LEN + 1];
    size_t len;
    struct timespec now;

    assert(level <= WEIR_LOG_FATAL && msg != NULL);
    if (level < threshold)
        return;

    clock_gettime(CLOCK_REALTIME, &now);
    weir_rfc3339(when, now.tv_sec, (unsigned)(now.tv_nsec / 1000000));

    len = put_member(line, 0, "{\"time\":", when);
    len = put_member(line, len, ",\"level\":", level_names[level]);
    len = put_member(line, len, ",\"role\":", role_name);
    if (trace != NULL) {
        len = put_member(line, len, ",\"trace_id\":", trace->at.trace_id);
        len = put_member(line, len, ",\"span_id\":", trace->at.parent_id);
    }
    len = put_member(line, len, ",\"msg\":", msg);

    if (fields != NULL) {
        va_list ap;
        json_t *object;

        va_start(ap, fields);
        object = json_vpack_ex(NULL, 0, fields, ap);
        va_end(ap);
        /* jansson refuses a text that is not UTF-8; the line then says so. */
        len = object != NULL ? put_fields(line, len, object)
                             : put_raw(line, len, ",\"fields\":\"not UTF-8\"");
        json_decref(object);
    }

    assert(len + 2 <= PIPE_BUF);
    line[len++] = '}';
    line[len++] = '\n';

    /*
     * The process continues when the log cannot be written: there is no other place to report it.
     */
    if (write(STDERR_FILENO, line, len) < 0)
        return;
}
