/*
 * The description of an API. The domain defines it, and passes it to answer.h and openapi.h.
 */
#ifndef WEIR_API_H
#define WEIR_API_H

#define WEIR_API_VERSION_MAX 9 /* versions are one digit in API-Version */

typedef struct {
    const char *title;      /* of the OpenAPI document */
    const char *media_type; /* of the edge (media_type of weir_api), without ".v2+json" */
    int first, standard,
        last; /* versions; standard is the version of a request without API-Version */
    const char *operator_scope; /* whose owners may call all operations, for all owners; or NULL */
} weir_api_t;

#endif
