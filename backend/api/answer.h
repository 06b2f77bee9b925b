/*
 * Functions for the handlers of a domain: the requested version, answers with a resource in that
 * version, and answers for errors.
 */
#ifndef WEIR_ANSWER_H
#define WEIR_ANSWER_H

#include "api/api.h"
#include "api/input.h"
#include "api/fields.h"
#include "http/http.h"

/*
 * The version of the API in the request's field API-Version (the edge sets it), or the standard
 * version without that field. 0 when there is no such version; then the request has been answered
 * with a 400.
 */
int weir_version_of(weir_http_request_t *request, const weir_api_t *api);

/* --- success ----------------------------------------------------------------------------- */

/*
 * Answers with the resource in the version; values as for weir_represent(). Adds the fields Vary
 * and Weir-Deprecated-Fields.
 */
void weir_answer(weir_http_request_t *request, int status, const weir_resource_t *resource,
                 const weir_str_t *values, int version);

/*
 * The same with 200 for an answer that may be cached: adds a strong ETag, and answers 304 when
 * if_none_match (of the request, or NULL) contains it.
 */
void weir_answer_cached(weir_http_request_t *request, const weir_resource_t *resource,
                        const weir_str_t *values, int version, const char *cache_control,
                        const char *cache_tag, const char *if_none_match);

/* A copy of the request's If-None-Match, which the caller frees; NULL when there is none. */
char *weir_if_none_match(weir_http_request_t *request);

/* --- errors ------------------------------------------------------------------------------- */

/*
 * Answers 503 for a command that was not sent, because weir_batch_submit() or weir_db_query()
 * returned false.
 */
void weir_answer_not_taken(weir_http_request_t *request);
/*
 * Answers for a failed statement, with the arguments of its callback: 503 if the statement may
 * succeed soon, else 500.
 */
void weir_answer_database_failed(weir_http_request_t *request, const char *error,
                                 const char *sqlstate);

/*
 * The request's body, if its Content-Type is JSON and it has no Content-Encoding. Otherwise answers
 * with a 415, and data is NULL.
 */
weir_str_t weir_json_body(weir_http_request_t *request);
/*
 * The request's body, an object with the fields of the resource in that version; the caller must
 * json_decref() it. Otherwise answers with what is wrong, and returns NULL.
 */
json_t *weir_body_of(weir_http_request_t *request, const weir_resource_t *resource, int version);
/* Answers 422 with all wrong fields. */
void weir_answer_wrong_fields(weir_http_request_t *request, const weir_input_error_t *errors,
                              int n);
/*
 * Answers for a body that weir_input_read() has refused: 400 with why if n < 0, otherwise 422 with
 * all wrong fields.
 */
void weir_answer_wrong_body(weir_http_request_t *request, int n, const weir_input_error_t *errors,
                            const char *why);
/*
 * Parses the first parameter of the path as a UUID (WEIR_UUID_LEN + 1 bytes). Otherwise answers by
 * weir_answer_no_such() and returns false.
 */
bool weir_id_of(weir_http_request_t *request, const char *kind, char *uuid);
/* Answers 404 for an id that no object of the kind ("thing") has. */
void weir_answer_no_such(weir_http_request_t *request, const char *kind, weir_str_t id);

#endif
