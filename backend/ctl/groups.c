#include "ctl/ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What a group has handled: up to its watermark, and what lies above it. */
#define HANDLED                                                                                    \
    "SELECT c.group_name, sum(c.handled"                                                           \
    " + (SELECT count(*) FROM consumed m WHERE m.group_name = c.group_name"                        \
    "    AND m.partition = c.partition AND m.position > c.handled)) AS handled,"                   \
    " extract(epoch FROM clock_timestamp()) AS at FROM consumer_partitions c GROUP BY 1"

static void wait_ms(int64_t ms)
{
    struct timespec t = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};

    while (nanosleep(&t, &t) != 0)
        ;
}

/* The rate comes from two looks; without a first one there is none. */
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
        " sum(p.position) - min(n.handled) AS lag,"
        " (SELECT count(*) FROM retries r WHERE r.group_name = c.group_name) AS pending,"
        " round(extract(epoch FROM clock_timestamp() - min((SELECT o.created_at FROM outbox o"
        "   WHERE o.partition = c.partition AND o.position = c.handled + 1))), 1) AS oldest_s,"
        " round((min(n.handled) - min(e.handled)) / nullif(min(n.at) - min(e.at), 0)) AS "
        "rate_per_s,"
        " (SELECT count(*) FROM dead_letters d WHERE d.group_name = c.group_name) AS dead"
        " FROM consumer_partitions c JOIN partitions p USING (partition)"
        " JOIN now n USING (group_name) LEFT JOIN earlier e USING (group_name)"
        " GROUP BY c.group_name ORDER BY c.group_name";
    char *earlier = NULL;
    const char *values[1];
    json_t *rows;

    if (ctl->args.interval > 0) {
        rows = weir_ctl_rows(ctl, HANDLED, 0, NULL);
        earlier = json_dumps(rows, 0);
        json_decref(rows);
        wait_ms(ctl->args.interval);
    }

    values[0] = earlier != NULL ? earlier : "[]";
    rows = weir_ctl_rows(ctl, sql, 1, values);
    weir_ctl_print_rows(ctl, rows, "No group has run yet.");
    json_decref(rows);
    free(earlier);
    weir_ctl_warn_halted(ctl);

    return WEIR_CTL_OK;
}

/* The group that is named, or with --all NULL; false after a message. */
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
    const char *group;
    json_t *rows;

    if (!chosen(ctl, &group))
        return WEIR_CTL_REFUSED;
    rows = weir_ctl_rows(ctl, sql, 1, &group);
    weir_ctl_print_rows(ctl, rows, none);
    json_decref(rows);

    return WEIR_CTL_OK;
}

weir_ctl_exit_t weir_ctl_groups_pause(weir_ctl_t *ctl)
{
    const char *group;

    if (!chosen(ctl, &group))
        return WEIR_CTL_REFUSED;
    weir_ctl_run(ctl,
                 "INSERT INTO paused_groups (group_name)"
                 " SELECT DISTINCT c.group_name FROM consumer_partitions c"
                 " WHERE c.group_name = coalesce($1::text, c.group_name) ON CONFLICT DO NOTHING",
                 1, &group);

    return change(ctl,
                  "SELECT g.group_name AS \"group\", rfc3339(g.paused_at) AS paused_since"
                  " FROM paused_groups g WHERE g.group_name = coalesce($1::text, g.group_name)"
                  " ORDER BY 1",
                  "No group has run yet.");
}

weir_ctl_exit_t weir_ctl_groups_resume(weir_ctl_t *ctl)
{
    const char *group;
    json_t *rows;

    if (!chosen(ctl, &group))
        return WEIR_CTL_REFUSED;
    rows = weir_ctl_rows(ctl,
                         "SELECT g.group_name AS \"group\", rfc3339(now()) AS resumed_at,"
                         " rfc3339(g.paused_at) AS was_paused_at FROM paused_groups g"
                         " WHERE g.group_name = coalesce($1::text, g.group_name) ORDER BY 1",
                         1, &group);
    weir_ctl_run(
        ctl, "DELETE FROM paused_groups g WHERE g.group_name = coalesce($1::text, g.group_name)", 1,
        &group);
    weir_ctl_print_rows(ctl, rows, "Nothing was paused.");
    json_decref(rows);

    return WEIR_CTL_OK;
}
