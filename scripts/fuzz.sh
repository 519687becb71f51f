#!/usr/bin/env bash
# Runs every fuzz target for FUZZ_SECONDS (default 60), or those named as arguments, guided by coverage. That
# needs a nightly toolchain and cargo-fuzz; without them the targets run on random mutations of their seeds
# instead, as in `make test` but for longer.
#
# A crash leaves its input in fuzz/artifacts, to be replayed with
#     cargo +nightly fuzz run TARGET fuzz/artifacts/TARGET/FILE
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${FUZZ_SECONDS:-60}
if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
    echo "fuzz: no cargo-fuzz (cargo install cargo-fuzz, rustup toolchain install nightly): mutating at random"
    # About what one core does in that time.
    export KVNS_FUZZ_ROUNDS=$((seconds * 100000))
    exec cargo test --locked --test fuzz_smoke -- --nocapture "$@"
fi
targets=("$@")
if ((${#targets[@]} == 0)); then
    mapfile -t targets < <(cargo +nightly fuzz list)
fi
for target in "${targets[@]}"; do
    echo "fuzz: $target"
    cargo +nightly fuzz run "$target" -- -max_total_time="$seconds"
done
