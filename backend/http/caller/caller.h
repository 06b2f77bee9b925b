/*
 * Who has sent a request, for the records of the audit log (backend/audit/sql/functions/audit.sql):
 * a JSON object with subject (on whose behalf), actor (the program that asks) and address, as text.
 *
 * With a verified identity (http/caller/identity.h) the subject is "sub:" and that of the caller's
 * token, and actor the edge and, behind a blank, the token's issuer: two issuers may give one
 * subject to different people. The prefix keeps subjects apart from "system", "os:…" and
 * "anonymous", which is the subject without a token. Without an identity actor is missing.
 */
#ifndef WEIR_CALLER_H
#define WEIR_CALLER_H

#include "http/http.h"

#define WEIR_CALLER_TEXT 4096 /* bytes of the text, with its NUL */

#define WEIR_CALLER_NAME 256

/* What is recorded as the address of a caller. */
typedef enum {
    WEIR_CALLER_PEER,      /* that of the connection: of a proxy, if there is one */
    WEIR_CALLER_FORWARDED, /* the last one in X-Forwarded-For, which the proxy in front appends;
                              that of the connection, if the field is missing or has none at its end
                            */
    WEIR_CALLER_OFF
} weir_caller_address_t;

/* Sets it; the default is WEIR_CALLER_PEER. */
void weir_caller_address(weir_caller_address_t address);

/*
 * To be called within the handler's call. Of subject and actor, whole characters of the first
 * WEIR_CALLER_NAME bytes are taken, as the log has no more.
 */
void weir_caller_text(const weir_http_request_t *request, char out[WEIR_CALLER_TEXT]);

/*
 * Copies the last element of a value of X-Forwarded-For, an IPv4 or IPv6 address without port or
 * brackets. False: it is none.
 */
bool weir_caller_forwarded(const char *value, char out[WEIR_HTTP_PEER]);

#endif
