// needs: ngx_module/version/negotiate.c
/*
 * The negotiation core on any bytes: the input's lines are Accept, the version
 * header and Content-Type.  The steps that are taken stay within a budget per byte;
 * nothing is allocated.
 */
#include "version/negotiate.h"
#include "budget.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const budget_t budget = {2000, 80, 0, 0};

static weir_str_t line(const char **p, const char *end)
{
    const char *start = *p, *newline = start < end ? memchr(start, '\n', end - start) : NULL;
    weir_str_t s = {start, (size_t)((newline ? newline : end) - start)};

    *p = newline ? newline + 1 : end;
    if (s.len == 0)
        s.data = NULL;
    return s;
}

static void run(const uint8_t *data, size_t size)
{
    static const weir_str_t versions[] = {{"1", 1}, {"2", 1}, {"beta", 4}};
    static const weir_negotiate_api_t api = {{"application/vnd.shop", 20}, versions, 3, 1};
    const char *p = (const char *)data, *end = p + size;
    weir_negotiate_request_t request;
    weir_negotiated_t out = {99, 0}, again = {99, 0};
    weir_negotiate_result_t result;

    request.accept = line(&p, end);
    request.version_header = line(&p, end);
    request.content_type = line(&p, end);

    result = weir_negotiate(&api, &request, &out);
    assert(result <= WEIR_NEGOTIATE_UNSUPPORTED_BODY);
    if (result == WEIR_NEGOTIATE_OK)
        assert(out.version < api.nversions);

    /* the same question has the same answer */
    assert(weir_negotiate(&api, &request, &again) == result);
    assert(result != WEIR_NEGOTIATE_OK || (again.version == out.version && again.form == out.form));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    budget_check(run, data, size, &budget);
    return 0;
}
