"""What a scenario found, against what is promised."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table; ``figure`` is the median of the rounds."""

    scenario: str
    what: str
    figure: float
    bound: float
    at_least: bool
    rounds: tuple[float, ...]

    @property
    def passed(self) -> bool:
        """Whether the bound holds."""
        return self.figure >= self.bound if self.at_least else self.figure <= self.bound

    def row(self) -> str:
        """As a line of a markdown table."""
        sign, mark = "≥" if self.at_least else "≤", "yes" if self.passed else "**no**"
        spread = f"{min(self.rounds):.2f} to {max(self.rounds):.2f}"
        return f"| {self.scenario} | {self.what} | {sign} {self.bound:g} | {self.figure:.2f} ({spread}) | {mark} |"
