#include "http/caller.h"

#include <arpa/inet.h>
#include <assert.h>
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

void weir_caller_text(const weir_http_request_t *request, char out[WEIR_CALLER_TEXT])
{
    const char *forwarded = NULL;
    char address[WEIR_HTTP_PEER];

    if (mode == WEIR_CALLER_OFF) {
        snprintf(out, WEIR_CALLER_TEXT, "{\"subject\":\"anonymous\"}");
        return;
    }
    if (mode == WEIR_CALLER_FORWARDED)
        forwarded = weir_http_header(request, "X-Forwarded-For");
    if (forwarded == NULL || !weir_caller_forwarded(forwarded, address))
        weir_http_peer(request, address);
    /* An address has no character that JSON would escape. */
    assert(strpbrk(address, "\"\\") == NULL);
    snprintf(out, WEIR_CALLER_TEXT, "{\"subject\":\"anonymous\",\"address\":\"%s\"}", address);
}
