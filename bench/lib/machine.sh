# shellcheck shell=bash
# machine.sh: what else goes on where a benchmark runs.  To be sourced.

# The share of the whole machine that is busy during half a second.
bench_machine_busy() {
    {
        head -1 /proc/stat
        sleep 0.5
        head -1 /proc/stat
    } | awk '{ all = 0; for (i = 2; i <= 9; i++) all += $i; idle = $5 + $6 }
        NR == 1 { a = all; d = idle }
        NR == 2 { printf "%.3f\n", (all > a) ? 1 - (idle - d) / (all - a) : 0 }'
}
