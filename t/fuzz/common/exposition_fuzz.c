// needs: common/metrics/exposition.c
/*
 * Metrics: the input's lines are those of Accept, and the whole input is the value of a label. What
 * is written for it has no line end but the last, no quote without a backslash, and is UTF-8.
 */
#include "budget.h"
#include "common/metrics/exposition.h"
#include "common/text/utf8.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const budget_t budget = {4000, 200, 0, 0};

#define LINES_MAX 64

static void negotiate(const char *text, size_t size)
{
    weir_str_t lines[LINES_MAX];
    const char *p = text, *end = text + size;
    size_t n = 0;

    while (p < end && n < LINES_MAX) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));

        lines[n++] = (weir_str_t){p, (size_t)((newline != NULL ? newline : end) - p)};
        p = newline != NULL ? newline + 1 : end;
    }
    (void)weir_exposition_accepts_openmetrics(lines, n);
}

static void check_line(const char *line, size_t len)
{
    size_t quotes = 0;

    for (size_t i = 0, n; i < len; i += n) {
        n = weir_utf8_sequence(line + i, len - i);
        assert(n > 0);
        assert(line[i] != '\n' || i == len - 1);
        if (line[i] == '\\') {
            assert(strchr("\\\"n", line[i + 1]) != NULL);
            n = 2;
        } else {
            quotes += line[i] == '"';
        }
    }
    assert(quotes == 2);
}

static void run(const uint8_t *data, size_t size)
{
    static const weir_metric_t metric = {"weir_n", NULL, WEIR_METRIC_GAUGE, "N."};
    static char line[4 * BUDGET_INPUT_MAX + 64];
    weir_label_t label = {"l", {(const char *)data, size}};
    weir_exposition_t e = {line, sizeof(line), 0, true, NULL};

    negotiate((const char *)data, size);
    weir_exposition_sample(&e, &metric, &label, 1, size);
    assert(e.len <= sizeof(line));
    check_line(line, e.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size <= BUDGET_INPUT_MAX)
        budget_check(run, data, size, &budget);
    return 0;
}
