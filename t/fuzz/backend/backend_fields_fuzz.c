// uses: libevent libpq jansson openssl
// needs: backend/http/signature.c backend/http/idempotency.c backend/http/route.c
// needs: backend/redis/url.c common/trace/traceparent.c common/trace/context.c common/trace/ids.c
// needs: common/ids/random.c common/ids/uuid7.c
// needs: common/problem.c
// needs: backend/log/alloc.c
/*
 * The short texts that the backend reads, on any bytes, each line of the input as each of them: the
 * fields of a signed webhook, Idempotency-Key, the path of a request, traceparent, a UUID, the URL
 * of Redis; and a problem document of it.
 */
#include "common/problem.h"
#include "common/trace/traceparent.h"
#include "common/ids/uuid7.h"
#include "http/idempotency.h"
#include "http/route.h"
#include "http/signature.h"
#include "redis/url.h"

#include "budget.h"

#include <assert.h>
#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Per byte: a line of one byte is read as all of them. */
static const budget_t budget = {10000, 800, 60000, 4000};

static weir_secret_t secret;
static weir_routes_t routes;

static void check_signature(const char *text, const char *id)
{
    char made[WEIR_SIGNATURE_LEN + 1], *both = malloc(strlen(text) + sizeof(made) + 1);
    weir_str_t body = {text, strlen(text)};
    const char *wrong;

    assert(both != NULL);
    assert(weir_signature_check(&secret, 1, id, "1700000000", text, body, 1700000000) != NULL);
    assert(weir_signature_check(&secret, 1, text, text, text, body, 1700000000) != NULL);
    weir_signature_make(&secret, "id", "1700000000", body, made);
    strcat(strcat(strcpy(both, text), " "), made);
    wrong = weir_signature_check(&secret, 1, "id", "1700000000", both, body, 1700000000);
    for (const char *p = text; *p != '\0';
         p++) /* as many others as are looked at may be before it */
        wrong = *p == ' ' ? NULL : wrong;
    assert(wrong == NULL);
    free(both);
}

static void check_key(const char *text)
{
    char key[WEIR_IDEMPOTENCY_KEY_MAX + 1];

    if (weir_idempotency_parse(text, key) != NULL)
        return;
    assert(key[0] != '\0' && strlen(key) <= strlen(text));
    for (const char *p = key; *p != '\0'; p++)
        assert(*p >= ' ' && *p <= '~');
}

static void check_path(weir_str_t path)
{
    weir_str_t params[WEIR_ROUTE_PARAMS_MAX];
    char allow[64];
    const weir_route_t *route = weir_route_find(&routes, "GET", path, params, allow, sizeof(allow));

    if (route == NULL || strchr(route->pattern, '{') == NULL)
        return;
    assert(params[0].len > 0 && params[0].data >= path.data &&
           params[0].data + params[0].len <= path.data + path.len);
    assert(memchr(params[0].data, '/', params[0].len) == NULL);
}

static void check_traceparent(weir_str_t text)
{
    weir_traceparent_t trace, again;
    char out[WEIR_TRACEPARENT_LEN + 1], uuid[WEIR_UUID_LEN + 1];

    if (weir_traceparent_parse(text, &trace) == 0) {
        weir_traceparent_format(&trace, out);
        assert(weir_traceparent_parse((weir_str_t){out, strlen(out)}, &again) == 0);
        assert(strcmp(trace.trace_id, again.trace_id) == 0 && trace.flags == again.flags);
    }
    if (weir_uuid_parse(text, uuid) == 0) {
        for (size_t i = 0; i < WEIR_UUID_LEN; i++)
            assert(uuid[i] == '-' || isdigit((unsigned char)uuid[i]) ||
                   (uuid[i] >= 'a' && uuid[i] <= 'f'));
    }
}

static void check_url(const char *text)
{
    weir_redis_url_t url;

    if (weir_redis_url_parse(&url, text) == NULL) {
        assert(url.path != NULL || (url.host != NULL && *url.host != '\0'));
        assert(url.port >= 0 && url.port <= 65535 && url.db >= 0);
    }
    weir_redis_url_clear(&url);
}

/* A second reader finds the text in the document, as far as it is UTF-8. */
static void check_problem(weir_str_t text)
{
    weir_problem_t problem = {
        .status = 400, .title = "Bad Request", .detail = text, .instance = text};
    size_t len = weir_problem_json(NULL, 0, &problem);
    char *out = malloc(len);
    json_t *root, *plain;

    assert(out != NULL && len <= 200 + 12 * text.len &&
           weir_problem_json(out, len, &problem) == len);
    root = json_loadb(out, len, JSON_ALLOW_NUL, NULL);
    assert(json_is_object(root));
    plain = json_stringn(text.data, text.len);
    if (plain != NULL && text.len > 0)
        assert(json_equal(plain, json_object_get(root, "detail")));
    json_decref(plain);
    json_decref(root);
    free(out);
}

static void run(const uint8_t *data, size_t size)
{
    const uint8_t *p = data, *end = data + size;

    while (p < end) {
        const uint8_t *newline = memchr(p, '\n', (size_t)(end - p));
        size_t len = (size_t)((newline != NULL ? newline : end) - p);
        char *text = strndup((const char *)p, len);
        weir_str_t s = {text, strlen(text)};

        check_signature(text, "id");
        check_key(text);
        check_path(s);
        check_traceparent(s);
        check_url(text);
        check_problem((weir_str_t){(const char *)p, len});
        free(text);
        p += len + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (routes.count == 0) {
        assert(weir_secret_parse("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", &secret));
        weir_route_add(&routes, "GET", "/products", NULL);
        weir_route_add(&routes, "GET", "/products/{id}", NULL);
        weir_route_add(&routes, "PUT", "/products/{id}", NULL);
        weir_route_add(&routes, "GET", "/a/{b}/c/{d}", NULL);
        run((const uint8_t *)"0", 1); /* OpenSSL loads its algorithms with their first use */
    }
    budget_check(run, data, size, &budget);
    return 0;
}
