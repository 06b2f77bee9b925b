// needs: common/trace/context.c common/trace/tracestate.c common/trace/sampling.c
// needs: common/trace/b3.c
/*
 * The context of a trace on any bytes: the first line is a traceparent, a b3, and each of the
 * headers of B3; all lines are those of tracestate.
 */
#include "common/trace/b3.h"
#include "common/trace/context.h"
#include "common/trace/sampling.h"
#include "common/trace/tracestate.h"
#include "budget.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const budget_t budget = {8000, 60, 4096, 16};

#define LINES_MAX WEIR_TRACESTATE_MEMBERS

/* What is written is read again, and is the same. */
static void check_context(weir_str_t text)
{
    weir_context_t context, again;
    char out[WEIR_CONTEXT_LEN];

    if (weir_context_parse(text, &context) != 0)
        return;

    assert(context.flags <= (WEIR_CONTEXT_SAMPLED | WEIR_CONTEXT_RANDOM));
    weir_context_format(&context, out);
    assert(memcmp(out + 2, text.data + 2, 51) == 0);
    assert(weir_context_parse((weir_str_t){out, sizeof(out)}, &again) == 0);
    assert(memcmp(context.trace_id, again.trace_id, sizeof(again.trace_id)) == 0);
    assert(context.flags == again.flags);
}

static void check_b3(weir_str_t text)
{
    weir_context_t context, again;
    weir_b3_sampling_t sampling;
    weir_b3_multi_t multi = {text, text, text, text};
    char out[WEIR_B3_LEN];

    if (weir_b3_parse(text, &context, &sampling) == 0) {
        assert(context.flags == (sampling >= WEIR_B3_ACCEPTED));
        weir_b3_format(&context, out);
        assert(weir_b3_parse((weir_str_t){out, sizeof(out)}, &again, &sampling) == 0);
        assert(memcmp(context.trace_id, again.trace_id, sizeof(again.trace_id)) == 0);
        assert(memcmp(context.span_id, again.span_id, sizeof(again.span_id)) == 0);
    }
    (void)weir_b3_parse_multi(&multi, &context, &sampling);
}

/* The member has the threshold, keeps the randomness, and is a valid value. */
static void check_member(weir_str_t ot, uint64_t threshold)
{
    const uint8_t id[WEIR_TRACE_ID_LEN] = {1};
    char out[WEIR_TRACESTATE_VALUE];
    weir_str_t member = {out, weir_sampling_member(ot, threshold, out)};

    assert(member.len <= sizeof(out));
    assert(weir_sampling_randomness(id, ot) == weir_sampling_randomness(id, member));
    assert(threshold == WEIR_SAMPLING_NEVER || memcmp(out, "th:", 3) == 0);
}

static void check_state(const weir_str_t *lines, size_t n)
{
    weir_tracestate_t state, again;
    char out[WEIR_TRACESTATE_ROOM];
    weir_str_t sent = {out, 0}, ot;

    if (weir_tracestate_parse(lines, n, &state) != 0) {
        assert(state.n == 0);
        return;
    }

    ot = weir_tracestate_get(&state, WEIR_STR("ot"));
    check_member(ot, weir_sampling_threshold(0.1));
    check_member(ot, WEIR_SAMPLING_ALWAYS);
    check_member(ot, WEIR_SAMPLING_NEVER);

    sent.len = weir_tracestate_format(&state, WEIR_STR("ot"), WEIR_STR("th:8"), out);
    assert(weir_tracestate_parse(&sent, 1, &again) == 0);
    assert(weir_str_eq(again.members[0].value, WEIR_STR("th:8")));
    assert(again.n <= state.n + 1);
    for (size_t i = 1; i < again.n; i++)
        assert(
            weir_str_eq(weir_tracestate_get(&state, again.members[i].key), again.members[i].value));
}

static void run(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data, *end = p + size;
    weir_str_t lines[LINES_MAX];
    size_t n = 0;

    while (p < end && n < LINES_MAX) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));

        lines[n].data = p;
        lines[n].len = (size_t)((newline ? newline : end) - p);
        p += lines[n].len + 1;
        n++;
    }
    if (n == 0)
        return;

    check_context(lines[0]);
    check_b3(lines[0]);
    check_state(lines, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    budget_check(run, data, size, &budget);
    return 0;
}
