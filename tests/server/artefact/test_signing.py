"""Signed model versions: what a server with ``--model-key`` serves, and what it refuses, with model-signing itself."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from support.server_process import ServerProcess
from twinserve_client.client import Client
from twinserve_server.artefact.manifest import read_manifest
from twinserve_server.artefact.repository import read_version
from twinserve_server.artefact.signing import verify_signature
from twinserve_server.errors import ArtefactError

Damage = Callable[[Path], object]


def make_keys(folder: Path, name: str) -> tuple[Path, Path]:
    """A private and a public key."""
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public


def sign(folder: Path, private: Path) -> None:
    """As docs/security.md says."""
    command = [sys.executable, "-m", "model_signing", "sign", "key", "--private_key", str(private)]
    subprocess.run([*command, "--signature", str(folder / "model.sig"), str(folder)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_keys(tmp_path_factory.mktemp("keys"), "ours")


@pytest.fixture(scope="module")
def signed(tiny_models: Path, keys: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder whose one version is signed."""
    root = tmp_path_factory.mktemp("signed") / "models"
    shutil.copytree(tiny_models, root)
    sign(root / "tiny" / "1", keys[0])
    return root


@pytest.fixture
def folder(signed: Path, tmp_path: Path) -> Path:
    """A copy of the signed version."""
    return Path(shutil.copytree(signed / "tiny" / "1", tmp_path / "tiny" / "1"))


def test_a_signed_version_is_served(signed: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    with (
        ServerProcess(signed, tmp_path, "--profile", "edge", "--model-key", str(keys[1])) as server,
        Client(server.target) as client,
    ):
        assert client.describe_model().variants


def flip(path: Path) -> None:
    """Change one byte."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def an_artefact(folder: Path) -> Path:
    return Path(next(iter(read_manifest(folder).variants.values())).path)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "model.sig").unlink(), "does not exist, and --model-key asks for signed models"),
        (lambda folder: (folder / "model.sig").write_bytes(b""), "is not a signature of this folder"),
        (lambda folder: flip(folder / "model.sig"), "is not a signature of this folder"),
        (lambda folder: flip(an_artefact(folder)), "Hash mismatch for"),
        (lambda folder: (folder / "more.bin").write_bytes(b"x"), "Extra files found"),
        (lambda folder: (folder / "manifest.json").open("a").write("\n"), "Hash mismatch for 'manifest.json'"),
    ],
    ids=["unsigned", "empty", "signature changed", "artefact changed", "file added", "manifest changed"],
)
def test_what_was_not_signed_is_refused(folder: Path, keys: tuple[Path, Path], damage: Damage, said: str) -> None:
    damage(folder)
    with pytest.raises(ArtefactError, match=said) as caught:
        read_version(folder, keys[1])
    assert "model_signing sign key" in caught.value.message
    assert "\n" not in caught.value.message


def test_a_signature_by_another_key_is_refused(folder: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    private, _ = make_keys(tmp_path, "theirs")
    sign(folder, private)
    with pytest.raises(ArtefactError, match="is not a signature of this folder by"):
        read_version(folder, keys[1])


def test_the_manifest_that_is_vouched_for_is_the_one_that_was_read(folder: Path, keys: tuple[Path, Path]) -> None:
    read_before_it_was_put_back = (folder / "manifest.json").read_text() + " "
    with pytest.raises(ArtefactError, match="does not contain the SHA-256 of the manifest"):
        verify_signature(folder, read_before_it_was_put_back, keys[1])


def test_without_a_key_signatures_are_not_looked_at(folder: Path) -> None:
    (folder / "model.sig").write_bytes(b"")
    assert read_version(folder, None).model == "tiny"
