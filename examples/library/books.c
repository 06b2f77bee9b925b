#include "library/books.h"

#include "outbound/invalidation.h"

#include <stdio.h>

#define ADD                                                                                        \
    "SELECT place, ($1::uuid[])[place] AS id FROM books_add($1::uuid[], $2::text[], $3::text[], "  \
    "$4::text[], $5::int[], $6::uuid[], $7::text[])"
#define LIST "SELECT place, books FROM books_list($1::int[])"
/* Columns after place. */
enum { ADD_ID = 1 };
enum { LIST_BOOKS = 1 };

#define LIST_MAX "1000" /* books, the newest */

enum { ID, TITLE, AUTHOR, KIND, COPIES, FREE, N_VALUES };

static const char *const kinds[] = {"novel", "reference", "children", NULL};

static const weir_field_t fields[] = {
    {"id", WEIR_UUID, ID, .since = 1},
    {"title", WEIR_STRING, TITLE, .since = 1},
    {"author", WEIR_STRING, AUTHOR, .since = 1, .optional = 1},
    {"kind", WEIR_ENUM, KIND, .since = 1, .choices = kinds},
    {"copies", WEIR_INTEGER, COPIES, .since = 1},
    {"free", WEIR_INTEGER, FREE, .since = 1, .about = "Copies that are not lent."},
};
static const weir_resource_t book = WEIR_RESOURCE("Book", fields);

static const weir_field_t list_fields[] = {
    {"books", WEIR_LIST, .since = 1, .of = &book, .about = "The newest first."},
};
static const weir_resource_t list = WEIR_RESOURCE("Books", list_fields);

static const weir_field_t add_fields[] = {
    {"title", WEIR_LINE, .since = 1, .min = 1, .max = 200},
    {"author", WEIR_LINE, .since = 1, .min = 1, .max = 200, .optional = 1},
    {"kind", WEIR_ENUM, .since = 1, .choices = kinds},
    {"copies", WEIR_INTEGER, .since = 1, .min = 1, .max = 100},
};
static const weir_resource_t add_body = WEIR_RESOURCE("NewBook", add_fields);

static const weir_operation_t add_operation = {
    "POST",
    "/books",
    "addBook",
    "Adds a book and its copies.",
    .body = &add_body,
    .status = 201,
    .answer = &book,
    .errors = {409, 413, 415, 422},
    .scope = "library:staff",
};
static const weir_operation_t list_operation = {
    "GET",         "/books",        "listBooks",    "Shows all books.",
    .status = 200, .answer = &list, .anonymous = 1,
};

static void on_added(weir_call_t *call, PGresult *result, int row)
{
    const char *author = weir_call_string(call, "author");
    weir_str_t copies = weir_str(weir_call_integer(call, "copies"));

    weir_http_add_header(call->request, "Weir-Invalidate", "books");
    weir_answer(call->request, 201, &book,
                (const weir_str_t[N_VALUES]){
                    [ID] = weir_column(result, row, ADD_ID),
                    [TITLE] = weir_str(weir_call_string(call, "title")),
                    [AUTHOR] = author != NULL ? weir_str(author) : (weir_str_t){NULL, 0},
                    [KIND] = weir_str(weir_call_string(call, "kind")),
                    [COPIES] = copies,
                    [FREE] = copies,
                },
                call->version);
}

static void bind_add(weir_call_t *call, const char **values)
{
    values[0] = call->new_id;
    values[1] = weir_call_string(call, "title");
    values[2] = weir_call_string(call, "author");
    values[3] = weir_call_string(call, "kind");
    values[4] = weir_call_integer(call, "copies");
    values[5] = call->event_id;
    values[6] = call->traceparent;
}

static void on_list(weir_call_t *call, PGresult *result, int row)
{
    const weir_str_t values[] = {weir_column(result, row, LIST_BOOKS)};

    weir_answer_cached(call->request, &list, values, call->version, "max-age=300", "books",
                       call->if_none_match);
}

static void bind_list(weir_call_t *call, const char **values)
{
    (void)call;
    values[0] = LIST_MAX;
}

static const weir_endpoint_t endpoints[] = {
    {&add_operation, ADD, 7, bind_add, on_added},
    {&list_operation, LIST, 1, bind_list, on_list},
    {0},
};

const weir_endpoints_t library_books = {.session = "books", .endpoints = endpoints};

/* --- the group invalidation ------------------------------------------------------------- */

static const char *const types[] = {"BookAdded", "BookLent", "BookReturned", NULL};

static const char *tags_of(const weir_event_t *event, char tags[WEIR_INVALIDATION_TAGS_MAX])
{
    (void)event; /* each event changes the list */
    snprintf(tags, WEIR_INVALIDATION_TAGS_MAX, "books");

    return NULL;
}

static void *open_invalidation(const weir_runtime_t *runtime, char *error, size_t error_size)
{
    return weir_invalidation_new(runtime->base, runtime->redis, tags_of, error, error_size);
}

const weir_group_t library_invalidation = {
    .consumer =
        {
            .group = "invalidation",
            .types = types,
            .apply = "invalidation_apply",
            .permanent = "22,23",
            .dependency = "redis",
            .concurrency = WEIR_INVALIDATION_CONCURRENCY,
            .handle = weir_invalidation_handle,
        },
    .open = open_invalidation,
    .close = weir_invalidation_free,
};
