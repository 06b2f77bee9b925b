#include "ctl/commands/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The number of events that a group has handled: up to its watermark, and those above it. */
#define HANDLED                                                                                    \
    "SELECT c.group_name, sum(c.handled"                                                           \
    " + (SELECT count(*) FROM consumed m WHERE m.group_name = c.group_name"                        \
    "    AND m.partition = c.partition AND m.position > c.handled)) AS handled,"                   \
    " extract(epoch FROM clock_timestamp()) AS at FROM consumer_partitions c GROUP BY 1"

#define WAITING_MAX_S                                                                              \
    10 /* the longest normal wait for the relay; a poll takes a second at most                     \
        */

static void wait_ms(int64_t ms)
{
    struct timespec t = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};

    while (nanosleep(&t, &t) != 0)
        ;
}

/*
 * Events without a position, which count for no group. Returns true when they are only a few
 * seconds old.
 */
static bool tell_waiting(weir_ctl_t *ctl)
{
    json_t *rows = weir_ctl_rows(ctl,
                                 "SELECT count(*) AS n, round(extract(epoch FROM clock_timestamp() "
                                 "- min(o.created_at)))::int"
                                 " AS oldest_s FROM outbox o WHERE o.position IS NULL",
                                 0, NULL);
    const json_t *row = json_array_get(rows, 0);
    json_int_t n = json_integer_value(json_object_get(row, "n"));
    json_int_t oldest = json_integer_value(json_object_get(row, "oldest_s"));

    if (n > 0) {
        fflush(stdout);
        fprintf(stderr,
                "weirctl: %" JSON_INTEGER_FORMAT
                " events wait for the relay, the oldest for %" JSON_INTEGER_FORMAT " s%s\n",
                n, oldest, oldest >= WAITING_MAX_S ? "; \"weirctl outbox\" shows where" : "");
    }
    json_decref(rows);
    return n == 0 || oldest < WAITING_MAX_S;
}

/* Groups that keep streams full. Returns true when there is none. */
static bool tell_full(const json_t *rows)
{
    const json_t *row;
    size_t i;
    bool is_well = true;

    json_array_foreach(rows, i, row)
    {
        const char *group = json_string_value(json_object_get(row, "group"));
        json_int_t n = json_integer_value(json_object_get(row, "full"));

        if (n == 0)
            continue;
        is_well = false;
        weir_ctl_fail(WEIR_CTL_REFUSED,
                      "%" JSON_INTEGER_FORMAT
                      " streams are full because of group %s; new events of these partitions wait "
                      "for all groups. Let it run, or \"weirctl groups delete %s\"",
                      n, group, group);
    }
    return is_well;
}

/* The rate needs two queries; without the first one there is no rate. */
weir_ctl_exit_t weir_ctl_groups(weir_ctl_t *ctl)
{
    static const char sql[] =
        "WITH now AS (" HANDLED "), earlier AS ("
        " SELECT * FROM json_to_recordset($1::json) AS e(group_name text, handled numeric, at "
        "numeric))"
        " SELECT c.group_name AS \"group\","
        " CASE WHEN EXISTS (SELECT FROM paused_groups p WHERE p.group_name = c.group_name) THEN "
        "'paused'"
        "      WHEN count(c.owner) FILTER (WHERE c.expires_at > now()) = 0 THEN 'no worker'"
        "      ELSE 'running' END AS state,"
        " count(DISTINCT c.owner) FILTER (WHERE c.expires_at > now()) AS workers,"
        " sum(p.position) - min(n.handled)"
        " + (SELECT count(*) FROM outbox o JOIN partitions h USING (partition)"
        "    WHERE o.position IS NULL AND h.halted IS NOT NULL"
        "    AND (o.for_group IS NULL OR o.for_group = c.group_name)) AS lag,"
        " (SELECT count(*) FROM retries r WHERE r.group_name = c.group_name) AS pending,"
        " round(extract(epoch FROM clock_timestamp() - min((SELECT o.created_at FROM outbox o"
        "   WHERE o.partition = c.partition AND o.position = c.handled + 1))), 1) AS oldest_s,"
        " round((min(n.handled) - min(e.handled)) / nullif(min(n.at) - min(e.at), 0)) AS "
        "rate_per_s,"
        " (SELECT count(*) FROM dead_letters d WHERE d.group_name = c.group_name) AS dead,"
        " count(*) FILTER (WHERE p.position - c.handled >= $2::bigint) AS \"full\""
        " FROM consumer_partitions c JOIN partitions p USING (partition)"
        " JOIN now n USING (group_name) LEFT JOIN earlier e USING (group_name)"
        " GROUP BY c.group_name ORDER BY c.group_name";
    char *earlier = NULL, limit[12];
    const char *values[2] = {NULL, limit};
    bool is_well;
    json_t *rows;

    if (ctl->args.interval > 0) {
        rows = weir_ctl_rows(ctl, HANDLED, 0, NULL);
        earlier = json_dumps(rows, 0);
        json_decref(rows);
        wait_ms(ctl->args.interval);
    }

    values[0] = earlier != NULL ? earlier : "[]";
    snprintf(limit, sizeof(limit), "%u", ctl->settings.stream_limit);
    rows = weir_ctl_rows(ctl, sql, 2, values);
    weir_ctl_print_rows(ctl, rows, "No group has run yet.");
    is_well = tell_full(rows);
    json_decref(rows);
    free(earlier);
    is_well = weir_ctl_none_halted(ctl) && is_well;
    is_well = tell_waiting(ctl) && is_well;

    return is_well ? WEIR_CTL_OK : WEIR_CTL_REFUSED;
}

/* The named group, or NULL with --all. Returns false after a message. */
static bool chosen(weir_ctl_t *ctl, const char **group)
{
    const weir_ctl_args_t *args = &ctl->args;

    *group = args->n_words > 0 ? args->words[0] : NULL;
    if ((*group != NULL) == args->all)
        exit(weir_ctl_fail(WEIR_CTL_USAGE, "name a group, or give --all"));

    return *group == NULL || weir_ctl_group_exists(ctl, *group);
}

static weir_ctl_exit_t change(weir_ctl_t *ctl, const char *sql, const char *none)
{
    const char *values[2] = {NULL, weir_ctl_caller(ctl)};
    json_t *rows;

    if (!chosen(ctl, &values[0]))
        return WEIR_CTL_REFUSED;
    rows = weir_ctl_rows(ctl, sql, 2, values);
    weir_ctl_print_rows(ctl, rows, none);
    json_decref(rows);

    return WEIR_CTL_OK;
}

weir_ctl_exit_t weir_ctl_groups_pause(weir_ctl_t *ctl)
{
    return change(ctl, "SELECT * FROM group_pause($1, $2)", "No group has run yet.");
}

weir_ctl_exit_t weir_ctl_groups_resume(weir_ctl_t *ctl)
{
    return change(ctl, "SELECT * FROM group_resume($1, $2)", "Nothing was paused.");
}

weir_ctl_exit_t weir_ctl_groups_delete(weir_ctl_t *ctl)
{
    const char *values[] = {ctl->args.words[0], ctl->args.yes ? "t" : "f", weir_ctl_caller(ctl)};
    char *message = NULL;
    json_t *rows;

    if (!weir_ctl_group_exists(ctl, values[0]))
        return WEIR_CTL_REFUSED;
    rows = weir_ctl_query(ctl, "SELECT * FROM group_delete($1, $2::boolean, $3)", 3, values,
                          "WE003", &message);
    if (rows == NULL) {
        weir_ctl_fail(WEIR_CTL_REFUSED, "%s", message);
        free(message);
        return WEIR_CTL_REFUSED;
    }
    weir_ctl_print_rows(ctl, rows, "");
    json_decref(rows);

    return WEIR_CTL_OK;
}
