#include "ctl/commands/commands.h"

#include "ctl/arguments.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

weir_ctl_exit_t weir_ctl_dead_list(weir_ctl_t *ctl)
{
    static const char sql[] =
        "SELECT d.group_name AS \"group\", d.partition || '/' || d.position AS at, d.type,"
        " d.aggregate, rfc3339(d.dead_at) AS dead_since, d.attempts, d.error"
        " FROM dead_letters d WHERE d.group_name = coalesce($1::text, d.group_name)"
        " ORDER BY d.dead_at DESC, d.group_name, d.partition, d.position LIMIT $2::int";
    char limit[12];
    json_t *rows;

    if (ctl->args.group != NULL && !weir_ctl_group_exists(ctl, ctl->args.group))
        return WEIR_CTL_REFUSED;
    snprintf(limit, sizeof(limit), "%d", ctl->args.count);
    rows = weir_ctl_rows(ctl, sql, 2, (const char *[]){ctl->args.group, limit});
    weir_ctl_print_rows(ctl, rows, "There is no dead letter.");
    json_decref(rows);

    return WEIR_CTL_OK;
}

/*
 * The dead letter that the words GROUP PARTITION/POSITION name, or with --all every dead letter of
 * GROUP.
 */
typedef struct {
    char partition[12], position[24];
    const char *values[4]; /* group, partition, position, caller */
} choice_t;

static void choose(weir_ctl_t *ctl, choice_t *c)
{
    const weir_ctl_args_t *args = &ctl->args;
    int partition;
    int64_t position;

    if (args->n_words == 0 || (args->n_words == 2) == args->all)
        exit(weir_ctl_fail(WEIR_CTL_USAGE,
                           "name a dead letter by GROUP PARTITION/POSITION as \"dead list\" "
                           "shows it, or all of a group by GROUP --all"));
    *c = (choice_t){.values = {args->words[0], NULL, NULL, weir_ctl_caller(ctl)}};
    if (args->all)
        return;

    if (!weir_ctl_place(args->words[1], &partition, &position))
        exit(weir_ctl_fail(WEIR_CTL_USAGE, "\"%s\" must be PARTITION/POSITION, such as 3/17",
                           args->words[1]));
    snprintf(c->partition, sizeof(c->partition), "%d", partition);
    snprintf(c->position, sizeof(c->position), "%" PRId64, position);
    c->values[1] = c->partition;
    c->values[2] = c->position;
}

static weir_ctl_exit_t absent(weir_ctl_t *ctl, const choice_t *c)
{
    if (!weir_ctl_group_exists(ctl, c->values[0]))
        return WEIR_CTL_REFUSED;
    if (c->values[1] == NULL)
        return weir_ctl_fail(WEIR_CTL_REFUSED, "group %s has no such dead letter", c->values[0]);

    return weir_ctl_fail(WEIR_CTL_REFUSED, "group %s has no dead letter %s/%s", c->values[0],
                         c->values[1], c->values[2]);
}

weir_ctl_exit_t weir_ctl_dead_show(weir_ctl_t *ctl)
{
    static const char sql[] =
        "SELECT d.group_name AS \"group\", d.partition || '/' || d.position AS at, d.error,"
        " d.attempts, rfc3339(d.dead_at) AS dead_since, d.event_id AS id, d.type, d.aggregate,"
        " rfc3339(d.created_at) AS time, d.schema_version,"
        " d.causation_id, coalesce(d.correlation_id, d.event_id) AS correlation_id, d.traceparent,"
        " d.data::text AS data FROM dead_letters d WHERE d.group_name = $1 AND d.partition = "
        "$2::smallint"
        " AND d.position = $3::bigint";
    choice_t c;
    json_t *rows;

    choose(ctl, &c);
    rows = weir_ctl_rows(ctl, sql, 3, c.values);
    if (json_array_size(rows) == 0) {
        json_decref(rows);
        return absent(ctl, &c);
    }
    weir_ctl_print_object(ctl, json_array_get(rows, 0));
    json_decref(rows);

    return WEIR_CTL_OK;
}

static weir_ctl_exit_t change(weir_ctl_t *ctl, const char *sql)
{
    choice_t c;
    json_t *rows;

    choose(ctl, &c);
    rows = weir_ctl_rows(ctl, sql, 4, c.values);
    if (json_array_size(rows) == 0) {
        json_decref(rows);
        return absent(ctl, &c);
    }
    weir_ctl_print_rows(ctl, rows, "");
    json_decref(rows);

    return WEIR_CTL_OK;
}

weir_ctl_exit_t weir_ctl_dead_replay(weir_ctl_t *ctl)
{
    return change(ctl, "SELECT * FROM dead_replay($1, $2::smallint, $3::bigint, $4)");
}

weir_ctl_exit_t weir_ctl_dead_drop(weir_ctl_t *ctl)
{
    return change(ctl, "SELECT * FROM dead_drop($1, $2::smallint, $3::bigint, $4)");
}
