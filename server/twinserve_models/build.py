"""From images to a model version that can be served."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from twinserve_host.files import FileError, check_writable
from twinserve_models.artefacts import make_artefacts
from twinserve_models.budget import fit, seconds_a_step
from twinserve_models.data import Dataset, DatasetInfo, load_dataset
from twinserve_models.devices import Device, device_artefacts
from twinserve_models.export import export_version
from twinserve_models.mnist_files import DataError
from twinserve_models.own_data import read_own
from twinserve_models.testset import TESTSET_NAME, write_testset
from twinserve_models.train import Recipe, Training, train
from twinserve_models.versions import new_version, remove_leftovers
from twinserve_server.artefact.manifest import MANIFEST_NAME

MODEL = "mnist"
VERSION = "1"
LOCK_NAME = ".build.lock"


def ensure_models(
    folder: Path, *, data: Path | None = None, seed: int = 0, progress: bool = True, version: str = VERSION
) -> Path:
    """Build ``folder/mnist/<version>`` unless it is there; return its path.

    Two that ask at once build once: the second waits for the first.

    Raises:
        DataError: the images cannot be had.
    """
    return build_models(folder, data=data, seed=seed, progress=progress, version=version, force=False)


def build_models(
    folder: Path,
    *,
    data: Path | None = None,
    seed: int = 0,
    progress: bool = True,
    version: str = VERSION,
    force: bool = True,
    recipe: Recipe | None = None,
    seconds: float | None = None,
    model: str = MODEL,
    classes: list[str] | None = None,
    devices: list[str] | None = None,
) -> Path:
    """Train, quantise and write ``folder/<model>/<version>`` and its ``testset.npz``; return the version's path.

    Args:
        folder: The model folder; made when missing.
        data: Where the images lie; see :mod:`twinserve_models.data`, and for your own images
            :mod:`twinserve_models.own_data`.
        seed: Of weights, order, shifts and dropout.
        progress: Show on standard error what is going on.
        version: The version to write.
        force: Build even when the version is there, and replace it.
        recipe: How to train.
        seconds: About how long training may take: on a machine that is too slow for all of it, fewer epochs and images
            are used, which the manifest tells. None: however long it takes.
        model: What the model is called; another name than MNIST's is for images of your own.
        classes: The names of the classes of your own images.
        devices: Also build fp32, fp16 and bf16 for these: ``cuda:0``.

    Raises:
        DataError: the images cannot be had, or a device is not here.
        FileError: the model folder cannot be written.
    """
    console = Console(stderr=True, quiet=not progress)
    target = folder / model / version
    places = [Device(name) for name in dict.fromkeys(devices or [])]
    for place in places:
        place.check()
    with _lock(folder):
        remove_leftovers(folder / model)
        if not force and (target / MANIFEST_NAME).is_file():
            return target
        check_writable(folder / model / TESTSET_NAME)  # before minutes of training
        with console.status("looking for images …"):
            dataset = load_images(model, data, classes or [])
        console.print(dataset_panel(dataset.info))
        recipe, reduced = recipe or Recipe(), None
        if seconds is not None:
            dataset, recipe, reduced = fit(dataset, recipe, seconds, seconds_a_step(dataset, recipe), seed)
            if reduced:
                console.print(
                    Panel(str(reduced), title="NOT ALL OF THE TRAINING", border_style="bold red", expand=False)
                )
        training = _train(dataset, seed, recipe, console)
        with console.status("quantising and evaluating …"), new_version(folder / model, version) as scratch:
            artefacts = make_artefacts(training.net, dataset) + device_artefacts(training.net, dataset, places)
            export_version(scratch, artefacts, training, dataset.info, reduced, dataset.classes)
            write_testset(folder / model, dataset.test_images, dataset.test_labels, dataset.info)
    return target


def load_images(model: str, data: Path | None, classes: list[str]) -> Dataset:
    """MNIST for the model of that name, images of the user's own for any other.

    Raises:
        DataError: they cannot be had.
    """
    if model == MODEL:
        if classes:
            raise DataError(f"--labels: MNIST's classes are the digits; give the model another name than {MODEL!r}")
        return load_dataset(data)
    if data is None:
        raise DataError(f"--data: model {model!r} is built from images of your own; say where they are")
    return read_own(model, data, classes)


def dataset_panel(info: DatasetInfo) -> Panel:
    """Which images are used, said loudly."""
    if info.full:
        return Panel(f"[bold]{info.caption()}[/]\n{info.source}", title="data set", border_style="green", expand=False)
    advice = "For the full set give --data DIR or MNIST_ROOT, or let torchvision download it (needs a network)."
    text = f"[bold]{info.caption()}[/]\n{info.source}\n{advice}"
    return Panel(text, title="data set: NOT THE FULL MNIST", border_style="bold red", expand=False)


def _train(dataset: Dataset, seed: int, recipe: Recipe, console: Console) -> Training:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("training", total=None, loss=float("nan"))

        def on_step(epoch: int, done: int, total: int, loss: float) -> None:
            bar.update(task, description=f"training, epoch {epoch + 1}", completed=done, total=total, loss=loss)

        training = train(dataset, seed, recipe, on_step)
    losses = ", ".join(f"{loss:.4f}" for loss in training.losses)
    console.print(
        f"trained in {training.seconds:.0f} s with {torch.get_num_threads()} threads; loss by epoch: {losses}"
    )
    return training


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """One build in a model folder at a time; the lock goes with the process that holds it.

    Raises:
        FileError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK_NAME).open("w")
    except OSError as error:
        raise FileError.of(folder, error) from None
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
