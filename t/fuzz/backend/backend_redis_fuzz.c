// uses: libevent libpq jansson hiredis
// needs: backend/events/worker/queue/queue.c backend/events/worker/queue/positions.c
// needs: backend/events/worker/queue/delays.c backend/events/worker/lease/delivery.c
// needs: backend/events/worker/lease/lease.c backend/events/worker/confirm.c
// needs: backend/events/cloudevent.c backend/redis/reader.c common/ids/uuid7.c common/problem.c
// needs: common/trace/traceparent.c common/trace/context.c common/trace/ids.c
// needs: common/ids/random.c backend/log/alloc.c backend/log/trace.c common/trace/tracestate.c
// needs: common/trace/late/late.c
/*
 * What a worker reads from Redis, on any bytes: hiredis' reader with our limits, and the streams
 * that an XREADGROUP delivers, up to the queue.  The relay's and the followers' replies are checked
 * by their types where they are read.
 */
#include "backend/events/worker/reader.c"

#include "redis/reader.h"

#include "budget.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Once: the queue, and an array of as many elements as are believed, in each of some levels. */
static const budget_t budget = {100000, 1000, 6000000, 2000};

static unsigned acked;

void weir_group_wake(weir_group_t *group)
{
    (void)group;
}

void weir_log(weir_log_level_t level, const weir_trace_t *trace, const char *msg,
              const char *format, ...)
{
    (void)level, (void)trace, (void)msg, (void)format;
}

bool weir_group_is_running(const weir_group_t *group)
{
    (void)group;
    return true;
}

bool weir_redis_command(weir_redis_t *redis, int argc, const char *const *argv,
                        const size_t *argvlen, weir_redis_cb cb, void *arg)
{
    (void)redis, (void)argvlen, (void)cb, (void)arg;
    assert(argc > 3 && argc <= 3 + WEIR_READ_MAX && strcmp(argv[0], "XACK") == 0);
    for (int i = 0; i < argc; i++)
        acked += (unsigned)strlen(argv[i]);
    return true;
}

static void take(redisReply *reply)
{
    static weir_group_t g;
    static weir_lease_t leases[2];
    static weir_worker_t worker;
    static const char *const types[] = {"UserCreated", NULL};

    memset(&g, 0, sizeof(g));
    memset(leases, 0, sizeof(leases));
    g.worker = &worker;
    g.consumer = (weir_consumer_t){.group = "email", .types = types};
    for (int i = 0; i < 2; i++) {
        leases[i] =
            (weir_lease_t){.group = &g, .partition = i, .state = WEIR_LEASE_FLOWING, .refs = 1};
        leases[i].queue =
            weir_queue_new(i * 10, WEIR_LINE_MAX, WEIR_WAITING_MAX, weir_delivery_free);
        g.leases[i] = &leases[i];
    }
    on_read(reply, &g);
    for (int i = 0; i < 2; i++) {
        assert(weir_queue_count(leases[i].queue) <= WEIR_READ_MAX * 2);
        weir_queue_free(leases[i].queue);
    }
}

static void run(const uint8_t *data, size_t size)
{
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;
    unsigned expected = 2;

    weir_redis_reader_limit(reader, &expected);
    (void)redisReaderFeed(reader, (const char *)data, size);
    while (redisReaderGetReply(reader, &reply) == REDIS_OK && reply != NULL) {
        assert(expected > 0);
        expected--;
        take(reply);
        freeReplyObject(reply);
    }
    redisReaderFree(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    budget_check(run, data, size, &budget);
    return 0;
}
