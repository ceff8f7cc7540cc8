"""What stands in for the recorders with ``--no-metrics``: for measuring what the metrics cost.

The supervisor's families (memory, CPU, readiness) cost requests nothing and stay.
"""

from __future__ import annotations

from twinserve_server.artefact.manifest import ModelVersion
from twinserve_server.engine.engine import Call, EngineObserver, ServedModel
from twinserve_server.engine.feedback import Judgement
from twinserve_server.errors import TwinserveError


class SilentRecorder(EngineObserver):
    """Takes what :class:`~twinserve_server.metrics.recorder.Recorder` takes and keeps nothing."""

    def rpc_tally(self, kind: str, service: str, method: str) -> SilentTally:  # noqa: ARG002
        """See ``Recorder``."""
        return SilentTally()

    def channel_observer(self, version: ModelVersion, variant: str) -> SilentTally:  # noqa: ARG002
        """See ``Recorder``."""
        return SilentTally()

    def queue_state(self, served: ServedModel, variant: str, waiting: int, in_flight: int) -> None:
        """See ``Recorder``."""

    def put_exemplar(self, call: Call, trace_id: int, span_id: int) -> None:
        """See ``Recorder``."""

    def on_routed(self, call: Call) -> None:
        """See ``EngineObserver``."""

    def on_answered(self, call: Call) -> None:
        """See ``EngineObserver``."""

    def on_refused(self, call: Call, error: TwinserveError) -> None:
        """See ``EngineObserver``."""

    def on_shadow_dropped(self, primary: Call, shadow: str) -> None:
        """See ``EngineObserver``."""

    def on_shadow_compared(self, primary: Call, shadow: Call) -> None:
        """See ``EngineObserver``."""

    def on_feedback(self, judgement: Judgement) -> None:
        """See ``EngineObserver``."""


class SilentTally:
    """Takes what the tallies of an RPC, a channel and a model process take, and keeps nothing."""

    def started(self) -> None:
        """An RPC began."""

    def handled(self, code: str, seconds: float) -> None:
        """An RPC ended."""

    def on_transfer(self, transfer_ns: int) -> None:
        """A batch went to the model process and back."""

    def on_batch(self, images: int, preprocess_ns: int, inference_ns: int, postprocess_ns: int) -> None:
        """A forward pass ended."""
