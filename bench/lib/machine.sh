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

# CPU time of the process $1 in µs (user and system, all its threads); 0 without one.
bench_cpu() {
    [ -n "${1:-}" ] || { echo 0; return; }
    awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print ($12 + $13) * 1000000 / hz }' \
        "/proc/$1/stat"
}

# The same of the process $1, all that descend from it, and those of its children that have ended.
bench_cpu_of_all() {
    cat /proc/[0-9]*/stat 2>/dev/null | awk -v root="$1" -v hz="$(getconf CLK_TCK)" '
        function is_inside(pid) {
            while (pid > 1 && pid != root)
                pid = parent[pid]
            return pid == root
        }
        {
            pid = $1
            sub(/.*\) /, "")
            parent[pid] = $2
            ticks[pid] = $12 + $13 + $14 + $15
        }
        END {
            for (pid in ticks)
                if (is_inside(pid))
                    sum += ticks[pid]
            printf "%.0f\n", sum * 1000000 / hz
        }'
}

# What every report says of the machine and of this build.
bench_machine() {
    jq -n --arg date "$(date -u +%Y-%m-%dT%H:%M:%SZ)" --argjson cores "$(nproc)" \
        --arg cpu "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)" \
        --arg kernel "$(uname -sr)" --arg weir "$(bench_commit .)" '$ARGS.named'
}

# bench_commit FOLDER: the name of the commit of a checkout.
bench_commit() {
    git -C "$1" describe --always --dirty 2>/dev/null || echo unknown
}
