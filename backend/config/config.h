/*
 * Reads the configuration: `key = value` lines of one file, each of which the environment may
 * override as WEIR_KEY in capitals. This file knows no key: each part of the program passes a table
 * of its keys, with allowed values and defaults, and the struct that receives the values.
 *
 * A line may be empty. A `#` at the start of a line or after a blank begins a comment. An unknown
 * key, a key that is given twice and a wrong value are errors; the message has the place, the key,
 * the value and the allowed values.
 */
#ifndef WEIR_CONFIG_H
#define WEIR_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

typedef struct weir_config_key weir_config_key_t;

/* The kind of a key's values; kinds.h has all kinds. */
typedef struct {
    /* Parses value into the field. Returns NULL, or the text of what is allowed. */
    const char *(*set)(void *field, const char *value, const weir_config_key_t *key);
    bool is_text; /* the field is a char *, which weir_config_free() frees */
} weir_config_kind_t;

/* Whether a message may show the value: messages go to logs and terminals. */
typedef enum {
    WEIR_CONFIG_SHOWN_WITHOUT_PASSWORD, /* shown, unless it contains an @ or a password */
    WEIR_CONFIG_SHOWN,
    WEIR_CONFIG_SECRET
} weir_config_privacy_t;

struct weir_config_key {
    const char *name;
    const weir_config_kind_t *kind;
    size_t offset;        /* of the field in the table's struct */
    const char *fallback; /* the default; NULL: the key is required */
    unsigned long min, max;
    const char *allowed;        /* for the message: "a number from 1 to 256" */
    const char *const *choices; /* for kinds with choices; ends with NULL */
    weir_config_privacy_t privacy;
};

/* The keys of one part of the program. The table must live as long as the configuration. */
typedef struct {
    const weir_config_key_t *keys;
    size_t count;
    void *values; /* the struct of the fields */
} weir_config_table_t;

typedef struct weir_config weir_config_t;

/*
 * Reads the file and the environment, and fills in the structs of all tables. A key may be in one
 * table only. Returns a record of the origin of each value; the caller frees it when the values are
 * no longer needed. On failure returns NULL with a message in error; there is nothing to free then.
 */
weir_config_t *weir_config_read(const weir_config_table_t *tables, size_t n_tables,
                                const char *file, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* Also frees the texts in the structs. */
void weir_config_free(weir_config_t *config);

/*
 * True when the value of the key contains, or may contain, a password or a secret. Such a value
 * must not be shown.
 */
bool weir_config_has_secret(const weir_config_t *config, const char *key);

/*
 * Writes the message for a value that another component has found wrong, in the form of the
 * messages of weir_config_read(). why is the part after "key "groups", value "x": ".
 */
void weir_config_complain(const weir_config_t *config, const char *key, const char *why,
                          char *error, size_t error_size);

#endif
