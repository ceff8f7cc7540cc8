"""The interface between the experiment and whatever sends the requests: the live generator or the simulator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from twinserve_loadtest.record.blocks import Block, BlockPlan


class ArmUnavailableError(Exception):
    """The server or one variant stopped answering: the measurement ends here, what was measured is kept."""


class Runner(Protocol):
    """Sends one block's requests to one variant and waits for the answers."""

    def run(self, arm: str, block: BlockPlan) -> Block:
        """Run one block.

        Raises:
            ArmUnavailableError: there are no answers any more.
        """
        ...
