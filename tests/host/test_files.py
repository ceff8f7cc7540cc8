"""Files are written whole or not at all, and nothing that is not a regular file is replaced by one."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from twinserve_host.files import FileError, check_writable, is_stream, rescue_file, write_file

ROOT = os.geteuid() == 0


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder in which no file may grow beyond 10,000 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    yield tmp_path
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_and_its_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "results.json"
    write_file(path, "µ")
    assert path.read_bytes() == b"\xc2\xb5"
    assert os.listdir(path.parent) == ["results.json"]


def test_what_was_there_is_replaced_and_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text("a longer text than the new one")
    path.chmod(0o640)
    write_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_new_file_has_the_permissions_that_the_umask_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_file(tmp_path / "new", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640


@pytest.mark.parametrize("exists", [True, False])
def test_a_symbolic_link_stays_one(tmp_path: Path, exists: bool) -> None:
    (tmp_path / "elsewhere").mkdir()
    place, link = tmp_path / "elsewhere" / "real.json", tmp_path / "latest.json"
    if exists:
        place.write_text("old")
    link.symlink_to(place)
    write_file(link, b"new")
    assert link.is_symlink()
    assert place.read_bytes() == b"new"


def test_a_device_stays_one(tmp_path: Path) -> None:
    device = Path("/dev/null")
    if ROOT:
        device = tmp_path / "null"
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    check_writable(device)
    write_file(device, b"gone")
    assert stat.S_ISCHR(device.stat().st_mode)
    assert is_stream(device)


def test_a_pipe_is_written_to_and_its_reader_sees_one_whole_message(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", list[bytes]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    check_writable(pipe)  # must not look like the end of the message
    write_file(pipe, b"x" * 100_000)
    reader.join(30)
    assert read == [b"x" * 100_000]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_standard_output_is_written_to_even_when_it_is_a_file(tmp_path: Path) -> None:
    code = """
from pathlib import Path
from twinserve_host.files import write_file
write_file(Path("/dev/stdout"), b"results")
"""
    path = tmp_path / "out"
    with path.open("wb") as out:
        inode = path.stat().st_ino
        subprocess.run([sys.executable, "-c", code], stdout=out, check=True, timeout=60)
    assert path.read_bytes() == b"results"
    assert path.stat().st_ino == inode


@pytest.mark.parametrize("path", ["/proc/x.json", "/dev/full", "{folder}", "{file}/x.json", "{folder}/" + "x" * 300])
def test_what_cannot_be_written_is_named_and_nothing_is_left(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("kept")
    place = Path(path.format(folder=tmp_path, file=tmp_path / "file"))
    with pytest.raises(FileError, match=r"cannot be written \(") as told:
        write_file(place, b"some bytes")
    assert str(told.value).startswith(str(place))
    if path != "/dev/full":  # takes everything until it is written to
        with pytest.raises(FileError):
            check_writable(place)
    assert os.listdir(tmp_path) == ["file"]


def test_a_trial_leaves_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b" / "results.json")
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_found_beforehand(full_disk: Path) -> None:
    with pytest.raises(FileError, match="File too large"):
        check_writable(full_disk / "x")
    assert os.listdir(full_disk) == []


def test_a_disk_that_is_full_in_the_middle_leaves_the_old_file(full_disk: Path) -> None:
    path = full_disk / "results.json"
    write_file(path, b"old")
    with pytest.raises(FileError, match="File too large"):
        write_file(path, bytes(20_000))
    assert path.read_bytes() == b"old"
    assert os.listdir(full_disk) == ["results.json"]


def test_a_name_of_the_greatest_length_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 127)
    write_file(path, b"x")
    assert path.read_bytes() == b"x"


def test_what_finds_no_place_is_kept_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    place = rescue_file(Path("/proc/compare.json"), b"a verdict")
    assert place.parent == tmp_path
    assert place.name.startswith("compare-")
    assert place.suffix == ".json"
    assert place.read_bytes() == b"a verdict"


def test_without_a_temporary_folder_it_is_kept_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/proc/none")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert rescue_file(Path("x.json"), b"y").parent == tmp_path
