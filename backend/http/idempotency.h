/*
 * Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07): a caller that got no answer
 * repeats the request with the same key, and the command is executed once.
 *
 * The outcome of a command is recorded in the command's own transaction
 * (http/sql/functions/once.sql): the row from which the handler builds the whole answer, with
 * status and fields. So effect and record are always consistent, and a replay is the same handler's
 * answer to the same row, with the additional field Idempotency-Replayed: true.
 *
 *   same key, same request     the first one's answer
 *   same key, another request  422
 *   still under way            409 with Retry-After
 *
 * A key belongs to its caller, who is identified by the subject of the request's identity
 * (identity.h), or, without one, by the request's Authorization, and expires after 24 hours.
 * Callers without Authorization cannot be distinguished and share one scope: a caller who sends the
 * key of another caller with the same request gets the other's answer, and with a different request
 * a 422. Each answer to such callers has the field Idempotency-Scope: anonymous, and the first one
 * is logged. The configuration can restrict such callers to unguessable keys, or refuse their keys.
 *
 * Two requests are the same if method, path, version (the default one without API-Version) and
 * every byte of the body are equal. A request that is refused before its command begins (a
 * malformed body, an unavailable database) leaves no record; it may be corrected and sent again.
 *
 * A command is set-based, as in db/batch/batch.h. Requests without a key have no additional cost.
 */
#ifndef WEIR_IDEMPOTENCY_H
#define WEIR_IDEMPOTENCY_H

#include "db/batch/batch.h"
#include "db/migrate.h"
#include "http/http.h"

/* backend/http/sql: the table of keys and outcomes, and its function. */
extern const weir_sql_line_t weir_sql_http;

#define WEIR_IDEMPOTENCY_KEY_MAX 255
/* The least number of characters of an unguessable key, and of different characters. */
#define WEIR_IDEMPOTENCY_KEY_MIN 16
#define WEIR_IDEMPOTENCY_KEY_VARIETY 8
/* The most values of a command, as once() has them. */
#define WEIR_COMMAND_WIDTH_MAX 8

/* The keys that are accepted from callers without Authorization, who share one scope. */
typedef enum { WEIR_KEYS_ANY, WEIR_KEYS_UNGUESSABLE, WEIR_KEYS_REFUSED } weir_anonymous_keys_t;

/* The identity of a request; caller and fingerprint are hexadecimal digests, each with a NUL. */
typedef struct {
    char key[WEIR_IDEMPOTENCY_KEY_MAX + 1]; /* empty: the request has no key */
    char caller[65];                        /* empty: no Authorization */
    char fingerprint[65];
} weir_idempotency_t;

/* Sets which keys are accepted from callers without Authorization; the default is WEIR_KEYS_ANY. */
void weir_idempotency_anonymous(weir_anonymous_keys_t keys);

/*
 * Reads the request's key. Returns false if it is wrong, or missing and required; then the request
 * has been answered with a 400. The key is a string in quotes (RFC 9651 section 3.3.3); a key of
 * visible ASCII without quotes is also accepted.
 */
bool weir_idempotency_read(weir_http_request_t *request, bool required, int version,
                           weir_idempotency_t *out) __attribute__((warn_unused_result));

/* Parses the value of the field. Returns NULL, or what is wrong. */
const char *weir_idempotency_parse(const char *value, char key[WEIR_IDEMPOTENCY_KEY_MAX + 1]);

typedef struct weir_command weir_command_t;

/* Parameters as for weir_batch_new(). All columns of the statement's rows are read as text. */
weir_command_t *weir_command_new(weir_db_t *db, const char *sql, int width, int max, int limit,
                                 int in_flight);
/* Call this after weir_db_free() of its session. */
void weir_command_free(weir_command_t *command);

/*
 * The request's outcome as in weir_batch_cb, of this execution or of the first request with the
 * key. If result and error are both NULL, the request has been answered: the callback only frees
 * memory.
 */
typedef weir_batch_cb weir_command_cb;

typedef enum {
    WEIR_COMMAND_TAKEN,    /* cb will be called */
    WEIR_COMMAND_ANSWERED, /* the key is in use, the request was answered; cb is not called */
    WEIR_COMMAND_REFUSED   /* the session is not up or too many requests wait; cb is not called */
} weir_command_result_t;

weir_command_result_t weir_command_submit(weir_command_t *command, weir_http_request_t *request,
                                          const weir_idempotency_t *idempotency,
                                          const char *const *values, weir_command_cb cb, void *arg)
    __attribute__((warn_unused_result));

#endif
