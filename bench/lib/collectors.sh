# collectors.sh: collectors of spans, as the edges of observe.sh and p99.sh meet them.
#
# To be sourced after processes.sh.
#
# shellcheck shell=bash
# shellcheck disable=SC2154  # processes.sh sets them

# bench_start_collectors: "collector" takes everything; with /busy before the path it answers 503,
# with /partial it rejects three spans of each request. "hung-collector" accepts and is silent, and
# nobody listens at the port of "gone-collector".
bench_start_collectors() {
    printf '\x0a\x02\x08\x03' >"$bench_dir/files/rejected"
    bench_start_nginx collector
    bench_take_port hung-collector
    perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(Listen => 128,
        LocalAddr => "127.0.0.1:$ARGV[0]") or die; sleep' "${bench_port[hung-collector]}" &
    bench_pids+=($!)
    bench_take_port gone-collector
}
