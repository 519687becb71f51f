#!/usr/bin/env bash
# Builds the server with AddressSanitizer and the system's allocator, and runs a mixed load against it for ASAN_MINUTES
# (default 10). Fails if the sanitizer reports anything, the server dies, or a client hangs. ASAN_LEAKS=1 looks for leaks
# at the exit too, which needs leave to trace processes.
#
# The sanitizer is an unstable option of the compiler that is here; its runtime comes with the toolchain.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(rustc -vV | sed -n 's/^host: //p')
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/asan"
# With a target named, the flags do not apply to what runs while building.
RUSTC_BOOTSTRAP=1 RUSTFLAGS="--cfg kvns_asan -Zsanitizer=address" \
    cargo build --locked --bin kvns --target "$target"
exec python3 scripts/asan_load.py "$CARGO_TARGET_DIR/$target/debug/kvns" "${ASAN_MINUTES:-10}" "$@"
