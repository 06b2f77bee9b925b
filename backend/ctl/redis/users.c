#include "ctl/redis/users.h"

#include "common/merkle/sha256.h"
#include "common/secret/secret.h"
#include "common/text/hex.h"
#include "log/alloc.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    EDGE = 1,
    API = 2,
    RELAY = 4,
    WORKER = 8,
    ALL = 16, /* several roles in one process */
    CTL = 32,
    APP = 64 /* an example: a service that invalidates the edges' responses */
};
#define BACKEND (API | RELAY | WORKER | ALL)

static const struct {
    const char *name;
    unsigned bit;
} users[] = {
    {"weir-edge", EDGE},   {"weir-api", API}, {"weir-relay", RELAY}, {"weir-worker", WORKER},
    {"weir-backend", ALL}, {"weir-ctl", CTL}, {"app", APP},
};

#define N_USERS (sizeof(users) / sizeof(users[0]))

/*
 * Each row is a right of its own: these commands with these keys. %R~ allows commands that read a
 * key, %W~ those that write it, ~ both. Commands within scripts need their rights, too.
 */
static const struct {
    unsigned users;
    const char *keys; /* NULL: commands without keys */
    const char *commands;
} rights[] = {
    {EDGE | BACKEND, NULL, "+ping"},
    {EDGE | BACKEND | CTL, NULL, "+select"},
    {EDGE, NULL, "+info"},
    {BACKEND, NULL, "+client|setname"},
    {WORKER | ALL, NULL, "+client|id +client|unblock"},

    /* responses, their leases, and responses on their way (ngx_module/cache/) */
    {EDGE, "~weir:cache:*", "+get +set +del"},
    {EDGE, "~weir:lease:*", "+get +set +del"},
    {EDGE, "%W~weir:fill:*", "+set +expire +unlink"},
    {EDGE, "~weir:fill:* %W~weir:cache:*", "+rename"},
    {EDGE, "~weir:cache:* ~weir:lease:* ~weir:fill:*", "+eval"},

    /* invalidations (ngx_module/cache/invalidation/, backend/outbound/) */
    {EDGE, "~weir:invalidate", "+xadd +xread +xtrim +xinfo|stream"},
    {EDGE, "~weir:era", "+get +set"},
    {WORKER | ALL | APP, "%W~weir:invalidate", "+xadd"},

    /* revoked tokens (ngx_module/auth/revoked/, weirctl revoke) */
    {EDGE, "~weir:revoked", "+xread +xtrim +xsetid +xinfo|stream +eval"},
    {CTL, "%W~weir:revoked", "+xadd"},

    /* feature flags (ngx_module/flag/, weirctl flag) */
    {EDGE, "~weir:flags", "+xread +xtrim +xsetid +xinfo|stream +eval"},
    {CTL, "~weir:flags", "+xrange +xadd +xdel +eval"},

    /* refused requests (ngx_module/auth/audit/, backend/audit/) */
    {EDGE, "%W~weir:refused", "+xadd"},
    {RELAY | ALL, "%R~weir:refused", "+xrange"},

    /* one command reads all streams that the edge follows (ngx_module/redis/follow/) */
    {EDGE, "%R~weir:invalidate %R~weir:revoked %R~weir:flags %R~weir:breaker", "+xread"},

    /* states of breakers, orders, and the fleet's probes (ngx_module/breaker/fleet/) */
    {EDGE, "~weir:breaker", "+xadd +xread +xtrim +xsetid +xinfo|stream +eval"},
    {CTL, "~weir:breaker", "+xadd +xrevrange"},
    {EDGE, "~weir:breaker:probe:*", "+eval +get +set +del +pttl +pexpire"},

    /* traces that are kept late (ngx_module/trace/, backend/export/) */
    {EDGE, "%W~weir:traces:kept", "+xadd"},
    {BACKEND, "%R~weir:traces:kept", "+xread"},

    /* events (backend/events/) */
    {RELAY | ALL, "~weir:events:*", "+exists +xadd +xtrim +xinfo|stream"},
    {RELAY | ALL, "~weir:fence:*", "+get +set"},
    {RELAY | ALL, "~weir:events:* ~weir:fence:*", "+eval +evalsha"},
    {WORKER | ALL, "~weir:events:*",
     "+xreadgroup +xack +xgroup|create +xgroup|delconsumer +xgroup|setid +eval +evalsha"},
    {WORKER | ALL, "%W~weir:dead:*", "+xadd"},
    {CTL, "~weir:events:*", "+del +xinfo|stream"},
    {CTL, "%R~weir:fence:*", "+get"},

    /* heads of the audit log (backend/audit/) */
    {RELAY | ALL, "~weir:audit:heads", "+xadd +xrevrange +eval +evalsha"},
    {CTL, "%R~weir:audit:heads", "+xrange"},
};

#define N_RIGHTS (sizeof(rights) / sizeof(rights[0]))

const char *weir_ctl_users_name(size_t index)
{
    return index < N_USERS ? users[index].name : NULL;
}

/* Puts more behind *text, which may move. */
static void append(char **text, const char *before, const char *more)
{
    char *longer = weir_alloc_format("%s%s%s", *text, before, more);

    free(*text);
    *text = longer;
}

char *weir_ctl_users_rules(size_t index, bool quoted)
{
    char *rules = weir_alloc_text("resetchannels -@all");

    assert(index < N_USERS);
    for (size_t i = 0; i < N_RIGHTS; i++) {
        if ((rights[i].users & users[index].bit) != 0 && rights[i].keys == NULL)
            append(&rules, " ", rights[i].commands);
    }
    for (size_t i = 0; i < N_RIGHTS; i++) {
        if ((rights[i].users & users[index].bit) == 0 || rights[i].keys == NULL)
            continue;
        append(&rules, quoted ? " \"(" : " (", rights[i].keys);
        append(&rules, " ", rights[i].commands);
        append(&rules, quoted ? ")\"" : ")", "");
    }

    return rules;
}

char *weir_ctl_users_passwords(const char *file, bool *missing, char *error, size_t size)
{
    char text[WEIR_SECRET_FILE_MAX + 1], hex[2 * sizeof(weir_hash_t) + 1];
    const char *at = text, *line, *why;
    char *rules;
    size_t len;
    weir_hash_t hash;

    *missing = access(file, F_OK) != 0 && errno == ENOENT;
    why = weir_secret_read(file, text);
    if (why != NULL) {
        snprintf(error, size, "%s: %s", file, why);
        return NULL;
    }
    rules = weir_alloc_text("");
    while ((line = weir_secret_next(&at, &len)) != NULL) {
        weir_sha256(&(weir_hash_part_t){line, len}, 1, &hash);
        weir_hex(hex, hash.bytes, sizeof(hash.bytes));
        hex[2 * sizeof(hash.bytes)] = '\0';
        append(&rules, " #", hex);
    }
    OPENSSL_cleanse(text, sizeof(text));

    return rules;
}
