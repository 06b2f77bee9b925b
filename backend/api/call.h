/*
 * A request from its handler to its answer, for endpoints of which each request is one row of a
 * set-based command or query. The request is read and checked as its operation says, the row is
 * submitted, and the endpoint's function answers with the row's result.
 *
 *   weir_call_t *call = weir_call_begin(request, part, &api, &operation);
 *
 *   if (call != NULL)
 *       weir_call_command(call, command, (const char *[]){call->new_id, …}, on_done);
 *
 * parts.c does this for the endpoints in the tables of a domain.
 */
#ifndef WEIR_CALL_H
#define WEIR_CALL_H

#include "api/answer.h"
#include "api/openapi.h"
#include "common/ids/uuid7.h"
#include "db/batch/batch.h"
#include "http/caller/caller.h"
#include "http/idempotency.h"

typedef struct weir_call weir_call_t;

/* Answers the request by row `row` of the result, which is valid during the call only. */
typedef void (*weir_call_answer_fn)(weir_call_t *call, PGresult *result, int row);

struct weir_call {
    weir_http_request_t *request;
    void *part;           /* the argument of the route */
    const void *settings; /* of the domain; NULL unless the caller of weir_call_begin() sets it */
    int version;
    char id[WEIR_UUID_LEN + 1]; /* the path's parameter; empty without one */
    json_t *body;               /* with the fields of the operation, or NULL */
    char *if_none_match;        /* of a GET, or NULL */
    weir_idempotency_t idempotency;
    /* except for a GET: ids for the new object and for its event, their trace, and who calls */
    char new_id[WEIR_UUID_LEN + 1];
    char event_id[WEIR_UUID_LEN + 1];
    char traceparent[WEIR_TRACE_TEXT]; /* with the tracestate: weir_http_trace_text() */
    char caller[WEIR_CALLER_TEXT];     /* for audit_put(): http/caller/caller.h */
    weir_call_answer_fn answer;
    char digits[4][24]; /* of weir_call_integer() */
    int n_digits;
};

/*
 * Reads the parts of the request that the operation has: version, the id in the path (of the
 * operation's kind), Idempotency-Key of a POST, body. Returns NULL when the request is wrong and
 * has been answered. The result must be passed to one of the following two functions.
 */
weir_call_t *weir_call_begin(weir_http_request_t *request, void *part, const weir_api_t *api,
                             const weir_operation_t *operation) __attribute__((warn_unused_result));

/*
 * Submits the call as one row; values are copied. answer answers the request; if the row was not
 * accepted or the database failed, this file does. Then the call is freed.
 */
void weir_call_query(weir_call_t *call, weir_batch_t *batch, const char *const *values,
                     weir_call_answer_fn answer);
void weir_call_command(weir_call_t *call, weir_command_t *command, const char *const *values,
                       weir_call_answer_fn answer);

/*
 * A string member of the body, or NULL; the digits of an integer member, or "0"; and the digits of
 * any number. Digits live as long as the call, which has room for four numbers.
 */
const char *weir_call_string(const weir_call_t *call, const char *name);
const char *weir_call_integer(weir_call_t *call, const char *name);
const char *weir_call_digits(weir_call_t *call, long long number);

#endif
