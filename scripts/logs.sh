#!/bin/bash
# logs.sh [SERVICE…] [-f]: prints the end of the logs, and with -f new lines.
set -euo pipefail
# shellcheck source=scripts/stack/lib.sh
. "$(dirname "$0")/stack/lib.sh"

follow=() files=()
for argument in "$@"; do
    case $argument in
    -f) follow=(-f) ;;
    nginx) files+=(nginx.log access.log) ;;
    *)
        known=" ${services[*]} migrate "
        [[ $known == *" $argument "* ]] || wrong "logs: no service \"$argument\"; there are:$known"
        files+=("$argument.log")
        ;;
    esac
done

[ -d "$run/logs" ] || die "there are no logs in $run" "./weir up starts the stack"
cd "$run/logs"
if [ ${#files[@]} -eq 0 ]; then files=(*.log); fi
for file in "${files[@]}"; do
    [ -e "$file" ] || die "logs: $run/logs/$file does not exist yet" "./weir up starts the stack"
done
exec tail -n 30 "${follow[@]}" "${files[@]}"
