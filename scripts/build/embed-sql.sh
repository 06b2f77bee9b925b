#!/bin/bash
# embed-sql.sh FOLDER: prints C that contains all SQL files of that folder (OWNER/sql) as
# weir_sql_OWNER; backend/db/migrate.h explains it.
set -euo pipefail
shopt -s nullglob
export LC_ALL=C

folder=$1
name=$(basename "$(dirname "$folder")")

die() {
    echo "embed-sql.sh: $1" >&2
    exit 1
}

[[ $folder == */sql && $name =~ ^[a-z][a-z0-9_]*$ ]] ||
    die "$folder: a folder must be named OWNER/sql, where OWNER has only a-z, 0-9 and _"
[ -d "$folder" ] || die "$folder: there is no such folder"

# files LIST FILE…
files() {
    local file
    echo
    echo "static const weir_sql_file_t $1[] = {"
    for file in "${@:2}"; do
        [[ ${file##*/} =~ ^[a-zA-Z0-9_-]+\.sql$ ]] ||
            die "$file: a file's name must have only letters, digits, _ and -, and end with .sql"
        [ "$(tr -dc '\0' <"$file" | wc -c)" = 0 ] || die "$file: there is a NUL byte"
        # Each line is a string of its own; ? is escaped, because ??( would be a trigraph.
        echo "    {\"$file\", \"\""
        sed -e 's/[\\"?]/\\&/g' -e 's/\r/\\r/g' -e 's/^/     "/' -e 's/$/\\n"/' "$file"
        echo "    },"
    done
    echo "    {0},"
    echo "};"
}

mapfile -t functions < <(find "$folder/functions" -name '[!.]*.sql' 2>/dev/null | sort)

cat <<END
/* Made by scripts/build/embed-sql.sh from $folder. */
#include "db/migrate.h"
END
files migrations "$folder"/*.sql
files functions "${functions[@]}"
cat <<END

extern const weir_sql_line_t weir_sql_$name;

const weir_sql_line_t weir_sql_$name = {"$name", "$folder", migrations, functions};
END
