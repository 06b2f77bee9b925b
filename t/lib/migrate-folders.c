/*
 * migrate-folders CONNINFO FOLDER...: what `weir-backend migrate` does, with the SQL of these
 * folders (OWNER/sql) instead of the SQL that is compiled into weir-backend.  For tests of
 * migrations that fail, and of engines with another domain or none.
 */
#include "db/migrate.h"
#include "log/log.h"

#include <err.h>
#include <ftw.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LINES 8
#define MAX_FILES 128

static struct {
    weir_sql_file_t files[MAX_FILES + 1];
    int n;
} found[2 * MAX_LINES]; /* migrations and functions of each line in turn */

static int current;

static char *read_text(const char *path)
{
    FILE *f = fopen(path, "r");
    char *text = NULL;
    size_t size = 0;

    if (f == NULL)
        err(2, "%s", path);
    if (getdelim(&text, &size, '\0', f) < 0 && ferror(f))
        err(2, "%s", path);
    fclose(f);

    return text != NULL ? text : strdup("");
}

static int add(const char *path, const struct stat *info, int type, struct FTW *where)
{
    const char *name = path + where->base;
    size_t len = strlen(name);
    int place = current + (strstr(path, "/functions/") != NULL);

    (void)info;
    if (type != FTW_F || *name == '.' || len < 5 || strcmp(name + len - 4, ".sql") != 0)
        return 0;
    if (found[place].n == MAX_FILES)
        errx(2, "%s: more than %d files", path, MAX_FILES);
    found[place].files[found[place].n++] = (weir_sql_file_t){strdup(path), read_text(path)};

    return 0;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const weir_sql_file_t *)a)->path, ((const weir_sql_file_t *)b)->path);
}

int main(int argc, char **argv)
{
    static weir_sql_line_t lines[MAX_LINES];
    const weir_sql_line_t *order[MAX_LINES + 1] = {0};
    char error[1024];

    if (argc < 3 || argc > MAX_LINES + 2)
        errx(2, "usage: migrate-folders CONNINFO FOLDER...");
    for (int i = 2; i < argc; i++) {
        current = 2 * (i - 2);
        if (nftw(argv[i], add, 8, FTW_PHYS) != 0)
            err(2, "%s", argv[i]);
        for (int k = current; k < current + 2; k++)
            qsort(found[k].files, (size_t)found[k].n, sizeof(found[k].files[0]), by_path);
        lines[i - 2] = (weir_sql_line_t){basename(dirname(strdup(argv[i]))), argv[i],
                                         found[current].files, found[current + 1].files};
        order[i - 2] = &lines[i - 2];
    }

    if (!weir_migrate(argv[1], order, error, sizeof(error)))
        errx(1, "%s", error);

    return 0;
}
