#include "http/caller/identity.h"

#include "log/alloc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    weir_identity_t identity;
    unsigned owners;
    char texts[];
} owned_t;

/* Copies the text to *at, and moves *at behind it. */
static const char *copy(char **at, const char *text)
{
    size_t size = strlen(text) + 1;
    char *to = memcpy(*at, text, size);

    *at += size;

    return to;
}

weir_identity_t *weir_identity_new(const char *subject, const char *issuer, const char *actor,
                                   const char *scopes)
{
    bool anonymous = *subject == '\0';
    const char *name = anonymous ? WEIR_IDENTITY_ANONYMOUS : subject;
    owned_t *owned = weir_alloc(sizeof(*owned) + strlen(name) + strlen(issuer) + strlen(actor) +
                                strlen(scopes) + 4);
    char *at = owned->texts;

    owned->owners = 1;
    owned->identity.subject = copy(&at, name);
    owned->identity.issuer = copy(&at, issuer);
    owned->identity.actor = copy(&at, actor);
    owned->identity.scopes = copy(&at, scopes);
    owned->identity.anonymous = anonymous;

    return &owned->identity;
}

weir_identity_t *weir_identity_keep(weir_identity_t *identity)
{
    owned_t *owned = (owned_t *)identity;

    assert(owned->owners > 0);
    owned->owners++;

    return identity;
}

void weir_identity_drop(weir_identity_t *identity)
{
    owned_t *owned = (owned_t *)identity;

    if (owned == NULL)
        return;
    assert(owned->owners > 0);
    if (--owned->owners == 0)
        free(owned);
}

bool weir_identity_has(const weir_identity_t *identity, const char *scope)
{
    size_t len = strlen(scope);

    assert(len > 0);
    for (const char *p = identity->scopes; *p != '\0';) {
        size_t n = strcspn(p, " ");

        if (n == len && memcmp(p, scope, len) == 0)
            return true;
        p += n + strspn(p + n, " ");
    }

    return false;
}
