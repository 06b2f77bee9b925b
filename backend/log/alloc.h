/*
 * Memory for the backend's programs: the one place that decides what happens when there is none.
 *
 * Nothing here returns NULL.  Without memory the process logs one line of the level "fatal" and
 * aborts; its supervisor starts it again, and what it had under way is in PostgreSQL.  A size that
 * somebody outside decides (a request's body, an answer) is no case for this: there malloc() is
 * asked, and the caller refuses.
 */
#ifndef WEIR_ALLOC_H
#define WEIR_ALLOC_H

#include <jansson.h>
#include <stddef.h>

/* Zeroed memory, for free(). */
void *weir_alloc(size_t size) __attribute__((malloc, returns_nonnull));
void *weir_alloc_array(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
/* As realloc(), for count elements of size; what is new is not zeroed. */
void *weir_alloc_resize(void *memory, size_t count, size_t size) __attribute__((returns_nonnull));

/* A copy of a text, and of len bytes with a NUL behind them; for free(). */
char *weir_alloc_text(const char *text) __attribute__((malloc, returns_nonnull));
char *weir_alloc_bytes(const void *data, size_t len) __attribute__((malloc, returns_nonnull));
/* A text as printf() would print it; for free(). */
char *weir_alloc_format(const char *format, ...)
    __attribute__((malloc, returns_nonnull, format(printf, 1, 2)));

/* What a library has made (an event, a JSON text), and which is NULL only without memory. */
void *weir_alloc_check(void *made) __attribute__((returns_nonnull));

/*
 * As json_loadb(), for a text that somebody outside has made.  Memory is limited: NULL, with
 * error->text, if the text needs more than WEIR_ALLOC_JSON_BASE bytes and WEIR_ALLOC_JSON_FACTOR
 * times its length, or if there is none; the process goes on.
 */
#define WEIR_ALLOC_JSON_BASE (4u * 1024 * 1024)
#define WEIR_ALLOC_JSON_FACTOR 32u
json_t *weir_alloc_json(const char *text, size_t len, size_t flags, json_error_t *error)
    __attribute__((warn_unused_result));

/*
 * Lets jansson and libevent take their memory here.  To be called first of all in main(): what they
 * have made before could not be freed.
 */
void weir_alloc_libraries(void);

#endif
