#include "identity/guard.h"

#include "audit/refused.h"
#include "identity/keys.h"
#include "identity/verify.h"
#include "log/alloc.h"
#include "log/log.h"
#include "metrics/series.h"

#include <stdlib.h>
#include <time.h>

struct weir_guard {
    weir_verifier_t *verifier;
    weir_identity_keys_t *keys;
    weir_series_t *counts[WEIR_VERDICTS];
    time_t logged;        /* the second of the last line in the log */
    unsigned long silent; /* requests refused since that line */
};

/* At most a line a second: anyone who reaches the port can be refused as often as they like. */
static void log_refusal(weir_guard_t *guard, weir_http_request_t *request, weir_verdict_t verdict,
                        time_t now)
{
    if (guard->logged == now) {
        guard->silent++;
        return;
    }
    weir_log(WEIR_LOG_WARN, weir_http_trace(request),
             "a request without a valid identity is refused", "{s:s,s:I}", "reason",
             weir_verdict_name(verdict), "refused_before", (json_int_t)guard->silent);
    guard->logged = now;
    guard->silent = 0;
}

static weir_identity_t *admit(weir_http_request_t *request, void *arg)
{
    weir_guard_t *guard = arg;
    const char *field = weir_http_header(request, WEIR_GUARD_FIELD);
    time_t now = time(NULL);
    weir_identity_t *identity;
    weir_verdict_t verdict = weir_verifier_check(
        guard->verifier, field != NULL ? weir_str(field) : (weir_str_t){NULL, 0},
        weir_http_method(request), weir_http_path(request), (int64_t)now, &identity);

    weir_series_add(guard->counts[verdict], 1);
    if (verdict == WEIR_VERDICT_ACCEPTED)
        return identity;

    log_refusal(guard, request, verdict, now);
    if (verdict != WEIR_VERDICT_NO_KEYS)
        weir_audit_refused(request, "identity");
    if (verdict == WEIR_VERDICT_UNKNOWN_KEY)
        weir_identity_keys_missed(guard->keys);

    /* The sender learns no reason: it is the edge, whose operator reads the log, or a stranger. */
    if (verdict == WEIR_VERDICT_NO_KEYS) {
        weir_http_add_header(request, "Retry-After", "1");
        weir_http_error(request, 503, "Identities cannot be verified yet.");
    } else {
        weir_http_add_header(request, "WWW-Authenticate", WEIR_GUARD_FIELD);
        weir_http_error(request, 401, "The request has no valid identity of the edge.");
    }

    return NULL;
}

weir_guard_t *weir_guard_new(struct event_base *base, weir_http_t *http, const char *jwks,
                             const char *issuer, const char *audience, const char *callers,
                             char *error, size_t size)
{
    weir_guard_t *guard = weir_alloc(sizeof(*guard));

    for (int i = 0; i < WEIR_VERDICTS; i++)
        guard->counts[i] = weir_series(WEIR_IDENTITY_CHECKS,
                                       (const char *[]){weir_verdict_name((weir_verdict_t)i)});
    guard->verifier = weir_verifier_new(issuer, audience, callers);
    guard->keys = weir_identity_keys_new(base, jwks, guard->verifier, error, size);
    if (guard->keys == NULL) {
        weir_guard_free(guard);
        return NULL;
    }
    weir_http_guard(http, admit, guard);

    return guard;
}

void weir_guard_free(weir_guard_t *guard)
{
    if (guard == NULL)
        return;
    weir_identity_keys_free(guard->keys);
    weir_verifier_free(guard->verifier);
    free(guard);
}
