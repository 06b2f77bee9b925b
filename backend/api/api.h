/*
 * What an API says of itself: the domain fills it in once, and hands it to whatever speaks for the
 * API (answer.h, openapi.h).
 */
#ifndef WEIR_API_H
#define WEIR_API_H

#define WEIR_API_VERSION_MAX 9 /* versions are one digit in API-Version */

typedef struct {
    const char *title;         /* of the OpenAPI document */
    const char *media_type;    /* of the edge (media_type of weir_api), without ".v2+json" */
    int first, standard, last; /* versions; standard is that of a request that names none */
} weir_api_t;

#endif
