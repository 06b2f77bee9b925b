#include "log/alloc.h"

#include "log/log.h"

#include <assert.h>
#include <event2/event.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes that jansson may still allocate while it parses a text from a peer; SIZE_MAX: no limit. */
static size_t json_left = SIZE_MAX;

/* Logging a line without fields allocates no memory. */
static _Noreturn void fail(size_t size)
{
    char text[80] = "out of memory";

    if (size > 0)
        snprintf(text, sizeof(text), "out of memory: cannot allocate %zu bytes", size);
    weir_log(WEIR_LOG_FATAL, NULL, text, NULL);
    abort();
}

static size_t product(size_t count, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(count, size, &total))
        fail(SIZE_MAX);
    return total;
}

/* Some libraries pass NULL or 0. */
static void *resize(void *memory, size_t size)
{
    void *p = realloc(memory, size > 0 ? size : 1);

    if (p == NULL)
        fail(size);
    return p;
}

static void *take(size_t size)
{
    return resize(NULL, size);
}

/* json_left needs no lock: a process has one thread. */
static void *json_take(size_t size)
{
    if (json_left == SIZE_MAX)
        return take(size);
    if (size > json_left)
        return NULL;
    assert(json_left != SIZE_MAX);
    json_left -= size;
    return malloc(size > 0 ? size : 1);
}

json_t *weir_alloc_json(const char *text, size_t len, size_t flags, json_error_t *error)
{
    json_error_t own = {0};
    json_t *root;

    assert(json_left == SIZE_MAX);
    assert(text != NULL || len == 0);
    error = error != NULL ? error : &own;
    json_left = WEIR_ALLOC_JSON_BASE + WEIR_ALLOC_JSON_FACTOR * len;
    root = json_loadb(text, len, flags, error);
    if (root == NULL && error->text[0] == '\0')
        snprintf(error->text, sizeof(error->text), "it needs too much memory");
    json_left = SIZE_MAX;

    return root;
}

void *weir_alloc(size_t size)
{
    return weir_alloc_array(1, size);
}

void *weir_alloc_array(size_t count, size_t size)
{
    size_t total = product(count, size);
    void *p = calloc(1, total > 0 ? total : 1);

    if (p == NULL)
        fail(total);
    return p;
}

void *weir_alloc_resize(void *memory, size_t count, size_t size)
{
    return resize(memory, product(count, size));
}

char *weir_alloc_text(const char *text)
{
    assert(text != NULL);
    return weir_alloc_bytes(text, strlen(text));
}

char *weir_alloc_bytes(const void *data, size_t len)
{
    char *copy = take(len + 1);

    assert(data != NULL || len == 0);
    if (len > 0)
        memcpy(copy, data, len);
    copy[len] = '\0';
    return copy;
}

char *weir_alloc_format(const char *format, ...)
{
    char *text;
    va_list ap;
    int n;

    assert(format != NULL);
    va_start(ap, format);
    n = vasprintf(&text, format, ap);
    va_end(ap);
    if (n < 0)
        fail(0);
    return text;
}

void *weir_alloc_check(void *made)
{
    if (made == NULL)
        fail(0);
    return made;
}

void weir_alloc_libraries(void)
{
    json_set_alloc_funcs(json_take, free);
    event_set_mem_functions(take, resize, free);
}
