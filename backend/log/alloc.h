/*
 * Memory for the backend's programs. This file alone decides what happens when memory is exhausted.
 *
 * No function here returns NULL, except weir_alloc_json(). When memory is exhausted the process
 * logs one line of the level "fatal" and aborts; its supervisor starts it again, and unfinished
 * work is in PostgreSQL. Where a peer decides the size (a request's body, an answer), callers use
 * malloc() and refuse the request.
 */
#ifndef WEIR_ALLOC_H
#define WEIR_ALLOC_H

#include <jansson.h>
#include <stddef.h>

/* Zeroed memory, for free(). */
void *weir_alloc(size_t size) __attribute__((malloc, returns_nonnull));
void *weir_alloc_array(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
/* Like realloc(), for count elements of the size. New bytes are not zeroed. */
void *weir_alloc_resize(void *memory, size_t count, size_t size) __attribute__((returns_nonnull));

/* A copy of a text, and a copy of len bytes with a NUL after them; for free(). */
char *weir_alloc_text(const char *text) __attribute__((malloc, returns_nonnull));
char *weir_alloc_bytes(const void *data, size_t len) __attribute__((malloc, returns_nonnull));
/* A text as printf() would print it; for free(). */
char *weir_alloc_format(const char *format, ...)
    __attribute__((malloc, returns_nonnull, format(printf, 1, 2)));

/*
 * Returns an object that a library has made (an event, a JSON text). NULL means that memory is
 * exhausted.
 */
void *weir_alloc_check(void *made) __attribute__((returns_nonnull));

/*
 * Like json_loadb(), for a text from a peer. Returns NULL, with error->text, if the text needs more
 * memory than WEIR_ALLOC_JSON_BASE bytes and WEIR_ALLOC_JSON_FACTOR times its length, or if memory
 * is exhausted. The process continues.
 */
#define WEIR_ALLOC_JSON_BASE (4u * 1024 * 1024)
#define WEIR_ALLOC_JSON_FACTOR 32u
json_t *weir_alloc_json(const char *text, size_t len, size_t flags, json_error_t *error)
    __attribute__((warn_unused_result));

/*
 * Makes jansson and libevent allocate with these functions. main() calls this first: memory that a
 * library allocated earlier could not be freed.
 */
void weir_alloc_libraries(void);

#endif
