#!/bin/bash
# embed-page.sh FOLDER: prints C that contains the page of weir_dashboard, and its
# Content-Security-Policy: FOLDER/page.html with style.css and all *.js in the place of the lines
# @STYLE@ and @SCRIPT@. config.make calls it.
#
# The policy names style and script by their SHA-256, over all bytes between the tags.
set -euo pipefail
export LC_ALL=C

folder=$1

# between FILE…: the files as they are between two tags.
between() {
    echo
    cat "$@"
}

sha256() {
    local hex
    hex=$(sha256sum | cut -c 1-64)
    # shellcheck disable=SC2059  # the format is the bytes
    printf "${hex//??/\\x&}" | base64 -w 0
}

style=("$folder"/style.css)
script=("$folder"/*.js)

! grep -nE '</(script|style)' "${style[@]}" "${script[@]}" >&2 || {
    echo "embed-page.sh: a file above ends its own tag" >&2
    exit 1
}

policy="default-src 'none'; script-src 'sha256-$(between "${script[@]}" | sha256)'"
policy+="; style-src 'sha256-$(between "${style[@]}" | sha256)'; img-src data:; connect-src 'self'"
policy+="; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
policy+="; require-trusted-types-for 'script'; trusted-types 'none'"

cat <<END
/* Made by scripts/build/embed-page.sh from ${folder##*/ngx_module/}. */
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "dashboard/ngx_http_weir_dashboard.h"

const char ngx_http_weir_dashboard_policy[] =
    "$policy";

const u_char ngx_http_weir_dashboard_page[] = {
END
while IFS= read -r line; do
    case $line in
    @STYLE@) printf '<style>' && between "${style[@]}" && echo '</style>' ;;
    @SCRIPT@) printf '<script>' && between "${script[@]}" && echo '</script>' ;;
    *) printf '%s\n' "$line" ;;
    esac
done <"$folder/page.html" | od -An -v -tu1 | sed 's/ *\([0-9][0-9]*\)/\1,/g'
cat <<END
};

const size_t ngx_http_weir_dashboard_page_len = sizeof(ngx_http_weir_dashboard_page);
END
