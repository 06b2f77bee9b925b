/*
 * weirctl jwks: a JWK Set as the edge reads it (common/token/key/). Each key is judged alone, so
 * that one that is wrong does not hide what is said about the others; then the whole set is.
 */
#include "ctl/commands/commands.h"

#include "common/token/json.h"
#include "common/token/key/jwks.h"
#include "ctl/fetch.h"
#include "log/alloc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 128

/* The content of a file or of standard input, for free(); NULL with errno. */
static char *read_file(const char *name, size_t *len)
{
    FILE *file = strcmp(name, "-") == 0 ? stdin : fopen(name, "r");
    size_t size = WEIR_JWKS_MAX + 1; /* one byte more than allowed: the parser refuses it */
    char *text;

    if (file == NULL)
        return NULL;

    text = weir_alloc(size);
    *len = fread(text, 1, size, file);
    if (ferror(file)) {
        free(text);
        text = NULL;
    }
    if (file != stdin)
        fclose(file);

    return text;
}

/* The names of the algorithms, "RS256 PS256" for example. */
static void name_algorithms(unsigned algorithms, char names[NAMES_MAX])
{
    size_t len = 0;

    names[0] = '\0';
    for (size_t i = 0; i < WEIR_TOKEN_ALGORITHMS; i++) {
        if ((algorithms & weir_token_algorithms[i].bit) != 0)
            len += (size_t)snprintf(names + len, NAMES_MAX - len, "%s%s", len > 0 ? " " : "",
                                    weir_token_algorithms[i].name);
    }
}

/* A member of the key for the table: its text, or what it is. */
static json_t *member(const json_t *jwk, const char *name)
{
    const json_t *value = json_object_get(jwk, name);

    if (value == NULL)
        return json_null();

    return json_is_string(value) ? json_incref((json_t *)(uintptr_t)value)
                                 : json_string("(no text)");
}

static json_t *judge(const json_t *jwk, size_t position)
{
    const char *why, *verdict = "no";
    char names[NAMES_MAX] = "";
    weir_jwk_t key;

    switch (weir_jwk_read(jwk, &key, &why)) {
    case WEIR_JWK_USABLE:
        if (weir_jwk_check(&key, &why)) {
            verdict = "yes";
            name_algorithms(key.algorithms, names);
        }
        weir_jwk_release(&key);
        break;
    case WEIR_JWK_OTHER:
        verdict = "left out";
        break;
    default:
        break;
    }

    return weir_alloc_check(json_pack(
        "{s:I, s:o, s:o, s:o, s:o, s:s, s:s}", "key", (json_int_t)position, "kid",
        member(jwk, "kid"), "kty", member(jwk, "kty"), "use", member(jwk, "use"), "alg",
        member(jwk, "alg"), "accepted", verdict, "for", strcmp(verdict, "yes") == 0 ? names : why));
}

static json_t *judge_all(weir_str_t text)
{
    json_t *document = weir_token_json(text, NULL);
    json_t *rows = weir_alloc_check(json_array());
    const json_t *jwk;
    size_t i;

    json_array_foreach(json_object_get(document, "keys"), i, jwk)
    {
        if (i == WEIR_JWKS_KEYS_MAX)
            break;
        json_array_append_new(rows, judge(jwk, i + 1));
    }
    json_decref(document);

    return rows;
}

weir_ctl_exit_t weir_ctl_jwks(weir_ctl_t *ctl)
{
    const char *source = ctl->args.words[0];
    bool url = strncmp(source, "https://", 8) == 0 || strncmp(source, "http://", 7) == 0;
    char why[WEIR_JWKS_WHY_MAX], error[512];
    weir_jwks_t set;
    json_t *rows;
    size_t len;
    char *text;
    bool good;

    text = url ? weir_ctl_fetch(source, &len, NULL, error, sizeof(error)) : read_file(source, &len);
    if (text == NULL && url)
        return weir_ctl_fail(WEIR_CTL_AWAY, "%s", error);
    if (text == NULL)
        return weir_ctl_fail(WEIR_CTL_USAGE, "%s cannot be read: %s", source, strerror(errno));

    rows = judge_all((weir_str_t){text, len});
    if (json_array_size(rows) > 0 || ctl->args.json)
        weir_ctl_print_rows(ctl, rows, "");
    json_decref(rows);

    good = weir_jwks_parse((weir_str_t){text, len}, &set, why);
    weir_jwks_release(&set);
    free(text);
    if (!good)
        return weir_ctl_fail(WEIR_CTL_REFUSED, "the edge refuses the set: %s", why);

    return WEIR_CTL_OK;
}
