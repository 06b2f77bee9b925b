/*
 * Feature flags: a definition as flagd has it in JSON, and its evaluation. The same code answers at
 * the edge, in the backend and in weirctl, and the same as flagd and OpenFeature's providers do.
 *
 *     {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off",
 *      "targeting": {"fractional": [["on", 10], ["off", 90]]}}
 *
 * Of flagd's rules there are: if, ==, ===, !=, !==, <, <=, >, >=, and, or, !, !!, in, starts_with,
 * ends_with, cat, var and fractional. A definition with another one is refused, not guessed.
 *
 * A definition is read once into nodes, so that an evaluation takes no memory and reads no JSON.
 */
#ifndef WEIR_FLAG_H
#define WEIR_FLAG_H

#include "common/text/str.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEIR_FLAG_NAME_MAX 64    /* bytes */
#define WEIR_FLAG_TEXT_MAX 16384 /* bytes of a definition */
#define WEIR_FLAG_VARIANTS_MAX 32
#define WEIR_FLAG_NODES_MAX 1024 /* values and rules of its targeting */
#define WEIR_FLAG_DEPTH_MAX 16   /* of its targeting */
#define WEIR_FLAGS_MAX 256       /* flags that a process knows */

typedef enum {
    WEIR_FLAG_NULL,
    WEIR_FLAG_BOOL,
    WEIR_FLAG_NUMBER,
    WEIR_FLAG_STRING,
    WEIR_FLAG_OBJECT, /* of a variant only */
    WEIR_FLAG_LIST    /* of targeting only */
} weir_flag_type_t;

typedef struct {
    weir_flag_type_t type;
    bool truth;
    double number;
    weir_str_t text;
    uint32_t list; /* a node; of evaluation only */
} weir_flag_value_t;

typedef struct {
    weir_str_t name;
    weir_flag_type_t type; /* the same for all variants of a flag */
    const json_t *json;
    weir_str_t text; /* a string itself, "1" and "0" for true and false, else JSON */
} weir_flag_variant_t;

typedef struct weir_flag_s weir_flag_t;

/* True if it is a name of a flag: letters, digits, "-", "_" and ".". */
bool weir_flag_is_name(weir_str_t name);

/*
 * Reads the definition of a flag. Returns NULL if it is not one, or without memory, with the reason
 * in error; the caller frees the flag with weir_flag_free(). The texts are not needed afterwards.
 */
weir_flag_t *weir_flag_read(weir_str_t name, weir_str_t json, char *error, size_t size);
void weir_flag_free(weir_flag_t *flag);

weir_str_t weir_flag_name(const weir_flag_t *flag);

/*
 * True if the variant depends on the key alone: no attribute, no time. The answer for a key may
 * then be kept for as long as the flag.
 */
bool weir_flag_is_by_key(const weir_flag_t *flag);

/* --- evaluation --------------------------------------------------------------------------------
 */

typedef struct {
    weir_str_t key; /* targetingKey; data NULL: none */
    int64_t time;   /* s since the epoch: $flagd.timestamp */

    /*
     * The attribute of that name: false if there is none. Its text must live as long as the
     * evaluation.
     */
    bool (*lookup)(void *data, weir_str_t name, weir_flag_value_t *value);
    void *data;
} weir_flag_context_t;

typedef enum {
    WEIR_FLAG_STATIC,    /* there is no targeting */
    WEIR_FLAG_MATCHED,   /* targeting has chosen the variant */
    WEIR_FLAG_DEFAULTED, /* targeting has chosen none */
    WEIR_FLAG_DISABLED,
    WEIR_FLAG_FAILED /* targeting has chosen a variant that there is not */
} weir_flag_reason_t;

/*
 * The variant for a context, and why; NULL: the flag is disabled, or has no variant for it, and the
 * caller's default counts.
 */
const weir_flag_variant_t *weir_flag_evaluate(const weir_flag_t *flag,
                                              const weir_flag_context_t *context,
                                              weir_flag_reason_t *reason);

/* OpenFeature's name of a reason. */
const char *weir_flag_reason_name(weir_flag_reason_t reason);

#endif
