# options.sh: the arguments of a benchmark, and its messages.  To be sourced.
#
# The script that sources this has a function usage, and a variable for each of its options, which
# begins with the option's default.
#
# shellcheck shell=bash
# shellcheck disable=SC2154  # the variables of options

die() {
    echo "bench: $*" >&2
    exit 1
}

fail_usage() {
    echo "bench: $*" >&2
    usage >&2
    exit 2
}

# bench_options "NAME…" [ARGUMENT…]: sets the variable NAME for each "--NAME VALUE".
bench_options() {
    local names=" $1 "
    shift
    while [ $# -gt 0 ]; do
        case $1 in
        --help | -h)
            usage
            exit 0
            ;;
        esac
        [[ $1 = --* && $names = *" ${1#--} "* ]] || fail_usage "unknown option \"$1\""
        [ $# -ge 2 ] || fail_usage "$1 needs a value"
        printf -v "${1#--}" %s "$2"
        shift 2
    done
}

# bench_number OPTION VALUE MIN MAX
bench_number() {
    [[ $2 =~ ^[1-9][0-9]{0,6}$ ]] && [ "$2" -ge "$3" ] && [ "$2" -le "$4" ] && return
    fail_usage "$1 is \"$2\"; it must be a number between $3 and $4"
}

# bench_other_build: checks the value of --against, and makes it an absolute path.
bench_other_build() {
    [ -x "$against/weir" ] ||
        fail_usage "--against names \"$against\"; it must be a checkout of Weir"
    against=$(cd "$against" && pwd)
    [ "$rounds" -ge 5 ] || fail_usage "--rounds is \"$rounds\"; --against needs at least 5"
}

# bench_print NAME [KIND]: prints the report build/bench-NAME.json as text.
bench_print() {
    jq -r -f "bench/report/${2:-$1}-text.jq" "build/bench-$1.json"
    echo "bench: wrote build/bench-$1.json" >&2
}
