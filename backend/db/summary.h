/*
 * What a statement is, for metrics and traces, from its text: the semantic conventions for
 * databases (db.operation.name, db.stored_procedure.name, db.query.summary). The statements are
 * constants of the program, so a summary is never made of what a client sends.
 */
#ifndef WEIR_DB_SUMMARY_H
#define WEIR_DB_SUMMARY_H

#define WEIR_DB_WORD_MAX 63 /* bytes of an identifier (PostgreSQL manual, 4.1.1) */

typedef struct {
    char operation[WEIR_DB_WORD_MAX + 1]; /* "SELECT" */
    char procedure[WEIR_DB_WORD_MAX + 1]; /* of "SELECT … FROM users_signup($1)"; may be empty */
    char text[2 * WEIR_DB_WORD_MAX + 2];  /* "SELECT users_signup", or the operation alone */
} weir_db_summary_t;

void weir_db_summarize(const char *sql, weir_db_summary_t *summary);

#endif
