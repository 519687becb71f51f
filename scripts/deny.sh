#!/usr/bin/env bash
# Checks licences, advisories and sources of the crates that we build on with cargo-deny, and that the minimum Rust version of
# Cargo.toml still builds the workspace. Installs neither the tool nor a toolchain: says what is missing and goes on.
set -euo pipefail
cd "$(dirname "$0")/.."

if cargo deny --version >/dev/null 2>&1; then
    cargo deny --locked check
else
    echo "deny: cargo-deny is not installed, so nothing was checked: cargo install --locked cargo-deny"
fi

minimum=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
toolchain=$(rustup toolchain list 2>/dev/null | sed -n "s/^\($minimum[.0-9]*-[^ ]*\).*/\1/p" | head -n 1)
if [[ -n $toolchain ]]; then
    cargo "+$toolchain" check --workspace --all-targets --locked --target-dir "${CARGO_TARGET_DIR:-target}/minimum"
else
    echo "deny: Rust $minimum is not installed, so it was not built with: rustup toolchain install $minimum"
fi
