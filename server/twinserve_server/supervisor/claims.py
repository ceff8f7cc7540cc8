"""Which signed answers have received labels: each counts once, whichever gateway gets them."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from twinserve_server.errors import RepeatedFeedbackError

#: Some 10 MB.
MOST: Final = 65_536


class Claims:
    """The last answers judged."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._judged: OrderedDict[str, None] = OrderedDict()

    def claim(self, key: str) -> None:
        """Note that the answer is judged now.

        Raises:
            RepeatedFeedbackError: it was already.
        """
        if key in self._judged:
            raise RepeatedFeedbackError("request_id: feedback for this answer was already counted")
        self._judged[key] = None
        if len(self._judged) > self._most:
            self._judged.popitem(last=False)
