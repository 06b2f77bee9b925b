/*
 * The API's own description: GET /openapi.json?version=N, OpenAPI 3.1 for one
 * version of the API, made of the operations that were added here (each with its
 * route, so that no route of a domain is missing) and of the tables of
 * fields.h.
 *
 * Deprecated fields say "deprecated": true, and in x-weir-replaced-by what takes
 * their place.
 */
#ifndef WEIR_OPENAPI_H
#define WEIR_OPENAPI_H

#include "api/api.h"
#include "api/fields.h"
#include "http/http.h"

#define WEIR_OPERATION_ERRORS_MAX 6

typedef struct {
    const char *method;  /* "GET" */
    const char *pattern; /* as in route.h; each of its names is a UUID */
    const char *id;      /* operationId */
    const char *summary;
    const weir_resource_t *query; /* its parameters, or NULL */
    const weir_resource_t *body;  /* of the request, or NULL */
    int status;                   /* when all is well */
    int also;                     /* another such status with the same answer, 0: none */
    const weir_resource_t *answer;
    const char *kind; /* what the id in its pattern is of, for a 404: "thing"; or NULL */
    int needs_key;    /* its Idempotency-Key, which others that post a body may have */
    int errors[WEIR_OPERATION_ERRORS_MAX]; /* problem details; 400 and 503 are everywhere */
} weir_operation_t;

typedef struct weir_openapi weir_openapi_t;

/* Adds its own route.  api is kept by reference.  To be freed after http. */
weir_openapi_t *weir_openapi_new(weir_http_t *http, const weir_api_t *api);
void weir_openapi_free(weir_openapi_t *openapi);

/* Adds an operation, kept by reference, and its route as weir_http_route() does. */
void weir_openapi_route(weir_openapi_t *openapi, const weir_operation_t *operation,
                        weir_http_handler handler, void *arg);

#endif
