// needs: backend/tls/names.c
/*
 * The list of allowed names, and names of certificates, on any bytes: a line of the list, a line
 * feed, and names with line feeds between them. A name that is accepted is checked by a second,
 * slower definition.
 */
#include "tls/names.h"
#include "budget.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const budget_t budget = {20000, 40, 65536, 8};

/* No byte that could mean something else elsewhere. */
static void check_bytes(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++)
        assert(name[i] > ' ' && name[i] <= '~' && strchr("%*?#@\\:", name[i]) == NULL);
}

static void check_uri(const weir_tls_names_t *names, const char *uri, size_t len)
{
    bool found = false;

    assert(len > 9 && memcmp(uri, "spiffe://", 9) == 0);
    check_bytes(uri + 9, len - 9);
    for (size_t i = 9; i < len; i++)
        assert(uri[i] != '/' || (i + 1 < len && uri[i + 1] != '/'));
    for (size_t i = 0; i < names->n; i++) {
        const weir_tls_name_t *n = &names->of[i];

        if (n->is_uri && len >= n->len && memcmp(uri, n->text, n->len) == 0 &&
            (len == n->len ? !n->is_prefix : n->is_prefix && n->text[n->len - 1] == '/'))
            found = true;
    }
    assert(found);
}

static void check_dns(const weir_tls_names_t *names, const char *host, size_t len)
{
    bool found = false;

    check_bytes(host, len);
    for (size_t i = 0; i < names->n; i++)
        found = found || (!names->of[i].is_uri && names->of[i].len == len &&
                          strncasecmp(names->of[i].text, host, len) == 0);
    assert(found);
}

static void check_name(const weir_tls_names_t *names, const char *from, size_t len)
{
    char *name = malloc(len ? len : 1);

    assert(name != NULL);
    if (len)
        memcpy(name, from, len);
    if (weir_tls_names_have_uri(names, name, len))
        check_uri(names, name, len);
    if (weir_tls_names_have_dns(names, name, len))
        check_dns(names, name, len);
    free(name);
}

/* Every name of the list, but no prefix, is accepted itself. */
static void check_list(const weir_tls_names_t *names)
{
    assert(names->n > 0 && names->n <= WEIR_TLS_NAMES_MAX);
    for (size_t i = 0; i < names->n; i++) {
        const weir_tls_name_t *n = &names->of[i];

        if (n->is_uri)
            assert(weir_tls_names_have_uri(names, n->text, n->len) == !n->is_prefix ||
                   n->is_prefix);
        else
            assert(weir_tls_names_have_dns(names, n->text, n->len));
    }
}

static void run(const uint8_t *data, size_t size)
{
    const char *s = (const char *)data, *end = s + size, *line, *wrong;
    weir_tls_names_t names;
    size_t len;
    char *list;

    line = memchr(s, '\n', size);
    if (line == NULL)
        return;
    list = malloc((size_t)(line - s) + 1);
    assert(list != NULL);
    memcpy(list, s, (size_t)(line - s));
    list[line - s] = '\0';
    if (weir_tls_names_read(&names, list, &wrong, &len) != NULL) {
        assert(wrong >= list && wrong + len <= list + strlen(list));
        free(list);
        return;
    }
    check_list(&names);
    for (s = line + 1; s < end; s = line + 1) {
        line = memchr(s, '\n', (size_t)(end - s));
        if (line == NULL)
            line = end;
        check_name(&names, s, (size_t)(line - s));
    }
    free(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0)
        budget_check(run, data, size, &budget);
    return 0;
}
