#!/usr/bin/env bash
# Makes sure that everything needed to build is there: installs Debian or Ubuntu packages where it may,
# and says what to run where it may not.
set -euo pipefail

# The command that must be there, and the package that brings it.
required=(
    "cc:build-essential"
    "c++:build-essential"
)
# The pages of reports are tested in a browser, unless HSTORE_CHROMIUM says where another one is.
[ -n "${HSTORE_CHROMIUM:-}" ] || required+=("chromium:chromium")

# RocksDB's bindings are generated with libclang, which is a library: any version, wherever the generator
# would look for it.
has_libclang() {
    local directory
    if [ -n "${LIBCLANG_PATH:-}" ]; then
        [ -e "$LIBCLANG_PATH" ] && return
        echo "LIBCLANG_PATH is $LIBCLANG_PATH, which is not there; unset it, or say where libclang is" >&2
        exit 1
    fi
    for directory in "$(llvm-config --libdir 2>/dev/null || true)" \
        /usr/lib*/llvm*/lib* /usr/lib* /usr/lib/*-linux-* /usr/local/lib*; do
        compgen -G "$directory/libclang.so*" >/dev/null && return
        compgen -G "$directory/libclang-[0-9]*.so*" >/dev/null && return
    done
    return 1
}

packages=()
for entry in "${required[@]}"; do
    command -v "${entry%%:*}" >/dev/null || packages+=("${entry#*:}")
done
has_libclang || packages+=("libclang-dev")
# The S3 server of the tests runs in a Python environment of its own.
python3 -c 'import ensurepip' >/dev/null 2>&1 || packages+=("python3-venv")

if [ "${#packages[@]}" -gt 0 ]; then
    install=(apt-get install --yes --no-install-recommends "${packages[@]}")
    if ! command -v apt-get >/dev/null; then
        echo "missing: ${packages[*]} (Debian's names); install them with this system's package manager" >&2
        exit 1
    elif [ "$(id -u)" = 0 ]; then
        as_root=(env DEBIAN_FRONTEND=noninteractive)
    elif command -v sudo >/dev/null && sudo --non-interactive true 2>/dev/null; then
        as_root=(sudo --non-interactive env DEBIAN_FRONTEND=noninteractive)
    else
        echo "missing: ${packages[*]}; install with" >&2
        echo "    sudo apt-get update && sudo ${install[*]}" >&2
        exit 1
    fi
    "${as_root[@]}" apt-get update
    "${as_root[@]}" "${install[@]}"
fi

if ! command -v cargo >/dev/null; then
    echo "missing: Rust; install with" >&2
    echo "    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y && . \"\$HOME/.cargo/env\"" >&2
    exit 1
fi

# rustup's minimal profile lacks these.
components=()
cargo fmt --version >/dev/null 2>&1 || components+=(rustfmt)
cargo clippy --version >/dev/null 2>&1 || components+=(clippy)
if [ "${#components[@]}" -gt 0 ]; then
    if command -v rustup >/dev/null; then
        rustup component add "${components[@]}"
    else
        echo "missing: ${components[*]} for $(cargo --version); install Rust with rustup" >&2
        exit 1
    fi
fi
