#include "api/answer.h"

#include "api/representation.h"
#include "common/text/hex.h"
#include "common/ids/uuid7.h"
#include "db/batch/batch.h"
#include "db/db.h"
#include "log/alloc.h"
#include "log/log.h"

#include <openssl/sha.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define ETAG_LEN 34

int weir_version_of(weir_http_request_t *request, const weir_api_t *api)
{
    const char *header = weir_http_header(request, "API-Version");

    assert(api->first > 0 && api->last <= WEIR_API_VERSION_MAX);
    if (header == NULL)
        return api->standard;

    if (header[0] >= '0' + api->first && header[0] <= '0' + api->last && header[1] == '\0')
        return header[0] - '0';

    weir_http_error(request, 400, "API-Version is \"%.32s\"; it must be a number from %d to %d.",
                    header, api->first, api->last);

    return 0;
}

/* --- success ------------------------------------------------------------------------------- */

/* Writes the representation into small, or into new memory that the caller frees. */
static char *representation(const weir_resource_t *resource, const weir_str_t *values, int version,
                            char *small, size_t size, size_t *len)
{
    char *text = small;

    assert(size > 0);
    *len = weir_represent(small, size, resource, values, version);
    if (*len > size) {
        text = weir_alloc(*len);
        weir_represent(text, *len, resource, values, version);
    }

    return text;
}

static void describe_version(weir_http_request_t *request, const weir_resource_t *resource,
                             int version)
{
    char names[256];

    weir_deprecated_fields(names, sizeof(names), resource, version);
    weir_http_add_header(request, "Vary", "API-Version");
    if (names[0] != '\0')
        weir_http_add_header(request, "Weir-Deprecated-Fields", names);
}

void weir_answer(weir_http_request_t *request, int status, const weir_resource_t *resource,
                 const weir_str_t *values, int version)
{
    char small[4096], *body;
    size_t len;

    body = representation(resource, values, version, small, sizeof(small), &len);
    describe_version(request, resource, version);
    weir_http_reply(request, status, "application/json", body, len);
    if (body != small)
        free(body);
}

/* A strong validator (RFC 9110 section 8.8.3): a digest of the bytes. */
static void make_etag(const char *body, size_t len, char etag[ETAG_LEN + 1])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];

    SHA256((const unsigned char *)body, len, digest);
    etag[0] = '"';
    weir_hex(etag + 1, digest, 16);
    memcpy(etag + 33, "\"", 2);
}

/* RFC 9110 section 13.1.2. A tag has a fixed length, so none is a part of another. */
static bool is_known_to_client(const char *if_none_match, const char *etag)
{
    return if_none_match != NULL &&
           (strcmp(if_none_match, "*") == 0 || strstr(if_none_match, etag) != NULL);
}

void weir_answer_cached(weir_http_request_t *request, const weir_resource_t *resource,
                        const weir_str_t *values, int version, const char *cache_control,
                        const char *cache_tag, const char *if_none_match)
{
    char small[4096], etag[ETAG_LEN + 1], *body;
    size_t len;

    body = representation(resource, values, version, small, sizeof(small), &len);
    make_etag(body, len, etag);
    weir_http_add_header(request, "ETag", etag);
    weir_http_add_header(request, "Cache-Control", cache_control);
    weir_http_add_header(request, "Cache-Tag", cache_tag);
    describe_version(request, resource, version);

    if (is_known_to_client(if_none_match, etag))
        weir_http_reply(request, 304, NULL, NULL, 0);
    else
        weir_http_reply(request, 200, "application/json", body, len);
    if (body != small)
        free(body);
}

char *weir_if_none_match(weir_http_request_t *request)
{
    const char *value = weir_http_header(request, "If-None-Match");
    char *copy = value != NULL ? weir_alloc_text(value) : NULL;

    return copy;
}

/* --- errors --------------------------------------------------------------------------------- */

/* 503 with Retry-After. */
static void answer_unavailable(weir_http_request_t *request, const char *detail)
{
    weir_http_add_header(request, "Retry-After", "1");
    weir_http_error(request, 503, "%s", detail);
}

void weir_answer_not_taken(weir_http_request_t *request)
{
    answer_unavailable(
        request,
        "The database is unavailable or too many requests wait for it; nothing was changed.");
}

void weir_answer_database_failed(weir_http_request_t *request, const char *error,
                                 const char *sqlstate)
{
    assert(error != NULL && sqlstate != NULL);
    if (strcmp(sqlstate, "55P03") == 0) { /* db/batch/batch.h */
        answer_unavailable(request, "A record that the request needs is locked by another "
                                    "transaction; nothing was changed. Try again.");
        return;
    }
    if (strcmp(sqlstate, WEIR_BATCH_LATE) == 0 && weir_http_deadline(request) != 0) {
        weir_http_error(request, 504, "The request's deadline has passed; nothing was changed.");
        return;
    }
    /* db/ has logged a lost session. */
    weir_log(strncmp(sqlstate, "08", 2) == 0 ? WEIR_LOG_DEBUG : WEIR_LOG_ERROR,
             weir_http_trace(request), "database error", "{s:s,s:s,s:s*}", "error", error,
             "sqlstate", sqlstate, "advice", weir_db_advice(sqlstate));

    if (weir_db_is_away(sqlstate))
        answer_unavailable(request,
                           "The database is unavailable; the outcome of the request is unknown.");
    else
        weir_http_error(request, 500, "The database refused the request.");
}

/* RFC 9110 section 8.3.1: type/subtype, then parameters. */
static bool is_json(const char *content_type)
{
    size_t len;

    if (content_type == NULL)
        return false;

    len = strcspn(content_type, "; \t");
    if (len < sizeof("application/") || strncasecmp(content_type, "application/", 12) != 0)
        return false;

    return (len == 16 && strncasecmp(content_type + 12, "json", 4) == 0) ||
           (len > 17 && strncasecmp(content_type + len - 5, "+json", 5) == 0);
}

weir_str_t weir_json_body(weir_http_request_t *request)
{
    const char *coding = weir_http_header(request, "Content-Encoding");
    weir_str_t body;

    /* RFC 9110 section 12.5.3: Accept-Encoding in a 415 shows that the coding is the reason */
    if (coding != NULL && coding[0] != '\0' && strcasecmp(coding, "identity") != 0) {
        weir_http_add_header(request, "Accept-Encoding", "identity");
        weir_http_error(request, 415, "The body must not have a Content-Encoding.");
        return (weir_str_t){NULL, 0};
    }
    if (!is_json(weir_http_header(request, "Content-Type"))) {
        weir_http_add_header(request, "Accept", "application/json");
        weir_http_error(request, 415, "The body must be application/json.");
        return (weir_str_t){NULL, 0};
    }

    body = weir_http_body(request);

    return body.data != NULL ? body : WEIR_STR("");
}

void weir_answer_wrong_fields(weir_http_request_t *request, const weir_input_error_t *errors, int n)
{
    weir_problem_t problem = {.status = 422, .detail = WEIR_STR("Fields of the body are wrong.")};
    json_t *list = json_array(), *object = json_pack("{s:o}", "errors", list);
    char *text;

    assert(n > 0 && n <= WEIR_INPUT_ERRORS_MAX);
    for (int i = 0; i < n; i++)
        json_array_append_new(
            list, json_pack("{s:s,s:s}", "pointer", errors[i].pointer, "detail", errors[i].detail));
    text = weir_alloc_check(json_dumps(object, JSON_COMPACT));
    json_decref(object);

    /* Only the members, which become members of the problem. */
    text[strlen(text) - 1] = '\0';
    problem.extensions = text + 1;
    weir_http_problem(request, &problem);
    free(text);
}

json_t *weir_body_of(weir_http_request_t *request, const weir_resource_t *resource, int version)
{
    weir_input_error_t errors[WEIR_INPUT_ERRORS_MAX];
    weir_str_t body = weir_json_body(request);
    char why[512];
    json_t *object;
    int n;

    if (body.data == NULL)
        return NULL;
    n = weir_input_read(body, resource, version, &object, errors, why, sizeof(why));
    if (n == 0)
        return object;

    weir_answer_wrong_body(request, n, errors, why);

    return NULL;
}

void weir_answer_wrong_body(weir_http_request_t *request, int n, const weir_input_error_t *errors,
                            const char *why)
{
    assert(n != 0);
    if (n < 0)
        weir_http_error(request, 400, "%s", why);
    else
        weir_answer_wrong_fields(request, errors, n);
}

bool weir_id_of(weir_http_request_t *request, const char *kind, char *uuid)
{
    weir_str_t id = weir_http_param(request, 0);

    if (weir_uuid_parse(id, uuid) == 0)
        return true;

    weir_answer_no_such(request, kind, id);
    return false;
}

void weir_answer_no_such(weir_http_request_t *request, const char *kind, weir_str_t id)
{
    weir_http_error(request, 404, "There is no %s %.*s.", kind, id.len < 64 ? (int)id.len : 64,
                    id.data);
}
