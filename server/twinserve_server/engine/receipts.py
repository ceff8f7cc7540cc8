"""Answers signed into their request ids, so that any server with the key accepts their labels.

A receipt follows the id that a gateway gave a request: ``.s1.`` and, in base64, which variant answered (a hash of
model, version, variant and artefact), when, the classes, and a MAC of all this and the id. No server has to remember
such an answer. The MAC is keyed BLAKE2b (RFC 7693), which needs one hash where HMAC-SHA-256 needs two: every answer is
signed, but few get labels.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hmac
import struct
import time
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from twinserve_server.artefact.manifest import ModelVersion
from twinserve_server.engine.feedback import Judgement, count_correct, item_format, packed
from twinserve_server.engine.job import Buffer
from twinserve_server.errors import ForeignRequestError, UnknownRequestError, shown

MARK: Final = ".s1."
#: How long after the answer labels are accepted.
VALID_SECONDS: Final = 7 * 24 * 3600
#: How far the clocks of two servers may differ.
SKEW_SECONDS: Final = 300
#: The longest request id.
MAX_ID_CHARACTERS: Final = 128
_HEAD: Final = struct.Struct("!6sI")
_MAC_BYTES: Final = 12
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")


@dataclass(frozen=True, slots=True)
class Receipt:
    """A signed answer.

    Attributes:
        key: unique.
        model, version, variant: what answered.
        classes: the model's number of classes.
        predicted: the class of each image.
    """

    key: str
    model: str
    version: str
    variant: str
    classes: int
    predicted: Sequence[int]

    def judge(self, labels: Sequence[int]) -> Judgement:
        """Compare ``labels`` with the answer.

        Raises:
            InvalidInputError: the number of labels differs from the images, or a label is not a class.
        """
        correct = count_correct(self.predicted, labels, self.classes)
        return Judgement(self.model, self.version, self.variant, correct, len(labels))


class Receipts:
    """Signs answers, and reads those signed by any server with one of the keys."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """``keys``: the first signs, all verify."""
        # BLAKE2b takes 64 bytes of key at most.
        derived = (blake2b(key, digest_size=32, person=b"twinserve").digest() for key in keys)
        self._keys = tuple(blake2b(digest_size=_MAC_BYTES, key=key) for key in derived)

    def sign(self, request_id: str, version: ModelVersion, variant: str, answer: Buffer) -> str:
        """What to append to ``request_id``; empty when the answer, classes as native uint32, is too long for an id."""
        artefact = _hash(version.model, version.version, variant, version.variants[variant].sha256)
        body = _HEAD.pack(artefact, int(time.time())) + packed(answer, version.classes)
        if len(request_id) + len(MARK) + (len(body) + _MAC_BYTES) * 4 // 3 + 1 > MAX_ID_CHARACTERS:
            return ""
        return MARK + _text(body + _mac(self._keys[0], request_id, body))

    def read(self, request_id: str, versions: Iterable[ModelVersion]) -> Receipt | None:
        """The signed answer in ``request_id``; None if there is none.

        Args:
            request_id: as an answer carried it.
            versions: what is served here.

        Raises:
            ForeignRequestError: it was altered, or signed with another key.
            UnknownRequestError: it is too old, or from an artefact that is not served here.
        """
        name, mark, text = request_id.rpartition(MARK)
        if not mark:
            return None
        try:
            signed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except (binascii.Error, ValueError):
            signed = b""
        body, mac = signed[:-_MAC_BYTES], signed[-_MAC_BYTES:]
        # Base64 can spell some values in several ways; only ours is accepted.
        if len(body) <= _HEAD.size or _text(signed) != text or not self._signed(name, body, mac):
            raise ForeignRequestError.of(
                "request_id",
                f"{shown(request_id)} was changed, or signed by a server with another key; servers that take each "
                "other's labels need one --feedback-key",
            )
        artefact, when = _HEAD.unpack_from(body)
        if not -SKEW_SECONDS <= time.time() - when <= VALID_SECONDS:
            raise UnknownRequestError(
                f"request_id: {shown(request_id)} has expired: feedback is accepted for {VALID_SECONDS // 86400} days"
            )
        for version in versions:
            for variant, facts in version.variants.items():
                if _hash(version.model, version.version, variant, facts.sha256) == artefact:
                    predicted = array(item_format(version.classes), body[_HEAD.size :])
                    return Receipt(mac.hex(), version.model, version.version, variant, version.classes, predicted)
        raise UnknownRequestError(
            f"request_id: {shown(request_id)} was answered by a version that is not served here (any more)"
        )

    def _signed(self, name: str, body: bytes, mac: bytes) -> bool:
        return any(hmac.compare_digest(_mac(key, name, body), mac) for key in self._keys)


@functools.lru_cache(maxsize=256)
def _hash(model: str, version: str, variant: str, sha256: str) -> bytes:
    return blake2b("\0".join((model, version, variant, sha256)).encode(), digest_size=6).digest()


def _mac(keyed: blake2b, name: str, body: bytes) -> bytes:
    mac = keyed.copy()
    mac.update(b"%b\0%b" % (name.encode(), body))
    return mac.digest()


def _text(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).translate(_URL_SAFE).rstrip(b"=").decode()
