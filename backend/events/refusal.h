/*
 * Questions that are asked again and again while PostgreSQL refuses them (a function is missing, a
 * right, memory): the log is told once when that begins, and once when it ends.
 */
#ifndef WEIR_REFUSAL_H
#define WEIR_REFUSAL_H

#include <stdbool.h>

/*
 * For weir_db_begin_with(): a row that somebody else's transaction has locked must not hold up all
 * that the session does.  What is refused by it is parted (consume(), relay_take()) or asked again.
 */
#define WEIR_LOCK_TIMEOUT "SET lock_timeout = '100ms'"

/*
 * Takes what weir_db_cb was told; error is NULL when it was answered.  *refused is the asker's,
 * false at first.  A session that was lost is no refusal: its loss is in the log already.
 */
void weir_refusal_note(bool *refused, const char *asker, const char *question, const char *error,
                       const char *sqlstate);
/* The question that was refused need not be asked any more. */
void weir_refusal_drop(bool *refused, const char *asker, const char *question);

#endif
