/*
 * Heads to the file and to the stream in Redis: each place gets those after its last one, in their
 * order, from the database. So a place that was full, away or emptied gets what it lacks.
 *
 * A head in Redis has its number as the entry's ID, so Redis refuses a second one.
 */
#include "audit/private.h"

#include "db/refusal.h"
#include "log/alloc.h"
#include "log/clock.h"
#include "log/log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define READ_MAX 256       /* heads exported at once */
#define STREAM_MAX "10000" /* heads that Redis keeps: a week of minutes */
#define STREAM_FIRST 10000 /* an empty stream gets as many of the newest */
#define AGAIN_MS 5000      /* after a failure */

enum { HEAD_NUMBER, HEAD_TEXT, HEAD_KEY, HEAD_SIGNATURE };
#define HEADS "SELECT number, head, key, signature FROM audit_heads_after($1::bigint, $2::int)"

static char *line_of(const PGresult *res, int row)
{
    json_t *json = json_pack("{s:s, s:s, s:s}", "head", PQgetvalue(res, row, HEAD_TEXT), "key",
                             PQgetvalue(res, row, HEAD_KEY), "signature",
                             PQgetvalue(res, row, HEAD_SIGNATURE));
    char *line = weir_alloc_check(json_dumps(json, JSON_COMPACT));

    json_decref(json);

    return line;
}

static void refuse(weir_audit_outlet_t *outlet, const char *to, const char *error)
{
    if (!outlet->refused)
        weir_log(WEIR_LOG_ERROR, NULL, "heads of the audit log cannot be exported, they wait",
                 "{s:s,s:s}", "to", to, "error", error);
    outlet->refused = true;
    outlet->known = false;
    outlet->after = weir_clock_ms() + AGAIN_MS;
}

static void accept_heads(weir_audit_outlet_t *outlet, const char *to, uint64_t last)
{
    if (outlet->refused)
        weir_log(WEIR_LOG_INFO, NULL, "heads of the audit log are exported again", "{s:s}", "to",
                 to);
    outlet->refused = false;
    outlet->last = last;
}

/* --- the file -------------------------------------------------------------------------------- */

/*
 * The file's last head, which is read anew because the file may have been moved away meanwhile.
 * False: it is another one than the database's (row 0 has its number, if there is one).
 */
static bool check_last(weir_audit_t *a, const PGresult *res, char *error, size_t size)
{
    weir_audit_signed_t *last = weir_alloc(sizeof(*last));
    bool good = weir_audit_file_last(a->settings.heads, last, error, size);

    if (!good) {
        refuse(&a->file, "file", error);
    } else if (last->text[0] == '\0') {
        good = a->file.last == 0;
        a->file.last = 0;
    } else if (a->file.last > 0 && strcmp(last->text, PQgetvalue(res, 0, HEAD_TEXT)) != 0) {
        weir_audit_diverge(a, "the database has another head than the file");
        good = false;
    } else if (a->file.last == 0) {
        a->file.known = false; /* another process has written it */
        a->newest_known = false;
        good = false;
    }
    free(last);

    return good;
}

static void on_for_file(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_audit_t *a = arg;
    int first = a->file.last > 0; /* the row before those that are appended */
    int rows = error == NULL ? PQntuples(res) : 0;
    char *lines = NULL, why[512];
    size_t len = 0;

    weir_refusal_note(&a->export_refused, "audit", "audit_heads_after", error, sqlstate);
    if (error == NULL && rows < 1) { /* heads were removed from the database */
        weir_audit_diverge(a, "the file has newer heads than the database");
        a->done(a, true);
        return;
    }
    if (error != NULL || !check_last(a, res, why, sizeof(why))) {
        a->done(a, true);
        return;
    }
    for (int i = first; i < rows; i++) {
        char *line = line_of(res, i);
        size_t n = strlen(line);

        lines = weir_alloc_resize(lines, len + n + 1, 1);
        memcpy(lines + len, line, n);
        lines[len + n] = '\n';
        len += n + 1;
        free(line);
    }
    if (len > 0 && !weir_audit_file_append(a->settings.heads, lines, len, why, sizeof(why)))
        refuse(&a->file, "file", why);
    else if (len > 0)
        accept_heads(&a->file, "file", (uint64_t)weir_column_int(res, rows - 1, HEAD_NUMBER));
    free(lines);
    a->done(a, a->file.refused);
}

/* --- Redis ----------------------------------------------------------------------------------- */

/*
 * KEYS[1] the stream, ARGV[1] the number of the head that it is expected to end with (0: none),
 * then number and text of each head. Returns the number of the last head that it ends with: that of
 * ARGV[1] or of the last head, unless it ends elsewhere and nothing was appended.
 */
static const char append_script[] =
    "local last = '0'\n"
    "local entries = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)\n"
    "if entries[1] then last = string.match(entries[1][1], '^%d+') end\n"
    "if last ~= ARGV[1] then return last end\n"
    "for i = 2, #ARGV, 2 do\n"
    "  redis.call('XADD', KEYS[1], 'MAXLEN', '~', " STREAM_MAX ", ARGV[i] .. '-0',\n"
    "             '" WEIR_AUDIT_HEADS_FIELD "', ARGV[i + 1])\n"
    "  last = ARGV[i]\n"
    "end\n"
    "return last\n";

void weir_audit_forget_stream(weir_audit_t *a)
{
    a->stream.known = false;
    a->stream.after = 0;
}

/* The stream ends with that head; the next ones are sent after it. */
static void found(weir_audit_t *a, uint64_t last)
{
    weir_audit_outlet_t *s = &a->stream;

    s->known = true;
    s->there = last;
    s->last = last;
    if (last == 0 && a->newest > STREAM_FIRST)
        s->last = a->newest - STREAM_FIRST;
    if (last > a->newest)
        refuse(s, "redis",
               "the stream " WEIR_AUDIT_HEADS_STREAM " has newer heads than the database; weirctl "
               "audit verify compares them");
}

static void on_appended(redisReply *reply, void *arg)
{
    weir_audit_t *a = arg;
    weir_audit_outlet_t *s = &a->stream;
    uint64_t last;

    assert(s->sent > 0);
    s->sent--;
    if (reply == NULL || reply->type != REDIS_REPLY_STRING) {
        refuse(s, "redis", reply == NULL ? "no answer" : reply->str);
        return;
    }
    last = strtoull(reply->str, NULL, 10);
    if (s->known && last > s->there && last <= a->newest)
        accept_heads(s, "redis", last);
    found(a, last);
}

static void append(weir_audit_t *a, const PGresult *res, int rows)
{
    const char *argv[2 + 2 * READ_MAX] = {WEIR_AUDIT_HEADS_STREAM,
                                          WEIR_NUMBER((int64_t)a->stream.there)};
    char *lines[READ_MAX];
    int n = 2;

    assert(rows <= READ_MAX);
    for (int i = 0; i < rows; i++) {
        lines[i] = line_of(res, i);
        argv[n++] = PQgetvalue(res, i, HEAD_NUMBER);
        argv[n++] = lines[i];
    }
    a->stream.sent += weir_redis_script(a->redis, append_script, 1, n, argv, NULL, on_appended, a);
    for (int i = 0; i < rows; i++)
        free(lines[i]);
}

static void on_for_stream(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_audit_t *a = arg;
    int rows = error == NULL ? PQntuples(res) : 0;

    weir_refusal_note(&a->export_refused, "audit", "audit_heads_after", error, sqlstate);
    if (rows > 0 && a->stopped == NULL)
        append(a, res, rows);
    a->done(a, true); /* the reply decides what is next, at the tick */
}

/* --- both ------------------------------------------------------------------------------------ */

static bool is_due(const weir_audit_t *a, const weir_audit_outlet_t *outlet)
{
    return weir_clock_ms() >= outlet->after && (!outlet->known || outlet->last < a->newest);
}

static bool read_heads(weir_audit_t *a, uint64_t after, weir_db_cb cb)
{
    return weir_db_query(a->db, HEADS, 2,
                         (const char *[]){WEIR_NUMBER((int64_t)after), WEIR_NUMBER(READ_MAX)}, cb,
                         a);
}

bool weir_audit_export(weir_audit_t *a)
{
    weir_audit_outlet_t *s = &a->stream;

    if (!a->newest_known || a->newest == 0)
        return false;
    if (weir_redis_is_up(a->redis) && s->sent == 0 && is_due(a, s)) {
        if (s->known)
            return read_heads(a, s->last, on_for_stream);
        s->there = UINT64_MAX; /* which no stream ends with: this asks for the last one */
        append(a, NULL, 0);
    }
    if (a->settings.heads[0] == '\0' || !is_due(a, &a->file))
        return false;
    if (!a->file.known) {
        a->newest_known = false; /* reads the file, too */
        return false;
    }

    /* with the one that the file should have as its last */
    return read_heads(a, a->file.last > 0 ? a->file.last - 1 : 0, on_for_file);
}
