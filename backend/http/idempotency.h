/*
 * Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07): a caller that got no answer asks
 * again with the same key, and the command is not done twice.
 *
 * What a command has come to is written down in the command's own transaction
 * (http/sql/functions/once.sql): its outcome, the row from which the handler makes the whole
 * answer, status and fields included.  So nothing can come between the effect and the record,
 * whatever dies, and a replay is the same handler's answer to the same row; it has the field
 * Idempotency-Replayed: true besides.
 *
 *   same key, same request     the first one's answer
 *   same key, another request  422
 *   still under way            409 with Retry-After
 *
 * A key belongs to its caller, told by the request's Authorization, and is forgotten after 24
 * hours. Callers without Authorization cannot be told apart and share one scope: whoever sends
 * another's key with the same request gets that request's answer, and with another request is in
 * its way.  Each answer to them says Idempotency-Scope: anonymous, and the first one is logged; the
 * configuration may take from them only keys that nobody guesses, or none.
 *
 * A request is the same when method, path, version (the default one when it names none) and every
 * byte of the body are.  A request
 * that is refused before its command begins (a body that cannot be read, a database that is away)
 * leaves no record and may be mended and sent again.
 *
 * A command is a set-based one, as in db/batch/batch.h; requests without a key cost nothing more.
 */
#ifndef WEIR_IDEMPOTENCY_H
#define WEIR_IDEMPOTENCY_H

#include "db/batch/batch.h"
#include "db/migrate.h"
#include "http/http.h"

/* backend/http/sql: the table of keys and outcomes, and its function. */
extern const weir_sql_line_t weir_sql_http;

#define WEIR_IDEMPOTENCY_KEY_MAX 255
/* An unguessable key has as many characters, and as many different ones. */
#define WEIR_IDEMPOTENCY_KEY_MIN 16
#define WEIR_IDEMPOTENCY_KEY_VARIETY 8
/* Values of a command; as many as once() passes on. */
#define WEIR_COMMAND_WIDTH_MAX 8

/* Which keys are taken from callers without Authorization, who share one scope. */
typedef enum { WEIR_KEYS_ANY, WEIR_KEYS_UNGUESSABLE, WEIR_KEYS_REFUSED } weir_anonymous_keys_t;

/* What a request says of itself; hexadecimal digests, each with a NUL. */
typedef struct {
    char key[WEIR_IDEMPOTENCY_KEY_MAX + 1]; /* empty: there is none */
    char caller[65];                        /* empty: nobody in particular */
    char fingerprint[65];
} weir_idempotency_t;

/* What is taken from callers without Authorization from now on; at first WEIR_KEYS_ANY. */
void weir_idempotency_anonymous(weir_anonymous_keys_t keys);

/*
 * Reads the request's key.  False when it is wrong, or missing though required; then the request
 * has been answered with a 400.  The key is a string in quotes (RFC 9651 section 3.3.3); one
 * without them, of visible ASCII, is taken, too.
 */
bool weir_idempotency_read(weir_http_request_t *request, bool required, int version,
                           weir_idempotency_t *out) __attribute__((warn_unused_result));

/* The value of the header alone; NULL when it is right, else what is wrong. */
const char *weir_idempotency_parse(const char *value, char key[WEIR_IDEMPOTENCY_KEY_MAX + 1]);

typedef struct weir_command weir_command_t;

/* Parameters as of weir_batch_new(); all columns of the statement's rows are read as text. */
weir_command_t *weir_command_new(weir_db_t *db, const char *sql, int width, int max, int limit,
                                 int in_flight);
/* After weir_db_free() of its session. */
void weir_command_free(weir_command_t *command);

/*
 * The request's outcome as in weir_batch_cb, from now or from the time when the key was used first.
 * With result and error both NULL the request has been answered already: only what belongs to it
 * is to be freed.
 */
typedef weir_batch_cb weir_command_cb;

typedef enum {
    WEIR_COMMAND_TAKEN,    /* cb follows */
    WEIR_COMMAND_ANSWERED, /* the key is in use; cb does not follow */
    WEIR_COMMAND_REFUSED   /* the session is not up or too many wait; cb does not follow */
} weir_command_result_t;

weir_command_result_t weir_command_submit(weir_command_t *command, weir_http_request_t *request,
                                          const weir_idempotency_t *idempotency,
                                          const char *const *values, weir_command_cb cb, void *arg)
    __attribute__((warn_unused_result));

#endif
