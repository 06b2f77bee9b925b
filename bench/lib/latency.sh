# latency.sh: how long an event takes from its command's commit to its consumer's, and where that
# time goes.
#
# To be sourced after stack.sh. PostgreSQL notes when each transaction that still stands in a row's
# xmin has committed (track_commit_timestamp); the benchmark's database notes besides when the
# relay's and the consumer's transactions begin. All times are of the server's clock. A commit's
# time is noted before the disk is waited for, so that wait is part of the stage after it.
#
# shellcheck shell=bash
# shellcheck disable=SC2154

latency_prepare() {
    # begun_at is the transaction's begin. The user's row keeps the command's transaction: other
    # groups rest.
    sql "ALTER TABLE analytics_events ADD begun_at timestamptz DEFAULT now();
        ALTER TABLE outbox ADD taken_at timestamptz;
        CREATE FUNCTION bench_taken() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN NEW.taken_at := now(); RETURN NEW; END';
        CREATE TRIGGER bench_taken BEFORE UPDATE OF position ON outbox
            FOR EACH ROW EXECUTE FUNCTION bench_taken();
        CREATE FUNCTION bench_latency(since timestamptz)
        RETURNS TABLE (number int, stage text, ms float8)
        LANGUAGE sql AS \$\$
            WITH times AS MATERIALIZED (
                SELECT pg_xact_commit_timestamp(u.xmin) AS command, o.taken_at AS relay_begin,
                       pg_xact_commit_timestamp(o.xmin) AS relay, a.begun_at AS consumer_begin,
                       pg_xact_commit_timestamp(a.xmin) AS consumer
                FROM outbox o JOIN users u ON 'user:' || u.id = o.aggregate
                JOIN analytics_events a ON a.event_id = o.event_id
                WHERE o.created_at >= since
            )
            SELECT s.number, s.stage, extract(epoch FROM s.until - s.since)::float8 * 1000
            FROM times t CROSS JOIN LATERAL (VALUES
                (0, 'whole', t.command, t.consumer),
                (1, 'from the command''s commit to the relay''s begin', t.command, t.relay_begin),
                (2, 'the relay''s transaction', t.relay_begin, t.relay),
                (3, 'from the relay''s commit, through Redis, to the consumer''s begin',
                    t.relay, t.consumer_begin),
                (4, 'the consumer''s transaction', t.consumer_begin, t.consumer)
            ) s(number, stage, since, until)
        \$\$"
}

analytics_handles_at_once() {
    local begin
    begin=$(sql "SELECT clock_timestamp()")
    put_events 8
    wait_until 5 analytics_is_through || return 1
    [ "$(sql "SELECT max(ms) < 250 FROM bench_latency('$begin') WHERE number = 0")" = t ]
}

# measure_latency ROUND: at 500 signups a second.
measure_latency() {
    local begin disk
    ctl groups resume analytics >/dev/null
    # Workers know within a heartbeat; until then events wait for that, and not for what is
    # measured.
    wait_until 20 analytics_handles_at_once || die "analytics does not go on"
    pace signup "$edge_port" 500
    wait_until 60 analytics_is_through || die "analytics does not get through within 60 s"
    build/bench-fsync "$bench_run/fsync" >"$bench_run/fsync.json" &
    disk=$!
    bench_pids+=("$disk")
    begin=$(sql "SELECT clock_timestamp()")
    load signup "$edge_port" "$seconds" "$pause_ms"
    kill "$disk"
    wait "$disk" || die "bench-fsync failed"
    wait_until 60 analytics_is_through || die "analytics does not get through within 60 s"
    record "$(sql "WITH stages AS (
            SELECT number, json_build_object('stage', stage,
                'p50_ms', round((percentile_cont(0.5) WITHIN GROUP (ORDER BY ms))::numeric, 2),
                'p99_ms', round((percentile_cont(0.99) WITHIN GROUP (ORDER BY ms))::numeric, 2),
                'max_ms', round(max(ms)::numeric, 2)) AS figures
            FROM bench_latency('$begin') GROUP BY number, stage
        )
        SELECT json_build_object('kind', 'latency', 'round', $1,
            'per_second', $(jq .per_second <<<"$loaded"),
            'whole', (SELECT figures FROM stages WHERE number = 0),
            'stages', (SELECT json_agg(figures ORDER BY number) FROM stages WHERE number > 0),
            'fsync', '$(cat "$bench_run/fsync.json")'::json)")"
    ctl groups pause --all >/dev/null
}
