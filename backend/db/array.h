/* A PostgreSQL array literal that grows (manual, 8.15.2): {"a","b",NULL}. */
#ifndef WEIR_DB_ARRAY_H
#define WEIR_DB_ARRAY_H

#include <stddef.h>
#include <stdint.h>

/* Zeroed, it is empty. */
typedef struct {
    char *text; /* each element has a brace or comma before it; the closing brace is not counted */
    size_t len, cap;
} weir_array_t;

void weir_array_add(weir_array_t *array, const char *element); /* NULL is NULL */
void weir_array_add_int(weir_array_t *array, int64_t element);
/* The literal as it is now, borrowed until something is added. */
const char *weir_array_text(weir_array_t *array);
/* The literal, to be freed by the caller; nothing may be added any more. */
char *weir_array_close(weir_array_t *array);

#endif
