"""The token file on disk: read again when it changes, kept when it breaks, written atomically and by one at a time."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from twinserve_server.access.token_file import TokenFile, create_token, revoke_token
from twinserve_server.access.tokens import TokenError, find_token


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


def names(file: TokenFile) -> list[str]:
    return [token.name for token in file.tokens]


def test_a_new_token_makes_the_file_for_its_owner_alone_and_holds_no_secret(path: Path) -> None:
    secret = create_token(path, "app", ["predict"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secret not in path.read_text()
    found = find_token(TokenFile(path).tokens, secret)
    assert found is not None
    assert found.name == "app"


def test_a_change_is_seen_and_no_change_costs_no_reading(path: Path) -> None:
    create_token(path, "old", ["predict"])
    file = TokenFile(path)
    assert not file.refresh()
    create_token(path, "new", ["predict"])
    assert file.refresh()
    assert names(file) == ["old", "new"]
    revoke_token(path, "old")
    assert file.refresh()
    assert names(file) == ["new"]


@pytest.mark.parametrize("broken", ["", "half a li"])
def test_a_broken_file_keeps_the_tokens_and_is_told_once(path: Path, broken: str) -> None:
    create_token(path, "app", ["predict"])
    good = path.read_text()
    file = TokenFile(path)
    path.write_text(broken)
    with pytest.raises(TokenError):
        file.refresh()
    assert not file.refresh()
    assert names(file) == ["app"]
    path.write_text(good)
    assert file.refresh()


def test_a_file_that_is_gone_keeps_the_tokens_until_it_is_back(path: Path) -> None:
    create_token(path, "app", ["predict"])
    file = TokenFile(path)
    away = path.rename(path.with_name("away"))
    with pytest.raises(TokenError, match="cannot be read"):
        file.refresh()
    assert not file.refresh()
    assert names(file) == ["app"]
    away.rename(path)
    assert file.refresh()


def test_a_link_that_points_elsewhere_is_a_change(path: Path) -> None:
    """So does a Kubernetes secret change."""
    for folder, name in (("one", "a"), ("two", "b")):
        path.with_name(folder).mkdir()
        create_token(path.with_name(folder) / "tokens", name, ["predict"])
    path.symlink_to("one/tokens")
    file = TokenFile(path)
    path.unlink()
    path.symlink_to("two/tokens")
    assert file.refresh()
    assert names(file) == ["b"]


def test_tokens_that_were_handed_down_serve_while_the_file_is_broken(path: Path) -> None:
    create_token(path, "app", ["predict"])
    known = TokenFile(path).tokens
    path.write_text("broken")
    file = TokenFile(path, known)
    with pytest.raises(TokenError):
        file.refresh()
    assert file.tokens == known


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(path: Path, mode: int) -> None:
    create_token(path, "app", ["predict"])
    path.chmod(mode)
    with pytest.raises(TokenError, match=r"is writable by .*; chmod go-w "):
        TokenFile(path)


@pytest.mark.parametrize(
    ("content", "said"), [(b"\xff", "is not UTF-8 text"), (b"#" * ((1 << 20) + 1), "holds more than 1048576 bytes")]
)
def test_a_file_that_cannot_be_one_is_refused(path: Path, content: bytes, said: str) -> None:
    path.write_bytes(content)
    with pytest.raises(TokenError, match=said):
        TokenFile(path)


def test_a_folder_is_refused(path: Path) -> None:
    with pytest.raises(TokenError, match="cannot be read"):
        TokenFile(path.parent)


def test_revoking_the_last_token_leaves_a_file_that_lets_nobody_in(path: Path) -> None:
    create_token(path, "app", ["predict"])
    path.write_text("\n".join(line for line in path.read_text().split("\n") if not line.startswith("#")))
    revoke_token(path, "app")
    assert TokenFile(path).tokens == ()


def test_comments_and_permissions_survive(path: Path) -> None:
    create_token(path, "a", ["predict"])
    path.write_text(path.read_text() + "# of the night shift\n")
    path.chmod(0o644)
    create_token(path, "b", ["admin"])
    revoke_token(path, "a")
    assert "# of the night shift" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(path.parent) == [path.name]


def test_many_writers_lose_nothing(path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: create_token(path, f"t{number}", ["predict"]), range(24)))
    assert sorted(names(TokenFile(path))) == sorted(f"t{number}" for number in range(24))
