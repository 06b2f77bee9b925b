/*
 * The version of an API that a request asks for: proactive negotiation by RFC
 * 9110 section 12 over the media types that the API offers.
 *
 * An API with the media type application/vnd.shop and the versions 1 and 2
 * offers, for each version N,
 *
 *     application/vnd.shop.vN+json    the version by name
 *
 * and for the version that applies if none is named
 *
 *     application/vnd.shop+json
 *     application/json
 *
 * A version may also be named by a header of the operator's choice and by the
 * Content-Type of a request with a body.  These two pin the version; Accept
 * must then allow it.
 *
 * The functions allocate no memory and keep no state.  The time is linear in
 * the length of Accept, plus ranges times versions.
 */

#ifndef WEIR_NEGOTIATE_H
#define WEIR_NEGOTIATE_H

#include "common/text/str.h"

/* Media ranges after the first 64 of an Accept are ignored. */
#define WEIR_NEGOTIATE_RANGES_MAX 64

typedef struct {
    weir_str_t media_type;      /* "application/vnd.shop", in lower case */
    const weir_str_t *versions; /* "1", "2" ... */
    size_t nversions;           /* at least 1 */
    size_t default_version;     /* index into versions */
} weir_negotiate_api_t;

typedef struct {
    weir_str_t accept;         /* all Accept lines joined by commas; empty if absent */
    weir_str_t version_header; /* "2" or "v2"; data NULL if absent or not configured */
    weir_str_t content_type;   /* of a request with a body; data NULL otherwise */
} weir_negotiate_request_t;

typedef enum {
    WEIR_NEGOTIATE_OK,
    WEIR_NEGOTIATE_MALFORMED_ACCEPT, /* 400: no element could be read */
    WEIR_NEGOTIATE_CONFLICT,         /* 400: two parts of the request name different versions */
    WEIR_NEGOTIATE_UNKNOWN_VERSION,  /* 406: the header names a version that is not offered */
    WEIR_NEGOTIATE_NOT_ACCEPTABLE,   /* 406: Accept allows no offered type */
    WEIR_NEGOTIATE_UNSUPPORTED_BODY  /* 415: unknown version or suffix in Content-Type */
} weir_negotiate_result_t;

/* The form of the version's type that the client prefers; it labels the response. */
typedef enum {
    WEIR_NEGOTIATED_VERSION,     /* application/vnd.shop.v2+json */
    WEIR_NEGOTIATED_UNVERSIONED, /* application/vnd.shop+json */
    WEIR_NEGOTIATED_JSON         /* application/json */
} weir_negotiated_form_t;

typedef struct {
    size_t version; /* index into versions */
    weir_negotiated_form_t form;
} weir_negotiated_t;

/*
 * Negotiates.  *out is filled in for WEIR_NEGOTIATE_OK, and unspecified
 * otherwise.
 *
 * Accept: for each offered type the most specific matching range decides its
 * quality (section 12.5.1).  Media type parameters other than q are ignored.
 * Malformed elements are skipped.  "*" and "q=.5" are read as all types and
 * "q=0.5".  Among the types with the highest quality, the one that was asked
 * for most specifically wins, then the default version, then the first in
 * order.  An absent or empty Accept allows everything.
 */
weir_negotiate_result_t weir_negotiate(const weir_negotiate_api_t *api,
                                       const weir_negotiate_request_t *request,
                                       weir_negotiated_t *out);

#endif
