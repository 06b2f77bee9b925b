#include "ctl/ctl.h"
#include "db/db.h"
#include "log/alloc.h"

#include <assert.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static PGresult *execute(weir_ctl_t *ctl, const char *sql, int n, const char *const *values)
{
    return PQexecParams(ctl->db, sql, n, NULL, values, NULL, NULL, 0);
}

static void check(PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    const char *sqlstate, *advice;

    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
        return;
    sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    /* Data exceptions are about values, and these come from the command line. */
    if (sqlstate != NULL && strncmp(sqlstate, "22", 2) == 0)
        exit(weir_ctl_fail(WEIR_CTL_USAGE, "%s",
                           PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY)));
    advice = sqlstate != NULL ? weir_db_advice(sqlstate) : NULL;
    if (advice != NULL)
        exit(weir_ctl_fail(WEIR_CTL_AWAY, "PostgreSQL: %s: %s",
                           PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY), advice));
    exit(weir_ctl_fail(WEIR_CTL_AWAY, "PostgreSQL: %s", PQresultErrorMessage(result)));
}

/*
 * Event data may have values that jansson cannot parse: numbers beyond 2^63 or a double, and deep
 * nesting. So data is selected as text and parsed separately; data that cannot be parsed stays a
 * text.
 */
static void read_data(json_t *rows)
{
    json_t *row, *data;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        const char *text = json_string_value(json_object_get(row, "data"));

        data = text != NULL ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
        if (data != NULL)
            json_object_set_new(row, "data", data);
    }
}

json_t *weir_ctl_query(weir_ctl_t *ctl, const char *sql, int n, const char *const *values,
                       const char *expected, char **message)
{
    static const char format[] = "SELECT coalesce(json_agg(q), '[]') FROM (%s) q";
    size_t size = sizeof(format) + strlen(sql);
    char *wrapped = weir_alloc(size);
    PGresult *result;
    const char *sqlstate;
    json_t *rows;

    assert(ctl->db != NULL && (expected == NULL || message != NULL));
    snprintf(wrapped, size, format, sql);
    result = execute(ctl, wrapped, n, values);
    free(wrapped);

    sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (sqlstate != NULL && expected != NULL && strcmp(sqlstate, expected) == 0) {
        *message = weir_alloc_text(PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
        PQclear(result);
        return NULL;
    }

    check(result);
    rows = json_loads(PQgetvalue(result, 0, 0), 0, NULL);
    if (rows == NULL)
        exit(weir_ctl_fail(WEIR_CTL_AWAY, "PostgreSQL sent a value that is not JSON"));
    PQclear(result);
    read_data(rows);

    return rows;
}

json_t *weir_ctl_rows(weir_ctl_t *ctl, const char *sql, int n, const char *const *values)
{
    return weir_ctl_query(ctl, sql, n, values, NULL, NULL);
}

void weir_ctl_run(weir_ctl_t *ctl, const char *sql, int n, const char *const *values)
{
    PGresult *result = execute(ctl, sql, n, values);

    assert(ctl->db != NULL);
    check(result);
    PQclear(result);
}

const char *weir_ctl_caller(const weir_ctl_t *ctl)
{
    static char text[1024]; /* twice the subject, if all of it is escaped, and the rest */
    const struct passwd *user = getpwuid(getuid());
    char subject[256];
    json_t *json;

    (void)ctl;
    if (user != NULL)
        snprintf(subject, sizeof(subject), "os:%s", user->pw_name);
    else
        snprintf(subject, sizeof(subject), "os:%ju", (uintmax_t)getuid());
    weir_str_make_printable(subject);
    json = json_pack("{s:s, s:s}", "subject", subject, "actor", "weirctl");
    text[json_dumpb(json, text, sizeof(text) - 1, JSON_COMPACT)] = '\0';
    json_decref(json);

    return text;
}

bool weir_ctl_group_exists(weir_ctl_t *ctl, const char *group)
{
    json_t *rows = weir_ctl_rows(
        ctl,
        "SELECT bool_or(g.name = $1) AS is_there, string_agg(g.name, ', ' ORDER BY g.name) AS names"
        " FROM (SELECT group_name AS name FROM consumer_partitions"
        "       UNION SELECT group_name FROM dead_letters) g",
        1, &group);
    const json_t *row = json_array_get(rows, 0);
    const char *names = json_string_value(json_object_get(row, "names"));
    bool is_there = json_is_true(json_object_get(row, "is_there"));

    if (!is_there && names == NULL)
        weir_ctl_fail(WEIR_CTL_REFUSED, "there is no group \"%s\": no worker has run yet", group);
    else if (!is_there)
        weir_ctl_fail(WEIR_CTL_REFUSED, "there is no group \"%s\"; the groups are %s", group,
                      names);
    json_decref(rows);

    return is_there;
}
