"""The size of an artefact is never written as nothing."""

from __future__ import annotations

import pytest

from twinserve_host.sizes import kilobytes


@pytest.mark.parametrize(
    ("size", "text"), [(4_803_184, "4,691"), (10_240, "10"), (3_300, "3.2"), (412, "0.4"), (60, "0.06"), (0, "0")]
)
def test_small_sizes_get_decimals(size: int, text: str) -> None:
    assert kilobytes(size) == text
