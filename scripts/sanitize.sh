#!/usr/bin/env bash
# Runs the tests of the store on RocksDB with the C++ shim under AddressSanitizer and
# UndefinedBehaviorSanitizer, and the Rust side of the boundary under Miri where there is one. RocksDB
# itself is not instrumented, and not built again; AddressSanitizer still sees what it allocates, frees
# and leaks.
set -euo pipefail
cd "$(dirname "$0")/.."
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS

# The shim and RocksDB share strings and vectors, of which only the shim tells the sanitizer the bounds.
export ASAN_OPTIONS="detect_container_overflow=0:detect_leaks=1:detect_stack_use_after_return=1"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1"

binary=$(HSTORE_SANITIZE=address,undefined cargo test --release --locked --package hstore-tier1 \
    --features hosted --test rocks --no-run --message-format=json |
    grep -oE '"executable":"[^"]*/rocks-[0-9a-f]+"' | cut -d'"' -f4)
# A run without the sanitizers would pass as well.
for function in __asan_report_load __ubsan_handle; do
    nm --dynamic --undefined-only "$binary" | grep "$function" >/dev/null || {
        echo "sanitize: $binary does not use $function: it was built without the sanitizers" >&2
        exit 1
    }
done
# AddressSanitizer has to be the first library of a process, which only the loader can bring about.
LD_PRELOAD=$(cc -print-file-name=libasan.so) "$binary"
echo "sanitize: no error under AddressSanitizer and UndefinedBehaviorSanitizer"

# Miri interprets the Rust code; RocksDB, which these tests do not call, it compiles once for itself.
if cargo +nightly miri --version >/dev/null 2>&1; then
    cargo +nightly miri test --package hstore-tier1 --features hosted --lib hosted::table
    echo "sanitize: no error under Miri"
else
    echo "sanitize: the Rust side of the boundary was NOT run under Miri, which is not installed:" >&2
    echo "    rustup toolchain install nightly --component miri,rust-src" >&2
fi
