/*
 * Writes what is answered: a resource (fields.h) with its values, as a version of the API shows it.
 * Plain C over jansson, no libevent.
 */
#ifndef WEIR_REPRESENTATION_H
#define WEIR_REPRESENTATION_H

#include "api/fields.h"
#include "common/text/str.h"

/*
 * Writes the JSON object of the fields that the version has, in the table's order.
 * values holds at each field's place
 *   a string's bytes,
 *   a number's digits,
 *   a boolean as PostgreSQL writes it ("t", "f") or JSON does ("true", "false"),
 *   an object as the JSON text [value, …], in which its values stand at the places that its own
 *   table says (objects and lists in it there are none),
 *   a list of objects as [[value, …], …], a list of values as [value, …],
 *   or, where data is NULL, nothing: the field is left out.
 *
 * As weir_problem_json(): returns the whole length, writes no more than cap.
 */
size_t weir_represent(char *buf, size_t cap, const weir_resource_t *resource,
                      const weir_str_t *values, int version);

/*
 * Writes the names of the fields that the version has but advises against, with
 * ", " between them and those of a list's elements or an object as "items.price", as a string;
 * an empty one when there are none.  Names that have no room are left out.
 */
void weir_deprecated_fields(char *buf, size_t cap, const weir_resource_t *resource, int version);

#endif
