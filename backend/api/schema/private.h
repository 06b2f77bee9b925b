/*
 * Shared by the two files of the comparison: schema.c traverses the documents, compare.c compares
 * the schemas in them and reports changes.
 */
#ifndef WEIR_SCHEMA_PRIVATE_H
#define WEIR_SCHEMA_PRIVATE_H

#include <jansson.h>

#include <stdbool.h>
#include <stdio.h>

#define WEIR_SCHEMA_LABEL_MAX 512 /* bytes of a place's name, with its NUL */

typedef enum { WEIR_IN_REQUEST, WEIR_IN_ANSWER, WEIR_ANYWHERE } weir_schema_use_t;

typedef struct {
    const json_t *old, *new; /* documents */
    json_t *lines;           /* reported lines, as keys: each is written once */
    json_t *reached;         /* names of schemas that an operation of the old document uses */
    json_t *pairs;           /* pairs of references that were compared */
    FILE *out;
    int refused, added; /* lines of each kind */
} weir_schema_check_t;

/* Writes a line about the place with that label, and counts it; text is a printf() format. */
void weir_schema_refuse(weir_schema_check_t *check, const char *label, const char *text, ...)
    __attribute__((format(printf, 3, 4)));
void weir_schema_added(weir_schema_check_t *check, const char *label, const char *text, ...)
    __attribute__((format(printf, 3, 4)));

/* Writes a label, truncated if it is too long. */
void weir_schema_label(char label[WEIR_SCHEMA_LABEL_MAX], const char *text, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * The target of a reference of the document, or `at` if it is not a reference; borrowed. NULL when
 * there is no target. label, unless it is NULL, becomes the last token of the reference: a schema
 * is reported by its own name, wherever it is used.
 */
const json_t *weir_schema_resolve(const json_t *document, const json_t *at,
                                  char label[WEIR_SCHEMA_LABEL_MAX]);

/* True when two values are equal; two NULLs are. */
bool weir_schema_same(const json_t *a, const json_t *b);

/* Compares two schemas, and the schemas in them, at the place with that label. */
void weir_schema_compare(weir_schema_check_t *check, const char *at, weir_schema_use_t use,
                         const json_t *old, const json_t *new);

#endif
