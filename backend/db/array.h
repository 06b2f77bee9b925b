/* A PostgreSQL array literal that elements are appended to (manual, 8.15.2): {"a","b",NULL}. */
#ifndef WEIR_DB_ARRAY_H
#define WEIR_DB_ARRAY_H

#include <stddef.h>
#include <stdint.h>

/* A zeroed struct is an empty array. */
typedef struct {
    char *text; /* a brace or comma precedes each element; len does not count the closing brace */
    size_t len, cap;
} weir_array_t;

void weir_array_add(weir_array_t *array, const char *element); /* NULL becomes SQL NULL */
void weir_array_add_int(weir_array_t *array, int64_t element);
/* The literal. It is valid until an element is added. */
const char *weir_array_text(weir_array_t *array);
/* The literal, which the caller frees. The array is empty again. */
char *weir_array_close(weir_array_t *array);

#endif
