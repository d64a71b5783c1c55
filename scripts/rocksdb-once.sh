#!/usr/bin/env bash
# Makes sure that RocksDB, which takes minutes to build, was built once: that every command of `make
# test` and `make demo` uses the same build of it. Run after them.
set -euo pipefail
cd "$(dirname "$0")/.."
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS

target=${CARGO_TARGET_DIR:-target}
# A build of RocksDB is a directory with its archive. Each set of flags, profile or features has its own.
archives() {
    find "$target/release/build" -path '*librocksdb-sys-*' -name librocksdb.a | sort
}
if [ ! -d "$target/release/build" ] || [ -z "$(archives)" ]; then
    echo "rocksdb-once: RocksDB was not built yet in $target; run \`make build\` first" >&2
    exit 1
fi
before=$(archives)
# With nothing changed, nothing is compiled, whichever packages are asked for and whatever for.
for command in \
    "build --package hstore-sim" \
    "build --package hstore-tier1 --features hosted" \
    "build --package hstore-server" \
    "test --package hstore-server --no-run" \
    "clippy --package hstore-server --all-targets" \
    "test --workspace --exclude hstore-server --no-run" \
    "clippy --workspace --exclude hstore-server --all-targets"; do
    # shellcheck disable=SC2086
    cargo $command --release --locked 2>&1 | tee "$target/rocksdb-once.log" | tail -1
    if grep -E '(Compiling|Checking) (librocksdb-sys|rocksdb) ' "$target/rocksdb-once.log"; then
        echo "rocksdb-once: cargo $command builds RocksDB again: its profile, features or flags differ" >&2
        exit 1
    fi
done
if [ "$(archives)" != "$before" ]; then
    echo "rocksdb-once: RocksDB was built again; before and now:" >&2
    printf '%s\n\n%s\n' "$before" "$(archives)" >&2
    exit 1
fi
echo "rocksdb-once: RocksDB was not built again"
