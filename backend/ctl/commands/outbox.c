#include "ctl/commands/commands.h"

#include "ctl/redis/streams.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The relay holds an advisory lock: see relay.c. */
static const char summary_sql[] =
    "SELECT (SELECT count(*) FROM outbox o WHERE o.position IS NULL) AS waiting,"
    " (SELECT round(extract(epoch FROM clock_timestamp() - min(o.created_at)), 1)"
    "  FROM outbox o WHERE o.position IS NULL) AS oldest_s,"
    " coalesce((SELECT 'at work' FROM pg_locks l WHERE l.locktype = 'advisory'"
    "  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    "  AND l.classid = 2003134834 AND l.objid = 1 AND l.granted LIMIT 1), 'none') AS relay,"
    " (SELECT rfc3339(o.created_at) FROM outbox o ORDER BY o.id LIMIT 1) AS history_since";

static const char partitions_sql[] =
    "SELECT p.partition, (SELECT count(*) FROM outbox o WHERE o.partition = p.partition"
    "  AND o.position IS NULL) AS waiting, p.position, c.handled, c.group_name AS slowest_group, "
    "p.halted IS NOT NULL AS halted"
    " FROM partitions p LEFT JOIN LATERAL (SELECT * FROM consumer_partitions c"
    "  WHERE c.partition = p.partition ORDER BY c.handled, c.group_name LIMIT 1) c ON true"
    " ORDER BY p.partition";

/*
 * The states of relay.c, which updates them within a second. Behind: Redis lacks events that not
 * all groups have handled. Ahead: Redis has events that the database does not have, or had such
 * events and no operator has decided yet.
 */
static const char *state_of(json_int_t last, json_int_t position, json_int_t handled, bool halted)
{
    if (halted || last > position)
        return "ahead";

    return last < position && handled < position ? "behind" : "following";
}

static void add_streams(const json_t *streams, json_t *partitions)
{
    json_t *row;
    size_t i;

    json_array_foreach(partitions, i, row)
    {
        json_int_t position = json_integer_value(json_object_get(row, "position"));
        json_int_t handled = json_integer_value(json_object_get(row, "handled"));
        bool halted = json_is_true(json_object_get(row, "halted"));
        json_t *last = json_object_get(json_array_get(streams, i), "stream_last");

        json_object_del(row, "halted");
        json_object_set(row, "stream_last", last);
        json_object_set(row, "stream_length",
                        json_object_get(json_array_get(streams, i), "stream_length"));
        json_object_set_new(row, "state",
                            json_string(json_is_integer(last) ? state_of(json_integer_value(last),
                                                                         position, handled, halted)
                                                              : "unknown"));
    }
}

weir_ctl_exit_t weir_ctl_outbox(weir_ctl_t *ctl)
{
    char error[256] = "";
    weir_ctl_redis_t *redis = weir_ctl_redis_open(ctl, error, sizeof(error));
    json_t *streams = weir_ctl_streams(ctl, redis, error, sizeof(error)); /* before the positions */
    json_t *summary = weir_ctl_rows(ctl, summary_sql, 0, NULL);
    json_t *partitions = weir_ctl_rows(ctl, partitions_sql, 0, NULL);
    json_t *object = json_array_get(summary, 0);

    add_streams(streams, partitions);
    json_decref(streams);
    json_object_set_new(object, "partitions", partitions);
    weir_ctl_print_object(ctl, object);
    json_decref(summary);
    (void)weir_ctl_none_halted(ctl);

    if (redis != NULL)
        weir_ctl_redis_close(redis);

    return error[0] == '\0' ? WEIR_CTL_OK : weir_ctl_fail(WEIR_CTL_AWAY, "Redis: %s", error);
}
