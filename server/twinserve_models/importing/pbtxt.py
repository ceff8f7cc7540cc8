"""``config.pbtxt``: the part of Triton's model configuration that has a counterpart, and the names of the rest."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from google.protobuf import text_format

from twinserve.inference import open_inference_pb2 as pb
from twinserve_models.importing.frame import ImportModelError


def read_config(path: Path) -> tuple[pb.ModelConfig, list[str]]:
    """A ``config.pbtxt``, and the path of every field that it states: ``dynamic_batching.preserve_ordering``.

    Raises:
        ImportModelError: it cannot be read, or is no text of this form.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise ImportModelError(f"{path}: does not exist; write one, or name the folder that contains it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ImportModelError(f"{path}: cannot be read ({error})") from None
    try:
        # Triton's own message has more fields; stated() returns those that are set.
        config = text_format.Parse(text, pb.ModelConfig(), allow_unknown_field=True)
        return config, list(dict.fromkeys(stated(text)))
    except text_format.ParseError as error:
        raise ImportModelError(f"{path}: is not a model configuration in protobuf's text format ({error})") from None


def stated(text: str) -> Iterable[str]:
    """The path of every field in a text, in its order."""
    tokenizer = text_format.Tokenizer(text.splitlines())
    # The open brackets: the field of a message, or "[" for a list.
    opened: list[str] = []
    name = before = ""
    while not tokenizer.AtEnd():
        sign = tokenizer.token
        if sign in ("{", "<"):
            opened.append(name)
        elif sign == "[":
            opened.append(sign)
        elif sign in ("}", ">", "]"):
            closed = opened.pop()
            # The next message of a list belongs to the same field.
            name = name if closed == "[" else closed
        elif (sign[0].isalpha() or sign[0] == "_") and before != ":" and opened[-1:] != ["["]:
            name = sign
            yield ".".join([*(field for field in opened if field != "["), name])
        before = sign
        tokenizer.NextToken()
