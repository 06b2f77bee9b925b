#!/bin/bash
# demo.sh: shows on the running stack what Weir does, and checks each claim.
# Exit code 1 if a claim does not hold.
#
# It kills the backend and Redis with SIGKILL, empties Redis, and starts both
# again.  Each run creates new users.
#
# shellcheck disable=SC2317  # claim and wait_until call their arguments
set -euo pipefail
# shellcheck source=scripts/stack/services.sh
. "$(dirname "$0")/stack/services.sh"

help="plays the story on the running stack: it kills the backend and Redis (kill -9) and deletes"
help+=" Redis' files"
no_arguments demo "$help" "$@"

[ "$domain" = backend/shop ] ||
    die "demo plays the story of the shop; this stack has the domain $domain"

edge=http://127.0.0.1:$edge_port
name=demo-$(date +%s)-$$
broken=0

# --- output --------------------------------------------------------------------

chapter() { printf '\n%s\n' "$1"; }
say() { printf '     %s\n' "$@"; }

# claim TEXT COMMAND…: holds if the command succeeds.
claim() {
    if "${@:2}"; then
        printf '  ok %s\n' "$1"
    else
        printf '  NOT TRUE: %s\n' "$1"
        broken=1
    fi
}

# --- requests --------------------------------------------------------------------

# sign_up FROM TO: signs up those users, in parallel; a line "status" for each, responses in $work.
sign_up() {
    local i
    for ((i = $1; i <= $2; i++)); do
        [ "$i" = "$1" ] || echo next
        cat <<END
silent
url = "$edge/signup"
header = "Content-Type: application/json"
data = "{\"email\":\"$name-$i@example.com\",\"displayName\":\"Demo $i\"}"
output = "$work/user-$i"
write-out = "%{http_code}\n"
END
    done >"$work/signups"
    curl --no-progress-meter --parallel --parallel-max 20 -K "$work/signups"
}

# effects: "users active billing analytics flags mails recipients" of this run.
effects() {
    local mails
    stack_psql -qAtX -F ' ' <<END | tr '\n' ' '
WITH mine AS (SELECT id, status FROM users WHERE email LIKE '$name-%')
SELECT (SELECT count(*) FROM mine),
       (SELECT count(*) FROM mine WHERE status = 'ACTIVE'),
       (SELECT count(*) FROM billing_profiles WHERE user_id IN (SELECT id FROM mine)),
       (SELECT count(*) FROM analytics_events WHERE subject IN (SELECT 'user:' || id FROM mine)),
       (SELECT count(DISTINCT user_id) FROM feature_flags WHERE user_id IN (SELECT id FROM mine))
END
    mails=$(find "$home/mail/new" -type f -newer "$work/start" \
        -exec grep -ih "^X-RcptTo: $name-" {} + || true)
    echo "$(grep -c . <<<"$mails" || true) $(sort -u <<<"$mails" | grep -c . || true)"
}

everything_happened() {
    [ "$(effects)" = "$1 $1 $1 $1 $1 $1 $1" ]
}

show_effects() {
    local users active billing analytics flags mails recipients
    read -r users active billing analytics flags mails recipients <<<"$(effects)"
    say "$users users, $active of them ACTIVE" "$mails e-mails to $recipients recipients" \
        "$billing billing profiles, $analytics analytics rows, $flags sets of flags"
}

# as_operator ARGUMENT…: curl with an operator's token, if the stack asks for one; it is in a file,
# because all users can see arguments.
as_operator() {
    curl -H "@$work/operator" "$@"
}

# get PATH [CURL ARGUMENT…]: prints headers and body, without carriage returns.
get() {
    curl -si -m 10 "$edge$1" "${@:2}" | tr -d '\r'
}

show_answer() {
    grep -iE '^(HTTP|Content-Type|Cache-Status|Age|Deprecation|Sunset|Link)|^\{' <<<"$1" |
        sed 's/^/     | /'
}

header() { grep -iqE "^$2" <<<"$1"; }

# ask COUNT AGENT: sends requests that no cache can answer; a line "status seconds" for each.
ask() {
    as_operator -s -m 60 -A "$2" -o /dev/null -w '%{http_code} %{time_total}\n' \
        "$edge/users/00000000-0000-7000-8000-[000000000001-$(printf '%012d' "$1")]"
}

# logged AGENT CONDITION: the number of requests in the edge's access log (jq's condition).
logged() {
    grep -F "\"$1\"" "$run/logs/access.log" | jq -s "map(select($2)) | length"
}

all_logged() { [ "$(logged "$1" true)" = "$2" ]; }
equal() { [ "$1" = "$2" ]; }

# codes_of FILE: how many answers had which status, as "20 404", of lines that begin with it.
codes_of() { cut -d ' ' -f 1 "$1" | sort | uniq -c | xargs; }
at_most() { [ "$1" -le "$2" ]; }

# --- the story ---------------------------------------------------------------------

chapter_signups() {
    chapter "100 signups through the edge; four consumers wait for each"
    sign_up 1 100 >"$work/codes"
    claim "every signup is answered with 201" equal "$(codes_of "$work/codes")" "100 201"
    wait_until 30 everything_happened 100 || true
    show_effects
    claim "each has had its e-mail, billing profile, analytics row and flags, once" \
        everything_happened 100
}

read_is_hit() {
    second=$(get "/products/$product")
    header "$second" 'Cache-Status: .*hit'
}

chapter_cache() {
    local first second
    product=01900000-0000-7000-8000-000000000001
    chapter "A product is read twice after a change: the second answer comes from the cache"
    as_operator -s -m 10 -X PUT "$edge/products/$product" -H 'Content-Type: application/json' \
        -d '{"name":"Anchor","price":4900,"currency":"EUR"}' >/dev/null
    first=$(get "/products/$product")
    show_answer "$first"
    wait_until 2 read_is_hit || true
    show_answer "$second"
    claim "the first was a miss" header "$first" 'Cache-Status: .*fwd'
    claim "the second was a hit" header "$second" 'Cache-Status: .*hit'
}

chapter_versions() {
    local v1 v2
    user=$(jq -r .id "$work/user-1")
    chapter "One user as version 1 and version 2"
    v1=$(get "/users/$user" -H "@$work/operator" -H 'Accept: application/vnd.shop.v1+json')
    v2=$(get "/users/$user" -H "@$work/operator" -H 'Accept: application/vnd.shop.v2+json')
    show_answer "$v1"
    show_answer "$v2"
    claim "version 1 has name and no displayName" \
        equal "$(tail -1 <<<"$v1" | jq -c '[has("name"), has("displayName")]')" "[true,false]"
    claim "version 2 has both" \
        equal "$(tail -1 <<<"$v2" | jq -c '[has("name"), has("displayName")]')" "[true,true]"
    claim "version 1 announces its end" header "$v1" 'Deprecation: @[0-9]+'
    claim "and when" header "$v1" 'Sunset: '
    claim "version 2 does not" equal "$(grep -icE '^(Deprecation|Sunset):' <<<"$v2" || true)" 0
}

chapter_breaker() {
    local failures
    chapter "The backend is killed (kill -9)"
    kill -KILL "$(pid_of backend)"
    wait_until 5 gone backend || true

    ask 20 "$name-opening" >"$work/opening"
    say "$(cut -d ' ' -f 1 "$work/opening" | xargs)"
    failures=$(grep -vc '^503' "$work/opening" || true)
    claim "at most 5 requests failed before the breaker opened" at_most "$failures" 5

    ask 200 "$name-open" >"$work/open"
    say "$(cut -d ' ' -f 2 "$work/open" | sort -n | awk '
        { ms[NR] = $1 * 1000 }
        END {
            printf "200 more: median %.3f ms, 99th percentile %.3f ms\n",
                ms[int((NR + 1) / 2)], ms[int(NR * 0.99)]
        }')"
    claim "all of them are 503" equal "$(grep -c '^503' "$work/open" || true)" 200
    wait_until 5 all_logged "$name-open" 200 || true
    claim "none touched the upstream (the access log names none)" \
        equal "$(logged "$name-open" '.upstream == ""')" 200

    chapter "It is started again"
    ensure_service backend
    wait_until 20 through_the_edge || true
    claim "the breaker has closed by itself" through_the_edge
    ask 20 "$name-closed" >"$work/closed"
    claim "and lets everything through" equal "$(codes_of "$work/closed")" "20 404"
}

through_the_edge() {
    [ "$(curl -s -m 5 -o /dev/null -w '%{http_code}' "$edge/health")" = 200 ]
}

chapter_redis() {
    chapter "Redis is killed (kill -9); people go on"
    kill -KILL "$(pid_of redis)"
    wait_until 5 gone redis || true
    sign_up 101 120 >"$work/codes"
    claim "20 signups are answered with 201" equal "$(codes_of "$work/codes")" "20 201"
    claim "reads go on, from the backend" \
        header "$(get "/users/$(jq -r .id "$work/user-120")" -H "@$work/operator")" 'HTTP/1.1 200'
    say "the outbox holds the events: $(stack_psql -qAtX -c "SELECT count(*) FROM users
        WHERE email LIKE '$name-%' AND status = 'PENDING'") users wait to become ACTIVE"

    chapter "It is started again, and empty: its files are gone"
    rm -rf "$home/redis"
    ensure_service redis
    wait_until 45 everything_happened 120 || true
    show_effects
    claim "every event has arrived, and nothing has happened twice" everything_happened 120
}

own_run_folder
choose_places
for service in "${services[@]}"; do
    [ "$(state_of "$service")" = up ] ||
        die "$service is not up" "./weir up starts what is missing, ./weir status shows all"
done
work=$(mktemp -d /tmp/weir-demo.XXXXXX)
trap 'rm -rf "$work"' EXIT
touch "$work/start"
[ "$identity" = 0 ] || token=$(operator_token 3600)
echo "${token:+Authorization: Bearer $token}" >"$work/operator"

chapter_signups
chapter_cache
chapter_versions
chapter_breaker
chapter_redis

if [ $broken = 0 ]; then
    chapter "All of it holds, after $SECONDS seconds."
else
    chapter "Something does not hold, see above; ./weir logs tells more."
fi
exit $broken
