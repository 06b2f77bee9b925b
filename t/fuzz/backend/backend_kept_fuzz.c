// uses: libevent hiredis jansson
// needs: backend/redis/reader.c common/trace/late/late.c common/trace/tracestate.c
// needs: common/trace/context.c backend/log/alloc.c
/*
 * What a process reads from weir:traces:kept, on any bytes: hiredis' reader with our limits, and
 * the replies of XREAD, up to the ids.
 */
#include "backend/export/kept.c"

#include "redis/reader.h"

#include "budget.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Once: an array of as many elements as are believed, in each of some levels. */
static const budget_t budget = {100000, 1000, 6000000, 2000};

static size_t ids;

void weir_late_keep(const uint8_t trace_id[WEIR_TRACE_ID_LEN])
{
    bool is_zero = true;

    for (int i = 0; i < WEIR_TRACE_ID_LEN; i++)
        is_zero = is_zero && trace_id[i] == 0;
    assert(!is_zero);
    ids++;
}

void weir_log(weir_log_level_t level, const weir_trace_t *trace, const char *msg,
              const char *format, ...)
{
    (void)level, (void)trace, (void)msg, (void)format;
}

void weir_series_add(weir_series_t *series, uint64_t n)
{
    (void)series, (void)n;
}

bool weir_redis_command(weir_redis_t *redis, int argc, const char *const *argv,
                        const size_t *argvlen, weir_redis_cb cb, void *arg)
{
    (void)redis, (void)argvlen, (void)cb, (void)arg;
    assert(argc == 8 && strlen(argv[7]) <= POSITION_LEN);
    return true;
}

static void take(redisReply *reply, struct event_base *base)
{
    weir_kept_t k = {.remember_ms = 1000};

    k.pause = evtimer_new(base, on_pause_over, &k);
    go_back(&k);
    on_reply(reply, &k);
    /* Either the next command is under way, or it comes after the pause. */
    assert(k.reading != (bool)event_pending(k.pause, EV_TIMEOUT, NULL));
    assert(strspn(k.position, "0123456789-") == strlen(k.position) && strchr(k.position, '-'));
    event_free(k.pause);
}

static void run(const uint8_t *data, size_t size)
{
    redisReader *reader = redisReaderCreate();
    struct event_base *base = event_base_new();
    void *reply = NULL;
    unsigned expected = 2;

    ids = 0;
    weir_redis_reader_limit(reader, &expected);
    (void)redisReaderFeed(reader, (const char *)data, size);
    while (redisReaderGetReply(reader, &reply) == REDIS_OK && reply != NULL) {
        assert(expected > 0);
        expected--;
        take(reply, base);
        freeReplyObject(reply);
    }
    assert(ids <= size / (2 * WEIR_TRACE_ID_LEN));
    redisReaderFree(reader);
    event_base_free(base);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    budget_check(run, data, size, &budget);
    return 0;
}
