#include "ctl/ctl.h"

#include "ctl/text.h"
#include "log/alloc.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 32

weir_ctl_exit_t weir_ctl_fail(weir_ctl_exit_t code, const char *format, ...)
{
    char text[2048];
    size_t len;
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);

    len = strlen(text);
    while (len > 0 && text[len - 1] == '\n')
        text[--len] = '\0';
    fflush(stdout);
    fputs("weirctl: ", stderr);
    for (char *line = text, *end; line != NULL; line = end) {
        end = strchr(line, '\n');
        if (end != NULL)
            *end++ = '\0';
        weir_ctl_make_safe(line, false);
        fprintf(stderr, "%s\n", line);
    }

    return code;
}

/* The text of a value for tables, which the caller frees. */
static char *text_of(const json_t *value)
{
    char *text;

    if (value == NULL || json_is_null(value))
        text = weir_alloc_text("-");
    else if (json_is_string(value))
        text = weir_alloc_text(json_string_value(value));
    else
        text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));

    weir_ctl_make_safe(text, false);

    return text;
}

/* Aligns numbers to the right and other values to the left; no blanks after the last column. */
static void print_cell(const char *text, int width, bool right, bool last)
{
    int pad = width > weir_ctl_width(text) ? width - weir_ctl_width(text) : 0;

    if (right)
        printf("%*s", pad, "");
    fputs(text, stdout);
    if (!last)
        printf("%*s", right ? 2 : pad + 2, "");
}

static void print_head(const char *name, int width, bool right, bool last)
{
    char upper[64];
    size_t n = 0;

    for (; n < sizeof(upper) - 1 && name[n] != '\0'; n++)
        upper[n] = name[n] == '_' ? ' ' : (char)toupper((unsigned char)name[n]);
    upper[n] = '\0';
    weir_ctl_make_safe(upper, false);
    print_cell(upper, width, right, last);
}

static void print_table(const json_t *rows)
{
    json_t *first = json_array_get(rows, 0), *row, *value;
    int widths[COLUMNS_MAX], n = 0, i;
    bool right[COLUMNS_MAX];
    const char *name;
    size_t at;

    json_object_foreach(first, name, value)
    {
        if (n == COLUMNS_MAX)
            break;
        widths[n] = weir_ctl_width(name);
        right[n] = true;
        json_array_foreach(rows, at, row)
        {
            char *text = text_of(json_object_get(row, name));

            widths[n] = weir_ctl_width(text) > widths[n] ? weir_ctl_width(text) : widths[n];
            right[n] = right[n] && !json_is_string(json_object_get(row, name));
            free(text);
        }
        n++;
    }

    i = 0;
    json_object_foreach(first, name, value)
    {
        if (i < n)
            print_head(name, widths[i], right[i], i == n - 1);
        i++;
    }
    putchar('\n');

    json_array_foreach(rows, at, row)
    {
        i = 0;
        json_object_foreach(first, name, value)
        {
            char *text = text_of(json_object_get(row, name));

            if (i < n)
                print_cell(text, widths[i], right[i], i == n - 1);
            free(text);
            i++;
        }
        putchar('\n');
    }
}

static void print_json(const json_t *value)
{
    char *text = weir_alloc_check(json_dumps(value, JSON_INDENT(2) | JSON_REAL_PRECISION(6)));

    puts(text);
    free(text);
}

void weir_ctl_print_rows(const weir_ctl_t *ctl, const json_t *rows, const char *none)
{
    if (ctl->args.json)
        print_json(rows);
    else if (json_array_size(rows) == 0)
        puts(none);
    else
        print_table(rows);
}

void weir_ctl_print_object(const weir_ctl_t *ctl, const json_t *object)
{
    const char *name;
    json_t *value;
    int width = 0;

    if (ctl->args.json) {
        print_json(object);
        return;
    }

    json_object_foreach((json_t *)object, name, value)
    {
        width = weir_ctl_width(name) > width ? weir_ctl_width(name) : width;
    }
    json_object_foreach((json_t *)object, name, value)
    {
        char *text;

        if (json_is_array(value)) {
            putchar('\n');
            if (json_array_size(value) > 0)
                print_table(value);
            continue;
        }
        text = text_of(value);
        printf("%-*s  %s\n", width, name, text);
        free(text);
    }
}

/* Nobody reads what follows when this cannot be written; main() has it told at exit. */
static void end_line(void)
{
    if (fflush(stdout) != 0)
        exit(WEIR_CTL_AWAY);
}

void weir_ctl_print_line(const json_t *value)
{
    char *text = weir_alloc_check(json_dumps(value, JSON_COMPACT));

    puts(text);
    free(text);
    end_line();
}

void weir_ctl_print_columns(const json_t *row, const int *widths)
{
    const char *name;
    json_t *value;
    size_t left = json_object_size(row);

    json_object_foreach((json_t *)row, name, value)
    {
        char *text = text_of(value);

        print_cell(text, *widths++, false, --left == 0);
        free(text);
    }
    putchar('\n');
    end_line();
}
