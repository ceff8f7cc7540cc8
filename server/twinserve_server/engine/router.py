"""Chooses the variant for requests that do not name one.

Weighted rendezvous hashing (Schindelhauer & Schomaker, 2005): every variant scores ``-w / ln(u)`` with ``u`` a keyed
hash of (variant, key) in (0, 1), and the highest score wins. A variant's probability is proportional to its weight, and
a change of weights moves no more keys than necessary.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Set
from dataclasses import dataclass, field
from typing import Final, Literal

from twinserve_server.errors import InvalidInputError, UnknownModelError, shown

RouteReason = Literal["named", "key", "random"]
#: The route in answers, logs and metrics: whether the request named the variant or the router chose it.
ROUTES: Final = {"named": "named", "key": "split", "random": "split", "shadow": "shadow"}


@dataclass(frozen=True, slots=True)
class ShadowPolicy:
    """A share (0..1) of the requests also runs on this variant, once answered."""

    variant: str
    share: float


@dataclass(frozen=True, slots=True)
class TrafficPolicy:
    """Relative weights by variant, the shadows, and how often the policy has changed."""

    weights: dict[str, float]
    shadows: tuple[ShadowPolicy, ...] = ()
    generation: int = 0
    shares: dict[str, float] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        total = sum(self.weights.values())
        object.__setattr__(self, "shares", {name: weight / total for name, weight in self.weights.items()})

    @classmethod
    def checked(
        cls,
        variants: Set[str],
        weights: dict[str, float],
        shadows: tuple[ShadowPolicy, ...] = (),
        generation: int = 0,
        aliases: Set[str] = frozenset(),
    ) -> TrafficPolicy:
        """A policy over ``variants``; ``aliases`` are other names of the same, which no message lists.

        Raises:
            InvalidInputError: an unknown variant, a weight below 0 or not finite, no weight above 0, a share outside
                0..1.
        """
        served = ", ".join(sorted(variants))
        for name, weight in weights.items():
            if name not in variants and name not in aliases:
                raise InvalidInputError.of(f"traffic.weights[{shown(name)}]", f"no such variant; served are: {served}")
            if not math.isfinite(weight) or weight < 0:
                raise InvalidInputError.of(f"traffic.weights[{shown(name)}]", f"{weight} is not a weight (>= 0)")
        total = sum(weights.values())
        if total <= 0:
            raise InvalidInputError.of("traffic.weights", "at least one variant needs a weight above 0")
        if not math.isfinite(total):
            raise InvalidInputError.of(
                "traffic.weights", f"the sum is {total}; give smaller ones, only their ratios matter"
            )
        for shadow in shadows:
            if shadow.variant not in variants and shadow.variant not in aliases:
                raise InvalidInputError.of(
                    f"traffic.shadows[{shown(shadow.variant)}]", f"no such variant; served are: {served}"
                )
            if not 0 <= shadow.share <= 1:
                raise InvalidInputError.of(
                    f"traffic.shadows[{shown(shadow.variant)}].share", f"{shadow.share} is not within 0..1"
                )
        return cls(weights, shadows, generation)


class Router:
    """Chooses variants by the policy in force."""

    def __init__(self, variants: Set[str], policy: TrafficPolicy, salt: bytes = b"twinserve", seed: int | None = None):
        self.set_names(variants)
        self._salt = salt
        self._random = random.Random(seed)  # noqa: S311  (traffic shares, not secrets)
        self.set_policy(policy)

    @property
    def policy(self) -> TrafficPolicy:
        """The policy in force."""
        return self._policy

    @property
    def live(self) -> list[str]:
        """The variants that requests without a variant are routed to."""
        return self._names

    def set_names(self, variants: Set[str], aliases: Set[str] = frozenset()) -> None:
        """What a request may name from now on; ``aliases`` are other names of the same, which no message lists."""
        self._variants, self._aliases = variants, aliases

    def set_policy(self, policy: TrafficPolicy) -> None:
        """Apply ``policy`` from the next request on."""
        self._policy = policy
        self._names = [name for name, weight in policy.weights.items() if weight > 0]
        # Shares, not weights: scores remain distinct whatever the size of the weights.
        self._weights = [policy.shares[name] for name in self._names]

    def route(self, variant: str, routing_key: str) -> tuple[str, RouteReason]:
        """The variant that is to answer, and why.

        Raises:
            UnknownModelError: ``variant`` is named and not served.
        """
        if variant:
            if variant not in self._variants and variant not in self._aliases:
                raise UnknownModelError(
                    f"variant: {shown(variant)} is not served here; served are: {', '.join(sorted(self._variants))}"
                )
            return variant, "named"
        if routing_key:
            return self._sticky(routing_key), "key"
        if len(self._names) == 1:
            return self._names[0], "random"
        return self._random.choices(self._names, self._weights)[0], "random"

    def draw_shadow(self, primary: str) -> str | None:
        """The variant that shadows this request, if any."""
        shadows = self._policy.shadows
        if not shadows:
            return None
        u = self._random.random()
        for shadow in shadows:
            if shadow.variant == primary:
                continue
            if u < shadow.share:
                return shadow.variant
            u -= shadow.share
        return None

    def _sticky(self, key: str) -> str:
        best, best_score = self._names[0], -1.0
        for name, weight in zip(self._names, self._weights, strict=True):
            digest = hashlib.blake2b(f"{name}\0{key}".encode(), digest_size=8, key=self._salt).digest()
            u = (int.from_bytes(digest, "little") + 1) / (2**64 + 1)
            score = -weight / math.log(u)
            if score > best_score:
                best, best_score = name, score
        return best
