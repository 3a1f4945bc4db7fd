"""Counts of what was tried, and of what came of it."""

from collections import Counter
from dataclasses import dataclass, field

OUTCOMES = ("held", "lost", "silent", "raw")
"""held: the right result, or a refusal in a sentence where there can be none; lost: what was saved is gone;
silent: a wrong result without a word; raw: an error or output that is not langevax's."""


@dataclass
class Counts:
    """Outcomes by what was done, and a sentence on each that is not held."""

    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def add(self, name: str, outcome: str, sentence: str = "", number: int = 1) -> None:
        """Count an outcome; the sentence says what was done where it is a fault."""
        self.outcomes.setdefault(name, Counter())[outcome] += number
        if outcome != "held":
            self.faults.append(f"{outcome}: {name}: {sentence}")

    @property
    def whole(self) -> bool:
        """True if everything that was tried held."""
        return not self.faults

    def table(self) -> str:
        """Return a line for each name, and one for all."""
        rows = [(name, counted) for name, counted in self.outcomes.items()]
        rows.append(("all", sum(self.outcomes.values(), Counter())))
        width = max(len(name) for name, _ in rows)
        lines = [
            f"{'':<{width}}  {'tried':>6}"
            + "".join(f"  {outcome:>6}" for outcome in OUTCOMES)
        ]
        for name, counted in rows:
            numbers = "".join(f"  {counted[outcome]:>6}" for outcome in OUTCOMES)
            lines.append(f"{name:<{width}}  {counted.total():>6}{numbers}")
        return "\n".join(lines)
