"""Parses inputs, outputs and labels given on the command line."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

from twinserve_host.functions import is_function_name
from twinserve_server.artefact.datatypes import DATATYPES, DataType
from twinserve_server.artefact.schema import schema
from twinserve_server.artefact.signature import FREE, TensorSpec

Kind = Literal["classifier", "logits", "probabilities", "tensor"]
KINDS: Final[tuple[str, ...]] = get_args(Kind)
METRICS: Final = ("top1", "mse", "max_abs", "cosine")
DEFAULT_METRIC: Final = "mse"

_NUMBER: Final = r"-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE: Final = re.compile(rf"({_NUMBER})\.\.({_NUMBER})")
_INPUT: Final = "NAME:SHAPE:DATATYPE, for example image:3x32x32:FP32, ids:?:INT64:0..30521, or scale::FP32 (a number)"
_OUTPUT: Final = "NAME[:SHAPE:DATATYPE]:KIND, for example scores:classifier or states:?x64:FP32:tensor"


class DeclarationError(Exception):
    """An option cannot be used; the message names it, its value and what is expected."""


@dataclass(frozen=True, slots=True)
class Output:
    """A declared output; ``spec`` None: its shape and datatype are what the model returns."""

    name: str
    kind: Kind
    spec: TensorSpec | None


def parse_input(text: str) -> TensorSpec:
    """``NAME:SHAPE:DATATYPE[:LOW..HIGH]``.

    Raises:
        DeclarationError: it is none.
    """
    where, rest, limits = f"--input {text}", text, None
    head, _, tail = text.rpartition(":")
    if found := _RANGE.fullmatch(tail):
        low, high = map(_number, found.groups())
        rest, limits = head, (low, high)
    fields = rest.rsplit(":", 2)
    if len(fields) != 3:
        raise DeclarationError(f"{where}: is not {_INPUT}")
    name, shape, datatype = fields
    return TensorSpec(_name(name, where), _datatype(datatype, where), _shape(shape, where), limits)


def parse_output(text: str) -> Output:
    """``NAME[:SHAPE:DATATYPE]:KIND``.

    Raises:
        DeclarationError: it is none.
    """
    where = f"--output {text}"
    rest, _, kind = text.rpartition(":")
    if not rest or kind not in KINDS:
        raise DeclarationError(f"{where}: ends with {kind!r}; expected {_OUTPUT}, with KIND one of {', '.join(KINDS)}")
    fields = rest.rsplit(":", 2)
    if len(fields) != 3 or fields[2] not in DATATYPES:
        return Output(_name(rest, where), cast("Kind", kind), None)
    name, shape, datatype = fields
    spec = TensorSpec(_name(name, where), _datatype(datatype, where), _shape(shape, where))
    return Output(spec.name, cast("Kind", kind), spec)


def check_outputs(outputs: list[Output]) -> None:
    """Check that the outputs go together.

    Raises:
        DeclarationError: there is none, or a classifier has several.
    """
    if not outputs:
        raise DeclarationError(f"--output: is missing; say what the model returns: {_OUTPUT}")
    if len(outputs) > 1 and any(output.kind != "tensor" for output in outputs):
        raise DeclarationError(
            f"--output: are {len(outputs)}; a classifier has one, its scores. Leave the others out, or declare all of "
            "them as tensor"
        )


def metric_of(text: str, outputs: list[Output]) -> str:
    """The metric of a model of tensors; empty: a classifier, whose classes are compared.

    Raises:
        DeclarationError: it is none, or does not suit the outputs.
    """
    if any(output.kind != "tensor" for output in outputs):
        if text not in ("", "top1"):
            raise DeclarationError(
                f"--metric {text}: a classifier is measured by its right answers, top1; leave it out"
            )
        return ""
    if text and text not in METRICS and not is_function_name(text):
        raise DeclarationError(f"--metric {text}: is none of {', '.join(METRICS)}, nor module:function")
    return text or DEFAULT_METRIC


def read_labels(text: str) -> list[str]:
    """Names of classes: ``A,B,C``, or a file with one a line, or a list in JSON.

    Raises:
        DeclarationError: the file cannot be read, or holds something else.
    """
    path = Path(text)
    if "," in text or not (path.suffix or path.exists()):
        return [label.strip() for label in text.split(",")]
    try:
        content = path.read_text("utf-8")
        found: Any = json.loads(content) if path.suffix.lower() == ".json" else content.splitlines()
    except OSError as error:
        raise DeclarationError(f"--labels {text}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise DeclarationError(f"--labels {text}: is not UTF-8 text, or not JSON ({error})") from None
    if not isinstance(found, list) or not all(isinstance(label, str) for label in found):
        raise DeclarationError(f"--labels {text}: is not a list of names")
    return [label.strip() for label in found if label.strip()]


def _name(text: str, where: str) -> str:
    pattern = schema()["$defs"]["tensor_name"]["pattern"]
    if not re.fullmatch(pattern.replace("$", r"\Z"), text):
        raise DeclarationError(f"{where}: {text!r} is not a valid tensor name; use letters, digits and _./:-")
    return text


def _datatype(text: str, where: str) -> DataType:
    if text not in DATATYPES:
        raise DeclarationError(f"{where}: {text!r} is not a datatype; the datatypes are {', '.join(DATATYPES)}")
    return text


def _shape(text: str, where: str) -> tuple[int, ...]:
    sides = []
    for side in text.split("x") if text else []:
        if side in ("?", "-1"):
            sides.append(FREE)
        elif side.isascii() and side.isdigit() and 0 < int(side) <= 65536:
            sides.append(int(side))
        else:
            raise DeclarationError(
                f"{where}: the shape {text!r} holds {side!r}; the shape of an item, without the batch, is "
                "numbers of 1 to 65536, or ? for a size that each request chooses, with x between them"
            )
    if len(sides) > 6:
        raise DeclarationError(f"{where}: the shape has {len(sides)} dimensions; 6 are possible, the batch not counted")
    return tuple(sides)


def _number(text: str) -> float:
    value = float(text)
    return int(value) if math.isfinite(value) and value.is_integer() else value
