/* The library's keys of the configuration. */
#ifndef LIBRARY_SETTINGS_H
#define LIBRARY_SETTINGS_H

typedef struct {
    unsigned fine_per_day; /* cents, for each day that has begun after a loan was due */
} library_settings_t;

#endif
