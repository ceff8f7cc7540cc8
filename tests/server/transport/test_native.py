"""What the native transport reads and makes itself. What a caller sees of it is in ``test_conformance``."""

from __future__ import annotations

import stat
import tempfile
from pathlib import Path

import pytest

from twinserve_server.transport.base import TransportError
from twinserve_server.transport.native import private_socket, timeout_ns


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(b"1H", 3600), (b"2M", 120), (b"3S", 3), (b"250m", 0.25), (b"4u", 4e-6), (b"5n", 5e-9), (b"99999999S", 99999999)],
)
def test_a_timeout_is_read_in_every_unit(header: bytes, seconds: float) -> None:
    assert timeout_ns(header) == pytest.approx(seconds * 1e9)


@pytest.mark.parametrize("header", [b"", b"S", b"1", b"-1S", b"1.5S", b"1s", b"123456789S", b"1S ", "٣S".encode()])
def test_what_is_no_timeout_is_none(header: bytes) -> None:
    assert timeout_ns(header) == 0


def test_the_socket_behind_lies_where_only_this_user_comes() -> None:
    folder, path = private_socket()
    with folder:
        assert stat.S_IMODE(Path(path).parent.stat().st_mode) == 0o700


def test_a_temporary_folder_too_deep_for_a_socket_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with pytest.raises(TransportError, match=r"longer than a socket's name may be \(107 bytes\); set TMPDIR"):
        private_socket()
    assert not list(deep.iterdir())
