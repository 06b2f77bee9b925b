/*
 * Refused requests for the audit log, sampled: of each caller and reason the first
 * WEIR_REFUSED_EXACT of a window are recorded one by one, the others only counted; when the window
 * has ended, one record has their number. So a flood makes few records, and their sum is right.
 *
 * At most WEIR_REFUSED_CALLERS callers are told apart at a time; the requests of others are counted
 * together. So a window has at most CALLERS * (EXACT + 1) + 1 records, whoever calls.
 *
 * It belongs to one process. Nothing is allocated.
 */
#ifndef WEIR_REFUSED_H
#define WEIR_REFUSED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEIR_REFUSED_EXACT 5
#define WEIR_REFUSED_WINDOW 10 /* seconds */
#define WEIR_REFUSED_CALLERS 64

/* What a record has; texts end with NUL, are UTF-8, and cut if they are longer. */
typedef struct {
    char outcome[32];  /* the reason */
    char object[160];  /* what was called: never a path, which may have personal data */
    char subject[257]; /* as in http/caller/caller.h; WEIR_REFUSED_SEVERAL: of several callers */
    char actor[257];   /* empty: the writer's */
    char address[64];  /* may be empty */
    char trace_id[33]; /* may be empty */
} weir_refused_t;

#define WEIR_REFUSED_SEVERAL "several"

typedef struct {
    uint64_t hash;
    int64_t since; /* s since the epoch: begin of the window */
    uint64_t n;    /* in the window; 0: the place is free */
    weir_refused_t first;
} weir_refused_place_t;

typedef struct {
    weir_refused_place_t places[WEIR_REFUSED_CALLERS + 1]; /* the last one: all others */
} weir_refused_flood_t;

/* Counts a request; true if it is to be recorded by itself. */
bool weir_refused_note(weir_refused_flood_t *flood, const weir_refused_t *refused, int64_t now);

/*
 * A window that has ended, or any window with all, of which requests were only counted: their
 * number, at least 1, and what is recorded of them, which lives until the next call. 0: there is
 * none. Windows without such requests end silently.
 */
uint64_t weir_refused_sum(weir_refused_flood_t *flood, bool all, int64_t now,
                          const weir_refused_t **refused);

/* True if a window has not ended. */
bool weir_refused_is_open(const weir_refused_flood_t *flood);

/* Copies a text, cut to size - 1 bytes at the end of a character. */
void weir_refused_put(char *out, size_t size, const char *text, size_t len);

#endif
