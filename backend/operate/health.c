#include "operate/health.h"

#include "log/alloc.h"
#include "log/clock.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK_S 1
#define SILENCE_MS 5000 /* without an answer PostgreSQL counts as unreachable */

/* Columns of the statement. */
enum { LINE, VERSION };

struct weir_health {
    weir_db_t *db;
    const weir_redis_t *redis;
    const weir_sql_line_t *const *lines;
    struct event *timer;
    bool asking;
    uint64_t answered_ms; /* weir_clock_ms() of the last answer; 0: none in this session */
    char wrong[160];      /* what the last answer says; empty: all is well */
};

/* The number at the beginning of the newest migration's file name; 0: the line has none. */
static int newest_of(const weir_sql_line_t *line)
{
    const char *path = NULL, *name;

    for (const weir_sql_file_t *f = line->migrations; f->path != NULL; f++)
        path = f->path;
    name = path != NULL ? strrchr(path, '/') : NULL;

    return name != NULL ? atoi(name + 1) : 0;
}

static int version_of(const PGresult *result, const char *line)
{
    for (int row = 0; row < PQntuples(result); row++) {
        if (strcmp(PQgetvalue(result, row, LINE), line) == 0)
            return (int)weir_column_int(result, row, VERSION);
    }

    return 0;
}

/* A newer database is no fault: during an update the old version works on. */
static void compare(weir_health_t *h, const PGresult *result)
{
    h->wrong[0] = '\0';
    for (size_t i = 0; h->lines[i] != NULL; i++) {
        int wanted = newest_of(h->lines[i]);

        if (version_of(result, h->lines[i]->name) >= wanted)
            continue;
        snprintf(h->wrong, sizeof(h->wrong),
                 "The database lacks migrations, such as number %d of %s; run: weir-backend -c "
                 "FILE migrate.",
                 wanted, h->lines[i]->name);
        return;
    }
}

static void on_answer(PGresult *result, const char *error, const char *sqlstate, void *arg)
{
    weir_health_t *h = arg;

    h->asking = false;
    if (error == NULL) {
        h->answered_ms = weir_clock_ms();
        compare(h, result);
    } else if (strcmp(sqlstate, "42P01") == 0 || strcmp(sqlstate, "42703") == 0) {
        h->answered_ms = weir_clock_ms();
        snprintf(h->wrong, sizeof(h->wrong),
                 "The database has no schema of this version; run: weir-backend -c FILE migrate.");
    }
    /* After any other error the time of the last answer tells how long it is ago. */
}

void weir_health_check(weir_health_t *h)
{
    static const char sql[] = "SELECT line, max(version) FROM schema_migrations GROUP BY line";

    if (!h->asking)
        h->asking = weir_db_query(h->db, sql, 0, NULL, on_answer, h);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    weir_health_check(arg);
}

const char *weir_health_why_not(const weir_health_t *h)
{
    static char text[160];
    unsigned sessions, open;

    if (!weir_db_is_up(h->db))
        return "PostgreSQL cannot be reached.";
    if (h->answered_ms == 0 || weir_clock_ms() - h->answered_ms > SILENCE_MS)
        return "PostgreSQL does not answer.";
    if (h->wrong[0] != '\0')
        return h->wrong;
    weir_db_count(&sessions, &open);
    assert(open <= sessions);
    if (open < sessions) {
        snprintf(text, sizeof(text), "Only %u of %u sessions to PostgreSQL are open.", open,
                 sessions);
        return text;
    }
    if (h->redis != NULL && !weir_redis_is_up(h->redis))
        return "Redis cannot be reached.";

    return NULL;
}

weir_health_t *weir_health_new(struct event_base *base, weir_db_t *db, const weir_redis_t *redis,
                               const weir_sql_line_t *const *lines)
{
    static const struct timeval interval = {CHECK_S, 0};
    weir_health_t *h = weir_alloc(sizeof(*h));

    *h = (weir_health_t){.db = db, .redis = redis, .lines = lines};
    h->timer = event_new(base, -1, EV_PERSIST, on_timer, h);
    evtimer_add(h->timer, &interval);

    return h;
}

void weir_health_free(weir_health_t *h)
{
    event_free(h->timer);
    free(h);
}
