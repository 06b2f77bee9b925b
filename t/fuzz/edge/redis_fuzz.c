// uses: nginx hiredis
// needs: ngx_module/redis/ngx_http_weir_redis_read.c ngx_module/redis/ngx_http_weir_redis_reply.c
// needs: ngx_module/redis/ngx_http_weir_redis_read_string.c
// needs: ngx_module/redis/follow/ngx_http_weir_follow_read.c ngx_module/redis/follow/position.c
// needs: ngx_module/cache/invalidation/follow/ngx_http_weir_cache_follow_log.c
// needs: ngx_module/cache/invalidation/follow/ngx_http_weir_cache_follow_era.c
// needs: ngx_module/cache/invalidation/follow/ngx_http_weir_cache_follow_write.c
// needs: ngx_module/cache/invalidation/invalidations.c
// needs: ngx_module/cache/invalidation/invalidations_apply.c
// needs: ngx_module/cache/invalidation/invalidations_make.c
// needs: ngx_module/cache/invalidation/invalidations_client.c ngx_module/cache/policy/tags.c
// needs: common/hash/blake2b.c t/fuzz/nginx.c
/*
 * What the edge reads from Redis, on any bytes: the reader and its limits as a worker uses them,
 * and the follower of invalidations on the replies (INFO, a write, GET weir:era, XREAD, XINFO
 * STREAM). The first byte says how the socket cuts the stream, the second one which commands are
 * still waited for.
 *
 * - Any cutting gives the same replies, but for what is no RESP: of that one reader sees less.
 * - Memory has a budget: a length that is only announced costs nothing.
 */
#include "cache/invalidation/follow/ngx_http_weir_cache_follow_private.h"
#include "cache/invalidation/ngx_http_weir_cache_invalidation.h"
#include "redis/follow/ngx_http_weir_follow_private.h"
#include "redis/ngx_http_weir_redis_commands.h"
#include "redis/ngx_http_weir_redis_read.h"
#include "redis/ngx_http_weir_redis_reply.h"
#include "usage/ngx_http_weir_usage.h"

#include "budget.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * Once: the first part of an announced string and its pool.  Per byte: an integer of four bytes is
 * a reply, and a place in an array that doubles.  The stream is read five times.
 */
static const budget_t budget = {50000, 1500, 5 * 1200000, 5 * 80};

#define SLOTS 12

/* --- nginx around it ------------------------------------------------------------------- */

/* Nothing is counted. */
ngx_http_weir_usage_process_t ngx_http_weir_usage_process;

void ngx_http_weir_redis_arm(ngx_http_weir_redis_t *redis)
{
    assert(redis->fault == NULL);
}

static const uint8_t *input;
static size_t left, piece;

static ssize_t receive(ngx_connection_t *c, u_char *buf, size_t size)
{
    size_t n = ngx_min(ngx_min(size, piece), left);

    (void)c;
    if (n == 0)
        return NGX_AGAIN;
    memcpy(buf, input, n);
    input += n;
    left -= n;
    return (ssize_t)n;
}

static ssize_t receive_chain(ngx_connection_t *c, ngx_chain_t *chain, off_t limit)
{
    size_t whole = ngx_min(piece, left), done = 0;

    (void)limit;
    for (; chain != NULL && done < whole; chain = chain->next) {
        size_t n = ngx_min((size_t)(chain->buf->end - chain->buf->last), whole - done), was = piece;

        piece = n;
        done += n > 0 ? (size_t)receive(c, chain->buf->last, n) : 0;
        piece = was;
    }
    return done > 0 ? (ssize_t)done : NGX_AGAIN;
}

/* --- the follower around it ------------------------------------------------------------ */

static char memory[WEIR_INVALIDATION_MEMORY_MIN * 2];
static ngx_http_weir_cache_invalidation_t invalidation;

weir_invalidations_t *ngx_http_weir_cache_invalidation_lock(ngx_http_weir_cache_zone_t *zone)
{
    return zone->invalidation->table;
}

void ngx_http_weir_cache_invalidation_unlock(ngx_http_weir_cache_zone_t *zone)
{
    (void)zone;
}

uint64_t ngx_http_weir_ms(void)
{
    return 1000000;
}

uint64_t ngx_http_weir_random(void)
{
    return 4;
}

/* For the era, the only text that is written here. */
u_char *ngx_sprintf(u_char *buf, const char *fmt, ...)
{
    assert(strcmp(fmt, "%016xL") == 0);
    memset(buf, '4', 16);
    return buf + 16;
}

ngx_int_t ngx_http_weir_redis_command(ngx_http_weir_redis_t *redis,
                                      ngx_http_weir_redis_command_t *cmd, ngx_uint_t argc,
                                      ngx_str_t *argv)
{
    (void)redis, (void)cmd, (void)argc, (void)argv;
    return NGX_DECLINED;
}

void ngx_http_weir_follow_send(ngx_http_weir_follow_stream_t *s, ngx_uint_t which, ngx_uint_t argc,
                               ngx_str_t *argv)
{
    (void)s, (void)which, (void)argc, (void)argv;
}

void ngx_http_weir_follow_tell(ngx_http_weir_follow_stream_t *s, ngx_uint_t argc, ngx_str_t *argv)
{
    (void)s, (void)argc, (void)argv;
}

static void complain(ngx_http_weir_follow_stream_t *s, char *what, ngx_str_t *text)
{
    assert(s->complained && what != NULL && text->len <= 256);
}

static const ngx_http_weir_follow_owner_t owner = {.message = ngx_http_weir_cache_follow_message,
                                                   .complain = complain};

/* Messages behind a position, as XREAD gives them; false: no cycle goes on with them. */
static bool read_cycle(ngx_http_weir_cache_follower_t *f, ngx_http_weir_redis_reply_t *read,
                       ngx_http_weir_redis_reply_t *xinfo, bool shared)
{
    static ngx_http_weir_follower_t follower;
    ngx_http_weir_follow_stream_t *s = &f->stream;

    memset(&follower, 0, sizeof(follower));
    ngx_queue_init(&follower.streams);
    ngx_queue_insert_tail(&follower.streams, &s->queue);
    follower.reply = read;
    follower.nshared = 2;
    s->follower = &follower;
    s->asked = s->shared = shared;
    s->read = shared ? NULL : read;
    s->xinfo = xinfo;
    s->entries = NULL;
    s->n = 0;
    if (shared && ngx_http_weir_follow_read_shared(&follower) != NGX_OK)
        return false;
    return ngx_http_weir_follow_read(s) == NGX_OK;
}

static void follow(ngx_http_weir_redis_reply_t **replies, ngx_pool_t *pool)
{
    ngx_http_weir_cache_zone_t zone;
    ngx_http_weir_cache_follower_t f;
    ngx_str_t name = ngx_string("z");
    ngx_http_weir_redis_reply_t nil = {.type = NGX_HTTP_WEIR_REDIS_NIL};

    memset(&zone, 0, sizeof(zone));
    memset(&f, 0, sizeof(f));
    memset(&invalidation, 0, sizeof(invalidation));
    memset(memory, 0, sizeof(memory));
    zone.name = name;
    zone.invalidation = &invalidation;
    invalidation.table = weir_invalidations_init(memory, sizeof(memory), 7);
    invalidation.role.pid = (ngx_atomic_uint_t)ngx_pid;
    f.zone = &zone;
    f.stream.pool = pool;
    f.stream.data = &f;
    f.stream.owner = &owner;
    ngx_str_set(&f.stream.name, NGX_HTTP_WEIR_CACHE_STREAM);
    memcpy(f.stream.replies, replies, 3 * sizeof(replies[0]));

    if (!read_cycle(&f, &nil, replies[4], true))
        return;
    ngx_http_weir_cache_follow_write_done(&f);
    if (ngx_http_weir_cache_follow_met(&f) != NGX_OK)
        return;
    assert(f.era != 0 && invalidation.table->era == f.era);
    f.from = invalidation.table->position;
    if (read_cycle(&f, replies[3], replies[4], replies[0]->str.len % 2 == 0))
        (void)ngx_http_weir_cache_follow_was_read(&f);
    assert(invalidation.table->changing == 0);
}

/* --- reading --------------------------------------------------------------------------- */

/* What a stream was understood as. */
typedef struct {
    size_t n;
    uint64_t sum;
    bool closed;
} reading_t;

static reading_t reading;
static ngx_http_weir_redis_reply_t *replies[SLOTS];

static uint64_t sum_of(const ngx_http_weir_redis_reply_t *reply, unsigned depth)
{
    uint64_t sum = (uint64_t)reply->type * 31 + (uint64_t)reply->integer;

    assert(depth <= NGX_HTTP_WEIR_REDIS_DEPTH_MAX + 1);
    for (size_t i = 0; i < reply->str.len; i++)
        sum = sum * 31 + reply->str.data[i];
    for (ngx_uint_t i = 0; i < reply->nelements; i++)
        sum = sum * 31 + sum_of(reply->elements[i], depth + 1);
    return sum;
}

static void on_reply(ngx_http_weir_redis_command_t *cmd, ngx_int_t rc,
                     ngx_http_weir_redis_reply_t *reply)
{
    assert(rc == NGX_OK && reply != NULL && reading.n < SLOTS);
    assert(cmd->max == 0 || reply->type != NGX_HTTP_WEIR_REDIS_STRING ||
           reply->str.len <= cmd->max);
    replies[reading.n++] = reply;
    reading.sum = reading.sum * 31 + sum_of(reply, 1);
}

static void read_stream(const uint8_t *data, size_t size, size_t pieces, unsigned waiting)
{
    static ngx_http_weir_redis_t redis;
    static ngx_http_weir_redis_slot_t slots[SLOTS];
    static ngx_http_weir_redis_command_t commands[SLOTS];
    static ngx_cycle_t cycle;
    static ngx_log_t log;
    ngx_event_t rev, wev;
    ngx_connection_t c;

    memset(&redis, 0, sizeof(redis));
    memset(&reading, 0, sizeof(reading));
    memset(slots, 0, sizeof(slots));
    memset(&rev, 0, sizeof(rev));
    memset(&wev, 0, sizeof(wev));
    memset(&c, 0, sizeof(c));
    log.log_level = 0;
    cycle.log = &log;
    ngx_cycle = &cycle;
    c.recv = receive;
    c.recv_chain = receive_chain;
    c.read = &rev;
    c.write = &wev;
    c.log = &log;
    rev.ready = 1;
    ngx_queue_init(&ngx_posted_events);
    ngx_queue_init(&redis.slots);
    ngx_queue_init(&redis.free);
    redis.peer.connection = &c;
    redis.state = NGX_HTTP_WEIR_REDIS_UP;
    redis.reader = redisReaderCreateWithFunctions(&ngx_http_weir_redis_functions);
    redis.reader->privdata = &redis;
    for (unsigned i = 0; i < SLOTS; i++) {
        commands[i] = (ngx_http_weir_redis_command_t){.handler = on_reply, .slot = &slots[i]};
        commands[i].pool = ngx_create_pool(1024, &log);
        commands[i].max = waiting >> 6 == 3 ? 20 : 0;
        slots[i].cmd = (waiting >> (i % 6) & 1) == 0 ? &commands[i] : NULL;
        ngx_queue_insert_tail(&redis.slots, &slots[i].queue);
        redis.nslots++;
    }

    input = data;
    left = size;
    piece = pieces;
    reading.closed = ngx_http_weir_redis_read(&redis) != NGX_OK;
    assert(reading.closed || redis.fault == NULL);
    if (reading.n >= 5)
        follow(replies, commands[0].pool);

    redisReaderFree(redis.reader);
    for (unsigned i = 0; i < SLOTS; i++)
        ngx_destroy_pool(commands[i].pool);
}

static void run(const uint8_t *data, size_t size)
{
    size_t cuts[] = {1, 2, 0, 7};
    reading_t whole;

    if (size < 2)
        return;
    cuts[2] = data[0] + 1u;
    read_stream(data + 2, size - 2, SIZE_MAX, data[1]);
    whole = reading;
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        read_stream(data + 2, size - 2, cuts[i], data[1]);
        assert(reading.closed || whole.closed ||
               (reading.n == whole.n && reading.sum == whole.sum));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    budget_check(run, data, size, &budget);
    return 0;
}
