/*
 * The kinds of values that keys of the configuration have.
 *
 *   kind      field      takes
 *   text      char *     min to max bytes
 *   listen    char *     ADDRESS:PORT, [ADDRESS]:PORT or unix:/PATH
 *   url       char *     as text; begins with one of choices, and has more
 *   groups    char *     as text: names with commas between them
 *   limits    char *     a list of limits (list.h), none less than min
 *   choice    enum       one of choices; the field becomes its place
 *   count     unsigned   a number from min to max
 *   time      unsigned   the same in ms, with its unit: ms, s or m
 *   seconds   unsigned   the same in seconds: s, m, h or d
 *   size      size_t     the same in bytes, with k, m or nothing behind
 */
#ifndef WEIR_CONFIG_KINDS_H
#define WEIR_CONFIG_KINDS_H

#include "config/config.h"

extern const weir_config_kind_t weir_config_text;
extern const weir_config_kind_t weir_config_listen;
extern const weir_config_kind_t weir_config_url;
extern const weir_config_kind_t weir_config_groups;
extern const weir_config_kind_t weir_config_limits;
extern const weir_config_kind_t weir_config_choice;
extern const weir_config_kind_t weir_config_count;
extern const weir_config_kind_t weir_config_time;
extern const weir_config_kind_t weir_config_seconds;
extern const weir_config_kind_t weir_config_size;

#endif
