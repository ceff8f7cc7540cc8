#!/bin/sh
# Checks a GPU: builds fp32, fp16 and bf16 for it, measures them through the service and bare, and runs the tests marked
# "gpu". Needs Python 3.11 or later with torch, no network and no installation; takes under five minutes.
#
#     deploy/gpu/check.sh --device cuda:0 --output device.json
#     deploy/gpu/check.sh --device cpu         the same where there is no GPU
#
# Options go to `python -m twinserve_bench.device_check`. Two variables:
#   PYTHON   the interpreter that has torch; python3 otherwise
#   WHEELS   a folder of wheels with twinserve's own and what else that interpreter lacks (deploy/gpu/wheels.sh fills one)
set -eu
python=${PYTHON:-python3}
here=$(cd "$(dirname "$0")/../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT INT TERM
if [ -n "${WHEELS:-}" ]; then
    # Beside the interpreter's own packages, which come first: its torch is the one that fits the GPU.
    "$python" -m pip install --quiet --no-index --no-deps --target "$scratch/site" "$WHEELS"/*.whl
    export PYTHONPATH="$scratch/site:$here/loadtest${PYTHONPATH:+:$PYTHONPATH}"
else
    export PYTHONPATH="$here/loadtest${PYTHONPATH:+:$PYTHONPATH}"
fi
status=0
"$python" -m twinserve_bench.device_check "$@" || status=$?
if "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    (cd "$here" && "$python" -m pytest -q -m gpu -p no:cacheprovider tests/server/model/test_torch_cuda.py tests/host/test_gpu.py) || status=$?
else
    echo "tests marked 'gpu' are left out: torch finds no CUDA device"
fi
exit "$status"
