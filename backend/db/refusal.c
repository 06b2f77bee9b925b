#include "db/refusal.h"

#include "db/db.h"
#include "log/log.h"

#include <assert.h>
#include <string.h>

void weir_refusal_note(bool *refused, const char *asker, const char *question, const char *error,
                       const char *sqlstate)
{
    assert(refused != NULL && (error == NULL) == (sqlstate == NULL));
    if (error == NULL && *refused)
        weir_log(WEIR_LOG_INFO, NULL, "database answers again", "{s:s,s:s}", "asker", asker,
                 "question", question);
    if (error != NULL && strcmp(sqlstate, "08006") == 0)
        return;
    if (error != NULL && !*refused)
        weir_log(WEIR_LOG_ERROR, NULL, "database refuses a query, retrying",
                 "{s:s,s:s,s:s,s:s,s:s*}", "asker", asker, "question", question, "error", error,
                 "sqlstate", sqlstate, "advice", weir_db_advice(sqlstate));
    *refused = error != NULL;
}

void weir_refusal_drop(bool *refused, const char *asker, const char *question)
{
    if (*refused)
        weir_log(WEIR_LOG_INFO, NULL, "the query that the database refused is no longer needed",
                 "{s:s,s:s}", "asker", asker, "question", question);
    *refused = false;
}
