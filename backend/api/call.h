/*
 * A request from its handler to its answer, for endpoints that are one row of a set-based command
 * or query: what the operation says of the request is read and checked, the row is submitted, and
 * the endpoint's own function makes the answer of what comes back.
 *
 *   weir_call_t *call = weir_call_begin(request, part, &api, &operation);
 *
 *   if (call != NULL)
 *       weir_call_command(call, command, (const char *[]){call->new_id, …}, on_done);
 *
 * parts.c does this for the endpoints of a domain that are rows of its tables.
 */
#ifndef WEIR_CALL_H
#define WEIR_CALL_H

#include "api/answer.h"
#include "api/openapi.h"
#include "common/ids/uuid7.h"
#include "db/batch/batch.h"
#include "http/idempotency.h"

typedef struct weir_call weir_call_t;

/* Answers the request by row `row` of the result, which is valid during the call only. */
typedef void (*weir_call_answer_fn)(weir_call_t *call, PGresult *result, int row);

struct weir_call {
    weir_http_request_t *request;
    void *part;           /* what the route was added with */
    const void *settings; /* of the domain; NULL unless whoever began the call sets them */
    int version;
    char id[WEIR_UUID_LEN + 1]; /* the path's parameter; empty without one */
    json_t *body;               /* as the operation has it, or NULL */
    char *if_none_match;        /* of a GET, or NULL */
    weir_idempotency_t idempotency;
    /* of all but a GET: ids of what it makes and of its event, and their trace */
    char new_id[WEIR_UUID_LEN + 1];
    char event_id[WEIR_UUID_LEN + 1];
    char traceparent[WEIR_TRACEPARENT_LEN + 1];
    weir_call_answer_fn answer;
    char digits[4][24]; /* of weir_call_integer() */
    int n_digits;
};

/*
 * Reads of the request what the operation has: version, the id in the path (of the operation's
 * kind), Idempotency-Key of a POST, body.  NULL when something is wrong; then it has been answered.
 * What is returned must be handed on to one of the following two.
 */
weir_call_t *weir_call_begin(weir_http_request_t *request, void *part, const weir_api_t *api,
                             const weir_operation_t *operation) __attribute__((warn_unused_result));

/*
 * Submits the call as one row, and frees it when it has been answered: by answer, or, when the row
 * was not taken or the database failed, here.  values are copied.
 */
void weir_call_query(weir_call_t *call, weir_batch_t *batch, const char *const *values,
                     weir_call_answer_fn answer);
void weir_call_command(weir_call_t *call, weir_command_t *command, const char *const *values,
                       weir_call_answer_fn answer);

/*
 * A member of the body that is a string, NULL without one; the digits of one that is an integer, 0
 * without one; and of any number.  Digits live as long as the call, which has room for four.
 */
const char *weir_call_string(const weir_call_t *call, const char *name);
const char *weir_call_integer(weir_call_t *call, const char *name);
const char *weir_call_digits(weir_call_t *call, long long number);

#endif
