"""Where several quantised engines may suit, the build tries them. Those of ARM run on x86, too: QNNPACK and oneDNN."""

from __future__ import annotations

import pytest
import torch

from twinserve_models.engines import choose_recipe
from twinserve_models.machine import ARM_ENGINES, reduce_range_for
from twinserve_models.net import Net
from twinserve_models.quantize import QuantRecipe


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    return torch.randint(0, 256, (64, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_each_engine_is_tried_and_the_fastest_taken(pixels: torch.Tensor) -> None:
    recipe, tried = choose_recipe(Net().eval(), pixels, [QuantRecipe(engine, False) for engine in ARM_ENGINES])
    assert list(tried) == ["qnnpack", "onednn"]
    assert all(us > 0 for us in tried.values())
    usual, other = tried["qnnpack"], tried["onednn"]
    assert recipe.engine == ("onednn" if other * 1.1 < usual else "qnnpack")


def test_an_engine_that_fails_is_recorded_and_not_taken(pixels: torch.Tensor) -> None:
    recipes = [QuantRecipe("no-such-engine", False), QuantRecipe("qnnpack", False)]
    recipe, tried = choose_recipe(Net().eval(), pixels, recipes)
    assert recipe.engine == "qnnpack"
    assert tried["no-such-engine"].startswith("fails: ")


def test_a_single_engine_is_not_tried(pixels: torch.Tensor) -> None:
    assert choose_recipe(Net().eval(), pixels, [QuantRecipe("x86", False)]) == (QuantRecipe("x86", False), {})


@pytest.mark.parametrize(
    ("engine", "flags", "machine", "reduced"),
    [
        ("x86", "avx2", "x86_64", True),
        ("x86", "avx2 avx512_vnni", "x86_64", False),
        ("qnnpack", "asimd", "aarch64", False),
        ("onednn", "asimd", "aarch64", False),
    ],
)
def test_seven_bits_are_for_x86_without_vnni(engine: str, flags: str, machine: str, reduced: bool) -> None:
    assert reduce_range_for(engine, frozenset(flags.split()), machine) is reduced
