/*
 * The description of the API: GET /openapi.json?version=N, OpenAPI 3.1 for one version of the API.
 * It is generated from the operations that were added here (each with its route, so that no route
 * of a domain is missing) and from the tables of fields.h.
 *
 * "security" of an operation says who may call it: nobody needs a token for an anonymous one,
 * others need one with the scope.
 *
 * A deprecated field has "deprecated": true, and its replacement in x-weir-replaced-by.
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
    int status;                   /* on success */
    int also;                     /* another status of success with the same answer; 0: none */
    const weir_resource_t *answer;
    const char *kind;  /* the kind of object that the id in pattern identifies, for a 404: "thing";
                          or NULL */
    int needs_key;     /* Idempotency-Key is required; for other operations that post a body it is
                          optional */
    const char *scope; /* that its callers need, or NULL: authorize.h */
    int anonymous;     /* callers without a token may call it, too */
    int of_subject;    /* the id in pattern is the subject of the callers who may call it */
    int errors[WEIR_OPERATION_ERRORS_MAX]; /* statuses of problems; every operation also has 400 and
                                              503 */
} weir_operation_t;

typedef struct weir_openapi weir_openapi_t;

/* Adds the route /openapi.json. api must outlive the result, which must be freed after http. */
weir_openapi_t *weir_openapi_new(weir_http_t *http, const weir_api_t *api);
void weir_openapi_free(weir_openapi_t *openapi);

/*
 * Adds an operation, which must outlive openapi, and its route as weir_http_route() does. The
 * handler is called for requests whose callers may call the operation (authorize.h).
 */
void weir_openapi_route(weir_openapi_t *openapi, const weir_operation_t *operation,
                        weir_http_handler handler, void *arg);

#endif
