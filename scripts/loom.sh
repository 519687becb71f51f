#!/bin/sh
# Runs every loom model with its seeded-bug twins. Arguments go to the tests (a name selects models).
# LOOM_MAX_PREEMPTIONS raises or lowers the bound of all models.
set -eu
cd "$(dirname "$0")/.."
export RUSTFLAGS="--cfg kvns_loom" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom"
# Optimised, for models run many times; with the protocols' own assertions.
exec cargo test --profile dev-opt --config 'profile.dev-opt.package.kvns.debug-assertions=true' \
    -p loom-tests --no-fail-fast -- "$@"
