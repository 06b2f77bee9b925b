/*
 * The reader's own functions, with a check before each: if a function returns NULL, the reader
 * fails. hiredis 1.0 changed the length of an array to size_t, and added types of RESP3, which no
 * server may send before HELLO.
 */
#include "redis/reader.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* hiredis' own functions, the same for every reader. */
static const redisReplyObjectFunctions *hiredis;

static bool is_refused(const redisReadTask *task)
{
    const unsigned *expected = task->privdata;

    assert(expected != NULL && hiredis != NULL);
    return task->parent == NULL && *expected == 0;
}

static void *create_string(const redisReadTask *task, char *text, size_t len)
{
    return is_refused(task) ? NULL : hiredis->createString(task, text, len);
}

static void *create_integer(const redisReadTask *task, long long value)
{
    return is_refused(task) ? NULL : hiredis->createInteger(task, value);
}

static void *create_nil(const redisReadTask *task)
{
    return is_refused(task) ? NULL : hiredis->createNil(task);
}

#if HIREDIS_MAJOR >= 1
static void *create_array(const redisReadTask *task, size_t n)
{
    return is_refused(task) || n > WEIR_REDIS_ELEMENTS_MAX ? NULL : hiredis->createArray(task, n);
}

static void *create_double(const redisReadTask *task, double value, char *text, size_t len)
{
    (void)task, (void)value, (void)text, (void)len;
    return NULL;
}

static void *create_bool(const redisReadTask *task, int value)
{
    (void)task, (void)value;
    return NULL;
}
#else
static void *create_array(const redisReadTask *task, int n)
{
    return is_refused(task) || n > WEIR_REDIS_ELEMENTS_MAX ? NULL : hiredis->createArray(task, n);
}
#endif

static void free_object(void *reply)
{
    hiredis->freeObject(reply);
}

static redisReplyObjectFunctions limited = {
    .createString = create_string,
    .createArray = create_array,
    .createInteger = create_integer,
    .createNil = create_nil,
    .freeObject = free_object,
#if HIREDIS_MAJOR >= 1
    .createDouble = create_double,
    .createBool = create_bool,
#endif
};

void weir_redis_reader_limit(redisReader *reader, const unsigned *expected)
{
    assert(reader->fn != NULL && expected != NULL);
    hiredis = reader->fn;
    reader->fn = &limited;
    reader->privdata = (void *)(uintptr_t)expected;
}
