/*
 * Writes the representation of a resource (fields.h) with its values in a version of the API. Plain
 * C with jansson, no libevent.
 */
#ifndef WEIR_REPRESENTATION_H
#define WEIR_REPRESENTATION_H

#include "api/fields.h"
#include "common/text/str.h"

/*
 * Writes the JSON object of the fields that the version has, in the table's order. values has at
 * each field's index
 *   a string's bytes,
 *   a number's digits,
 *   a boolean as PostgreSQL writes it ("t", "f") or JSON does ("true", "false"),
 *   an object as the JSON text [value, …], with its values at the indexes of its own table (it has
 *   no objects and lists),
 *   a list of objects as [[value, …], …], a list of values as [value, …],
 *   or data NULL: the field is omitted.
 *
 * Like weir_problem_json(), returns the whole length, and writes at most cap bytes.
 */
size_t weir_represent(char *buf, size_t cap, const weir_resource_t *resource,
                      const weir_str_t *values, int version);

/*
 * Writes the names of the fields that the version deprecates, with ", " between them; a field of a
 * list's elements or of an object is written as "items.price". Writes an empty string when there
 * are none. Names that do not fit are omitted.
 */
void weir_deprecated_fields(char *buf, size_t cap, const weir_resource_t *resource, int version);

#endif
