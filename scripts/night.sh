#!/usr/bin/env bash
# Runs what takes too long for `make test`, one after the other, whatever fails, and says at the end what did. What each
# said is in target/night. Arguments: which of them to run (default all).
# Variables: FUZZ_SECONDS         for each fuzz target (default 300)
#            KVNS_STRESS_SECONDS  of the soak test (default 600)
#            KVNS_CRASH_ROUNDS    kills at random instants (default 200)
set -euo pipefail
cd "$(dirname "$0")/.."

export FUZZ_SECONDS=${FUZZ_SECONDS:-300}
export KVNS_STRESS_SECONDS=${KVNS_STRESS_SECONDS:-600}
export KVNS_CRASH_ROUNDS=${KVNS_CRASH_ROUNDS:-200}
logs=target/night
mkdir -p "$logs"

step() {
    case $1 in
    deny) scripts/deny.sh ;;
    mutants) scripts/mutants.sh ;;
    memcheck) scripts/memcheck.sh ;;
    asan) scripts/asan.sh ;;
    clients) make --no-print-directory clients ;;
    hostile) make --no-print-directory hostile ;;
    fuzz) scripts/fuzz.sh ;;
    stress) make --no-print-directory stress ;;
    crashes) cargo test --locked --test snapshots a_kill_at_any_instant_leaves_a_whole_snapshot ;;
    *)
        echo "night: there is no $1" >&2
        return 1
        ;;
    esac
}

steps=("$@")
if ((${#steps[@]} == 0)); then
    steps=(deny mutants memcheck asan clients hostile fuzz stress crashes)
fi
failed=()
for name in "${steps[@]}"; do
    begun=$SECONDS
    if step "$name" >"$logs/$name.log" 2>&1; then
        echo "night: $name passed in $((SECONDS - begun)) s"
    else
        echo "night: $name failed after $((SECONDS - begun)) s: $logs/$name.log"
        failed+=("$name")
    fi
done
if ((${#failed[@]})); then
    echo "night: failed: ${failed[*]}" >&2
    exit 1
fi
echo "night: ok"
