#include "db/sqlstate.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

bool weir_db_is_away(const char *sqlstate)
{
    assert(sqlstate != NULL);
    /* Codes, or their classes. consume() (events/sql) uses the same codes. */
    static const char *const away[] = {"08", "0A000", "25006", "26000", "28",    "3D",
                                       "3F", "40",    "42501", "42703", "42883", "42P01",
                                       "53", "55P03", "57",    "58"};

    for (size_t i = 0; i < sizeof(away) / sizeof(away[0]); i++) {
        if (strncmp(sqlstate, away[i], strlen(away[i])) == 0)
            return true;
    }
    return false;
}

const char *weir_db_advice(const char *sqlstate)
{
    if (strcmp(sqlstate, "42883") == 0 || strcmp(sqlstate, "42P01") == 0 ||
        strcmp(sqlstate, "42703") == 0)
        return "the database's schema is not this version's; run: weir-backend -c FILE migrate";
    if (strcmp(sqlstate, "42501") == 0)
        return "the session's user lacks a right: a member of another role has it, or the file of "
               "a domain's function lacks its grant_execute(); see"
               " docs/guides/access/database-roles.md";
    return NULL;
}
