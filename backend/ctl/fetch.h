/* HTTP requests of weirctl: to an edge, and to a receiver of spans. */
#ifndef WEIR_CTL_FETCH_H
#define WEIR_CTL_FETCH_H

#include <jansson.h>
#include <stddef.h>

/*
 * GET of the URL (http, https), within ten seconds and 64 MiB. Returns the JSON of a 200, which the
 * caller frees; NULL with a message otherwise. *status is that of the answer, 0 without one; NULL
 * allowed.
 */
json_t *weir_ctl_fetch_json(const char *url, long *status, char *error, size_t size);

/* The same for a text, for free(). */
char *weir_ctl_fetch(const char *url, size_t *len, long *status, char *error, size_t size);

#endif
