#include "api/call.h"

#include "api/authorize.h"
#include "log/alloc.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void free_call(weir_call_t *call)
{
    json_decref(call->body);
    free(call->if_none_match);
    free(call);
}

/* Returns false when the request has been answered. */
static bool read_request(weir_call_t *call, const weir_api_t *api,
                         const weir_operation_t *operation)
{
    bool is_post = strcmp(operation->method, "POST") == 0;

    call->version = weir_version_of(call->request, api);
    if (call->version == 0)
        return false;
    if (strchr(operation->pattern, '{') != NULL &&
        !weir_id_of(call->request, operation->kind, call->id))
        return false;
    if (operation->of_subject && !weir_authorize_owner(call->request, api, weir_str(call->id)))
        return false;
    if (is_post && !weir_idempotency_read(call->request, operation->needs_key != 0, call->version,
                                          &call->idempotency))
        return false;
    if (operation->body == NULL)
        return true;

    call->body = weir_body_of(call->request, operation->body, call->version);

    return call->body != NULL;
}

weir_call_t *weir_call_begin(weir_http_request_t *request, void *part, const weir_api_t *api,
                             const weir_operation_t *operation)
{
    weir_call_t *call = weir_alloc(sizeof(*call));

    assert(operation->method != NULL && operation->pattern != NULL);
    call->request = request;
    call->part = part;
    if (!read_request(call, api, operation)) {
        free_call(call);
        return NULL;
    }

    if (strcmp(operation->method, "GET") == 0) {
        call->if_none_match = weir_if_none_match(request);
        return call;
    }
    weir_uuid7(call->new_id);
    weir_uuid7(call->event_id);
    weir_http_trace_text(request, call->traceparent);
    weir_caller_text(request, call->caller);

    return call;
}

/* If result and error are both NULL, the request has been answered: http/idempotency.h. */
static void on_row(PGresult *result, int row, const char *error, const char *sqlstate, void *arg)
{
    weir_call_t *call = arg;

    assert(call->answer != NULL);
    if (result != NULL)
        call->answer(call, result, row);
    else if (error != NULL)
        weir_answer_database_failed(call->request, error, sqlstate);
    free_call(call);
}

void weir_call_query(weir_call_t *call, weir_batch_t *batch, const char *const *values,
                     weir_call_answer_fn answer)
{
    assert(answer != NULL);
    call->answer = answer;
    if (weir_batch_submit(batch, weir_http_trace(call->request), weir_http_deadline(call->request),
                          values, on_row, call))
        return;

    weir_answer_not_taken(call->request);
    free_call(call);
}

void weir_call_command(weir_call_t *call, weir_command_t *command, const char *const *values,
                       weir_call_answer_fn answer)
{
    weir_command_result_t taken;

    assert(answer != NULL);
    call->answer = answer;
    taken = weir_command_submit(command, call->request, &call->idempotency, values, on_row, call);
    if (taken == WEIR_COMMAND_TAKEN)
        return;

    if (taken == WEIR_COMMAND_REFUSED)
        weir_answer_not_taken(call->request);
    free_call(call);
}

const char *weir_call_string(const weir_call_t *call, const char *name)
{
    return json_string_value(json_object_get(call->body, name));
}

const char *weir_call_digits(weir_call_t *call, long long number)
{
    char *digits;

    assert(call->n_digits < (int)(sizeof(call->digits) / sizeof(call->digits[0])));
    digits = call->digits[call->n_digits++];
    snprintf(digits, sizeof(call->digits[0]), "%lld", number);

    return digits;
}

const char *weir_call_integer(weir_call_t *call, const char *name)
{
    return weir_call_digits(call, json_integer_value(json_object_get(call->body, name)));
}
