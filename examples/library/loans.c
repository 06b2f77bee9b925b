#include "library/loans.h"

#include "library/settings.h"

#define LEND                                                                                       \
    "SELECT place, outcome, copy, lent_at, due_at, ($1::uuid[])[place] AS id "                     \
    "FROM loans_lend($1::uuid[], $2::uuid[], $3::uuid[], $4::int[], $5::uuid[], $6::text[])"
#define RETURN                                                                                     \
    "SELECT place, outcome, member_id, book_id, copy, lent_at, due_at, returned_at, late "         \
    "FROM loans_return($1::uuid[], $2::int[], $3::uuid[], $4::text[])"

/* Columns after place. RETURN has the outcome, then a loan's values except its id, in order. */
enum { LEND_OUTCOME = 1, LEND_COPY, LEND_LENT_AT, LEND_DUE_AT, LEND_ID };
enum { RETURN_OUTCOME = 1, RETURN_FIRST };

/* A loan's values, and the fields that show them. */
enum { ID, MEMBER, BOOK, COPY, LENT_AT, DUE_AT, RETURNED_AT, LATE, N_VALUES };

static const weir_field_t fields[] = {
    {"id", WEIR_UUID, ID, .since = 1},
    {"memberId", WEIR_UUID, MEMBER, .since = 1},
    {"bookId", WEIR_UUID, BOOK, .since = 1},
    {"copy", WEIR_INTEGER, COPY, .since = 1},
    {"lentAt", WEIR_TIME, LENT_AT, .since = 1},
    {"dueAt", WEIR_TIME, DUE_AT, .since = 1},
    {"returnedAt", WEIR_TIME, RETURNED_AT, .since = 1, .optional = 1},
    {"late", WEIR_BOOLEAN, LATE, .since = 1, .about = "It was returned after it was due."},
};
static const weir_resource_t loan = WEIR_RESOURCE("Loan", fields);

static const weir_field_t lend_fields[] = {
    {"memberId", WEIR_UUID, .since = 1},
    {"bookId", WEIR_UUID, .since = 1},
    {"days", WEIR_INTEGER, .since = 1, .min = 1, .max = 60},
};
static const weir_resource_t lend_body = WEIR_RESOURCE("NewLoan", lend_fields);

static const weir_operation_t lend_operation = {
    "POST",
    "/loans",
    "lend",
    "Lends a copy of a book to a member.",
    .body = &lend_body,
    .status = 201,
    .answer = &loan,
    .errors = {409, 413, 415, 422},
    .scope = "library:staff",
};
static const weir_operation_t return_operation = {
    "POST",
    "/loans/{id}/return",
    "returnLoan",
    "Takes a copy back; again: the same answer.",
    .kind = "loan",
    .status = 200,
    .answer = &loan,
    .errors = {404, 409, 422},
    .scope = "library:staff",
};

static void on_lent(weir_call_t *call, PGresult *result, int row)
{
    const char *outcome = PQgetvalue(result, row, LEND_OUTCOME);
    weir_input_error_t wrong;

    if (strcmp(outcome, "all_lent") == 0) {
        weir_http_error(call->request, 409, "All copies of the book are lent.");
        return;
    }
    if (strcmp(outcome, "lent") != 0) {
        wrong = strcmp(outcome, "no_book") == 0 ? weir_input_error("/bookId", "is no book")
                                                : weir_input_error("/memberId", "is no member");
        weir_answer_wrong_fields(call->request, &wrong, 1);
        return;
    }

    weir_http_add_header(call->request, "Weir-Invalidate", "books");
    weir_answer(call->request, 201, &loan,
                (const weir_str_t[N_VALUES]){
                    [ID] = weir_column(result, row, LEND_ID),
                    [MEMBER] = weir_str(weir_call_string(call, "memberId")),
                    [BOOK] = weir_str(weir_call_string(call, "bookId")),
                    [COPY] = weir_column(result, row, LEND_COPY),
                    [LENT_AT] = weir_column(result, row, LEND_LENT_AT),
                    [DUE_AT] = weir_column(result, row, LEND_DUE_AT),
                    [LATE] = WEIR_STR("f"),
                },
                call->version);
}

static void bind_lend(weir_call_t *call, const char **values)
{
    values[0] = call->new_id;
    values[1] = weir_call_string(call, "memberId");
    values[2] = weir_call_string(call, "bookId");
    values[3] = weir_call_integer(call, "days");
    values[4] = call->event_id;
    values[5] = call->traceparent;
}

static void on_returned(weir_call_t *call, PGresult *result, int row)
{
    weir_str_t values[N_VALUES] = {[ID] = weir_str(call->id)};

    if (strcmp(PQgetvalue(result, row, RETURN_OUTCOME), "unknown") == 0) {
        weir_answer_no_such(call->request, "loan", weir_str(call->id));
        return;
    }
    for (int i = MEMBER; i < N_VALUES; i++)
        values[i] = weir_column(result, row, RETURN_FIRST + i - MEMBER);
    weir_http_add_header(call->request, "Weir-Invalidate", "books");
    weir_answer(call->request, 200, &loan, values, call->version);
}

static void bind_return(weir_call_t *call, const char **values)
{
    const library_settings_t *settings = call->settings;

    values[0] = call->id;
    values[1] = weir_call_digits(call, settings->fine_per_day);
    values[2] = call->event_id;
    values[3] = call->traceparent;
}

static const weir_endpoint_t endpoints[] = {
    {&lend_operation, LEND, 6, bind_lend, on_lent},
    {&return_operation, RETURN, 4, bind_return, on_returned},
    {0},
};

const weir_endpoints_t library_loans = {.session = "loans", .endpoints = endpoints};

/* --- the group fines -------------------------------------------------------------------- */

static const char *const types[] = {"FineDue", NULL};

const weir_group_t library_fines = {.consumer = {
                                        .group = "fines",
                                        .types = types,
                                        .apply = "fines_apply",
                                        .permanent = "22,23",
                                    }};
