#!/bin/sh
# Runs real clients against a kvns on a spare port: redis-py, ioredis, redis-benchmark and redis-cli.
#
# usage: scripts/clients.sh [PATH-OF-KVNS]      (default: the release build, else the debug build)
#
# redis-py goes into a virtual environment and ioredis into a folder under target/. What cannot be installed
# or is not there is skipped with a line that begins with SKIPPED; KVNS_CLIENTS_REQUIRED=1 makes that a failure.
# KVNS_CLIENTS_PIPE sets how many SETs `redis-cli --pipe` loads (default 100000). KVNS_CLIENTS_PORT runs
# against a server that listens there already.
set -eu
cd "$(dirname "$0")/.."
binary=${1:-target/release/kvns}
if [ $# -eq 0 ] && ! [ -x "$binary" ]; then
    binary=target/debug/kvns
fi
pipe_count=${KVNS_CLIENTS_PIPE:-100000}
work=target/clients
mkdir -p "$work"
skipped=0

skip() {
    echo "SKIPPED: $*" >&2
    skipped=$((skipped + 1))
}

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

server=
stop() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" || fail "kvns exited with $?; its log is $work/kvns.log"
        server=
    fi
}
trap 'if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; fi' EXIT

port=${KVNS_CLIENTS_PORT:-}
if [ -z "$port" ]; then
    port=$(free_port)
    KVNS_HOST=127.0.0.1 KVNS_PORT=$port KVNS_METRICS_HOST=127.0.0.1 KVNS_METRICS_PORT=$(free_port) \
        "$binary" >"$work/kvns.log" 2>&1 &
    server=$!
fi
python3 - "$port" <<'PYTHON' || fail "no server answers on port $port; see $work/kvns.log"
import socket, sys, time
for _ in range(400):
    try:
        with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 1) as s:
            s.sendall(b"PING\r\n")
            sys.exit(0 if s.recv(7) == b"+PONG\r\n" else 1)
    except OSError:
        time.sleep(0.05)
sys.exit(1)
PYTHON

redis_py() {
    if ! [ -x "$work/venv/bin/python" ] && ! python3 -m venv "$work/venv" >"$work/venv.log" 2>&1; then
        skip "redis-py: no virtual environment can be made, see $work/venv.log"
        return
    fi
    if ! "$work/venv/bin/python" -c 'import redis' 2>/dev/null &&
        ! "$work/venv/bin/pip" install --quiet --timeout 20 --retries 1 redis >"$work/pip.log" 2>&1; then
        skip "redis-py cannot be installed, see $work/pip.log"
        return
    fi
    timeout 120 "$work/venv/bin/python" tests/clients/redis_py.py "$port" || fail "redis-py"
}

ioredis() {
    if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
        skip "ioredis: node and npm are not installed"
        return
    fi
    if ! [ -d "$work/node_modules/ioredis" ] &&
        ! npm install --prefix "$work" --no-audit --no-fund --silent ioredis >"$work/npm.log" 2>&1; then
        skip "ioredis cannot be installed, see $work/npm.log"
        return
    fi
    NODE_PATH="$PWD/$work/node_modules" timeout 120 node tests/clients/ioredis.js "$port" || fail "ioredis"
}

benchmark() {
    if ! command -v redis-benchmark >/dev/null; then
        skip "redis-benchmark is not installed"
        return
    fi
    for options in "" "-P 16" "-P 16 --threads 2" "-3 -P 16"; do
        # The options are words to split.
        # shellcheck disable=SC2086
        timeout 120 redis-benchmark -p "$port" -q -n 50000 -r 100000 $options \
            -t ping_inline,ping_mbulk,set,get,incr,mset >"$work/benchmark.log" 2>&1 ||
            { cat "$work/benchmark.log"; fail "redis-benchmark $options"; }
        grep -qi 'error' "$work/benchmark.log" && { cat "$work/benchmark.log"; fail "redis-benchmark $options"; }
        tr '\r' '\n' <"$work/benchmark.log" | grep 'requests per second' | sed "s/^/redis-benchmark $options: /"
    done
}

cli() {
    if ! command -v redis-cli >/dev/null; then
        skip "redis-cli is not installed"
        return
    fi
    redis-cli -p "$port" FLUSHALL >/dev/null
    python3 -c '
import sys
for n in range(int(sys.argv[1])):
    key, value = f"pipe:{n}", f"value {n}"
    sys.stdout.write(f"*3\r\n$3\r\nSET\r\n${len(key)}\r\n{key}\r\n${len(value)}\r\n{value}\r\n")
' "$pipe_count" | timeout 300 redis-cli -p "$port" --pipe >"$work/pipe.log" 2>&1 || fail "redis-cli --pipe"
    grep -q "errors: 0, replies: $pipe_count" "$work/pipe.log" || { cat "$work/pipe.log"; fail "redis-cli --pipe"; }
    echo "redis-cli --pipe: $pipe_count SETs, 0 errors"
    found=$(timeout 120 redis-cli -p "$port" --scan --pattern 'pipe:*' | sort -u | wc -l)
    [ "$found" -eq "$pipe_count" ] || fail "redis-cli --scan found $found of $pipe_count keys"
    echo "redis-cli --scan: all $pipe_count keys"
    timeout 3 stdbuf -oL redis-cli -p "$port" --stat -i 1 >"$work/stat.log" 2>&1 || [ $? -eq 124 ] || fail "redis-cli --stat"
    grep -q "^$pipe_count " "$work/stat.log" || { cat "$work/stat.log"; fail "redis-cli --stat shows no keys"; }
    echo "redis-cli --stat: ok"
    [ "$(redis-cli -3 -p "$port" GET pipe:1)" = "value 1" ] || fail "redis-cli -3"
    redis-cli -p "$port" INFO server | grep -q '^redis_version:' || fail "redis-cli INFO"
}

redis_py
ioredis
benchmark
cli
stop
if [ "$skipped" -gt 0 ]; then
    echo "$skipped clients were SKIPPED" >&2
    [ "${KVNS_CLIENTS_REQUIRED:-0}" = 0 ] || exit 1
else
    echo "all clients: ok"
fi
