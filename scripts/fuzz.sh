#!/usr/bin/env bash
# Runs every fuzz target for FUZZ_SECONDS (default 60), or those named as arguments. Needs cargo-fuzz and a
# nightly toolchain; a crash leaves its input in fuzz/artifacts, to be replayed with
#     cargo +nightly fuzz run TARGET fuzz/artifacts/TARGET/FILE
set -euo pipefail
cd "$(dirname "$0")/.."

if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
    echo "fuzz: needs 'rustup toolchain install nightly' and 'cargo install cargo-fuzz'" >&2
    exit 1
fi
targets=("$@")
if ((${#targets[@]} == 0)); then
    mapfile -t targets < <(cargo +nightly fuzz list)
fi
for target in "${targets[@]}"; do
    echo "fuzz: $target"
    cargo +nightly fuzz run "$target" -- -max_total_time="${FUZZ_SECONDS:-60}"
done
