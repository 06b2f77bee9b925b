/*
 * "weirctl keys": the keys and certificates of a stack, in a folder of files (ctl/keys/).
 *
 * A change is written as a whole, then the command of --reload lets servers read it that do not
 * look for themselves. A rotation makes two changes, with a time between them in which all who
 * verify read the next key.
 */
#include "ctl/commands/keys.h"

#include "ctl/keys/certificates.h"
#include "ctl/keys/folder.h"
#include "log/alloc.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FOLDER_ENVIRONMENT "WEIR_KEYS"
#define RELOAD_ENVIRONMENT "WEIR_KEYS_RELOAD"
#define CHANGED_ENVIRONMENT "WEIR_KEYS_CHANGED"
#define RINGS 4
#define CA 0 /* the first ring */
#define AUTHORITY_DAYS 3650
#define CERTIFICATE_DAYS 90
#define WAIT_MS 5000
#define OVERLAP_MS 86400000

typedef struct {
    weir_ctl_t *ctl;
    const char *dir;
    int lock, days;
    weir_keys_ring_t rings[RINGS];
    bool touched[RINGS]; /* to be written */
    char changed[512];   /* names that were written since the last reload, with blanks */
    json_t *report;      /* rows: name, id, change */
    char error[512];
} keys_t;

/* --- the folder ------------------------------------------------------------------------------- */

static void close_keys(keys_t *keys)
{
    for (int i = 0; i < RINGS; i++)
        weir_keys_ring_free(&keys->rings[i]);
    if (keys->lock >= 0)
        close(keys->lock);
    json_decref(keys->report);
}

static weir_ctl_exit_t fail(keys_t *keys)
{
    weir_ctl_exit_t code = weir_ctl_fail(WEIR_CTL_AWAY, "%s", keys->error);

    close_keys(keys);

    return code;
}

/* Reads all rings; false with a message in keys->error. */
static bool open_keys(keys_t *keys, weir_ctl_t *ctl)
{
    const char *dir = ctl->args.folder != NULL ? ctl->args.folder : getenv(FOLDER_ENVIRONMENT);

    *keys = (keys_t){.ctl = ctl, .dir = dir, .lock = -1};
    keys->report = weir_alloc_check(json_array());
    keys->days = ctl->args.days > 0 ? ctl->args.days : CERTIFICATE_DAYS;
    if (dir == NULL || *dir == '\0')
        exit(weir_ctl_fail(WEIR_CTL_USAGE,
                           "name the folder of keys: --folder, or " FOLDER_ENVIRONMENT
                           " in the environment"));
    keys->lock = weir_keys_folder_lock(dir, keys->error, sizeof(keys->error));
    if (keys->lock < 0)
        return false;
    for (int i = 0; i < RINGS; i++) {
        if (!weir_keys_ring_read(&keys->rings[i], dir, weir_keys_ring_name((size_t)i), keys->error,
                                 sizeof(keys->error)))
            return false;
    }

    return true;
}

/* Into the audit log. The keys are changed already, so a failure of the database ends nothing. */
static void record(keys_t *keys, const char *name, const char *id, const char *change)
{
    char *object, *operation, *detail;
    PGresult *result;

    if (keys->ctl->db == NULL)
        return;
    object = weir_alloc_format("key:%s", name);
    operation = weir_alloc_format("key.%s", change);
    detail = weir_alloc_format("{\"id\":\"%s\"}", id);
    {
        const char *values[] = {weir_ctl_caller(keys->ctl), operation, object, detail};

        result = PQexecParams(keys->ctl->db, "SELECT audit_put_ctl($1, $2, $3, $4::jsonb)", 4, NULL,
                              values, NULL, NULL, 0);
    }
    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        weir_ctl_fail(WEIR_CTL_AWAY, "\"%s %s\" is not in the audit log: %s", operation, object,
                      PQresultErrorMessage(result));
    PQclear(result);
    free(object);
    free(operation);
    free(detail);
}

/* Writes down what was changed: in the report, for the reload, and in the audit log. */
static void note(keys_t *keys, const char *name, const char *id, const char *change)
{
    size_t len = strlen(keys->changed);

    if (strstr(keys->changed, name) == NULL && len + strlen(name) + 2 < sizeof(keys->changed))
        snprintf(keys->changed + len, sizeof(keys->changed) - len, "%s%s", len > 0 ? " " : "",
                 name);
    json_array_append_new(keys->report, weir_alloc_check(json_pack("{s:s,s:s,s:s}", "name", name,
                                                                   "id", id, "change", change)));
    record(keys, name, id, change);
}

/* Lets servers read what was changed. */
static bool reload(keys_t *keys)
{
    const char *command =
        keys->ctl->args.reload != NULL ? keys->ctl->args.reload : getenv(RELOAD_ENVIRONMENT);
    int status;

    if (keys->changed[0] == '\0' || command == NULL || *command == '\0') {
        keys->changed[0] = '\0';
        return true;
    }
    setenv(CHANGED_ENVIRONMENT, keys->changed, 1);
    keys->changed[0] = '\0';
    fflush(stdout);
    status = system(command); /* NOLINT(cert-env33-c): it is the operator's */
    if (status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    snprintf(keys->error, sizeof(keys->error),
             "the command of --reload has failed; the same rotation goes on from here");

    return false;
}

static bool write_rings(keys_t *keys)
{
    for (int i = 0; i < RINGS; i++) {
        if (keys->touched[i] &&
            !weir_keys_ring_write(&keys->rings[i], keys->error, sizeof(keys->error)))
            return false;
        keys->touched[i] = false;
    }

    return true;
}

static weir_ctl_exit_t finish(keys_t *keys, const char *nothing)
{
    if (!reload(keys))
        return fail(keys);
    weir_ctl_print_rows(keys->ctl, keys->report, nothing);
    close_keys(keys);

    return WEIR_CTL_OK;
}

/* --- certificates ----------------------------------------------------------------------------- */

/* Which certificates are to be issued again. */
typedef enum { RENEW_NEEDED, RENEW_ALL } renew_t;

/* Less than half of its life is left. */
static bool is_half_gone(const weir_keys_certificate_state_t *state)
{
    int64_t now = time(NULL);

    return state->expires - now < (state->expires - state->begins) / 2;
}

static bool issue(keys_t *keys, const weir_keys_certificate_t *of)
{
    weir_keys_certificate_state_t state;

    if (!weir_keys_certificate_issue(of, &keys->rings[CA], keys->days, keys->error,
                                     sizeof(keys->error)) ||
        !weir_keys_certificate_look(of, &keys->rings[CA], &state, keys->error, sizeof(keys->error)))
        return false;
    note(keys, of->name, state.id, "issue");

    return true;
}

/* Brings all certificates in line with the ring of authorities, which is written. */
static bool settle_certificates(keys_t *keys, renew_t renew)
{
    for (size_t i = 0; i < weir_keys_n_certificates; i++) {
        const weir_keys_certificate_t *of = &weir_keys_certificates[i];
        weir_keys_certificate_state_t state;

        if (!weir_keys_certificate_look(of, &keys->rings[CA], &state, keys->error,
                                        sizeof(keys->error)))
            return false;
        if (renew == RENEW_ALL || !state.is_there || !state.is_current || is_half_gone(&state)) {
            if (!issue(keys, of))
                return false;
        } else if (!state.trusts_all) {
            if (!weir_keys_certificate_trust(of, &keys->rings[CA], keys->error,
                                             sizeof(keys->error)))
                return false;
            note(keys, of->name, state.id, "trust");
        }
    }

    return true;
}

/* --- init ---------------------------------------------------------------------------------------
 */

static bool init_ring(keys_t *keys, int i)
{
    weir_keys_ring_t *ring = &keys->rings[i];
    size_t dropped;

    if (ring->n == 0) {
        if (!weir_keys_ring_add(ring, WEIR_KEYS_CURRENT, NULL, AUTHORITY_DAYS, keys->error,
                                sizeof(keys->error)))
            return false;
        keys->touched[i] = true;
        return write_rings(keys) &&
               (note(keys, weir_keys_ring_name((size_t)i), ring->members[0].id, "make"), true);
    }
    dropped = weir_keys_ring_expire(ring);
    if (dropped == 0)
        return true;
    keys->touched[i] = true;

    return write_rings(keys) && (note(keys, weir_keys_ring_name((size_t)i),
                                      weir_keys_ring_find(ring, WEIR_KEYS_CURRENT)->id, "tidy"),
                                 true);
}

weir_ctl_exit_t weir_ctl_keys_init(weir_ctl_t *ctl)
{
    keys_t keys;

    if (!open_keys(&keys, ctl))
        return fail(&keys);
    for (int i = 0; i < RINGS; i++) {
        if (!init_ring(&keys, i))
            return fail(&keys);
    }
    if (!settle_certificates(&keys, RENEW_NEEDED))
        return fail(&keys);

    return finish(&keys, "All keys are there, and none has to be renewed.");
}

/* --- rotate
 * --------------------------------------------------------------------------------------- */

/* What is to be rotated. */
typedef struct {
    bool rings[RINGS];
    bool certificates;                  /* all of them */
    const weir_keys_certificate_t *one; /* or this one */
} targets_t;

static targets_t targets_of(const weir_ctl_t *ctl)
{
    const char *name = ctl->args.words[0];
    targets_t targets = {.one = weir_keys_certificate(name)};
    bool is_all = strcmp(name, "all") == 0, known = is_all || targets.one != NULL;

    for (int i = 0; i < RINGS; i++) {
        targets.rings[i] = is_all || strcmp(name, weir_keys_ring_name((size_t)i)) == 0;
        known = known || targets.rings[i];
    }
    if (strcmp(name, "certificates") == 0)
        known = targets.certificates = true;
    if (!known)
        exit(weir_ctl_fail(WEIR_CTL_USAGE,
                           "there is no key \"%s\"; there are all, ca, identity, issuer, webhook, "
                           "certificates, and the names of certificates (weirctl keys list)",
                           name));

    return targets;
}

/* The user's own secret, in the first line of the file; NULL: none is given. */
static char *given_secret(const weir_ctl_t *ctl, const targets_t *targets)
{
    char line[256] = "";
    FILE *file;

    if (ctl->args.file == NULL)
        return NULL;
    if (strcmp(ctl->args.words[0], "webhook") != 0)
        exit(weir_ctl_fail(WEIR_CTL_USAGE, "--file is for the secret of webhook alone"));
    assert(targets->rings[RINGS - 1]);
    file = fopen(ctl->args.file, "re");
    if (file == NULL || fgets(line, sizeof(line), file) == NULL)
        exit(weir_ctl_fail(WEIR_CTL_USAGE, "%s cannot be read", ctl->args.file));
    fclose(file);
    line[strcspn(line, "\r\n")] = '\0';

    return weir_alloc_text(line);
}

/* Adds the next key to each ring that has none. */
static bool publish(keys_t *keys, const targets_t *targets)
{
    char *given = given_secret(keys->ctl, targets);
    bool ok = true;

    for (int i = 0; ok && i < RINGS; i++) {
        weir_keys_ring_t *ring = &keys->rings[i];

        if (!targets->rings[i])
            continue;
        keys->touched[i] = weir_keys_ring_expire(ring) > 0;
        if (weir_keys_ring_find(ring, WEIR_KEYS_NEXT) == NULL) {
            ok = weir_keys_ring_add(ring, WEIR_KEYS_NEXT, given, AUTHORITY_DAYS, keys->error,
                                    sizeof(keys->error));
            keys->touched[i] = true;
        }
    }
    if (given != NULL)
        OPENSSL_cleanse(given, strlen(given));
    free(given);
    ok = ok && write_rings(keys);
    for (int i = 0; ok && i < RINGS; i++) {
        if (targets->rings[i])
            note(keys, weir_keys_ring_name((size_t)i),
                 weir_keys_ring_find(&keys->rings[i], WEIR_KEYS_NEXT)->id, "publish");
    }

    return ok && settle_certificates(keys, RENEW_NEEDED);
}

static bool advance(keys_t *keys, const targets_t *targets)
{
    int64_t overlap = (keys->ctl->args.overlap >= 0 ? keys->ctl->args.overlap : OVERLAP_MS) / 1000;

    for (int i = 0; i < RINGS; i++) {
        if (!targets->rings[i])
            continue;
        weir_keys_ring_advance(&keys->rings[i], overlap);
        keys->touched[i] = true;
    }
    if (!write_rings(keys))
        return false;
    for (int i = 0; i < RINGS; i++) {
        if (targets->rings[i])
            note(keys, weir_keys_ring_name((size_t)i),
                 weir_keys_ring_find(&keys->rings[i], WEIR_KEYS_CURRENT)->id, "rotate");
    }

    return settle_certificates(keys, targets->rings[CA] ? RENEW_ALL : RENEW_NEEDED);
}

/* Until all who verify have read what was written. */
static void wait_for_readers(const keys_t *keys)
{
    int64_t ms = keys->ctl->args.wait >= 0 ? keys->ctl->args.wait : WAIT_MS;
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};

    while (nanosleep(&left, &left) != 0)
        ;
}

/* True if init has been there. */
static bool check_made(keys_t *keys)
{
    for (int i = 0; i < RINGS; i++) {
        if (keys->rings[i].n > 0)
            continue;
        snprintf(keys->error, sizeof(keys->error), "%s has no keys yet: weirctl keys init",
                 keys->dir);
        return false;
    }

    return true;
}

weir_ctl_exit_t weir_ctl_keys_rotate(weir_ctl_t *ctl)
{
    targets_t targets = targets_of(ctl);
    bool any = false;
    keys_t keys;

    if (!open_keys(&keys, ctl) || !check_made(&keys))
        return fail(&keys);
    if (targets.one != NULL || targets.certificates) {
        if (targets.one != NULL ? !issue(&keys, targets.one)
                                : !settle_certificates(&keys, RENEW_ALL))
            return fail(&keys);
        return finish(&keys, "");
    }
    for (int i = 0; i < RINGS; i++)
        any = any || targets.rings[i];
    assert(any);
    if (!publish(&keys, &targets) || !reload(&keys))
        return fail(&keys);
    wait_for_readers(&keys);
    if (!advance(&keys, &targets))
        return fail(&keys);

    return finish(&keys, "");
}

/* --- list, revoke
 * --------------------------------------------------------------------------------- */

static json_t *time_of(int64_t seconds)
{
    char text[32];
    time_t at = (time_t)seconds;
    struct tm tm;

    if (seconds == 0)
        return weir_alloc_check(json_string("-"));
    gmtime_r(&at, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);

    return weir_alloc_check(json_string(text));
}

static void add_row(json_t *rows, const char *name, const char *state, const char *id,
                    int64_t since, int64_t until)
{
    json_array_append_new(rows, weir_alloc_check(json_pack(
                                    "{s:s,s:s,s:s,s:o,s:o}", "name", name, "state", state, "id", id,
                                    "since", time_of(since), "until", time_of(until))));
}

weir_ctl_exit_t weir_ctl_keys_list(weir_ctl_t *ctl)
{
    json_t *rows = weir_alloc_check(json_array());
    keys_t keys;

    if (!open_keys(&keys, ctl) || !check_made(&keys)) {
        json_decref(rows);
        return fail(&keys);
    }
    for (int i = 0; i < RINGS; i++) {
        for (size_t j = 0; j < keys.rings[i].n; j++) {
            const weir_keys_member_t *member = &keys.rings[i].members[j];

            add_row(rows, weir_keys_ring_name((size_t)i), weir_keys_state_name(member->state),
                    member->id, member->since, member->until);
        }
    }
    for (size_t i = 0; i < weir_keys_n_certificates; i++) {
        const weir_keys_certificate_t *of = &weir_keys_certificates[i];
        weir_keys_certificate_state_t state;

        if (!weir_keys_certificate_look(of, &keys.rings[CA], &state, keys.error,
                                        sizeof(keys.error))) {
            json_decref(rows);
            return fail(&keys);
        }
        if (state.is_there)
            add_row(rows, of->name,
                    state.expires <= time(NULL) ? "expired"
                    : state.is_current          ? "certificate"
                                                : "old authority",
                    state.id, state.begins, state.expires);
    }
    weir_ctl_print_rows(ctl, rows, "There are no keys.");
    json_decref(rows);
    close_keys(&keys);

    return WEIR_CTL_OK;
}

/* The ring of that name; exits with a message if it is none. */
static int ring_of(const char *name)
{
    for (int i = 0; i < RINGS; i++) {
        if (strcmp(weir_keys_ring_name((size_t)i), name) == 0)
            return i;
    }
    if (weir_keys_certificate(name) != NULL)
        exit(weir_ctl_fail(WEIR_CTL_USAGE,
                           "a certificate is not revoked alone: \"weirctl keys revoke ca\" ends "
                           "all of its authority, and issues new ones"));
    exit(weir_ctl_fail(WEIR_CTL_USAGE,
                       "there is no key \"%s\"; there are ca, identity, issuer and webhook", name));
}

weir_ctl_exit_t weir_ctl_keys_revoke(weir_ctl_t *ctl)
{
    int i = ring_of(ctl->args.words[0]);
    char id[WEIR_KEYS_ID];
    weir_keys_ring_t *ring;
    keys_t keys;

    if (!open_keys(&keys, ctl) || !check_made(&keys))
        return fail(&keys);
    ring = &keys.rings[i];
    snprintf(id, sizeof(id), "%s",
             ctl->args.n_words > 1 ? ctl->args.words[1]
                                   : weir_keys_ring_find(ring, WEIR_KEYS_CURRENT)->id);
    if (strcmp(id, weir_keys_ring_find(ring, WEIR_KEYS_CURRENT)->id) == 0) {
        /* Another one signs from now on. */
        if (weir_keys_ring_find(ring, WEIR_KEYS_NEXT) == NULL &&
            !weir_keys_ring_add(ring, WEIR_KEYS_NEXT, NULL, AUTHORITY_DAYS, keys.error,
                                sizeof(keys.error)))
            return fail(&keys);
        weir_keys_ring_advance(ring, 0);
    }
    if (!weir_keys_ring_drop(ring, id)) {
        weir_ctl_exit_t code = weir_ctl_fail(WEIR_CTL_REFUSED, "the ring %s has no key \"%s\"",
                                             ctl->args.words[0], id);

        close_keys(&keys);
        return code;
    }
    keys.touched[i] = true;
    if (!write_rings(&keys))
        return fail(&keys);
    note(&keys, ctl->args.words[0], id, "revoke");
    if (!settle_certificates(&keys, RENEW_NEEDED))
        return fail(&keys);

    return finish(&keys, "");
}
