#include "db/summary.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static size_t word(const char *text, char out[WEIR_DB_WORD_MAX + 1])
{
    size_t n = 0;

    while (n < WEIR_DB_WORD_MAX && (isalnum((unsigned char)text[n]) || text[n] == '_'))
        n++;
    memcpy(out, text, n);
    out[n] = '\0';

    return n;
}

/* The function that the text calls first; empty if it begins with none. */
static void first_call(const char *text, char out[WEIR_DB_WORD_MAX + 1])
{
    text += strspn(text, " ");
    if (text[word(text, out)] != '(')
        out[0] = '\0';
}

void weir_db_summarize(const char *sql, weir_db_summary_t *s)
{
    const char *from = strcasestr(sql, " FROM ");
    size_t n = word(sql, s->operation);

    for (char *p = s->operation; *p != '\0'; p++)
        *p = (char)toupper((unsigned char)*p);
    first_call(from != NULL ? from + 6 : sql + n, s->procedure);
    snprintf(s->text, sizeof(s->text), "%s%s%s", s->operation, s->procedure[0] != '\0' ? " " : "",
             s->procedure);
}
