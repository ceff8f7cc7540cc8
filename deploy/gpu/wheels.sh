#!/bin/sh
# Fills a folder with what deploy/gpu/check.sh needs beside torch, numpy and pytest, for a machine without a network.
#
#     deploy/gpu/wheels.sh FOLDER [PYTHON_VERSION]       3.12 otherwise; Linux on x86-64
set -eu
[ $# -ge 1 ] || { echo "usage: $0 FOLDER [PYTHON_VERSION]" >&2; exit 2; }
here=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-python3}
"$python" -m pip wheel --quiet --no-deps --wheel-dir "$1" "$here"
grep -vi '^torch' "$here/constraints.txt" > "$1/constraints.txt"
"$python" -m pip download --quiet --dest "$1" --constraint "$1/constraints.txt" --no-deps --only-binary=:all: \
    --implementation cp --python-version "${2:-3.12}" \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
    annotated-types grpcio grpcio-health-checking grpcio-reflection grpcio-status googleapis-common-protos \
    hypothesis jsonschema jsonschema-specifications mlxtend msgspec nvidia-ml-py prometheus-client protobuf pydantic \
    pydantic-core pytest-asyncio pytest-timeout referencing rpds-py shellingham sortedcontainers structlog typer \
    typing-inspection
rm "$1/constraints.txt"
