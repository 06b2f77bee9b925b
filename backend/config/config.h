/*
 * Reads the configuration: `key = value` lines of one file, each of which the environment may
 * override as WEIR_KEY in capitals.  Which keys there are is not known here: each part of the
 * program hands in a table of its keys, with what they allow and their defaults, and the struct
 * into which their values go.
 *
 * A line may be empty or a comment: `#`, at its start or after a blank, begins
 * one.  A key that is unknown, comes twice or has a wrong value is refused with
 * the place, the key, the value and what is allowed.
 */
#ifndef WEIR_CONFIG_H
#define WEIR_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

typedef struct weir_config_key weir_config_key_t;

/* What a key's values are; kinds.h has them. */
typedef struct {
    /* Reads value into the field.  Returns NULL, or what is allowed. */
    const char *(*set)(void *field, const char *value, const weir_config_key_t *key);
    bool is_text; /* the field is a char *, memory of its own */
} weir_config_kind_t;

/* Messages go to logs and terminals: which values stay out of them. */
typedef enum {
    WEIR_CONFIG_SHOWN_WITHOUT_PASSWORD, /* shown, but for one with an @ or a password in it */
    WEIR_CONFIG_SHOWN,
    WEIR_CONFIG_SECRET
} weir_config_privacy_t;

struct weir_config_key {
    const char *name;
    const weir_config_kind_t *kind;
    size_t offset;        /* of the field in the table's struct */
    const char *fallback; /* NULL: must be given */
    unsigned long min, max;
    const char *allowed;        /* for the message: "a number from 1 to 256" */
    const char *const *choices; /* of kinds that have some; ends with NULL */
    weir_config_privacy_t privacy;
};

/* The keys of one part of the program; kept by reference. */
typedef struct {
    const weir_config_key_t *keys;
    size_t count;
    void *values; /* the struct that has the fields */
} weir_config_table_t;

typedef struct weir_config weir_config_t;

/*
 * Reads the file and the environment, and fills in the structs of all tables.  No key may be in
 * two of them.  Returns where each value came from, to be freed when the values are not needed any
 * more; NULL with a message in error, and nothing to free, when something is wrong.
 */
weir_config_t *weir_config_read(const weir_config_table_t *tables, size_t n_tables,
                                const char *file, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* Frees the texts in the structs, too. */
void weir_config_free(weir_config_t *config);

/* True when that key's value holds, or may hold, a password or a secret: it must not be shown. */
bool weir_config_has_secret(const weir_config_t *config, const char *key);

/*
 * Writes the message for a value that only its user could find wrong, in the same
 * form; why goes on after "key "groups", value "x": ".
 */
void weir_config_complain(const weir_config_t *config, const char *key, const char *why,
                          char *error, size_t error_size);

#endif
