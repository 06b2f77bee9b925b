/* JSON objects of tokens and keys; see json.h. */

#include "common/token/json.h"

json_t *weir_token_json(weir_str_t text, json_error_t *why)
{
    json_error_t unread;

    /* jansson compares names after their escapes are resolved, and refuses NUL and invalid UTF-8 */
    json_t *value = json_loadb(text.data != NULL ? text.data : "", text.len, JSON_REJECT_DUPLICATES,
                               why != NULL ? why : &unread);

    if (json_is_object(value))
        return value;

    if (value != NULL && why != NULL) {
        *why = (json_error_t){.line = 1, .column = 1, .source = "", .text = "it is no object"};
        why->text[JSON_ERROR_TEXT_LENGTH - 1] = (char)json_error_unknown;
    }

    json_decref(value);

    return NULL;
}

bool weir_token_json_no_memory(const json_error_t *why)
{
    return json_error_code(why) == json_error_out_of_memory;
}

bool weir_token_json_text(const json_t *object, const char *name, weir_str_t *text)
{
    const json_t *value = json_object_get(object, name);

    *text = (weir_str_t){NULL, 0};

    if (value == NULL)
        return true;

    if (!json_is_string(value))
        return false;

    *text = weir_token_json_str(value);

    return true;
}
