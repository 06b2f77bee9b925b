// needs: backend/trace/tracer.c backend/trace/late.c common/trace/sampling.c common/trace/ids.c
// needs: common/trace/context.c common/trace/traceparent.c common/trace/tracestate.c
// needs: common/trace/span.c common/trace/encode/otlp.c common/trace/encode/otlp_json.c
// needs: common/trace/encode/zipkin.c common/trace/encode/out.c common/ids/random.c
// needs: common/trace/late/late.c
// needs: backend/metrics/series.c backend/metrics/families.c common/metrics/exposition.c
// needs: common/metrics/histogram.c common/problem.c
// needs: backend/log/alloc.c backend/log/log.c backend/log/clock.c backend/log/trace.c
/*
 * The heap that waiting spans take, as malloc counts it, compared with what is sent of them. With
 * AddressSanitizer malloc is another one, which does not count.
 */
#include "trace/finished.h"
#include "trace/tracer.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OF_MALLOC 32 /* bytes that malloc adds to a block, at most */
#define WAITING 1000

static void end(weir_open_span_t *span, const char *text)
{
    const weir_attribute_t attribute = {
        .name = "text", .type = WEIR_ATTRIBUTE_TEXT, .value.text = weir_str(text)};

    weir_tracer_end(span, &(weir_span_t){.name = WEIR_STR("process order.placed"),
                                         .kind = WEIR_SPAN_CONSUMER,
                                         .attributes = {&attribute, 1}});
}

static void a_waiting_span_takes_the_room_of_its_length(void **state)
{
    size_t before = mallinfo2().uordblks, used, len = 0;
    char *body = NULL;
    weir_open_span_t span;

    (void)state;
#ifdef __SANITIZE_ADDRESS__
    skip();
#endif
    for (int i = 0; i < WAITING; i++) {
        weir_tracer_begin(&span, NULL);
        end(&span, "short");
    }
    used = mallinfo2().uordblks - before;
    assert_int_equal(weir_tracer_take(WAITING, &body, &len), WAITING);
    free(body);
    assert_true(used > len);
    assert_in_range(used, 0, len + WAITING * (sizeof(weir_finished_t) + OF_MALLOC));
}

static void a_long_span_is_whole(void **state)
{
    static char text[20000];
    weir_open_span_t span;
    char *body = NULL;
    size_t len = 0;

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    weir_tracer_begin(&span, NULL);
    end(&span, text);
    assert_int_equal(weir_tracer_take(1, &body, &len), 1);
    assert_non_null(memmem(body, len, text, sizeof(text) - 1));
    free(body);
}

int main(void)
{
    const weir_tracer_settings_t settings = {
        .format = WEIR_SPAN_FORMAT_PROTOBUF,
        .sampler = WEIR_SAMPLER_PARENTBASED_ALWAYS_ON,
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_waiting_span_takes_the_room_of_its_length),
        cmocka_unit_test(a_long_span_is_whole),
    };

    weir_tracer_start(&settings);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
