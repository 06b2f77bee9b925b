/*
 * The kinds of values that keys have (values.c), for the table of keys in config.c.
 */
#ifndef WEIR_CONFIG_PRIVATE_H
#define WEIR_CONFIG_PRIVATE_H

#include "config/config.h"

typedef struct setting setting_t;

struct setting {
    const char *name;
    /* Returns NULL, or what is allowed. */
    const char *(*set)(void *field, const char *value, const setting_t *key);
    size_t offset;
    const char *fallback; /* NULL: must be given */
    unsigned long min, max;
    const char *allowed;
};

/*
 * Each reads value into the field, whose type is the kind's: char * (to be freed) for text, listen,
 * redis, smtp, url, groups and limits, weir_log_level_t, weir_anonymous_keys_t, size_t for size, and
 * unsigned for the others: count, time in ms, seconds.  Returns NULL, or what is allowed.
 */
const char *weir_config_set_text(void *field, const char *value, const setting_t *key);
const char *weir_config_set_listen(void *field, const char *value, const setting_t *key);
const char *weir_config_set_redis(void *field, const char *value, const setting_t *key);
const char *weir_config_set_smtp(void *field, const char *value, const setting_t *key);
const char *weir_config_set_url(void *field, const char *value, const setting_t *key);
const char *weir_config_set_groups(void *field, const char *value, const setting_t *key);
const char *weir_config_set_limits(void *field, const char *value, const setting_t *key);
const char *weir_config_set_level(void *field, const char *value, const setting_t *key);
const char *weir_config_set_keys(void *field, const char *value, const setting_t *key);
const char *weir_config_set_count(void *field, const char *value, const setting_t *key);
const char *weir_config_set_time(void *field, const char *value, const setting_t *key);
const char *weir_config_set_seconds(void *field, const char *value, const setting_t *key);
const char *weir_config_set_size(void *field, const char *value, const setting_t *key);

#endif
