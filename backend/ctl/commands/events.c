#include "ctl/commands/commands.h"

#include "common/ids/uuid7.h"
#include "ctl/arguments.h"
#include "log/alloc.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define POLL_MS 200
#define SQL_MAX 2048

/* Columns of an outbox row o. An event that the relay has not taken yet has no position. */
#define SHORT                                                                                      \
    "o.partition || '/' || coalesce(o.position::text, '-') AS at, rfc3339(o.created_at) AS time,"  \
    " o.type, o.aggregate, o.event_id AS id"
#define MORE                                                                                       \
    ", o.schema_version, o.causation_id, coalesce(o.correlation_id, o.event_id) AS "               \
    "correlation_id, o.traceparent, o.for_group, o.data::text AS data"

/* Longer types and aggregates shift the following columns. */
static const int widths[] = {10, 24, 20, 44, 36};

#define WANTED                                                                                     \
    "o.type = coalesce($1::text, o.type) AND o.aggregate = coalesce($2::text, o.aggregate)"

/* --- tail -------------------------------------------------------------------- */

static void print(const weir_ctl_t *ctl, const json_t *rows)
{
    const json_t *row;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        if (ctl->args.json)
            weir_ctl_print_line(row);
        else
            weir_ctl_print_columns(row, widths);
    }
}

/* The last position of each partition, as a PostgreSQL array, which the caller frees. */
static char *positions_of(weir_ctl_t *ctl)
{
    json_t *rows = weir_ctl_rows(
        ctl, "SELECT array_agg(p.position ORDER BY p.partition)::text AS list FROM partitions p", 0,
        NULL);
    char *list =
        weir_alloc_text(json_string_value(json_object_get(json_array_get(rows, 0), "list")));

    json_decref(rows);

    return list;
}

/* Runs format, whose %s is what is shown of each event, with type, aggregate and two values;
 * returns how many there were. */
static size_t print_found(weir_ctl_t *ctl, const char *format, const char *third,
                          const char *fourth)
{
    char sql[SQL_MAX];
    json_t *rows;
    size_t n;

    snprintf(sql, sizeof(sql), format, ctl->args.json ? SHORT MORE : SHORT);
    rows = weir_ctl_rows(ctl, sql, 4,
                         (const char *[]){ctl->args.type, ctl->args.aggregate, third, fourth});
    n = json_array_size(rows);
    print(ctl, rows);
    json_decref(rows);
    return n;
}

/* Follows positions, because ids are not committed in order: so no event is missed or repeated. */
static void follow(weir_ctl_t *ctl, char *seen)
{
    static const struct timespec poll = {0, POLL_MS * 1000000};

    for (;;) {
        char *now = positions_of(ctl);

        if (strcmp(now, seen) != 0)
            print_found(ctl,
                        "SELECT %s FROM unnest($3::bigint[], $4::bigint[])"
                        " WITH ORDINALITY AS s(seen, now, n) JOIN outbox o"
                        " ON o.partition = s.n - 1 AND o.position > s.seen AND o.position <= s.now"
                        " WHERE " WANTED " ORDER BY o.created_at, o.id",
                        seen, now);
        free(seen);
        seen = now;
        nanosleep(&poll, NULL);
    }
}

/* A type or aggregate without an event may be misspelt; with --follow an event may still come. */
static void tell_absent(weir_ctl_t *ctl)
{
    const weir_ctl_args_t *args = &ctl->args;
    json_t *rows = weir_ctl_rows(
        ctl, "SELECT string_agg(DISTINCT o.type, ', ' ORDER BY o.type) AS types FROM outbox o", 0,
        NULL);
    const char *types = json_string_value(json_object_get(json_array_get(rows, 0), "types"));

    weir_ctl_fail(WEIR_CTL_REFUSED, "the outbox has no event%s%s%s%s; there are %s",
                  args->type != NULL ? " of type " : "", args->type != NULL ? args->type : "",
                  args->aggregate != NULL ? " of " : "",
                  args->aggregate != NULL ? args->aggregate : "", types != NULL ? types : "none");
    json_decref(rows);
}

weir_ctl_exit_t weir_ctl_events_tail(weir_ctl_t *ctl)
{
    char *seen = ctl->args.follow ? positions_of(ctl) : NULL;
    char limit[12];
    size_t n;

    snprintf(limit, sizeof(limit), "%d", ctl->args.count);
    n = print_found(ctl,
                    "SELECT %s FROM (SELECT o.* FROM outbox o WHERE " WANTED
                    " AND ($4::bigint[] IS NULL OR o.position <= ($4::bigint[])[o.partition + 1])"
                    " ORDER BY o.id DESC LIMIT $3::int) o ORDER BY o.id",
                    limit, seen);
    if (n == 0 && ctl->args.count > 0 && (ctl->args.type != NULL || ctl->args.aggregate != NULL))
        tell_absent(ctl);
    if (seen != NULL)
        follow(ctl, seen);

    return n > 0 || ctl->args.count == 0 || (ctl->args.type == NULL && ctl->args.aggregate == NULL)
               ? WEIR_CTL_OK
               : WEIR_CTL_REFUSED;
}

/* --- show -------------------------------------------------------------------- */

static bool is_uuid(const char *text)
{
    char uuid[WEIR_UUID_LEN + 1];

    return weir_uuid_parse(weir_str(text), uuid) == 0;
}

/* The state of the event in each group that handles it. */
static json_t *groups_of(weir_ctl_t *ctl, const char *partition, const char *position,
                         const char *only)
{
    static const char sql[] =
        "SELECT c.group_name AS \"group\","
        " CASE WHEN d.group_name IS NOT NULL THEN 'dead'"
        "      WHEN c.handled >= $2::bigint OR m.group_name IS NOT NULL THEN 'handled'"
        "      WHEN r.group_name IS NOT NULL THEN 'will be tried again' ELSE 'waiting' END AS "
        "state,"
        " coalesce(d.attempts, r.attempts) AS attempts,"
        " CASE WHEN d.group_name IS NULL THEN rfc3339(r.next_at) END AS next_attempt,"
        " coalesce(d.error, r.error) AS error"
        " FROM consumer_partitions c"
        " LEFT JOIN dead_letters d ON d.group_name = c.group_name AND d.partition = c.partition"
        "   AND d.position = $2::bigint"
        " LEFT JOIN consumed m ON m.group_name = c.group_name AND m.partition = c.partition"
        "   AND m.position = $2::bigint"
        " LEFT JOIN retries r ON r.group_name = c.group_name AND r.partition = c.partition"
        "   AND r.position = $2::bigint"
        " WHERE c.partition = $1::smallint AND c.group_name = coalesce($3::text, c.group_name)"
        " ORDER BY 1";

    return weir_ctl_rows(ctl, sql, 3, (const char *[]){partition, position, only});
}

weir_ctl_exit_t weir_ctl_events_show(weir_ctl_t *ctl)
{
    static const char by_place[] =
        "SELECT " SHORT MORE
        " FROM outbox o WHERE o.partition = $1::smallint AND o.position = $2::bigint";
    static const char by_id[] =
        "SELECT " SHORT MORE " FROM outbox o WHERE o.event_id = $1::uuid ORDER BY o.id DESC";
    const char *word = ctl->args.words[0];
    char partition[12], position[24];
    int p;
    int64_t n;
    json_t *rows, *event;

    if (weir_ctl_place(word, &p, &n)) {
        snprintf(partition, sizeof(partition), "%d", p);
        snprintf(position, sizeof(position), "%" PRId64, n);
        rows = weir_ctl_rows(ctl, by_place, 2, (const char *[]){partition, position});
    } else if (is_uuid(word)) {
        rows = weir_ctl_rows(ctl, by_id, 1, &word);
    } else {
        return weir_ctl_fail(WEIR_CTL_USAGE,
                             "\"%s\" must be an event's id (a UUID) or its PARTITION/POSITION, "
                             "such as 3/17",
                             word);
    }

    event = json_array_get(rows, 0);
    if (event == NULL) {
        json_decref(rows);
        return weir_ctl_fail(WEIR_CTL_REFUSED, "the outbox has no event %s", word);
    }

    if (weir_ctl_place(json_string_value(json_object_get(event, "at")), &p, &n)) {
        snprintf(partition, sizeof(partition), "%d", p);
        snprintf(position, sizeof(position), "%" PRId64, n);
        json_object_set_new(event, "groups",
                            groups_of(ctl, partition, position,
                                      json_string_value(json_object_get(event, "for_group"))));
    }
    weir_ctl_print_object(ctl, event);
    json_decref(rows);

    return WEIR_CTL_OK;
}

/* --- replay ------------------------------------------------------------------ */

static bool is_number(const char *text)
{
    size_t len = strlen(text);

    return len > 0 && len < 19 && strspn(text, "0123456789") == len;
}

/* Checks digits, dashes and a T; PostgreSQL checks the rest of RFC 3339 section 5.6. */
static bool looks_like_time(const char *text)
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd";
    size_t i;

    for (i = 0; form[i] != '\0'; i++) {
        if (form[i] == 'd' ? !isdigit((unsigned char)text[i]) : text[i] != form[i])
            return false;
    }

    return text[i] != '\0' && strspn(text + i, "0123456789.:+-Z") == strlen(text + i);
}

/*
 * Returns false, after a message, when no worker has ever run the group: its name may be misspelt.
 */
static bool is_group(weir_ctl_t *ctl, const char *group)
{
    json_t *rows = weir_ctl_rows(
        ctl, "SELECT FROM consumer_partitions c WHERE c.group_name = $1 LIMIT 1", 1, &group);
    bool is = json_array_size(rows) > 0;

    json_decref(rows);
    if (!is && weir_ctl_group_exists(ctl, group))
        weir_ctl_fail(WEIR_CTL_REFUSED, "group %s has dead letters only; --new makes it again",
                      group);
    else if (!is)
        fputs("weirctl: --new makes a group before its workers have started\n", stderr);
    return is;
}

weir_ctl_exit_t weir_ctl_events_replay(weir_ctl_t *ctl)
{
    const weir_ctl_args_t *args = &ctl->args;
    char partition[12], *message = NULL;
    const char *values[] = {args->group,         NULL, NULL, NULL, args->yes ? "t" : "f",
                            weir_ctl_caller(ctl)};
    json_t *rows;

    if (args->group == NULL || args->from == NULL)
        return weir_ctl_fail(WEIR_CTL_USAGE, "events replay needs --group and --from");
    if (strspn(args->group, "abcdefghijklmnopqrstuvwxyz0123456789-_") != strlen(args->group) ||
        args->group[0] == '\0' || strlen(args->group) >= 64)
        return weir_ctl_fail(WEIR_CTL_USAGE, "--group \"%s\" must be 1 to 63 of a-z, 0-9, - and _",
                             args->group);
    if (is_number(args->from))
        values[2] = args->from;
    else if (looks_like_time(args->from))
        values[3] = args->from;
    else
        return weir_ctl_fail(WEIR_CTL_USAGE,
                             "--from \"%s\" must be a position or a time with its zone, such as "
                             "2026-01-31T12:00:00Z",
                             args->from);
    if (args->partition >= 0) {
        snprintf(partition, sizeof(partition), "%d", args->partition);
        values[1] = partition;
    }

    if (!args->new_group && !is_group(ctl, args->group))
        return WEIR_CTL_REFUSED;
    rows = weir_ctl_query(ctl,
                          "SELECT * FROM group_replay($1, $2::smallint, $3::bigint, "
                          "$4::timestamptz, $5::boolean, $6)",
                          6, values, "WE003", &message);
    if (rows == NULL) {
        weir_ctl_fail(WEIR_CTL_REFUSED,
                      "%s; whatever it does for them it would do again. --yes does it", message);
        free(message);
        return WEIR_CTL_REFUSED;
    }
    if (json_array_size(rows) == 0) {
        json_decref(rows);
        return weir_ctl_fail(WEIR_CTL_REFUSED, "there is no partition %d", args->partition);
    }
    weir_ctl_print_rows(ctl, rows, "");
    json_decref(rows);

    return WEIR_CTL_OK;
}
