#!/bin/bash
# embed-template.sh FOLDER: prints C that contains all files of that folder as weir_ctl_template;
# see backend/ctl/new-domain/new_domain.h. Sources there are named NAME.c.in and so on, so that no
# tool treats them as sources of Weir.
set -euo pipefail
export LC_ALL=C

cat <<END
/* Made by scripts/build/embed-template.sh from $1. */
#include "ctl/new-domain/new_domain.h"

const weir_ctl_file_t weir_ctl_template[] = {
END
while read -r file; do
    path=$file
    [[ $file != *.[cht].in ]] || path=${file%.in}
    echo "    {\"$path\", \"\""
    # Each line is a string of its own; ? is escaped, because ??( would be a trigraph.
    sed -e 's/[\\"?]/\\&/g' -e 's/^/     "/' -e 's/$/\\n"/' "$1/$file"
    echo "    },"
done < <(cd "$1" && find . -type f -name '[!.]*' -printf '%P\n' | sort)
echo "    {0},"
echo "};"
