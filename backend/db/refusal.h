/*
 * Queries that are repeated while PostgreSQL refuses them (a missing function or privilege, no
 * memory). The begin and the end of the refusals are logged once each.
 */
#ifndef WEIR_REFUSAL_H
#define WEIR_REFUSAL_H

#include <stdbool.h>

/*
 * For weir_db_begin_with(): a row that another transaction has locked must not block the whole
 * session. Statements that fail by this time-out are split (consume(), relay_take()) or repeated.
 */
#define WEIR_LOCK_TIMEOUT "SET lock_timeout = '100ms'"

/*
 * Takes the arguments of a weir_db_cb; error is NULL for a successful query. *refused is kept by
 * the caller, false at first. A lost session is no refusal: its loss is logged by db/.
 */
void weir_refusal_note(bool *refused, const char *asker, const char *question, const char *error,
                       const char *sqlstate);
/* The refused query is no longer needed. */
void weir_refusal_drop(bool *refused, const char *asker, const char *question);

#endif
