// needs: common/trace/late/late.c common/trace/context.c common/trace/tracestate.c
/*
 * Traces that are kept late, on any bytes: the first line is a tracestate, the rest a message's
 * field "ids".
 */
#include "common/trace/late/late.h"
#include "common/text/hex.h"
#include "common/trace/tracestate.h"
#include "budget.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const budget_t budget = {3000, 60, 4096, 16};

/* Our member is what is read again, and no other is changed. */
static void check_state(weir_str_t line)
{
    weir_str_t key = WEIR_STR(WEIR_TRACE_LATE_KEY), value = WEIR_STR(WEIR_TRACE_LATE_VALUE);
    weir_tracestate_t state, before;
    char out[WEIR_TRACESTATE_ROOM];
    bool is_late = weir_trace_is_late(line);

    if (weir_tracestate_parse(&line, 1, &state) != 0) {
        assert(!is_late);
        return;
    }
    before = state;
    weir_tracestate_put(&state, key, value);
    assert(state.n >= before.n && state.n <= before.n + 1);
    for (size_t i = 1; i < state.n; i++) {
        assert(!weir_str_eq(state.members[i].key, key));
        assert(weir_str_eq(weir_tracestate_get(&before, state.members[i].key),
                           state.members[i].value));
    }
    line = (weir_str_t){out, weir_tracestate_format(&state, WEIR_STR("ot"), WEIR_STR(""), out)};
    assert(weir_trace_is_late(line));
}

/* What is written as the edge does is what was read. */
static void check_ids(weir_str_t text)
{
    const char *p = text.data;
    uint8_t id[WEIR_TRACE_ID_LEN];
    char digits[2 * WEIR_TRACE_ID_LEN];

    while (weir_trace_next_id(&text, id) == 1) {
        weir_hex(digits, id, sizeof(id));
        assert(memcmp(p, digits, sizeof(digits)) == 0);
        p += sizeof(digits);
        assert(p == text.data || (*p == ' ' && p + 1 == text.data && text.len > 0));
        p = text.data;
    }
}

static void run(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *newline = size > 0 ? memchr(text, '\n', size) : NULL;
    size_t first = newline != NULL ? (size_t)(newline - text) : size;

    check_state((weir_str_t){text, first});
    if (newline != NULL)
        check_ids((weir_str_t){newline + 1, size - first - 1});
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    budget_check(run, data, size, &budget);
    return 0;
}
