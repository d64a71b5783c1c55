#!/usr/bin/env bash
# Asserts that a production build contains no planted bug, and no probe.
#
# Planted bugs are known by their names, which are string literals in the code that asks whether one is
# on; so are probes. The product is built as a production binary has it, without the features `planted` and
# `probes`: no name may be in it, nor the function that is asked. That the same search can find them is
# asserted on the product as the simulator has it.
set -euo pipefail
cd "$(dirname "$0")/.."

# The crates of the product. Those of the simulator itself name planted bugs rightly.
product='hstore_(core|replicator|tier1|tier2|node)'
# `hstore_core::planted::active::is_active`, as the compiler mangles it.
asked='planted6active'
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT

# objects DIRECTORY CARGO-ARGUMENTS: builds, and puts the object code of the product's crates, as they are
# in this build, into DIRECTORY. What an archive has besides is for the compiler, documentation included.
objects() {
    local directory=$1 archive
    shift
    mkdir "$directory"
    cargo "$@" --release --locked --message-format=json >"$room/messages"
    grep -oE "\"[^\"]*/lib${product}-[0-9a-f]+\.rlib\"" "$room/messages" | tr -d '"' | sort -u >"$room/archives"
    while read -r archive; do
        mkdir "$directory/$(basename "$archive")"
        (cd "$directory/$(basename "$archive")" && ar x "$archive" && rm -f lib.rmeta)
    done <"$room/archives"
    [ -n "$(find "$directory" -name '*.o' -print -quit)" ] || {
        echo "no-planted-bugs: found no object code in: cargo $*" >&2
        exit 1
    }
}

objects "$room/production" build --package hstore-node
# What `make test` has built just before: with another selection of crates, features and thus files differ.
objects "$room/simulator" test --no-run --workspace --exclude hstore-server
binary=$(grep -oE '"executable":"[^"]*/hstore-sim"' "$room/messages" | cut -d'"' -f4 | sort -u)
names=$("$binary" list mutants | cut -d' ' -f1)
probes=$("$binary" list probes | cut -d' ' -f1)
[ -n "$names" ] && [ -n "$probes" ] || {
    echo "no-planted-bugs: there is no planted bug, or no probe, to look for" >&2
    exit 1
}

failed=0
for name in $names $probes $asked; do
    if ! LC_ALL=C grep -rqaF -- "$name" "$room/simulator"; then
        echo "no-planted-bugs: $name is not in the simulator's build: the search finds nothing" >&2
        failed=1
    fi
    if LC_ALL=C grep -rqaF -- "$name" "$room/production"; then
        echo "no-planted-bugs: $name is in a production build" >&2
        failed=1
    fi
done
[ "$failed" = 0 ] || exit 1
echo "no-planted-bugs: none of" $names "is in a production build, nor any probe; all are in the simulator's"
