#!/bin/bash
# token.sh token [--sub SUBJECT] [--scope SCOPES] [--ttl SECONDS]: prints a token for a client of a
# stack with WEIR_IDENTITY=1. token.sh curl [the same] ARG…: runs curl with it; an ARG that begins
# with "/" is a path of the edge.
set -euo pipefail
# shellcheck source=scripts/stack/lib.sh
. "$(dirname "$0")/stack/lib.sh"
# shellcheck source=scripts/stack/identity.sh
. "$(dirname "$0")/stack/identity.sh"

command=$1
shift
subject=operator scopes=$(basename "$domain"):admin seconds=3600
while [ $# -gt 0 ]; do
    case $1 in
    --sub | --scope | --ttl)
        [ $# -ge 2 ] || wrong "$command: $1 needs a value"
        case $1 in
        --sub) subject=$2 ;;
        --scope) scopes=$2 ;;
        --ttl) seconds=$2 ;;
        esac
        shift 2
        ;;
    *) break ;;
    esac
done
[[ $seconds =~ ^[1-9][0-9]{0,8}$ ]] ||
    wrong "$command: --ttl is \"$seconds\"; it must be a number of seconds"

if [ "$command" = token ]; then
    [ $# -eq 0 ] || wrong "token: there is no option \"$1\"; there are --sub, --scope and --ttl"
    client_token "$subject" "$scopes" "$seconds"
    exit
fi

arguments=()
for argument in "$@"; do
    [[ $argument != /* ]] || argument=http://127.0.0.1:$edge_port$argument
    arguments+=("$argument")
done
[ ${#arguments[@]} -gt 0 ] || wrong "curl: a path such as /products is missing"
# The token is in a file that curl reads, not in its arguments, which all users can see.
exec curl -H @<(printf 'Authorization: Bearer %s\n' \
    "$(client_token "$subject" "$scopes" "$seconds")") "${arguments[@]}"
