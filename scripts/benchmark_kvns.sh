#!/usr/bin/env bash
# Measures kvns, its lock-sharded baseline and, where it is installed, redis-server side by side.
#
# Profiles: SET and GET, direct and pipelined, from 8 threads with 20 connections each, values of 256 bytes; with
# memtier_benchmark where it is installed, else with redis-benchmark in the same shape. The servers take turns, forth
# and back, so that drift of the machine hits all alike; the table shows medians and, in parentheses, least and most.
# Then the stall scenario: SETs from 50 connections without a pipeline on 200k keys, with a snapshot every two seconds
# and without any.
#
# The figure to trust is the server's CPU time per operation: the load generator shares the machine, so throughput says
# as much about it as about the server.
#
# Arguments: which servers to measure (default kvns sharded redis-server).
# Variables: BENCH_BINARY   the kvns to measure (default target/release/kvns)
#            BENCH_DIR      where logs, raw output, the table and the plot go (default a new folder in the temp directory)
#            BENCH_REPS     repetitions of each profile (default 3)
#            BENCH_SCALE    percent of the usual number of requests (default 100)
#            BENCH_KEYS     different keys (default 100000)
#            BENCH_PIPELINE commands in a pipeline (default 16)
#            BENCH_STALL    0 leaves the stall scenario out (default 1)
set -euo pipefail
cd "$(dirname "$0")/.."

threads=8
connections=20
value_bytes=256
stall_keys=200000
stall_connections=50
stall_interval=2
binary=${BENCH_BINARY:-target/release/kvns}
reps=${BENCH_REPS:-3}
scale=${BENCH_SCALE:-100}
keys=${BENCH_KEYS:-100000}
pipeline=${BENCH_PIPELINE:-16}
# Operation and pipeline depth of each profile.
profiles=("SET 1" "GET 1" "SET $pipeline" "GET $pipeline")

die() {
    echo "benchmark: $*" >&2
    exit 1
}

for tool in redis-benchmark redis-cli python3; do
    command -v "$tool" >/dev/null || die "$tool is missing (redis-benchmark and redis-cli: package redis-tools or redis)"
done
[[ -x $binary ]] || die "$binary is missing: run 'make release'"
[[ -r /proc/self/stat ]] || die "needs Linux's /proc"
generator=redis-benchmark
if command -v memtier_benchmark >/dev/null; then
    generator=memtier_benchmark
fi

servers=("$@")
if ((${#servers[@]} == 0)); then
    servers=(kvns sharded)
    if command -v redis-server >/dev/null; then
        servers+=(redis-server)
    else
        echo "benchmark: redis-server is not installed; measuring without it"
    fi
fi

dir=${BENCH_DIR:-}
if [[ -z $dir ]]; then
    dir=$(mktemp -d "${TMPDIR:-/tmp}/kvns-bench-XXXXXX")
fi
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
echo "benchmark: artifacts in $dir"
results=$dir/results.csv
echo "server,profile,repetition,ops_per_second,cpu_us_per_op,p50_ms,p99_ms,max_ms" >"$results"

declare -A pid_of port_of

stop_servers() {
    local server
    for server in "${!pid_of[@]}"; do
        kill "${pid_of[$server]}" 2>/dev/null || true
        wait "${pid_of[$server]}" 2>/dev/null || true
        unset "pid_of[$server]"
    done
}
trap stop_servers EXIT

# Prints a port that nobody listens on.
free_port() {
    local port
    while :; do
        port=$((10000 + RANDOM % 20000))
        if ! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
}

# start SERVER INTERVAL: starts a server that takes a snapshot every so many seconds, 0 for never, and waits until it
# answers. Another process may take the port first; then it takes another one.
start() {
    for _ in {1..5}; do
        try_start "$@" && return
    done
    die "$1 does not answer; see $dir/$1.log"
}

try_start() {
    local server=$1 interval=$2 port file
    port=$(free_port)
    file=$dir/$server.snapshot
    rm -f "$file"
    case $server in
    kvns | sharded)
        local settings=(KVNS_HOST=127.0.0.1 KVNS_PORT="$port" KVNS_METRICS_HOST=127.0.0.1 KVNS_METRICS_PORT=0
            KVNS_MEMORY_LIMIT=0 KVNS_LOG=warn)
        [[ $server == sharded ]] && settings+=(KVNS_SHARDED_MODE=true)
        [[ $interval != 0 ]] && settings+=(KVNS_PERSIST_PATH="$file" KVNS_PERSIST_INTERVAL="$interval")
        env "${settings[@]}" "$binary" >>"$dir/$server.log" 2>&1 &
        ;;
    redis-server)
        local save=""
        [[ $interval != 0 ]] && save="$interval 1"
        redis-server --port "$port" --bind 127.0.0.1 --save "$save" --appendonly no --dir "$dir" \
            --dbfilename "${file##*/}" >>"$dir/$server.log" 2>&1 &
        ;;
    *) die "unknown server $server: expected kvns, sharded or redis-server" ;;
    esac
    pid_of[$server]=$! port_of[$server]=$port
    for _ in {1..100}; do
        kill -0 "${pid_of[$server]}" 2>/dev/null || break
        [[ $(redis-cli -p "$port" ping 2>/dev/null) == PONG ]] && return
        sleep 0.1
    done
    return 1
}

# Prints the CPU time a server has used, in clock ticks.
cpu_ticks() {
    local stat fields
    stat=$(<"/proc/${pid_of[$1]}/stat")
    # The name before the last parenthesis may contain anything; utime and stime are 12th and 13th after it.
    read -ra fields <<<"${stat##*) }"
    echo $((fields[11] + fields[12]))
}

# redis_load SERVER OPERATION PIPELINE REQUESTS CONNECTIONS KEYS OPTIONS...: runs redis-benchmark and prints
# ops per second, p50, p99 and max in milliseconds, with commas between them.
redis_load() {
    local server=$1 operation=$2 depth=$3 requests=$4 clients=$5 keyspace=$6
    shift 6
    redis-benchmark -p "${port_of[$server]}" -t "${operation,,}" -P "$depth" -n "$requests" -c "$clients" \
        -d "$value_bytes" -r "$keyspace" --precision 3 --csv "$@" 2>/dev/null |
        awk -F '","' 'NR == 2 { gsub(/"/, ""); split($0, field, ","); } END {
            if (!field[2]) { exit 1 }
            printf "%s,%s,%s,%s\n", field[2], field[5], field[7], field[8]
        }'
}

# memtier_load SERVER OPERATION PIPELINE REQUESTS FILE: the same with memtier_benchmark.
memtier_load() {
    local ratio=1:0
    [[ $2 == GET ]] && ratio=0:1
    memtier_benchmark --server 127.0.0.1 --port "${port_of[$1]}" --protocol redis --threads "$threads" \
        --clients "$connections" --pipeline "$3" --requests $(($4 / threads / connections)) --ratio "$ratio" \
        --data-size "$value_bytes" --key-pattern R:R --key-maximum "$keys" --hide-histogram \
        --json-out-file "$5" >/dev/null 2>&1
    python3 scripts/bench_report.py memtier "$2" "$5"
}

# measure SERVER PROFILE OPERATION PIPELINE REPETITION: runs a profile once and adds a line to the results.
measure() {
    local server=$1 profile=$2 operation=$3 depth=$4 repetition=$5 requests before after figures
    requests=$(((depth == 1 ? 100000 : 1000000) * scale / 100))
    before=$(cpu_ticks "$server")
    if [[ $generator == memtier_benchmark ]]; then
        figures=$(memtier_load "$server" "$operation" "$depth" "$requests" "$dir/$server-$operation-$depth-$repetition.json")
    else
        figures=$(redis_load "$server" "$operation" "$depth" "$requests" $((threads * connections)) "$keys" --threads "$threads")
    fi || die "$server failed at $profile"
    after=$(cpu_ticks "$server")
    record "$server" "$profile" "$repetition" "$figures" $((after - before)) "$requests"
}

# record SERVER PROFILE REPETITION FIGURES TICKS REQUESTS: adds a line to the results.
record() {
    awk -v line="$1,$2,$3" -v figures="$4" -v ticks="$5" -v hertz="$(getconf CLK_TCK)" -v requests="$6" 'BEGIN {
        split(figures, figure, ",")
        printf "%s,%s,%.3f,%s,%s,%s\n", line, figure[1], ticks / hertz * 1e6 / requests, figure[2], figure[3], figure[4]
    }' >>"$results"
}

# stall SERVER INTERVAL PROFILE REPETITION: SETs without a pipeline while a snapshot is taken every INTERVAL seconds.
stall() {
    local server=$1 interval=$2 profile=$3 repetition=$4 requests before after figures
    requests=$((400000 * scale / 100))
    start "$server" "$interval"
    redis_load "$server" SET 16 $((stall_keys * 4)) "$stall_connections" "$stall_keys" >/dev/null
    before=$(cpu_ticks "$server")
    figures=$(redis_load "$server" SET 1 "$requests" "$stall_connections" "$stall_keys") || die "$server failed at $profile"
    after=$(cpu_ticks "$server")
    record "$server" "$profile" "$repetition" "$figures" $((after - before)) "$requests"
    stop_servers
}

# Prints the servers forth at odd repetitions and back at even ones.
in_turn() {
    if (($1 % 2)); then
        printf '%s\n' "${servers[@]}"
    else
        printf '%s\n' "${servers[@]}" | tac
    fi
}

for server in "${servers[@]}"; do
    start "$server" 0
    echo "benchmark: filling $server"
    redis_load "$server" SET 16 $((keys * 4)) 50 "$keys" >/dev/null || die "$server cannot be filled"
done
for ((repetition = 1; repetition <= reps; repetition++)); do
    echo "benchmark: repetition $repetition of $reps"
    for profile in "${profiles[@]}"; do
        read -r operation depth <<<"$profile"
        name="$operation, direct"
        ((depth > 1)) && name="$operation, $depth in a pipeline"
        while read -r server; do
            measure "$server" "${name//,/;}" "$operation" "$depth" "$repetition"
        done < <(in_turn "$repetition")
    done
done
stop_servers
if [[ ${BENCH_STALL:-1} != 0 ]]; then
    for ((repetition = 1; repetition <= reps; repetition++)); do
        echo "benchmark: stalls, repetition $repetition of $reps"
        while read -r server; do
            stall "$server" 0 "SET; no snapshots" "$repetition"
            stall "$server" "$stall_interval" "SET; a snapshot every ${stall_interval}s" "$repetition"
        done < <(in_turn "$repetition")
    done
fi
rm -f "$dir"/*.snapshot
{
    echo "$(nproc) cores, shared by servers and load; $generator, $threads threads x $connections connections," \
        "values of $value_bytes bytes, $keys keys; $("$binary" --version)$(command -v redis-server >/dev/null &&
            redis-server --version | awk '{ sub("v=", "", $3); print ", redis-server " $3 }')"
    echo
    python3 scripts/bench_report.py table "$results" "$dir/plot.svg"
} | tee "$dir/summary.md"
