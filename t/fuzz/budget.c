/* Compiled without instrumentation; see budget.h. */
#include "budget.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* With sanitizers, on a loaded machine. */
#define NS_ONCE 200000000UL
#define NS_PER_BYTE 100000UL

/* One input in so many is repeated; which ones depends on their bytes. */
#define REPEATED_ONE_IN 64

int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
                                              void (*on_free)(const volatile void *));

/* libFuzzer has threads of its own, which allocate when they like. */
static _Thread_local bool measuring;
static unsigned long steps, memory;
static uint64_t began_ns;
static struct {
    unsigned long count, per_byte; /* the greatest; per byte of inputs of 1,000 bytes and more */
    double share;                  /* of what is allowed, the greatest */
} seen_steps, seen_memory;

/* --- counting -------------------------------------------------------------------------- */

void __wrap___sanitizer_cov_trace_pc(void);

void __wrap___sanitizer_cov_trace_pc(void)
{
    steps++;
}

static size_t common(const char *a, const char *b, size_t n)
{
    size_t i = 0;

    while (i < n && a[i] == b[i] && a[i] != '\0')
        i++;
    return i;
}

static size_t up_to(const void *found, const void *start, size_t n)
{
    return found != NULL ? (size_t)((const char *)found - (const char *)start) : n;
}

/* A function of the C library that has looked at n bytes when it returns r. */
#define WRAP(type, name, parameters, arguments, n)                                                 \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        type r = __real_##name arguments;                                                          \
                                                                                                   \
        steps += (n) / 8;                                                                          \
        return r;                                                                                  \
    }

#define TWO const char *a, const char *b
WRAP(void *, __asan_memcpy, (void *to, const void *from, size_t n), (to, from, n), n)
WRAP(void *, __asan_memmove, (void *to, const void *from, size_t n), (to, from, n), n)
WRAP(void *, __asan_memset, (void *to, int c, size_t n), (to, c, n), n)
WRAP(int, memcmp, (const void *a, const void *b, size_t n), (a, b, n), r == 0 ? n : common(a, b, n))
WRAP(void *, memchr, (const void *s, int c, size_t n), (s, c, n), up_to(r, s, n))
WRAP(void *, memrchr, (const void *s, int c, size_t n), (s, c, n), n)
WRAP(void *, memmem, (const void *s, size_t n, const void *t, size_t m), (s, n, t, m),
     up_to(r, s, n) + m)
WRAP(size_t, strlen, (const char *s), (s), r)
WRAP(int, strncasecmp, (TWO, size_t n), (a, b, n), common(a, b, n))
WRAP(int, strcasecmp, (TWO), (a, b), common(a, b, SIZE_MAX))
WRAP(int, strncmp, (TWO, size_t n), (a, b, n), common(a, b, n))
WRAP(int, strcmp, (TWO), (a, b), common(a, b, SIZE_MAX))
WRAP(char *, strchr, (const char *s, int c), (s, c), up_to(r, s, __real_strlen(s)))
WRAP(char *, strrchr, (const char *s, int c), (s, c), __real_strlen(s))
WRAP(char *, strstr, (TWO), (a, b), up_to(r, a, __real_strlen(a)))
WRAP(size_t, strspn, (TWO), (a, b), r)
WRAP(size_t, strcspn, (TWO), (a, b), r)

static void on_malloc(const volatile void *p, size_t n)
{
    (void)p;
    if (measuring)
        memory += n;
}

static void on_free(const volatile void *p)
{
    (void)p;
}

static uint64_t cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);

    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void report(void)
{
    printf("budget: %lu steps a byte at most, %.0f %% of what is allowed; "
           "%lu bytes of memory a byte, %.0f %%\n",
           seen_steps.per_byte, seen_steps.share * 100, seen_memory.per_byte,
           seen_memory.share * 100);
}

static void set_up(void)
{
    static bool done;

    if (done)
        return;
    done = true;
    if (__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) == 0)
        abort();
    atexit(report);
}

/* --- the budget ------------------------------------------------------------------------ */

void budget_begin(void)
{
    set_up();
    measuring = true;
    memory = 0;
    began_ns = cpu_ns();
    steps = 0;
}

static void spent(const char *what, unsigned long count, unsigned long allowed, size_t size)
{
    if (count <= allowed || getenv("WEIR_FUZZ_MEASURE") != NULL)
        return;
    fprintf(stderr, "budget: %zu bytes of input cost %lu %s, %lu are allowed\n", size, count, what,
            allowed);
    abort();
}

#define NOTE(seen, count, allowed, size)                                                           \
    do {                                                                                           \
        if ((double)(count) / (double)((allowed) + 1) > (seen).share)                              \
            (seen).share = (double)(count) / (double)((allowed) + 1);                              \
        if ((size) >= 1000 && (count) / (size) > (seen).per_byte)                                  \
            (seen).per_byte = (count) / (size);                                                    \
    } while (0)

void budget_end(size_t size, const budget_t *budget)
{
    unsigned long did = steps, took = memory, ns = cpu_ns() - began_ns;
    unsigned long steps_max = budget->steps_once + budget->steps_per_byte * size;
    unsigned long memory_max = budget->memory_once + budget->memory_per_byte * size;

    measuring = false;
    NOTE(seen_steps, did, steps_max, size);
    NOTE(seen_memory, took, memory_max, size);
    spent("steps", did, steps_max, size);
    spent("bytes of memory", took, memory_max, size);
    spent("ns", ns, NS_ONCE + NS_PER_BYTE * size, size);
}

void budget_check(void (*parse)(const uint8_t *data, size_t size), const uint8_t *data, size_t size,
                  const budget_t *budget)
{
    static uint8_t repeated[BUDGET_INPUT_MAX];
    unsigned long hash = size;
    size_t len = 0;

    budget_begin();
    parse(data, size);
    budget_end(size, budget);

    for (size_t i = 0; i < size; i++)
        hash = hash * 31 + data[i];
    if (size == 0 || size > sizeof(repeated) / 2 || hash % REPEATED_ONE_IN != 0)
        return;
    for (; len + size <= sizeof(repeated); len += size)
        memcpy(repeated + len, data, size);
    budget_begin();
    parse(repeated, len);
    budget_end(len, budget);
}
