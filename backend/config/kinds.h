/*
 * The kinds of values of the keys of the configuration.
 *
 *   kind      field      takes
 *   text      char *     min to max bytes
 *   listen    char *     ADDRESS:PORT, [ADDRESS]:PORT or unix:/PATH; one of choices, if it has any
 *   url       char *     as text: one of choices, and text after it
 *   groups    char *     as text: names with commas between them
 *   limits    char *     a list of limits (list.h), none less than min
 *   choice    enum       one of choices; the field gets its index
 *   count     unsigned   a number from min to max
 *   time      unsigned   a time from min to max, in ms, with its unit: ms, s or m
 *   seconds   unsigned   a time in seconds, with its unit: s, m, h or d
 *   price     double     a number with at most one point, up to WEIR_PRICE_MAX; "off" is -1
 *   size      size_t     a number of bytes from min to max; k or m may follow
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
extern const weir_config_kind_t weir_config_price;
extern const weir_config_kind_t weir_config_size;

#endif
