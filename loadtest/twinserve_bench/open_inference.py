"""The Open Inference Protocol beside Predict, and Triton's ``perf_analyzer`` beside h2load, interleaved in one run.

Each round loads one server with Predict and ModelInfer by h2load, then with ModelInfer by perf_analyzer, with the same
number of requests in flight, so that a slow minute of the machine hits all of them. Example:

    python -m twinserve_bench.open_inference --models models --rounds 5
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from twinserve.inference import open_inference_pb2 as pb
from twinserve_bench.h2load import METHOD, LoadError, drive
from twinserve_bench.messages import TestSet
from twinserve_bench.perf_analyzer import PerfAnalyzerError, sweep
from twinserve_bench.processes import Running, affinity, busy_warning, ensure_models, twinserve
from twinserve_bench.table import Figures, Target, figures_table, targets_table

MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"
#: ModelInfer may cost this much more than Predict.
LEAST_RATIO = 0.9


def infer_request(tests: TestSet, variant: str) -> pb.ModelInferRequest:
    """One image as raw contents."""
    image = tests.images[:1]
    request = pb.ModelInferRequest(model_name=f"mnist_{variant}", raw_input_contents=[image.tobytes()])
    request.inputs.add(name="input", datatype="UINT8", shape=image.shape)
    return request


def measure(server: Running, tests: TestSet, in_flight: int, seconds: float, figures: Figures) -> None:
    """One round."""
    for name, method, message in (
        ("Predict", METHOD, tests.request("int8").SerializeToString()),
        ("ModelInfer", MODEL_INFER, infer_request(tests, "int8").SerializeToString()),
    ):
        load = drive(server.port, message, in_flight, seconds, method, server_pid=server.pid)
        figures.add(f"{name}, h2load: requests/s", load.requests_per_second)
        figures.add(f"{name}, h2load: p50 µs", load.p50_us)
        figures.add(f"{name}, h2load: CPU µs a request of the server", sum(load.cpu_us.values()))
        figures.add(f"{name}, h2load: CPU µs a request of the gateway", load.cpu_us["gateway"])
    (row,) = sweep(
        f"127.0.0.1:{server.port}", "mnist_int8", "concurrency", in_flight, in_flight, 1, round(seconds * 1000)
    )
    figures.add("ModelInfer, perf_analyzer: requests/s", row.requests_per_second)
    figures.add("ModelInfer, perf_analyzer: p50 µs", row.p50_us)


def main() -> int:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--gateways", type=int, default=1)
    arguments = parser.parse_args()
    ensure_models(arguments.models)
    load_before = os.getloadavg()[0]
    tests, figures = TestSet(arguments.models), Figures()
    flags = ("--variants", "int8", "--gateways", str(arguments.gateways))
    try:
        with twinserve(arguments.models, *flags) as server:
            tests.check(server.port, "int8")
            for _ in range(arguments.rounds):
                measure(server, tests, arguments.in_flight, arguments.seconds, figures)
    except (LoadError, PerfAnalyzerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    targets = [
        Target(
            f"Predict / ModelInfer, {what}, {arguments.in_flight} in flight",
            LEAST_RATIO,
            True,
            figures.ratio(f"Predict, h2load: {what}", f"ModelInfer, h2load: {what}"),
        )
        for what in ("CPU µs a request of the server", "CPU µs a request of the gateway")
    ]
    print(f"Cores {affinity()}, {arguments.rounds} rounds of {arguments.seconds:g} s, INT8, single images.")
    print(f"{busy_warning(load_before)}\n\n{figures_table(figures)}\n\n{targets_table(targets)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
