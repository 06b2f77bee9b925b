/*
 * Questions that are asked again and again while PostgreSQL refuses them (a function is missing, a
 * right, memory): the log is told once when that begins, and once when it ends.
 */
#ifndef WEIR_REFUSAL_H
#define WEIR_REFUSAL_H

#include <stdbool.h>

/*
 * Takes what weir_db_cb was told; error is NULL when it was answered.  *refused is the asker's,
 * false at first.  A session that was lost is no refusal: its loss is in the log already.
 */
void weir_refusal_note(bool *refused, const char *asker, const char *question, const char *error,
                       const char *sqlstate);

#endif
