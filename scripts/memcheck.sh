#!/usr/bin/env bash
# Runs the unit tests of the lock-free parts, the keyspace and the tree under valgrind: the test binary uses the
# system's allocator, so every use of freed memory and every leak shows. Takes about two minutes, and five at most for
# each group of tests.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v valgrind >/dev/null || { echo "memcheck: valgrind is missing" >&2; exit 1; }
binary=$(cargo test --quiet --lib --no-run --locked --message-format=json |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
for tests in concurrent:: keyspace:: "$@"; do
    # A thread that ended keeps its place in crossbeam's list of participants, which is reachable, not lost.
    timeout 300 valgrind --quiet --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite \
        --show-leak-kinds=definite --fair-sched=yes "$binary" --test-threads 1 "$tests"
done
