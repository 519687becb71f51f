#!/usr/bin/env bash
# Runs the loom models. Arguments go to the test binaries: scripts/loom.sh wheel runs the models named so.
#
# The private cfg switches src/sync.rs to loom's atomics; a global cfg(loom) would take tokio's net away. The
# flags differ from those of every other build, so the models have a target directory of their own.
set -euo pipefail
cd "$(dirname "$0")/.."

# Beyond two preemptions hardly any further bug shows, but the time grows exponentially. Models that need
# another bound set it themselves.
export LOOM_MAX_PREEMPTIONS=${LOOM_MAX_PREEMPTIONS:-2}
export RUSTFLAGS="--cfg kvns_loom ${RUSTFLAGS:-}"
export CARGO_TARGET_DIR=target/loom

# Optimized, for loom runs the code of a model millions of times.
exec cargo test --locked --package loom-tests --profile dev-opt -- "$@"
