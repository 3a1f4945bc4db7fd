"""What certificates of problems with known optima are worth: false trust, and how often each end holds.

An interval is *false* where it is trusted and excludes the optimum although descents at its dual end in each of the
needles; where they leave one out it is *missed*, and counted apart with the mass of the needles.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.certificates.problems import FAMILIES, NEW, Problem
from langevax.meanfield import Certificate, certify, wells
from langevax.meanfield.clouds import Clouds
from langevax.meanfield.gibbs_law import GibbsLaw

EFFORT = 1e9


@dataclass(frozen=True)
class Judged:
    """One certificate of a problem whose optimum is known."""

    family: str
    seed: int
    optimum: float
    lower: float
    upper: float
    share: float
    trusted: bool
    mass: float
    missed: bool
    """Whether a trusted interval excludes the optimum and the descents at its dual leave out a needle."""
    seconds: float

    @property
    def false(self) -> bool:
        """Trusted, and excludes the optimum although the search found the well."""
        return self.trusted and not (self.below and self.above) and not self.missed

    @property
    def below(self) -> bool:
        """The lower end holds."""
        return self.lower <= self.optimum

    @property
    def above(self) -> bool:
        """The upper end holds."""
        return self.optimum <= self.upper


def judge(family: str, seed: int) -> Judged:
    """Certify one problem."""
    problem = FAMILIES[family](seed)
    certificate = certify(
        problem.risk, problem.temperature, key=jax.random.key(seed), effort=EFFORT
    )
    ends = certificate.lower_bound, certificate.upper_bound, certificate.unknown_share
    trusted, seconds = certificate.trustworthy, certificate.cpu_seconds
    excludes = not certificate.lower_bound <= problem.optimum <= certificate.upper_bound
    missed = (
        trusted
        and excludes
        and bool(problem.needles)
        and not finds_needles(problem, certificate)
    )
    return Judged(
        family, seed, problem.optimum, *ends, trusted, problem.mass, missed, seconds
    )


def finds_needles(problem: Problem, certificate: Certificate) -> bool:
    """Return whether descents at the dual of a certificate end in each of the needles."""
    law = GibbsLaw.of(problem.risk, problem.temperature)
    moves = Clouds(law, problem.risk.max_size, jax.random.key(0))
    met = wells.search(
        moves,
        law.tilt(jnp.asarray(certificate.dual, jnp.float32), problem.temperature),
        [],
    )
    moves.close()
    return all(
        np.any(np.abs(met.positions[:, 0] - centre) < 4 * width)
        for centre, width in problem.needles
    )


HEADS = (
    "pairs",
    "trusted",
    "false",
    "missed",
    "lower holds",
    "upper holds",
    "share",
    "CPU s",
)


def report(lines: Iterable[Judged]) -> None:
    """Print counts by family, old and new, and of all."""
    groups: dict[str, list[Judged]] = defaultdict(list)
    for line in lines:
        groups[line.family].append(line)
    ordered = [(name, groups[name]) for name in FAMILIES if name in groups]
    sums = [
        (
            "new families",
            [line for name, group in ordered if name in NEW for line in group],
        )
    ]
    sums.append(("all", [line for _, group in ordered for line in group]))
    print("\n| problems | " + " | ".join(HEADS) + " |\n|" + "---|" * (len(HEADS) + 1))
    for name, group in [*ordered, *sums]:
        if not group:
            continue
        counts = [
            len(group),
            *(
                sum(getattr(line, fact) for line in group)
                for fact in ("trusted", "false", "missed")
            ),
        ]
        held = [sum(getattr(line, end) for line in group) for end in ("below", "above")]
        share, seconds = (
            np.median([line.share for line in group]),
            np.median([line.seconds for line in group]),
        )
        print(
            f"| {name} | "
            + " | ".join(map(str, counts + held))
            + f" | {share:.3f} | {seconds:.1f} |"
        )
    for line in sums[-1][1]:
        if line.trusted and not (line.below and line.above):
            print(f"\nexcluded: {line}")
