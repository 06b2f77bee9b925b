#include "http/caller/caller.h"

#include "http/caller/identity.h"
#include "log/alloc.h"

#include <arpa/inet.h>
#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static weir_caller_address_t mode;

void weir_caller_address(weir_caller_address_t address)
{
    mode = address;
}

bool weir_caller_forwarded(const char *value, char out[WEIR_HTTP_PEER])
{
    const char *comma = strrchr(value, ','), *begin = comma != NULL ? comma + 1 : value;
    uint8_t address[sizeof(struct in6_addr)];
    size_t len;

    begin += strspn(begin, " \t");
    len = strcspn(begin, " \t");
    if (len == 0 || len >= WEIR_HTTP_PEER || begin[len + strspn(begin + len, " \t")] != '\0')
        return false;
    memcpy(out, begin, len);
    out[len] = '\0';

    return inet_pton(AF_INET, out, address) == 1 || inet_pton(AF_INET6, out, address) == 1;
}

/* The length of the first whole characters of a text of UTF-8, at most so many bytes. */
static size_t cut(const char *text, size_t max)
{
    size_t len = strlen(text);

    if (len > max) {
        len = max;
        while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
            len--;
    }

    return len;
}

/* Adds the first characters of two texts in one, which is not empty and valid UTF-8. */
static void put_name(json_t *caller, const char *key, const char *first, const char *second)
{
    char name[WEIR_CALLER_NAME + 2]; /* and the first byte that is cut, which may end a character */
    size_t len;

    snprintf(name, sizeof(name), "%s%s", first, second);
    len = cut(name, WEIR_CALLER_NAME);
    if (len > 0)
        json_object_set_new(caller, key, weir_alloc_check(json_stringn(name, len)));
}

static void put_identity(json_t *caller, const weir_identity_t *identity)
{
    char actor[WEIR_CALLER_NAME];

    if (identity == NULL || identity->anonymous) {
        put_name(caller, "subject", WEIR_IDENTITY_ANONYMOUS, "");
        put_name(caller, "actor", identity != NULL ? identity->actor : "", "");
        return;
    }

    put_name(caller, "subject", "sub:", identity->subject);
    /* A long name of the edge leaves room for the issuer's. */
    snprintf(actor, sizeof(actor), "%.*s ", (int)cut(identity->actor, 64), identity->actor);
    put_name(caller, "actor", actor, identity->issuer);
}

void weir_caller_text(const weir_http_request_t *request, char out[WEIR_CALLER_TEXT])
{
    const char *forwarded = NULL;
    char address[WEIR_HTTP_PEER] = "";
    json_t *caller = weir_alloc_check(json_object());
    size_t len;

    if (mode == WEIR_CALLER_FORWARDED)
        forwarded = weir_http_header(request, "X-Forwarded-For");
    if (mode != WEIR_CALLER_OFF &&
        (forwarded == NULL || !weir_caller_forwarded(forwarded, address)))
        weir_http_peer(request, address);

    put_identity(caller, weir_http_identity(request));
    put_name(caller, "address", address, "");
    len = json_dumpb(caller, out, WEIR_CALLER_TEXT - 1, JSON_COMPACT);
    /* at most six bytes for each of the names' */
    assert(len > 0 && len < WEIR_CALLER_TEXT);
    out[len] = '\0';
    json_decref(caller);
}
