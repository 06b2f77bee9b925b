#include "ctl/keys/ring.h"

#include "common/token/sign.h"
#include "ctl/keys/authority.h"
#include "ctl/keys/folder.h"
#include "http/signature.h"
#include "log/alloc.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STATE_FILE "ring.json"
#define FILES_MAX (2 * WEIR_KEYS_MEMBERS_MAX + 8)
#define SECRET_BYTES 32

/* Makes a key: its id, secret and published text. */
typedef bool (*make_fn)(weir_keys_member_t *made, const char *given, int days, char *error,
                        size_t size);

typedef struct {
    weir_keys_file_t files[FILES_MAX];
    char *owned[FILES_MAX]; /* texts and names to be freed */
    size_t n, n_owned;
} files_t;

struct weir_keys_kind {
    const char *name;
    make_fn make;
    void (*derive)(const weir_keys_ring_t *ring, files_t *files); /* what readers read */
};

static const char *const states[] = {
    [WEIR_KEYS_CURRENT] = "current", [WEIR_KEYS_NEXT] = "next", [WEIR_KEYS_OLD] = "old"};

const char *weir_keys_state_name(weir_keys_state_t state)
{
    return states[state];
}

/* --- making keys ------------------------------------------------------------------------------ */

static bool make_authority(weir_keys_member_t *made, const char *given, int days, char *error,
                           size_t size)
{
    weir_authority_pair_t pair;

    (void)given;
    if (!weir_authority_make(&pair, days, error, size))
        return false;
    memcpy(made->id, pair.id, sizeof(pair.id));
    made->secret = pair.key;
    made->published = pair.certificate;
    made->until = pair.expires;

    return true;
}

/* The text in a memory BIO, which is freed; NULL: writing failed. */
static char *pem_of(const EVP_PKEY *key, bool is_private)
{
    BIO *bio = BIO_new(is_private ? BIO_s_secmem() : BIO_s_mem());
    char *data, *text = NULL;
    int ok = 0;
    long len;

    if (bio != NULL && key != NULL)
        ok = is_private ? PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)
                        : PEM_write_bio_PUBKEY(bio, key);
    if (ok == 1) {
        len = BIO_get_mem_data(bio, &data);
        text = weir_alloc_bytes(data, (size_t)len);
    }
    BIO_free(bio);

    return text;
}

static bool make_signer(weir_keys_member_t *made, const char *given, int days, char *error,
                        size_t size)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    weir_signer_t signer;

    (void)given;
    (void)days;
    made->secret = pem_of(key, true);
    made->published = pem_of(key, false);
    EVP_PKEY_free(key);
    if (made->secret == NULL || made->published == NULL ||
        weir_signer_read(&signer, weir_str(made->published)) != NULL) {
        snprintf(error, size, "a key cannot be made: OpenSSL has failed");
        return false;
    }
    snprintf(made->id, sizeof(made->id), "%s", signer.kid);
    weir_signer_release(&signer);

    return true;
}

static bool make_secret(weir_keys_member_t *made, const char *given, int days, char *error,
                        size_t size)
{
    unsigned char bytes[SECRET_BYTES], digest[EVP_MAX_MD_SIZE];
    char text[EVP_ENCODE_LENGTH(SECRET_BYTES)];
    weir_secret_t secret;

    (void)days;
    if (given != NULL) {
        made->secret = weir_alloc_text(given);
        if (!weir_secret_parse(given, &secret)) {
            snprintf(error, size, "the secret must be whsec_ and base64 of 24 to 64 bytes");
            return false;
        }
    } else {
        if (RAND_bytes(bytes, sizeof(bytes)) != 1) {
            snprintf(error, size, "a secret cannot be made: OpenSSL has failed");
            return false;
        }
        EVP_EncodeBlock((unsigned char *)text, bytes, sizeof(bytes));
        made->secret = weir_alloc_format("whsec_%s", text);
        OPENSSL_cleanse(bytes, sizeof(bytes));
        OPENSSL_cleanse(text, sizeof(text));
    }
    /* Of 256 random bits, 64 of a digest tell nothing. */
    if (EVP_Q_digest(NULL, "SHA256", NULL, made->secret, strlen(made->secret), digest, NULL) != 1) {
        snprintf(error, size, "a secret cannot be named: OpenSSL has failed");
        return false;
    }
    for (int i = 0; i < 8; i++)
        snprintf(made->id + 2 * (size_t)i, 3, "%02x", digest[i]);

    return true;
}

/* --- files of readers ------------------------------------------------------------------------- */

static void put(files_t *files, const char *name, const char *text, bool is_public)
{
    assert(files->n < FILES_MAX);
    files->files[files->n++] = (weir_keys_file_t){name, text, is_public};
}

static char *own(files_t *files, char *text)
{
    assert(files->n_owned < FILES_MAX);
    files->owned[files->n_owned++] = text;

    return text;
}

/* The texts of all members with line feeds between them, the current one's first. */
static char *joined(const weir_keys_ring_t *ring, bool secrets, const char *end)
{
    char *text = weir_alloc_text(""), *more;

    for (int state = WEIR_KEYS_CURRENT; state <= WEIR_KEYS_OLD; state++) {
        for (size_t i = ring->n; i-- > 0;) {
            const weir_keys_member_t *member = &ring->members[i];
            const char *of = secrets ? member->secret : member->published;

            if ((int)member->state != state || of == NULL)
                continue;
            more = weir_alloc_format("%s%s%s", text, of, end);
            free(text);
            text = more;
        }
    }

    return text;
}

static void derive_authority(const weir_keys_ring_t *ring, files_t *files)
{
    put(files, "ca.crt", own(files, joined(ring, false, "")), true);
}

static void derive_signer(const weir_keys_ring_t *ring, files_t *files)
{
    const weir_keys_member_t *current = weir_keys_ring_find(ring, WEIR_KEYS_CURRENT);
    const weir_keys_member_t *next = weir_keys_ring_find(ring, WEIR_KEYS_NEXT);
    const weir_keys_member_t *old = weir_keys_ring_find(ring, WEIR_KEYS_OLD);
    char *jwks = own(files, weir_alloc(WEIR_KEYS_MEMBERS_MAX * WEIR_SIGN_JWK_MAX + 64));
    weir_signer_t signers[WEIR_KEYS_MEMBERS_MAX];
    const weir_signer_t *all[WEIR_KEYS_MEMBERS_MAX];
    size_t n = 0;

    for (size_t i = 0; i < ring->n; i++) {
        if (weir_signer_read(&signers[n], weir_str(ring->members[i].published)) == NULL) {
            all[n] = &signers[n];
            n++;
        }
    }
    weir_signer_jwks(all, n, jwks, WEIR_KEYS_MEMBERS_MAX * WEIR_SIGN_JWK_MAX + 64);
    while (n > 0)
        weir_signer_release(&signers[--n]);
    put(files, "key.pem", current->secret, false);
    put(files, "next.pem", (next != NULL ? next : current)->published, true);
    put(files, "old.pem", (old != NULL ? old : current)->published, true);
    put(files, "jwks.json", jwks, true);
    put(files, "kid", current->id, true);
}

static void derive_secret(const weir_keys_ring_t *ring, files_t *files)
{
    const weir_keys_member_t *current = weir_keys_ring_find(ring, WEIR_KEYS_CURRENT);

    put(files, "secret", own(files, weir_alloc_format("%s\n", current->secret)), false);
    put(files, "secrets", own(files, joined(ring, true, "\n")), false);
}

static const weir_keys_kind_t kinds[] = {
    {"ca", make_authority, derive_authority},
    {"identity", make_signer, derive_signer},
    {"issuer", make_signer, derive_signer},
    {"webhook", make_secret, derive_secret},
};

const char *weir_keys_ring_name(size_t i)
{
    return i < sizeof(kinds) / sizeof(kinds[0]) ? kinds[i].name : NULL;
}

const weir_keys_kind_t *weir_keys_ring_kind(const char *name)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    }

    return NULL;
}

/* --- reading and writing ---------------------------------------------------------------------- */

static void member_free(weir_keys_member_t *member)
{
    if (member->secret != NULL)
        OPENSSL_cleanse(member->secret, strlen(member->secret));
    free(member->secret);
    free(member->published);
    *member = (weir_keys_member_t){0};
}

void weir_keys_ring_free(weir_keys_ring_t *ring)
{
    while (ring->n > 0)
        member_free(&ring->members[--ring->n]);
}

static bool read_member(weir_keys_ring_t *ring, const json_t *from, char *error, size_t size)
{
    weir_keys_member_t *member = &ring->members[ring->n];
    const char *id, *state;
    json_int_t since, until;
    char file[WEIR_KEYS_ID + 8];

    if (json_unpack((json_t *)from, "{s:s,s:s,s:I,s:I}", "id", &id, "state", &state, "since",
                    &since, "until", &until) != 0 ||
        strlen(id) >= WEIR_KEYS_ID || *id == '\0' || strchr(id, '/') != NULL)
        return false;
    *member = (weir_keys_member_t){.since = since, .until = until, .state = WEIR_KEYS_OLD};
    strcpy(member->id, id);
    for (int i = WEIR_KEYS_CURRENT; i <= WEIR_KEYS_OLD; i++) {
        if (strcmp(states[i], state) == 0)
            member->state = (weir_keys_state_t)i;
    }
    ring->n++;
    snprintf(file, sizeof(file), "%s.key", id);
    member->secret = weir_keys_folder_read(ring->dir, ring->kind->name, file, error, size);
    if (*error != '\0')
        return false;
    snprintf(file, sizeof(file), "%s.pub", id);
    member->published = weir_keys_folder_read(ring->dir, ring->kind->name, file, error, size);

    return *error == '\0' && (member->secret != NULL || member->published != NULL);
}

bool weir_keys_ring_read(weir_keys_ring_t *ring, const char *dir, const char *name, char *error,
                         size_t size)
{
    const json_t *member;
    json_t *state;
    char *text;
    bool ok;

    *ring = (weir_keys_ring_t){.kind = weir_keys_ring_kind(name), .dir = dir};
    assert(ring->kind != NULL && size > 0);
    text = weir_keys_folder_read(dir, name, STATE_FILE, error, size);
    if (text == NULL)
        return *error == '\0';

    state = weir_alloc_json(text, strlen(text), 0, NULL);
    free(text);
    ok = json_is_array(state) && json_array_size(state) <= WEIR_KEYS_MEMBERS_MAX;
    for (size_t i = 0; ok && i < json_array_size(state); i++) {
        member = json_array_get(state, i);
        ok = read_member(ring, member, error, size);
    }
    json_decref(state);
    if (ok && weir_keys_ring_find(ring, WEIR_KEYS_CURRENT) != NULL &&
        weir_keys_ring_find(ring, WEIR_KEYS_CURRENT)->secret != NULL)
        return true;
    if (*error == '\0')
        snprintf(error, size, "%s/%s: its " STATE_FILE " is damaged, or a key is missing", dir,
                 name);
    weir_keys_ring_free(ring);

    return false;
}

static json_t *state_of(const weir_keys_ring_t *ring)
{
    json_t *state = weir_alloc_check(json_array());

    for (size_t i = 0; i < ring->n; i++) {
        const weir_keys_member_t *member = &ring->members[i];

        json_array_append_new(
            state, weir_alloc_check(json_pack(
                       "{s:s,s:s,s:I,s:I}", "id", member->id, "state", states[member->state],
                       "since", (json_int_t)member->since, "until", (json_int_t)member->until)));
    }

    return state;
}

bool weir_keys_ring_write(const weir_keys_ring_t *ring, char *error, size_t size)
{
    files_t files = {.n = 0};
    json_t *state = state_of(ring);
    bool ok;

    assert(weir_keys_ring_find(ring, WEIR_KEYS_CURRENT) != NULL);
    put(&files, STATE_FILE, own(&files, weir_alloc_check(json_dumps(state, JSON_INDENT(1)))), true);
    json_decref(state);
    for (size_t i = 0; i < ring->n; i++) {
        const weir_keys_member_t *member = &ring->members[i];

        if (member->secret != NULL)
            put(&files, own(&files, weir_alloc_format("%s.key", member->id)), member->secret,
                false);
        if (member->published != NULL)
            put(&files, own(&files, weir_alloc_format("%s.pub", member->id)), member->published,
                true);
    }
    ring->kind->derive(ring, &files);
    ok = weir_keys_folder_write(ring->dir, ring->kind->name, files.files, files.n, error, size);
    while (files.n_owned > 0) {
        char *text = files.owned[--files.n_owned];

        OPENSSL_cleanse(text, strlen(text));
        free(text);
    }

    return ok;
}

/* --- changes ---------------------------------------------------------------------------------- */

const weir_keys_member_t *weir_keys_ring_find(const weir_keys_ring_t *ring, weir_keys_state_t state)
{
    for (size_t i = ring->n; i-- > 0;) {
        if (ring->members[i].state == state)
            return &ring->members[i];
    }

    return NULL;
}

static void remove_at(weir_keys_ring_t *ring, size_t i)
{
    member_free(&ring->members[i]);
    ring->n--;
    memmove(&ring->members[i], &ring->members[i + 1], (ring->n - i) * sizeof(ring->members[0]));
    ring->members[ring->n] = (weir_keys_member_t){0};
}

bool weir_keys_ring_add(weir_keys_ring_t *ring, weir_keys_state_t state, const char *given,
                        int days, char *error, size_t size)
{
    weir_keys_member_t made = {.state = state, .since = time(NULL)};

    assert(state == WEIR_KEYS_OLD || weir_keys_ring_find(ring, state) == NULL);
    if (!ring->kind->make(&made, given, days, error, size)) {
        member_free(&made);
        return false;
    }
    for (size_t i = 0; i < ring->n; i++) {
        if (strcmp(ring->members[i].id, made.id) == 0) {
            snprintf(error, size, "the ring %s has that key already", ring->kind->name);
            member_free(&made);
            return false;
        }
    }
    for (size_t i = 0; ring->n == WEIR_KEYS_MEMBERS_MAX; i++) {
        assert(i < ring->n);
        if (ring->members[i].state == WEIR_KEYS_OLD)
            remove_at(ring, i);
    }
    ring->members[ring->n++] = made;

    return true;
}

void weir_keys_ring_advance(weir_keys_ring_t *ring, int64_t overlap)
{
    int64_t now = time(NULL);

    assert(weir_keys_ring_find(ring, WEIR_KEYS_NEXT) != NULL);
    for (size_t i = 0; i < ring->n; i++) {
        weir_keys_member_t *member = &ring->members[i];

        if (member->state == WEIR_KEYS_OLD)
            continue;
        member->since = now;
        if (member->state == WEIR_KEYS_NEXT) {
            member->state = WEIR_KEYS_CURRENT;
            continue;
        }
        member->state = WEIR_KEYS_OLD;
        member->until = now + overlap;
        /* A key that signs no more is not kept; a secret is what its messages are verified by. */
        if (member->published != NULL) {
            OPENSSL_cleanse(member->secret, strlen(member->secret));
            free(member->secret);
            member->secret = NULL;
        }
    }
}

size_t weir_keys_ring_expire(weir_keys_ring_t *ring)
{
    int64_t now = time(NULL);
    size_t dropped = 0;

    for (size_t i = ring->n; i-- > 0;) {
        if (ring->members[i].state == WEIR_KEYS_OLD && ring->members[i].until <= now) {
            remove_at(ring, i);
            dropped++;
        }
    }

    return dropped;
}

bool weir_keys_ring_drop(weir_keys_ring_t *ring, const char *id)
{
    for (size_t i = 0; i < ring->n; i++) {
        if (strcmp(ring->members[i].id, id) == 0) {
            remove_at(ring, i);
            return true;
        }
    }

    return false;
}
