// needs: common/audit/proof.c common/audit/head.c common/audit/record.c common/audit/key.c
// needs: common/merkle/merkle.c common/merkle/sha256.c
/* Records, signed heads and proofs of the audit log. */
#include "common/audit/proof.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define RECORDS 11
#define PLACE 6

static char folder[] = "/tmp/audit-proof-test-XXXXXX";

/* Keys that openssl genpkey has written. */
static const char ed25519[] = "-----BEGIN PRIVATE KEY-----\n"
                              "MC4CAQAwBQYDK2VwBCIEIO1w1yprQozVAb7BX/HVJS72Smlkd9HLu1rMAkTaZQVR\n"
                              "-----END PRIVATE KEY-----\n";

static weir_audit_record_t record_of(const char *id)
{
    weir_audit_record_t record = {{
        [WEIR_AUDIT_PARTITION] = WEIR_STR("202611"),
        [WEIR_AUDIT_TIME] = WEIR_STR("1796036400000001"),
        [WEIR_AUDIT_OPERATION] = WEIR_STR("user.delete"),
        [WEIR_AUDIT_OBJECT] = WEIR_STR("user:0192d0a1-7c1e-7d3a-9a55-0f6b3a1f2e11"),
        [WEIR_AUDIT_OUTCOME] = WEIR_STR("accepted"),
        [WEIR_AUDIT_SUBJECT] = WEIR_STR("anonymous"),
        [WEIR_AUDIT_ACTOR] = WEIR_STR("weir-deletion"),
        [WEIR_AUDIT_ADDRESS] = WEIR_STR("127.0.0.1"),
        [WEIR_AUDIT_DETAIL] = WEIR_STR(""),
    }};

    record.fields[WEIR_AUDIT_ID] = weir_str(id);
    return record;
}

static void is_hash(const weir_hash_t *hash, const char *digits)
{
    char text[WEIR_AUDIT_DIGITS + 1];
    weir_hash_t again;

    weir_audit_print_hash(text, hash);
    assert_string_equal(text, digits);
    assert_true(weir_audit_read_hash(weir_str(text), &again));
    assert_memory_equal(hash, &again, sizeof(again));
}

/* --- records --------------------------------------------------------------------------------- */

/* The digests are Python's hashlib's, of the encoding that record.h describes. */
static void records_have_one_encoding(void **state)
{
    weir_audit_record_t record = record_of("7"), other;
    weir_hash_t leaf, link = {{0}}, hash;

    (void)state;
    weir_audit_leaf(&record, &leaf);
    is_hash(&leaf, "c2b6d7680bba582dd183ffcc02b09ee7fe3fb7ac48e563c3b56a8b19514a0007");
    weir_audit_link(&link, &leaf);
    is_hash(&link, "aa7b7c50810b239a0ad644bd39f41ecf4eac1926c5f09ee6073dc46420285fdd");

    /* NULL is no empty text, and a field does not continue in the next one. */
    other = record;
    other.fields[WEIR_AUDIT_DETAIL] = (weir_str_t){NULL, 0};
    weir_audit_leaf(&other, &hash);
    assert_memory_not_equal(&hash, &leaf, sizeof(leaf));
    other = record;
    other.fields[WEIR_AUDIT_SUBJECT] = WEIR_STR("anonymousweir");
    other.fields[WEIR_AUDIT_ACTOR] = WEIR_STR("-deletion");
    weir_audit_leaf(&other, &hash);
    assert_memory_not_equal(&hash, &leaf, sizeof(leaf));
    for (int i = 0; i < WEIR_AUDIT_FIELDS; i++) {
        other = record;
        other.fields[i] = WEIR_STR("?");
        weir_audit_leaf(&other, &hash);
        assert_memory_not_equal(&hash, &leaf, sizeof(leaf));
    }
}

static void other_digits_are_no_hash(void **state)
{
    char text[WEIR_AUDIT_DIGITS + 2];
    weir_hash_t hash;

    (void)state;
    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    assert_false(weir_audit_read_hash(weir_str(text), &hash));
    assert_false(weir_audit_read_hash((weir_str_t){text, 63}, &hash));
    assert_true(weir_audit_read_hash((weir_str_t){text, 64}, &hash));
    text[63] = 'A';
    assert_false(weir_audit_read_hash((weir_str_t){text, 64}, &hash));
    text[63] = 'g';
    assert_false(weir_audit_read_hash((weir_str_t){text, 64}, &hash));
}

/* --- heads ----------------------------------------------------------------------------------- */

static weir_audit_head_t make_head(void)
{
    weir_audit_head_t head = {.number = 12, .time = 1796036400, .n = 2};

    head.chains[0] = (weir_audit_chain_t){.partition = 202610, .size = 1};
    head.chains[1] = (weir_audit_chain_t){.partition = 202611, .size = INT64_MAX};
    memset(&head.chains[1].root, 0xab, sizeof(weir_hash_t));
    return head;
}

static void heads_are_read_as_they_are_written(void **state)
{
    char text[WEIR_AUDIT_HEAD_MAX + 1], again[WEIR_AUDIT_HEAD_MAX + 1], *wrong;
    weir_audit_head_t head = make_head(), other;
    size_t len;

    (void)state;
    weir_audit_head_print(&head, text);
    assert_true(strncmp(text, "weir-audit-head/1\nnumber 12\ntime 1796036400\nprevious 0000", 57) ==
                0);
    assert_true(weir_audit_head_parse(weir_str(text), &other));
    weir_audit_head_print(&other, again);
    assert_string_equal(text, again);
    assert_int_equal(weir_audit_head_chain(&other, 202611)->size, INT64_MAX);
    assert_null(weir_audit_head_chain(&other, 202612));

    /* Each byte counts: no text with one changed, missing or more is the same head. */
    len = strlen(text);
    for (size_t i = 0; i <= len; i++) {
        for (const char *c = "09a \nx"; *c != '\0' && i < len; c++) {
            wrong = strdup(text);
            wrong[i] = *c;
            if (weir_audit_head_parse(weir_str(wrong), &other)) {
                weir_audit_head_print(&other, again);
                assert_string_equal(again, wrong);
            }
            free(wrong);
        }
        if (weir_audit_head_parse((weir_str_t){text, i}, &other)) {
            weir_audit_head_print(&other, again);
            assert_int_equal(strlen(again), i);
        }
    }
}

static void other_texts_are_no_heads(void **state)
{
    static const char *const wrong[] = {
        "",
        "weir-audit-head/1\n",
        "weir-audit-head/2\nnumber 1\ntime 1\nprevious " /* … */,
        "number 012",
        "number 0",
        "number 9223372036854775808",
        "number -1",
        "number 1 ",
        "number ",
    };
    static const char zeros[] = "0000000000000000000000000000000000000000000000000000000000000000";
    char text[512];
    weir_audit_head_t head;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_false(weir_audit_head_parse(weir_str(wrong[i]), &head));
        snprintf(text, sizeof(text), "weir-audit-head/1\n%s\ntime 1\nprevious %s\n", wrong[i],
                 zeros);
        assert_false(weir_audit_head_parse(weir_str(text), &head));
    }
    snprintf(text, sizeof(text), "weir-audit-head/1\nnumber 1\ntime 1\nprevious %s\n", zeros);
    assert_true(weir_audit_head_parse(weir_str(text), &head));
    assert_int_equal(head.n, 0);
    /* chains in another order, or twice; an empty one */
    for (int i = 0; i < 3; i++) {
        static const char *const chains[][2] = {{"5 1", "4 1"}, {"5 1", "5 2"}, {"4 1", "5 0"}};

        snprintf(text, sizeof(text),
                 "weir-audit-head/1\nnumber 1\ntime 1\nprevious %s\nchain %s %s %s\n"
                 "chain %s %s %s\n",
                 zeros, chains[i][0], zeros, zeros, chains[i][1], zeros, zeros);
        assert_false(weir_audit_head_parse(weir_str(text), &head));
    }
}

static void a_head_has_64_chains_at_most(void **state)
{
    char text[WEIR_AUDIT_HEAD_MAX + 1];
    weir_audit_head_t head = {.number = INT64_MAX, .time = INT64_MAX, .n = WEIR_AUDIT_CHAINS_MAX};
    weir_audit_head_t other;

    (void)state;
    for (int i = 0; i < WEIR_AUDIT_CHAINS_MAX; i++)
        head.chains[i] = (weir_audit_chain_t){.partition = 999999 - WEIR_AUDIT_CHAINS_MAX + i,
                                              .size = INT64_MAX};
    weir_audit_head_print(&head, text);
    assert_true(weir_audit_head_parse(weir_str(text), &other));
    assert_int_equal(other.n, WEIR_AUDIT_CHAINS_MAX);
    memcpy(strstr(text, "chain 999935"), "chain 000935", 12);
    assert_false(weir_audit_head_parse(weir_str(text), &other));
}

/* --- keys ------------------------------------------------------------------------------------ */

static char *write_file(const char *name, const char *text, mode_t mode)
{
    static char path[128];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    unlink(path);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
    return path;
}

static char *pem_of(EVP_PKEY *pkey)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data, *text;
    long len;

    assert_int_equal(PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL), 1);
    len = BIO_get_mem_data(bio, &data);
    text = strndup(data, (size_t)len);
    BIO_free(bio);
    EVP_PKEY_free(pkey);
    return text;
}

static void signs(const char *pem)
{
    char signature[WEIR_AUDIT_SIGNATURE_MAX + 1], error[256], *public;
    weir_audit_key_t key, verifier;
    size_t len;

    assert_true(weir_audit_key_read(&key, write_file("key", pem, 0600), error, sizeof(error)));
    assert_true(key.is_private);
    public = weir_audit_key_public(&key);
    assert_true(weir_audit_key_read_public(&verifier, write_file("public", public, 0644), error,
                                           sizeof(error)));
    free(public);
    assert_false(verifier.is_private);
    assert_string_equal(key.id, verifier.id);

    assert_true(weir_audit_sign(&key, "a text", signature));
    assert_true(weir_audit_is_signed(&verifier, "a text", signature));
    assert_false(weir_audit_is_signed(&verifier, "a text ", signature));
    assert_false(weir_audit_is_signed(&verifier, "a text", ""));
    len = strlen(signature);
    signature[len / 2] = signature[len / 2] == '0' ? '1' : '0';
    assert_false(weir_audit_is_signed(&verifier, "a text", signature));
    signature[len - 1] = '\0';
    assert_false(weir_audit_is_signed(&verifier, "a text", signature));
    weir_audit_key_release(&key);
    weir_audit_key_release(&verifier);
}

static void keys_of_two_kinds_sign(void **state)
{
    char *p256 = pem_of(EVP_EC_gen("P-256"));

    (void)state;
    signs(ed25519);
    signs(p256);
    free(p256);
}

static void is_refused(const char *path, const char *why)
{
    weir_audit_key_t key;
    char error[512] = "";

    assert_false(weir_audit_key_read(&key, path, error, sizeof(error)));
    assert_null(key.pkey);
    if (strstr(error, path) == NULL || strstr(error, why) == NULL)
        fail_msg("\"%s\" does not say \"%s\" of %s", error, why, path);
}

static void other_keys_are_refused(void **state)
{
    char *p384 = pem_of(EVP_EC_gen("P-384")), *rsa = pem_of(EVP_RSA_gen(2048)), *public;
    char *big = malloc(20001);
    weir_audit_key_t key;
    char error[512];

    (void)state;
    is_refused("/nowhere/key", "No such file");
    is_refused(folder, "is not a file");
    is_refused(write_file("key", ed25519, 0604), "mode 604");
    is_refused(write_file("key", "", 0600), "P-256");
    is_refused(write_file("key", p384, 0600), "P-256");
    is_refused(write_file("key", rsa, 0600), "P-256");
    memset(big, 'x', 20000);
    big[20000] = '\0';
    is_refused(write_file("key", big, 0600), "longer than");
    assert_true(weir_audit_key_read(&key, write_file("key", ed25519, 0640), error, sizeof(error)));
    public = weir_audit_key_public(&key);
    is_refused(write_file("key", public, 0600), "P-256"); /* a public one cannot sign */
    weir_audit_key_release(&key);
    free(public);
    free(big);
    free(p384);
    free(rsa);
}

/* --- proofs ---------------------------------------------------------------------------------- */

static json_t *make_proof(const weir_audit_key_t *key)
{
    weir_audit_head_t head = {.number = 1, .time = 1796036400, .n = 1};
    weir_audit_record_t record;
    weir_hash_t leaves[RECORDS];
    weir_merkle_t tree = {0};
    weir_merkle_path_t path;
    weir_audit_signed_t sealed;

    for (int i = 0; i < RECORDS; i++) {
        char id[2] = {(char)('a' + i), '\0'};

        record = record_of(id);
        weir_audit_leaf(&record, &leaves[i]);
        weir_merkle_append(&tree, &leaves[i]);
    }
    head.chains[0] = (weir_audit_chain_t){.partition = 202611, .size = RECORDS};
    weir_merkle_root(&tree, &head.chains[0].root);
    weir_audit_head_print(&head, sealed.text);
    memcpy(sealed.key, key->id, sizeof(sealed.key));
    assert_true(weir_audit_sign(key, sealed.text, sealed.signature));
    weir_merkle_inclusion(leaves, RECORDS, PLACE, &path);
    record = record_of("g");
    return weir_audit_proof_json(&record, PLACE, &path, &sealed);
}

static weir_audit_verdict_t verdict_of(const char *text, const weir_audit_key_t *key)
{
    weir_audit_verdict_t verdict = WEIR_AUDIT_MALFORMED;
    weir_audit_proof_t proof;
    weir_audit_head_t head;

    if (weir_audit_proof_parse(weir_str(text), &proof))
        verdict = weir_audit_proof_check(&proof, key, &head);
    weir_audit_proof_release(&proof);
    assert_non_null(weir_audit_verdict_text(verdict));
    return verdict;
}

static void changed(const json_t *proof, const weir_audit_key_t *key, const char *object,
                    const char *name, json_t *value, weir_audit_verdict_t verdict)
{
    json_t *copy = json_deep_copy(proof);
    char *text;

    json_object_set_new(object != NULL ? json_object_get(copy, object) : copy, name, value);
    text = json_dumps(copy, 0);
    if (verdict_of(text, key) != verdict)
        fail_msg("%s changed: %s", name, weir_audit_verdict_text(verdict_of(text, key)));
    free(text);
    json_decref(copy);
}

static void proofs_hold_for_their_record(void **state)
{
    weir_audit_key_t key, other;
    char error[256], *text, *p256 = pem_of(EVP_EC_gen("P-256"));
    json_t *proof, *path;

    (void)state;
    assert_true(weir_audit_key_read(&key, write_file("key", ed25519, 0600), error, sizeof(error)));
    assert_true(weir_audit_key_read(&other, write_file("key", p256, 0600), error, sizeof(error)));
    proof = make_proof(&key);
    text = json_dumps(proof, JSON_INDENT(2));
    assert_int_equal(verdict_of(text, &key), WEIR_AUDIT_PROVED);
    assert_int_equal(verdict_of(text, &other), WEIR_AUDIT_OTHER_KEY);
    /* no byte of it can change so that it proves something else */
    for (size_t i = 0; text[i] != '\0'; i++) {
        char before = text[i];

        text[i] = (char)(before ^ 1);
        if (before != '\n' && before != ' ')
            assert_int_not_equal(verdict_of(text, &key), WEIR_AUDIT_PROVED);
        text[i] = before;
    }
    free(text);

    for (int i = 0; i < WEIR_AUDIT_FIELDS; i++)
        changed(proof, &key, "record", weir_audit_field_names[i], json_string("202612"),
                i == WEIR_AUDIT_PARTITION ? WEIR_AUDIT_NO_CHAIN : WEIR_AUDIT_NOT_IN_TREE);
    changed(proof, &key, NULL, "position", json_integer(PLACE + 1), WEIR_AUDIT_NOT_IN_TREE);
    changed(proof, &key, NULL, "position", json_integer(RECORDS), WEIR_AUDIT_NO_CHAIN);
    changed(proof, &key, NULL, "position", json_integer(-1), WEIR_AUDIT_MALFORMED);
    changed(proof, &key, NULL, "position", json_real(6.0), WEIR_AUDIT_MALFORMED);
    changed(proof, &key, NULL, "more", json_true(), WEIR_AUDIT_MALFORMED);
    changed(proof, &key, NULL, "weir", json_string("audit-proof/2"), WEIR_AUDIT_MALFORMED);
    changed(proof, &key, NULL, "path", json_array(), WEIR_AUDIT_NOT_IN_TREE);
    changed(proof, &key, "record", "object", json_integer(1), WEIR_AUDIT_MALFORMED);
    changed(proof, &key, "record", "partition", json_string("0202611"), WEIR_AUDIT_MALFORMED);
    changed(proof, &key, "head", "signature", json_string("00"), WEIR_AUDIT_UNSIGNED);
    changed(proof, &key, "head", "signature", json_string(""), WEIR_AUDIT_MALFORMED);
    changed(proof, &key, "head", "key", json_string(other.id), WEIR_AUDIT_OTHER_KEY);

    path = json_object_get(proof, "path");
    while (json_array_size(path) <= WEIR_MERKLE_DEPTH)
        json_array_append(path, json_array_get(path, 0));
    text = json_dumps(proof, 0);
    assert_int_equal(verdict_of(text, &key), WEIR_AUDIT_MALFORMED);
    free(text);
    json_decref(proof);
    weir_audit_key_release(&key);
    weir_audit_key_release(&other);
    free(p256);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"key", "public"};
    char path[128];

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        unlink(path);
    }
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_have_one_encoding),
        cmocka_unit_test(other_digits_are_no_hash),
        cmocka_unit_test(heads_are_read_as_they_are_written),
        cmocka_unit_test(other_texts_are_no_heads),
        cmocka_unit_test(a_head_has_64_chains_at_most),
        cmocka_unit_test(keys_of_two_kinds_sign),
        cmocka_unit_test(other_keys_are_refused),
        cmocka_unit_test(proofs_hold_for_their_record),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
