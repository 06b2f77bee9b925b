/*
 * Text of others on a terminal: names in events, spans and documents may contain anything.
 */
#ifndef WEIR_CTL_TEXT_H
#define WEIR_CTL_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Replaces what could change the terminal or the order of characters, by "?": control characters,
 * also those of C1 (U+009B begins a command, as ESC [ does), bidirectional and invisible formatting
 * characters, ends of lines (U+2028, U+2029), and bytes that are not UTF-8. The text never becomes
 * longer. With ascii, all other characters than ASCII become "?", too.
 */
void weir_ctl_make_safe(char *text, bool ascii);

/* Columns that a safe text takes on a terminal: a wide character two, a combining one none. */
int weir_ctl_width(const char *text);

/* The length in bytes of what fits into so many columns. */
size_t weir_ctl_fit(const char *text, int columns);

#endif
