#!/usr/bin/env bash
# Serves S3 on a port of this machine, in memory, for tests: moto, in a Python environment of its own that is
# made once. Ends with its standard input.
#
#     scripts/s3-server.sh PORT
set -euo pipefail
cd "$(dirname "$0")/.."

port=${1:?which port? for example: scripts/s3-server.sh 9100}
version=5.2.5
environment=${CARGO_TARGET_DIR:-target}/moto-$version

mkdir -p "$(dirname "$environment")"
if [ ! -e "$environment/ready" ]; then
    # Made beside its place, and moved when it is whole: two may be at it.
    fresh=$(mktemp -d "$environment.XXXXXX")
    python3 -m venv "$fresh" >&2
    "$fresh/bin/pip" install --quiet --disable-pip-version-check "moto[server]==$version" >&2
    touch "$fresh/ready"
    mv --no-target-directory "$fresh" "$environment" 2>/dev/null || rm -rf "$fresh"
fi

# Programs of an environment know where it was made: only the interpreter is used.
"$environment/bin/python" -m moto.server --host 127.0.0.1 --port "$port" &
server=$!
trap 'kill "$server" 2>/dev/null' EXIT
cat >/dev/null
