#!/usr/bin/env bash
# Measures kvns and, where it is installed, redis-server side by side with redis-benchmark.
#
# For each profile the servers take turns (A B A B ...), so that drift of the machine hits both alike; the
# table shows medians. The figure to trust is the server's CPU time per operation, from /proc/PID/stat: the
# load generator shares the machine, so throughput says as much about it as about the server.
#
# Variables: BENCH_BINARY the server to measure (default target/release/kvns)
#            BENCH_DIR    where logs, raw output and the table go (default a new folder in the temp directory)
#            BENCH_REPS   repetitions of each profile (default 5)
#            BENCH_SCALE  percent of the usual number of requests (default 100)
#            BENCH_KEYS   different keys (default 1000000)
#            BENCH_CLIENTS, BENCH_VALUE_BYTES  connections (default 50), bytes in a value (default 256)
set -euo pipefail
cd "$(dirname "$0")/.."

binary=${BENCH_BINARY:-target/release/kvns}
reps=${BENCH_REPS:-5}
scale=${BENCH_SCALE:-100}
keys=${BENCH_KEYS:-1000000}
clients=${BENCH_CLIENTS:-50}
value_bytes=${BENCH_VALUE_BYTES:-256}
# Operation and pipeline depth of each profile.
profiles=("SET 1" "GET 1" "SET 16" "GET 16" "SET 100" "GET 100")

die() {
    echo "benchmark: $*" >&2
    exit 1
}

for tool in redis-benchmark redis-cli; do
    command -v "$tool" >/dev/null || die "$tool is missing: install the package redis-tools (or redis)"
done
[[ -x $binary ]] || die "$binary is missing: run 'make release'"
[[ -r /proc/self/stat ]] || die "needs Linux's /proc"

dir=${BENCH_DIR:-}
if [[ -z $dir ]]; then
    dir=$(mktemp -d "${TMPDIR:-/tmp}/kvns-bench-XXXXXX")
fi
mkdir -p "$dir"
echo "benchmark: artifacts in $dir"
results=$dir/results.csv
echo "server,operation,pipeline,repetition,ops_per_second,cpu_us_per_op,p50_ms,p99_ms,p999_ms" >"$results"

declare -A pid_of port_of
servers=()

stop_servers() {
    local server
    for server in "${servers[@]}"; do
        kill "${pid_of[$server]}" 2>/dev/null || true
        wait "${pid_of[$server]}" 2>/dev/null || true
    done
}
trap stop_servers EXIT

# Prints a port that nobody listens on.
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 20000))
        if ! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
}

# start NAME PORT COMMAND...: starts a server and waits until it answers.
start() {
    local name=$1 port=$2
    shift 2
    "$@" >"$dir/$name.log" 2>&1 &
    pid_of[$name]=$! port_of[$name]=$port
    servers+=("$name")
    for _ in {1..100}; do
        [[ $(redis-cli -p "$port" ping 2>/dev/null) == PONG ]] && return
        kill -0 "${pid_of[$name]}" 2>/dev/null || break
        sleep 0.1
    done
    die "$name does not answer; see $dir/$name.log"
}

# Prints the CPU time a server has used, in clock ticks.
cpu_ticks() {
    local stat fields
    stat=$(<"/proc/${pid_of[$1]}/stat")
    # The name before the last parenthesis may contain anything; utime and stime are 12th and 13th after it.
    read -ra fields <<<"${stat##*) }"
    echo $((fields[11] + fields[12]))
}

# load SERVER OPERATION PIPELINE REQUESTS: runs redis-benchmark and prints its report.
load() {
    redis-benchmark -p "${port_of[$1]}" -t "${2,,}" -P "$3" -n "$4" -c "$clients" -d "$value_bytes" -r "$keys" \
        2>/dev/null | tr '\r' '\n'
}

requests_at() {
    local requests
    case $1 in
    1) requests=200000 ;;
    16) requests=1500000 ;;
    *) requests=4000000 ;;
    esac
    echo $((requests * scale / 100))
}

# measure SERVER OPERATION PIPELINE REPETITION: runs a profile once and adds a line to the results.
measure() {
    local server=$1 operation=$2 pipeline=$3 repetition=$4 requests before after report
    requests=$(requests_at "$pipeline")
    report=$dir/$server-$operation-$pipeline-$repetition.txt
    before=$(cpu_ticks "$server")
    load "$server" "$operation" "$pipeline" "$requests" >"$report"
    after=$(cpu_ticks "$server")
    awk -v line="$server,$operation,$pipeline,$repetition" -v ticks=$((after - before)) -v hertz="$(getconf CLK_TCK)" \
        -v requests="$requests" '
        /throughput summary:/ { rate = $3 }
        # The first step at or beyond 99.9%; the distribution has no exact one.
        /% <= .* milliseconds/ && $1 + 0 >= 99.9 && !p999 { p999 = $3 }
        summary { if ($1 ~ /^[0-9.]+$/) { p50 = $3; p99 = $5; highest = $6; summary = 0 } }
        /avg +min +p50/ { summary = 1 }
        END {
            if (!rate) { exit 1 }
            if (!p999) { p999 = highest }
            printf "%s,%.0f,%.3f,%s,%s,%s\n", line, rate, ticks / hertz * 1e6 / requests, p50, p99, p999
        }' "$report" >>"$results" || die "$server failed at $operation with pipelines of $pipeline; see $report"
}

# median SERVER OPERATION PIPELINE COLUMN: prints the median of a column of the results.
median() {
    awk -F , -v server="$1" -v operation="$2" -v pipeline="$3" -v column="$4" '
        $1 == server && $2 == operation && $3 == pipeline { print $column }' "$results" | sort -g |
        awk '{ value[NR] = $1 } END { print NR % 2 ? value[(NR + 1) / 2] : (value[NR / 2] + value[NR / 2 + 1]) / 2 }'
}

ratio() {
    awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) { printf "%.2f", a / b } else { printf "-" } }'
}

table() {
    local profile operation pipeline server reference=""
    [[ -n ${pid_of[redis-server]:-} ]] && reference=redis-server
    echo "$(nproc) cores, $clients connections, values of $value_bytes bytes, $keys keys, medians of $reps;" \
        "$("$binary" --version)${reference:+, $(redis-server --version | awk '{ print "redis-server " $3 }')}"
    echo
    echo "| operation | pipeline | server | ops/s | CPU us/op | p50 ms | p99 ms | p99.9 ms | ops/s ratio | CPU ratio |"
    echo "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for profile in "${profiles[@]}"; do
        read -r operation pipeline <<<"$profile"
        for server in "${servers[@]}"; do
            local row=() column ratios=(- -)
            for column in 5 6 7 8 9; do
                row+=("$(median "$server" "$operation" "$pipeline" "$column")")
            done
            if [[ -n $reference && $server != "$reference" ]]; then
                ratios=("$(ratio "${row[0]}" "$(median "$reference" "$operation" "$pipeline" 5)")"
                    "$(ratio "${row[1]}" "$(median "$reference" "$operation" "$pipeline" 6)")")
            fi
            printf '| %s | %s | %s | %.0f | %.2f | %s | %s | %s | %s | %s |\n' \
                "$operation" "$pipeline" "$server" "${row[@]}" "${ratios[@]}"
        done
    done
    echo
    echo "Ratios are kvns / redis-server. CPU is user and system time of all threads of the server."
}

kvns_port=$(free_port)
start kvns "$kvns_port" env KVNS_HOST=127.0.0.1 KVNS_PORT="$kvns_port" KVNS_METRICS_PORT=0 KVNS_MEMORY_LIMIT=0 "$binary"
if command -v redis-server >/dev/null; then
    redis_port=$(free_port)
    start redis-server "$redis_port" \
        redis-server --port "$redis_port" --bind 127.0.0.1 --save "" --appendonly no --dir "$dir"
else
    echo "benchmark: redis-server is not installed; measuring kvns alone"
fi

for server in "${servers[@]}"; do
    echo "benchmark: filling $server"
    load "$server" SET 100 $((keys * 2)) >"$dir/$server-fill.txt"
done
for profile in "${profiles[@]}"; do
    read -r operation pipeline <<<"$profile"
    echo "benchmark: $operation, pipelines of $pipeline"
    for ((repetition = 1; repetition <= reps; repetition++)); do
        for server in "${servers[@]}"; do
            measure "$server" "$operation" "$pipeline" "$repetition"
        done
    done
done
echo
table | tee "$dir/summary.md"
