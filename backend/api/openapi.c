#include "api/openapi.h"

#include "api/answer.h"
#include "api/authorize.h"
#include "http/idempotency.h"
#include "log/alloc.h"

#include <jansson.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define OPERATIONS_MAX 64
#define MEDIA_TYPE "application/json"

#define SCHEME "token" /* name of the security scheme */

/* An operation, and the handler of its requests. */
typedef struct {
    const weir_api_t *api;
    const weir_operation_t *operation;
    weir_http_handler handler;
    void *arg;
} row_t;

struct weir_openapi {
    weir_http_t *http;
    const weir_api_t *api;
    /* the operation GET /openapi.json; the limits of its query are the versions of api */
    weir_field_t query_field;
    weir_resource_t query;
    weir_operation_t own;
    row_t rows[OPERATIONS_MAX];
    int count;
    char *texts[WEIR_API_VERSION_MAX + 1]; /* by version; generated at the first request */
};

static void set(json_t *object, const char *key, json_t *value)
{
    int rc = json_object_set_new(object, key, value);

    assert(rc == 0);
    (void)rc;
}

/* --- schemas --------------------------------------------------------------------------- */

static json_t *reference(const char *name)
{
    assert(name != NULL);
    return weir_alloc_check(json_pack(
        "{s:o}", "$ref", weir_alloc_check(json_sprintf("#/components/schemas/%s", name))));
}

static void set_limits(json_t *schema, const char *min_name, const char *max_name,
                       const weir_field_t *field)
{
    if (field->max == 0)
        return;
    set(schema, min_name, json_integer(field->min));
    set(schema, max_name, json_integer(field->max));
}

/* The schema of a value: type and limits only. */
static json_t *value_schema(const weir_field_t *field);

static void describe_string(json_t *schema, const weir_field_t *field)
{
    static const char *const formats[] = {
        [WEIR_EMAIL] = "email",
        [WEIR_UUID] = "uuid",
        [WEIR_TIME] = "date-time",
        [WEIR_DATE] = "date",
    };
    const char *format = field->type <= WEIR_DATE ? formats[field->type] : NULL;

    set(schema, "type", json_string("string"));
    if (format != NULL)
        set(schema, "format", json_string(format));
    if (field->type == WEIR_CURRENCY)
        set(schema, "pattern", json_string("^[A-Z]{3}$"));
    else
        set_limits(schema, "minLength", "maxLength", field);
}

static void describe_choices(json_t *schema, const weir_field_t *field)
{
    json_t *choices = weir_alloc_check(json_array());

    assert(field->choices != NULL);
    for (const char *const *choice = field->choices; *choice != NULL; choice++)
        json_array_append_new(choices, weir_alloc_check(json_string(*choice)));
    set(schema, "type", json_string("string"));
    set(schema, "enum", choices);
}

static json_t *value_schema(const weir_field_t *field)
{
    json_t *schema = weir_alloc_check(json_object());

    switch (field->type) {
    case WEIR_INTEGER:
    case WEIR_NUMBER:
        set(schema, "type", json_string(field->type == WEIR_INTEGER ? "integer" : "number"));
        set_limits(schema, "minimum", "maximum", field);
        break;
    case WEIR_BOOLEAN:
        set(schema, "type", json_string("boolean"));
        break;
    case WEIR_ENUM:
        describe_choices(schema, field);
        break;
    case WEIR_OBJECT:
        json_decref(schema);
        schema =
            reference(field->of->name); /* $ref may have other members beside it in OpenAPI 3.1 */
        break;
    case WEIR_LIST:
        set(schema, "type", json_string("array"));
        set(schema, "items",
            field->of != NULL ? reference(field->of->name) : value_schema(field->each));
        set_limits(schema, "minItems", "maxItems", field);
        break;
    default:
        describe_string(schema, field);
        break;
    }

    return schema;
}

static json_t *field_schema(const weir_field_t *field, int version)
{
    json_t *schema = value_schema(field);

    if (field->about != NULL)
        set(schema, "description", json_string(field->about));
    if (weir_field_is_deprecated(field, version)) {
        set(schema, "deprecated", json_true());
        if (field->replaced_by != NULL)
            set(schema, "x-weir-replaced-by", json_string(field->replaced_by));
    }
    set(schema, "x-weir-since", json_integer(field->since));

    return schema;
}

static json_t *object_schema(const weir_resource_t *resource, int version)
{
    json_t *properties = weir_alloc_check(json_object()),
           *required = weir_alloc_check(json_array());

    for (size_t i = 0; i < resource->count; i++) {
        const weir_field_t *field = &resource->fields[i];

        if (!weir_field_is_shown(field, version))
            continue;
        set(properties, field->name, field_schema(field, version));
        if (!field->optional)
            json_array_append_new(required, weir_alloc_check(json_string(field->name)));
    }

    return weir_alloc_check(json_pack("{s:s,s:o,s:o}", "type", "object", "properties", properties,
                                      "required", required));
}

/* Adds the schema of the resource, and of the resources in its fields. */
static void add_schemas(json_t *schemas, const weir_resource_t *resource, int version)
{
    if (resource == NULL || json_object_get(schemas, resource->name) != NULL)
        return;

    set(schemas, resource->name, object_schema(resource, version));
    for (size_t i = 0; i < resource->count; i++) {
        if (weir_field_is_shown(&resource->fields[i], version))
            add_schemas(schemas, resource->fields[i].of, version);
    }
}

/* RFC 9457. */
static json_t *problem_schema(void)
{
    return weir_alloc_check(json_pack(
        "{s:s,s:{s:{s:s},s:{s:s},s:{s:s},s:{s:s},s:{s:s,s:s},s:{s:s,s:{s:s,s:{s:{s:s},s:{s:s}},"
        "s:[s,s]}}},s:[s,s]}",
        "type", "object", "properties", "type", "type", "string", "title", "type", "string",
        "status", "type", "integer", "detail", "type", "string", "trace_id", "type", "string",
        "description", "The trace of the request, as in the logs.", "errors", "type", "array",
        "items", "type", "object", "properties", "pointer", "type", "string", "detail", "type",
        "string", "required", "pointer", "detail", "required", "title", "status"));
}

/* --- operations -------------------------------------------------------------------------- */

static json_t *content(const weir_api_t *api, const weir_resource_t *resource, int version)
{
    json_t *media = weir_alloc_check(json_pack("{s:o}", "schema", reference(resource->name)));
    json_t *all = weir_alloc_check(json_pack("{s:O}", MEDIA_TYPE, media));
    char name[128];

    snprintf(name, sizeof(name), "%s.v%d+json", api->media_type, version);
    set(all, name, media);

    return all;
}

static void add_answer(json_t *answers, int status, const weir_api_t *api,
                       const weir_operation_t *operation, int version)
{
    json_t *answer;
    char code[4];

    if (status == 0)
        return;

    answer =
        weir_alloc_check(json_pack("{s:s}", "description", status < 300 ? "Done." : "A problem."));
    if (status >= 400)
        set(answer, "content",
            json_pack("{s:{s:o}}", WEIR_PROBLEM_MEDIA_TYPE, "schema", reference("Problem")));
    else if (operation->answer != NULL)
        set(answer, "content", content(api, operation->answer, version));
    snprintf(code, sizeof(code), "%.3d", status);
    set(answers, code, answer);
}

static json_t *parameter(const char *in, const char *name, int required, json_t *schema)
{
    return weir_alloc_check(json_pack("{s:s,s:s,s:b,s:o}", "name", name, "in", in, "required",
                                      required, "schema", schema));
}

static json_t *parameters(const weir_api_t *api, const weir_operation_t *operation, int version)
{
    json_t *all = weir_alloc_check(json_array());
    const char *p = operation->pattern;

    while ((p = strchr(p, '{')) != NULL) {
        size_t len = strcspn(++p, "}");
        char name[32];

        snprintf(name, sizeof(name), "%.*s", (int)len, p);
        json_array_append_new(
            all, parameter(
                     "path", name, 1,
                     weir_alloc_check(json_pack("{s:s,s:s}", "type", "string", "format", "uuid"))));
    }

    for (size_t i = 0; operation->query != NULL && i < operation->query->count; i++) {
        const weir_field_t *field = &operation->query->fields[i];

        json_array_append_new(all,
                              parameter("query", field->name, 0, field_schema(field, version)));
    }

    json_array_append_new(
        all, parameter("header", "API-Version", 0,
                       weir_alloc_check(json_pack("{s:s,s:i,s:i}", "type", "integer", "minimum",
                                                  api->first, "maximum", api->last))));

    if (operation->body != NULL && strcmp(operation->method, "POST") == 0)
        json_array_append_new(
            all, parameter("header", "Idempotency-Key", operation->needs_key,
                           weir_alloc_check(json_pack("{s:s,s:i}", "type", "string", "maxLength",
                                                      WEIR_IDEMPOTENCY_KEY_MAX + 2))));

    return all;
}

/* OpenAPI 3.1 section 4.8.30: an empty requirement means that none is needed. */
static json_t *security(const weir_operation_t *operation)
{
    json_t *all = weir_alloc_check(json_array()), *scopes = weir_alloc_check(json_array());

    if (operation->anonymous)
        json_array_append_new(all, weir_alloc_check(json_object()));
    if (operation->scope != NULL)
        json_array_append_new(scopes, weir_alloc_check(json_string(operation->scope)));
    json_array_append_new(all, weir_alloc_check(json_pack("{s:o}", SCHEME, scopes)));

    return all;
}

static json_t *describe(const weir_api_t *api, const weir_operation_t *operation, int version)
{
    json_t *answers = weir_alloc_check(json_object());
    json_t *all = weir_alloc_check(json_pack("{s:s,s:s,s:o,s:o,s:o}", "operationId", operation->id,
                                             "summary", operation->summary, "parameters",
                                             parameters(api, operation, version), "responses",
                                             answers, "security", security(operation)));

    if (operation->body != NULL)
        set(all, "requestBody",
            json_pack("{s:b,s:o}", "required", 1, "content",
                      content(api, operation->body, version)));

    add_answer(answers, operation->status, api, operation, version);
    add_answer(answers, operation->also, api, operation, version);
    add_answer(answers, 400, api, operation, version);
    if (!operation->anonymous) {
        add_answer(answers, 401, api, operation, version);
        add_answer(answers, 403, api, operation, version);
    }
    for (int i = 0; i < WEIR_OPERATION_ERRORS_MAX; i++)
        add_answer(answers, operation->errors[i], api, operation, version);
    add_answer(answers, 503, api, operation, version);
    add_answer(answers, 504, api, operation, version);

    return all;
}

static const char *lower(const char *method)
{
    static const char *const names[][2] = {
        {"GET", "get"}, {"POST", "post"}, {"PUT", "put"}, {"DELETE", "delete"}, {"PATCH", "patch"},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(method, names[i][0]) == 0)
            return names[i][1];
    }
    assert(!"a method that no route has");
    return NULL;
}

static char *document(const weir_openapi_t *openapi, int version)
{
    json_t *paths = weir_alloc_check(json_object()), *schemas = weir_alloc_check(json_object()),
           *all;
    char *text;

    assert(version > 0 && version <= WEIR_API_VERSION_MAX);
    for (int i = 0; i < openapi->count; i++) {
        const weir_operation_t *operation = openapi->rows[i].operation;
        json_t *path = json_object_get(paths, operation->pattern);

        if (path == NULL) {
            path = json_object();
            set(paths, operation->pattern, path);
        }
        set(path, lower(operation->method), describe(openapi->api, operation, version));
        add_schemas(schemas, operation->body, version);
        add_schemas(schemas, operation->answer, version);
    }
    set(schemas, "Problem", problem_schema());

    all = weir_alloc_check(json_pack("{s:s,s:{s:s,s:o},s:o,s:{s:o,s:{s:{s:s,s:s,s:s}}}}", "openapi",
                                     "3.1.0", "info", "title", openapi->api->title, "version",
                                     weir_alloc_check(json_sprintf("%d", version)), "paths", paths,
                                     "components", "schemas", schemas, "securitySchemes", SCHEME,
                                     "type", "http", "scheme", "bearer", "bearerFormat", "JWT"));
    text = weir_alloc_check(json_dumps(all, JSON_COMPACT));
    json_decref(all);

    return text;
}

/* --- GET /openapi.json --------------------------------------------------------------------- */

/* Returns 0 when there is no such version, and the request has been answered. */
static int version_of_query(weir_http_request_t *request, const weir_api_t *api)
{
    weir_str_t wanted = weir_http_query(request, "version");

    if (wanted.data == NULL)
        return weir_version_of(request, api);

    if (wanted.len == 1 && wanted.data[0] >= '0' + api->first && wanted.data[0] <= '0' + api->last)
        return wanted.data[0] - '0';

    weir_http_error(request, 400, "version is \"%.*s\"; it must be a number from %d to %d.",
                    wanted.len < 32 ? (int)wanted.len : 32, wanted.data, api->first, api->last);

    return 0;
}

static void get_document(weir_http_request_t *request, void *arg)
{
    weir_openapi_t *openapi = arg;
    int version = version_of_query(request, openapi->api);

    assert(version <= WEIR_API_VERSION_MAX);
    if (version == 0)
        return;

    if (openapi->texts[version] == NULL)
        openapi->texts[version] = document(openapi, version);
    weir_http_add_header(request, "Vary", "API-Version");
    weir_http_reply(request, 200, MEDIA_TYPE, openapi->texts[version],
                    strlen(openapi->texts[version]));
}

static void handle(weir_http_request_t *request, void *arg)
{
    const row_t *row = arg;

    if (weir_authorize(request, row->api, row->operation))
        row->handler(request, row->arg);
}

void weir_openapi_route(weir_openapi_t *openapi, const weir_operation_t *operation,
                        weir_http_handler handler, void *arg)
{
    row_t *row = &openapi->rows[openapi->count++];

    assert(openapi->count <= OPERATIONS_MAX);
    *row = (row_t){openapi->api, operation, handler, arg};
    weir_http_route(openapi->http, operation->method, operation->pattern, handle, row);
}

static void describe_itself(weir_openapi_t *openapi)
{
    openapi->query_field = (weir_field_t){"version", WEIR_INTEGER, .since = 1,
                                          .min = openapi->api->first, .max = openapi->api->last};
    openapi->query =
        (weir_resource_t){.name = "Version", .fields = &openapi->query_field, .count = 1};
    openapi->own = (weir_operation_t){
        "GET",
        "/openapi.json",
        "describe",
        "This document, of a version.",
        .query = &openapi->query,
        .status = 200,
        .anonymous = 1,
    };
    weir_openapi_route(openapi, &openapi->own, get_document, openapi);
}

weir_openapi_t *weir_openapi_new(weir_http_t *http, const weir_api_t *api)
{
    weir_openapi_t *openapi = weir_alloc(sizeof(*openapi));

    assert(api->first > 0 && api->first <= api->standard && api->standard <= api->last &&
           api->last <= WEIR_API_VERSION_MAX);
    openapi->http = http;
    openapi->api = api;
    describe_itself(openapi);

    return openapi;
}

void weir_openapi_free(weir_openapi_t *openapi)
{
    if (openapi == NULL)
        return;

    for (int i = 0; i <= WEIR_API_VERSION_MAX; i++)
        free(openapi->texts[i]);
    free(openapi);
}
