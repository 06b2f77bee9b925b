#include "check.h"

#include "http/listen.h"
#include "redis/url.h"

#include <libpq-fe.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool check_listen(const weir_config_t *config, char *error, size_t size)
{
    char why[256];

    if (weir_listen_check(config->listen, why, sizeof(why)))
        return true;
    weir_config_complain(config, "listen", why, error, size);
    return false;
}

static bool check_redis(const weir_config_t *config, char *error, size_t size)
{
    weir_redis_url_t url;
    const char *why = weir_redis_url_parse(&url, config->redis);

    weir_redis_url_clear(&url);
    if (why != NULL)
        weir_config_complain(config, "redis", why, error, size);
    return why == NULL;
}

/* What libpq looks at only when it connects (libpq manual, 34.1.2); lists end with NULL. */
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

/* NULL, or in why what is wrong. */
static const char *check_options(const PQconninfoOption *options, char *why, size_t size)
{
    const char *host = "", *port = "";

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
                snprintf(why, size, "%s \"%s\" is none that libpq knows", o->keyword, o->val);
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

/* What libpq quotes in a message may be a piece of a password that was not quoted itself. */
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

static bool check_database(const weir_config_t *config, char *error, size_t size)
{
    const char *text = config->database, *why = NULL;
    PQconninfoOption *options;
    char *message = NULL, wrong[256];

    /* Anything else is the name of a database: as PQconnectdbParams() with expand_dbname. */
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
        if (weir_config_has_secret("database", text))
            hide_quoted(line);
        weir_config_complain(config, "database", line, error, size);
    }
    PQconninfoFree(options);
    PQfreemem(message);
    return why == NULL;
}

bool weir_check_addresses(const weir_config_t *config, char *error, size_t size)
{
    return check_listen(config, error, size) && check_redis(config, error, size) &&
           check_database(config, error, size);
}
