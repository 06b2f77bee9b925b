/*
 * What the handlers of a domain share: the version that is asked for, answers
 * that show a resource in it, and answers that say what went wrong.
 */
#ifndef WEIR_ANSWER_H
#define WEIR_ANSWER_H

#include "api/api.h"
#include "api/input.h"
#include "api/fields.h"
#include "http/http.h"

/*
 * The version of the API that the request asks for in API-Version (the edge sets it), the
 * standard one without that header.  0 when it is none of ours, and then the request has
 * been answered with a 400.
 */
int weir_version_of(weir_http_request_t *request, const weir_api_t *api);

/* --- what is well --------------------------------------------------------------------- */

/*
 * Answers with the resource as the version has it; values as for weir_represent().
 * Vary and Weir-Deprecated-Fields belong to it.
 */
void weir_answer(weir_http_request_t *request, int status, const weir_resource_t *resource,
                 const weir_str_t *values, int version);

/*
 * The same with 200 for an answer that may be cached: with an ETag, a strong one over the
 * very bytes, and with 304 when if_none_match (of the request, or NULL) has that.
 */
void weir_answer_cached(weir_http_request_t *request, const weir_resource_t *resource,
                        const weir_str_t *values, int version, const char *cache_control,
                        const char *cache_tag, const char *if_none_match);

/* The request's If-None-Match, to be freed; NULL when there is none. */
char *weir_if_none_match(weir_http_request_t *request);

/* --- what is wrong ---------------------------------------------------------------------- */

/* Of a command that was never sent, because weir_batch_submit() or weir_db_query() refused. */
void weir_answer_not_taken(weir_http_request_t *request);
/* Of a statement that failed, as its callback had it: 503 when the same may work soon, else 500. */
void weir_answer_database_failed(weir_http_request_t *request, const char *error,
                                 const char *sqlstate);

/*
 * The request's body, if its Content-Type says that it is JSON and it has no Content-Encoding;
 * otherwise it was answered with a 415, and data is NULL.
 */
weir_str_t weir_json_body(weir_http_request_t *request);
/*
 * The request's body, an object with the fields that the resource has in that version, to be
 * json_decref()'d; otherwise it was answered with what is wrong, and this is NULL.
 */
json_t *weir_body_of(weir_http_request_t *request, const weir_resource_t *resource, int version);
/* 422, with all fields that are wrong. */
void weir_answer_wrong_fields(weir_http_request_t *request, const weir_input_error_t *errors,
                              int n);
/* What weir_input_read() found wrong with a body: n < 0 400 with why, n > 0 the above. */
void weir_answer_wrong_body(weir_http_request_t *request, int n, const weir_input_error_t *errors,
                            const char *why);
/*
 * The first of the path's parameters as a UUID (WEIR_UUID_LEN + 1 bytes); otherwise it was answered
 * as below, and false is returned.
 */
bool weir_id_of(weir_http_request_t *request, const char *kind, char *uuid);
/* 404 for the first of the path's parameters, which nothing of that kind has: "thing". */
void weir_answer_no_such(weir_http_request_t *request, const char *kind, weir_str_t id);

#endif
