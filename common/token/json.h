/*
 * JSON objects of tokens and keys, read strictly: a member that occurs twice is refused (RFC 7515
 * section 4, RFC 7519 section 4), at any depth, and so is anything behind the object.
 */
#ifndef WEIR_TOKEN_JSON_H
#define WEIR_TOKEN_JSON_H

#include "common/text/str.h"

#include <jansson.h>
#include <stdbool.h>

/*
 * The object, which the caller releases with json_decref(); NULL: it is none, or there is no
 * memory. why may be NULL.
 */
json_t *weir_token_json(weir_str_t text, json_error_t *why);

/* True if the reader failed because there was no memory. */
bool weir_token_json_no_memory(const json_error_t *why);

/*
 * The text of a member, which lives as long as the object. False if there is a value of another
 * type; *text is empty, with data NULL, if there is no such member.
 */
bool weir_token_json_text(const json_t *object, const char *name, weir_str_t *text);

/* The text of a value that is a JSON string. */
static inline weir_str_t weir_token_json_str(const json_t *string)
{
    return (weir_str_t){json_string_value(string), json_string_length(string)};
}

#endif
