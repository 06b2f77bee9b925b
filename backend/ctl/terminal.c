#include "ctl/terminal.h"

#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define COLUMNS 100
#define ROWS 40
#define AT_MOST 1000

static int from_environment(const char *name, int otherwise)
{
    const char *text = getenv(name);
    long n = text != NULL ? strtol(text, NULL, 10) : 0;

    return n > 0 && n <= AT_MOST ? (int)n : otherwise;
}

int weir_ctl_columns(void)
{
    struct winsize size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col < AT_MOST ? size.ws_col : AT_MOST;

    return from_environment("COLUMNS", COLUMNS);
}

int weir_ctl_rows_shown(void)
{
    struct winsize size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0)
        return size.ws_row < AT_MOST ? size.ws_row : AT_MOST;

    return from_environment("LINES", ROWS);
}

bool weir_ctl_takes_utf8(void)
{
    return isatty(STDOUT_FILENO) && setlocale(LC_CTYPE, "") != NULL &&
           strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}
