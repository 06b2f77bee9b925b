#!/bin/bash
# token.sh token [--sub SUBJECT] [--scope SCOPES] [--ttl SECONDS]: prints a token for a client of
# the stack. token.sh curl [the same] ARG…: runs curl with it, and with the operator's certificate;
# an ARG that begins with "/" is a path of the edge. token.sh dashboard: prints the address at which
# a browser gets an operator's cookie.
set -euo pipefail
# shellcheck source=scripts/stack/lib.sh
. "$(dirname "$0")/stack/lib.sh"
choose_places

command=$1
shift
subject=operator scopes=$(operators_scope) seconds=3600
[ "$command" != dashboard ] || seconds=43200
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

case $command in
token)
    [ $# -eq 0 ] || wrong "token: there is no option \"$1\"; there are --sub, --scope and --ttl"
    client_token "$subject" "$scopes" "$seconds"
    exit
    ;;
dashboard)
    [ $# -eq 0 ] || wrong "dashboard: there is no option \"$1\"; there are --sub, --scope and --ttl"
    if [ "$identity" = 0 ]; then
        echo "http://127.0.0.1:$operators_port/"
    else
        token=$(client_token "$subject" "$scopes" "$seconds")
        echo "http://127.0.0.1:$operators_port/enter?token=$token"
    fi
    exit
    ;;
esac

# The token goes to the edge alone, and the cookie to its server for operators.
arguments=() ours=
for argument in "$@"; do
    [[ $argument != /* ]] || argument=http://127.0.0.1:$edge_port$argument
    [[ ! $argument =~ ^http://(127.0.0.1|localhost):($edge_port|$operators_port)(/|$) ]] || ours=1
    arguments+=("$argument")
done
[ ${#arguments[@]} -gt 0 ] || wrong "curl: a path such as /products is missing"
if [ -z "$ours" ] || [ "$identity" = 0 ]; then
    curl_as ctl "${arguments[@]}"
    exit
fi
# The token is in a file that curl reads, not in its arguments, which all users can see.
token=$(client_token "$subject" "$scopes" "$seconds")
curl_as ctl -H @<(printf 'Authorization: Bearer %s\nCookie: weir_operator_%s=%s\n' \
    "$token" "$operators_port" "$token") "${arguments[@]}"
