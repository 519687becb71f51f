#!/usr/bin/env bash
# Sees to what `make test` needs beside the sources: a Rust toolchain, a C compiler and make for the allocator,
# Python from 3.11 on for the seeded mistakes, and redis-server to compare with. Installs missing system packages where this user may. Starts nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
    echo "setup: $*" >&2
    exit 1
}

command -v cargo >/dev/null || die "cargo is missing: install Rust, https://rustup.rs"
cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt || die "rustfmt is missing"
cargo clippy --version >/dev/null 2>&1 || rustup component add clippy || die "clippy is missing"

missing=()
command -v cc >/dev/null && command -v make >/dev/null || missing+=(compiler)
python3 -c 'import tomllib' 2>/dev/null || missing+=(python)
if [[ ${KVNS_SKIP_COMPAT:-} != 1 ]]; then
    command -v redis-server >/dev/null || missing+=(redis)
fi
((${#missing[@]})) || exit 0

if ((EUID == 0)); then
    as_root=()
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
else
    die "missing: ${missing[*]}. Install them, or run this as root." \
        "KVNS_SKIP_COMPAT=1 goes without the comparison with redis-server."
fi

# Names of the packages of each missing tool, by the table of one package manager.
packages_of() {
    local compiler=$1 python=$2 redis=$3 tool
    for tool in "${missing[@]}"; do
        case $tool in
        compiler) echo "$compiler" ;;
        python) echo "$python" ;;
        redis) echo "$redis" ;;
        esac
    done
}

echo "setup: installing with the system's package manager: ${missing[*]}"
if command -v apt-get >/dev/null; then
    mapfile -t packages < <(packages_of build-essential python3 redis-server)
    "${as_root[@]}" apt-get update -q
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${packages[@]}"
elif command -v dnf >/dev/null; then
    read -ra packages <<<"$(packages_of "gcc make" python3 redis | tr '\n' ' ')"
    "${as_root[@]}" dnf install -y -q "${packages[@]}"
elif command -v apk >/dev/null; then
    mapfile -t packages < <(packages_of build-base python3 redis)
    "${as_root[@]}" apk add --quiet "${packages[@]}"
else
    die "missing: ${missing[*]}, and no package manager that this script knows"
fi
echo "setup: installed ${packages[*]}"
