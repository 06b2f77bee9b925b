#include "database.h"

#include <libpq-fe.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Values that libpq checks only when it connects (libpq manual, 34.1.2); lists end with NULL. */
static const struct {
    const char *keyword;
    const char *allowed[8];
} enums[] = {
    {"sslmode", {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}},
    {"gssencmode", {"disable", "prefer", "require"}},
    {"channel_binding", {"disable", "prefer", "require"}},
    {"target_session_attrs",
     {"any", "read-write", "read-only", "primary", "standby", "prefer-standby"}},
};

static size_t count(const char *list)
{
    size_t n = 1;

    assert(list != NULL);
    for (; *list != '\0'; list++)
        n += *list == ',';
    return n;
}

/* A list of port numbers; an empty one is the default port. */
static bool are_ports(const char *list)
{
    for (const char *p = list; *p != '\0';) {
        char *end = (char *)p;
        long n = *p == ',' ? 1 : strtol(p, &end, 10);

        if (n < 1 || n > 65535 || (*end != '\0' && *end != ',') || (end == p && *p != ','))
            return false;
        p = *end == ',' ? end + 1 : end;
    }
    return true;
}

/* Returns NULL, or why with the message. */
static const char *check_options(const PQconninfoOption *options, char *why, size_t size)
{
    const char *host = "", *port = "";

    assert(size > 0);
    for (const PQconninfoOption *o = options; o->keyword != NULL; o++) {
        if (o->val == NULL || *o->val == '\0')
            continue;
        if (strcmp(o->keyword, "host") == 0)
            host = o->val;
        if (strcmp(o->keyword, "port") == 0)
            port = o->val;
        for (size_t i = 0; i < sizeof(enums) / sizeof(enums[0]); i++) {
            bool found = strcmp(o->keyword, enums[i].keyword) != 0;

            for (const char *const *a = enums[i].allowed; *a != NULL; a++)
                found = found || strcmp(o->val, *a) == 0;
            if (!found) {
                snprintf(why, size, "%s \"%s\" is not a value that libpq knows", o->keyword,
                         o->val);
                return why;
            }
        }
    }
    if (!are_ports(port)) {
        snprintf(why, size, "port \"%s\" must be a number from 1 to 65535", port);
        return why;
    }
    if (count(port) > 1 && count(port) != count(host)) {
        snprintf(why, size, "%zu ports do not fit %zu hosts", count(port), count(host));
        return why;
    }
    return NULL;
}

/*
 * A text that libpq quotes in a message may be a part of a password that is not quoted in the
 * connection string.
 */
static void hide_quoted(char *line)
{
    char *from = strchr(line, '"'), *to;

    while (from != NULL && (to = strchr(from + 1, '"')) != NULL) {
        if (to - from > 2) { /* more than "=" */
            memset(from + 1, '.', (size_t)(to - from - 1));
        }
        from = strchr(to + 1, '"');
    }
}

bool weir_database_check(const weir_config_t *config, const char *key, const char *text,
                         char *error, size_t size)
{
    const char *why = NULL;
    PQconninfoOption *options;
    char *message = NULL, wrong[256];

    /* Any other text is the name of a database, as for PQconnectdbParams() with expand_dbname. */
    if (strchr(text, '=') == NULL && strncmp(text, "postgresql://", 13) != 0 &&
        strncmp(text, "postgres://", 11) != 0)
        return true;

    options = PQconninfoParse(text, &message);
    if (options != NULL)
        why = check_options(options, wrong, sizeof(wrong));
    else
        why = message != NULL ? message : "out of memory";
    if (why != NULL) {
        char line[256];

        snprintf(line, sizeof(line), "%.*s", (int)strcspn(why, "\n"), why);
        if (weir_config_has_secret(config, key))
            hide_quoted(line);
        weir_config_complain(config, key, line, error, size);
    }
    PQconninfoFree(options);
    PQfreemem(message);
    return why == NULL;
}
