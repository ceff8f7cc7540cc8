"""What `twinserve serve` can be told: the same as flags and in the environment; what is wrong gets one line."""

from __future__ import annotations

from typing import Any

import pytest

from twinserve_server.serve import run
from twinserve_server.settings.read import SettingsError, read_settings
from twinserve_server.settings.server import ServerSettings

#: Setting, text, and what it means.
SEVERAL_VALUES = [
    ("variants", "fp32,int8", ["fp32", "int8"]),
    ("variants", " fp32 , int8 ,", ["fp32", "int8"]),
    ("variants", '["fp32", "int8"]', ["fp32", "int8"]),
    ("preferred_batch_sizes", "8,16", [8, 16]),
    ("preferred_batch_sizes", "[8, 16]", [8, 16]),
    ("replicas", "int8=2", {"int8": 2}),
    ("replicas", "int8=2 fp32=1", {"int8": 2, "fp32": 1}),
    ("replicas", "int8=2,fp32=1", {"int8": 2, "fp32": 1}),
    ("replicas", "int8=2; fp32=1", {"int8": 2, "fp32": 1}),
    ("replicas", '{"int8": 2}', {"int8": 2}),
    ("pin", "int8=0", {"int8": [0]}),
    ("pin", "int8=0,0 gateway=0", {"int8": [0, 0], "gateway": [0]}),
    ("pin", "int8=0,0,gateway=0", {"int8": [0, 0], "gateway": [0]}),
    ("pin", '{"int8": [0]}', {"int8": [0]}),
    ("split", "int8=0.1", {"int8": 0.1}),
    ("shadow", "int8=1", {"int8": 1.0}),
]


def settings(**given: Any) -> ServerSettings:
    return read_settings(given)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with the cores 0 and 1."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1}, raising=False)


@pytest.mark.parametrize(("setting", "text", "value"), SEVERAL_VALUES)
def test_the_environment_takes_the_words_of_the_flag_or_json(
    monkeypatch: pytest.MonkeyPatch, setting: str, text: str, value: object
) -> None:
    monkeypatch.setenv(f"TWINSERVE_{setting.upper()}", text)
    assert getattr(settings(), setting) == value


@pytest.mark.parametrize(("setting", "text", "value"), SEVERAL_VALUES)
def test_a_flag_takes_them_as_well(setting: str, text: str, value: object) -> None:
    assert getattr(settings(**{setting: text}), setting) == value


def test_a_flag_may_be_repeated() -> None:
    assert settings(replicas=["int8=2", "fp32=1"]).replicas == {"int8": 2, "fp32": 1}


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PORT", "VARIANTS", "REPLICAS"):
        monkeypatch.setenv(f"TWINSERVE_{name}", "")
    assert settings() == settings(port=8500, variants=[], replicas={})


#: Setting, text, and what is said about it.
WRONG = [
    ("preferred_batch_sizes", "a", "'a' is not a whole number (given: 'a')"),
    ("preferred_batch_sizes", "0", "0 is less than 1 (given: '0')"),
    ("preferred_batch_sizes", "[1.5]", "1.5 is not a whole number (given: '[1.5]')"),
    ("replicas", "int8", "'int8' is not a pair; write VARIANT=VALUE, such as int8=2 (given: 'int8')"),
    ("replicas", "int8=x", "int8=x: 'x' is not a whole number; write VARIANT=VALUE, such as int8=2 (given: 'int8=x')"),
    ("replicas", "int8=0", "int8=0: 1..64 replicas are allowed (given: 'int8=0')"),
    ("replicas", "int8=1 int8=2", "'int8' appears twice (given: 'int8=1 int8=2')"),
    ("replicas", '{"int8": [', "not valid JSON (Expecting value: line 1 column 11 (char 10)) (given: '{\"int8\": [')"),
    ("pin", "int8=", "int8=: no core is named; write VARIANT=VALUE, such as int8=0,1 (given: 'int8=')"),
    ("pin", "int8=7", "int8=7: the server may use the cores 0,1 (given: 'int8=7')"),
    ("split", "int8=2", "int8=2: a share must be within 0..1; write VARIANT=VALUE, such as int8=0.1 (given: 'int8=2')"),
    ("split", "int8=0.6 fp32=0.6", "the shares sum to 1.2; at most 1 is allowed (given: 'int8=0.6 fp32=0.6')"),
    ("port", "99999", "Input should be less than or equal to 65535 (given: '99999')"),
    ("log_level", "[loud]", "Input should be 'debug', 'info', 'warning' or 'error' (given: '[loud]')"),
]


@pytest.mark.parametrize(("setting", "text", "message"), WRONG)
def test_a_wrong_variable_ends_with_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], setting: str, text: str, message: str
) -> None:
    monkeypatch.setenv(f"TWINSERVE_{setting.upper()}", text)
    assert run({"build": False}) == 2
    assert capsys.readouterr().err == f"error: TWINSERVE_{setting.upper()}: {message}\n"


@pytest.mark.parametrize(("setting", "text", "message"), WRONG)
def test_a_wrong_flag_ends_with_one_line_that_names_it(
    capsys: pytest.CaptureFixture[str], setting: str, text: str, message: str
) -> None:
    assert run({setting: text, "build": False}) == 2
    assert capsys.readouterr().err == f"error: --{setting.replace('_', '-')}: {message}\n"


def test_off_linux_several_gateways_cannot_share_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert settings(gateways=1).gateways == 1
    with pytest.raises(SettingsError, match=r"2 gateways can share a port only on Linux, and this is darwin; give 1"):
        settings(gateways=2)


@pytest.mark.parametrize("setting", ["split", "variants", "pin", "host"])
def test_bytes_that_are_not_utf_8_are_named(setting: str) -> None:
    """Python hands them on as surrogates."""
    with pytest.raises(SettingsError, match=rf"^--{setting}: 'int8=\\udcff' is not UTF-8 text$"):
        settings(**{setting: "int8=\udcff"})


@pytest.mark.parametrize("setting", ["split", "variants", "pin"])
def test_json_nested_thousands_deep_is_no_json(setting: str) -> None:
    with pytest.raises(SettingsError, match=rf"^--{setting}: not valid JSON"):
        settings(**{setting: "[" * 100_000})


def test_a_share_too_large_for_a_float_is_no_number() -> None:
    with pytest.raises(SettingsError, match=r"--split: int8=10+: 10+ is not a number"):
        settings(split='{"int8": 1' + "0" * 400 + "}")
