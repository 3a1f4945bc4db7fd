"""The search for both ends of a certificate: what is known so far, and the rounds that narrow it.

`Known` is immutable: each end that is found makes another one. The search holds the current one, so that what is known
when the effort is spent is reported, and a file keeps it.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from langevax.log_weights import log_mean_exp
from langevax.meanfield import wells
from langevax.meanfield.clouds import MOVES_PER_LAW, Clouds, EffortSpent
from langevax.meanfield.gibbs_law import Tilt
from langevax.meanfield.homotopy import Ascent, RowRisk, climb, mean_conjugate, project
from langevax.meanfield.upper_bound import (
    FEWEST_CLOUD,
    RUNS,
    UpperBound,
    around_cloud,
    judged,
    local_runs,
    upper_bounds,
)
from langevax.meanfield.walks import (
    PilotCloud,
    Step,
    Walked,
    WalkPlan,
    means_of_runs,
    plan_along,
    walk,
    walk_back,
)
from langevax.problems.mean_field import MeanFieldRisk

TRUSTED = 0.25
"""Of what the untrained prior leaves: wider intervals are refused."""


class LogPartition(NamedTuple):
    """An estimate of log Z that may err downwards by the modes that it missed, and the end of its interval."""

    value: float
    error: float
    source: str
    high: float


@dataclass(frozen=True)
class Known:
    """The interval so far, and where the search goes on: what a file keeps."""

    prior_objective: float = math.inf
    lower: tuple[float, np.ndarray] | None = None
    """With its dual."""
    upper: tuple[float, UpperBound] | None = None
    history: tuple[tuple[int, float, float], ...] = ()
    """(work, lower end, upper end)."""
    rounds: int = 0
    size: int = 0
    """Particles of a run."""
    num_particles: int = 0
    """Of the homotopy."""
    moves: int = MOVES_PER_LAW
    """Of the homotopy, under each law."""
    ascent: Ascent | None = None
    """Where the homotopy goes on; None for a new start."""
    bounded: bool = False
    """Whether the bounds at `ascent` are done."""
    descents: int = 0
    seconds: float = 0.0
    """CPU seconds so far."""
    refusal: str = "the budget ended before walks from the prior reached this temperature; {more}, or a higher temperature"

    @property
    def level(self) -> float:
        """The probability of error of each end in this round; those of all rounds add up to 5 %."""
        return 0.05 * 0.6 * 0.4**self.rounds

    @property
    def width(self) -> float:
        """Of the interval; infinite where an end is not known."""
        if self.lower is None or self.upper is None:
            return math.inf
        return self.upper[0] - self.lower[0]

    def with_upper(self, work: int, *bounds: UpperBound) -> "Known":
        """Keep the lowest upper end, that of the prior and of at most four calls a round.

        The least of several ends holds where all of them do: each has its part of the level. Laws on the way to a cold
        one are bounded so, since a choice by half of the runs takes one of much noise now and then.
        """
        known = self
        for bound in bounds:
            high = bound.high(self.level / 5 / len(bounds))
            if math.isfinite(high) and (known.upper is None or high < known.upper[0]):
                known = replace(known, upper=(high, bound))._noted(work)
        return known

    def with_lower(
        self,
        work: int,
        lower: float,
        dual: np.ndarray,
    ) -> "Known":
        """Keep the highest lower end."""
        if math.isfinite(lower) and (self.lower is None or lower > self.lower[0]):
            return replace(self, lower=(lower, dual))._noted(work)
        return self

    def _noted(self, work: int) -> "Known":
        if self.lower is None or self.upper is None:
            return self
        point = work, self.lower[0], self.upper[0]
        return replace(self, history=(*self.history, point))

    def after_round(self, ascent: Ascent | None) -> "Known":
        """Return what is known after the bounds of a round: the next is twice as large, a new start has more moves."""
        return replace(
            self,
            ascent=ascent,
            bounded=True,
            rounds=self.rounds + 1,
            size=2 * self.size,
            num_particles=2 * self.num_particles,
            moves=self.moves if ascent is not None else 4 * self.moves,
        )


class RoundEvidence(NamedTuple):
    """Findings of the last round, for law searches, which say what their law lacks."""

    plan: WalkPlan | None = None
    walked: Walked | None = None
    """The ends of the walks from the prior."""
    wells_met: wells.Wells | None = None
    estimates: tuple[LogPartition, ...] = ()
    """Of log Z of the last law."""
    effective: float = 0.0
    """Particles of the walks around the cloud that their weights leave effective."""


@dataclass
class IntervalSearch:
    """A certificate that improves until the interval is narrow or the budget is spent."""

    sharp = 0.02
    """Share of what the untrained prior leaves at which it ends at once."""
    cheap = 0.1
    """Share of the effort that is spent at least on a trusted interval that is wider."""
    run_sizes = (64, 256)
    """Fewest and most particles of a run of the first round, doubled while the budget lasts."""
    largest_run = 2**15
    largest_cloud = 2048
    """Particles of the homotopy in the first round; walks that make plans have half as many."""
    hidden = 1.0
    """Logarithm of the factor by which others outweigh what the cloud holds."""
    useful = 0.25
    """Part of a CPU second that moves take; the rest compiles, solves and sums."""
    outside = "neurons outside of the law that was climbed"
    """Words for what the law that was climbed lacks."""
    in_cells = False
    """Whether walks around the cloud are always resampled in cells, so that light modes stay."""

    risk: RowRisk
    temperature: float
    clouds: Clouds
    report: Callable[[str, float], None]
    training: list[np.ndarray]
    known: Known = field(default_factory=Known)
    save: Callable[[Known, Clouds], None] = lambda *_: None
    effort: float = 0.0
    """What this call may spend."""
    before: int = 0
    """Work of earlier calls."""
    evidence: RoundEvidence = field(default_factory=RoundEvidence)

    def allow(self, effort: float, cpu_seconds: float | None) -> None:
        """Set what this call may spend."""
        self.before = self.clouds.work
        if cpu_seconds is not None:
            self.progress("measuring the rate")
            effort = cpu_seconds * self.useful * _rate(self)
        self.effort = float(effort)

    def progress(self, words: str) -> None:
        """Report what is done and the share of the effort that is spent."""
        self.report(
            words, min(1.0, (self.clouds.work - self.before) / max(self.effort, 1.0))
        )

    def log_partition(
        self,
        value: float,
        error: float,
        source: str,
    ) -> LogPartition:
        """Return an estimate with its end at the level of the round."""
        from scipy.special import stdtrit

        high = value - float(stdtrit(RUNS - 1, self.known.level)) * error
        return LogPartition(value, error, source, high)

    def keep_upper(self, *bounds: UpperBound) -> None:
        """Keep the lowest upper end."""
        self.known = self.known.with_upper(self.clouds.work, *bounds)

    def keep_lower(self, dual: np.ndarray, log_partition: LogPartition) -> None:
        """Keep the highest lower end: D of a dual with the largest log Z that was met."""
        conjugate = float(mean_conjugate(self.risk, jnp.asarray(dual)))
        lower = 0.0 - conjugate - self.temperature * log_partition.high
        self.known = self.known.with_lower(self.clouds.work, lower, dual)

    @property
    def least_left(self) -> float:
        """Least value of what the untrained prior leaves."""
        return 0.0

    def narrow(self, share: float) -> bool:
        """Return whether the interval is at most a share of what the untrained prior leaves, and its lower end says so."""
        known = self.known
        if known.lower is None or known.upper is None or not self.is_two_sided():
            return False
        left = max(known.prior_objective - known.lower[0], self.least_left)
        return known.width <= share * left

    @cached_property
    def bound_of_any(self) -> float:
        """D(0), below which no network of any kind can be; -inf where 0 is no dual of the loss."""
        nothing = jnp.zeros(self.output_shape, self.clouds.dtype)
        dual = project(self.risk, nothing)
        if np.asarray(dual).any():
            return -math.inf
        return 0.0 - float(mean_conjugate(self.risk, dual))

    def is_two_sided(self) -> bool:
        """Return whether the lower end is nearer to the upper one than to the bound of any network."""
        known = self.known
        if known.lower is None or known.upper is None:
            return False
        least = self.bound_of_any
        if not math.isfinite(least):
            return True
        return known.lower[0] - least >= (known.upper[0] - least) / 2

    def is_sharp(self) -> bool:
        """Return whether no more is asked for."""
        return self.narrow(self.sharp)

    def is_enough(self, spent: float) -> bool:
        """Return whether the interval will do, with this share of the effort spent."""
        return self.narrow(TRUSTED) and spent > self.cheap

    def explain(self, own: float, highest: float) -> None:
        """Say why the interval is still wide, and what would narrow it, by log Z of walks back and its upper end."""
        known = self.known
        if known.lower is None or known.upper is None:
            return
        beyond = highest - own
        if self.temperature * beyond > known.width / 2:
            mass = (
                "about as much mass as it"
                if beyond < 1
                else f"e^{beyond:.0f} times its mass"
            )
            refusal = f"{self.outside} hold {mass}; {{more}}, so that they join it"
        elif known.upper[1].error > known.width / 8:
            errors = 2 * known.upper[1].error / known.width
            refusal = f"{errors:.0%} of the width are the errors of sampling; {{more}}"
        else:
            refusal = "the dual is not yet that of the optimum; {more}"
        self.known = replace(known, refusal=refusal)

    def begin(self) -> None:
        """Bound P by that of the prior, and choose how large the first round is."""
        untrained = _prior(self)
        self.keep_upper(untrained)
        self.known = replace(self.known, prior_objective=untrained.value)
        if math.isfinite(self.bound_of_any):  # whose law is the prior
            nothing = np.zeros(self.output_shape, self.clouds.dtype)
            self.keep_lower(nothing, LogPartition(0.0, 0.0, "prior", 0.0))
        self.choose_sizes()

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Of the outputs at all rows."""
        return (self.risk.max_size, *self.risk.neuron.output_shape)

    def choose_sizes(self) -> None:
        """Set the particles of the first round."""
        # gradients of one neuron at all rows: a fifth for the homotopy of some 20 rounds, a fifth for 50 laws of a walk
        share = self.effort / self.clouds.num_rows / 5
        cloud = _power_of_two(share / 110, FEWEST_CLOUD, self.largest_cloud)
        size = _power_of_two(share / (300 * RUNS), *self.run_sizes)
        self.known = replace(self.known, num_particles=cloud, size=size)

    def climbed(self) -> Ascent:
        """Climb on, or from the prior.

        Few moves a law leave a cloud near where the prior had it. A dual that fits it gives other neurons, of many more
        weights than the cloud can cover, up to e^18 times its mass; with 24 moves that was less than e^1. So each new
        start has more moves than the one before.
        """
        assert isinstance(self.risk, MeanFieldRisk)
        known = self.known
        return climb(
            self.clouds,
            self.risk,
            self.temperature,
            known.num_particles,
            start=known.ascent,
            moves=known.moves,
            progress=self.progress,
        )


def _prior(search: IntervalSearch) -> UpperBound:
    """Return P of the prior, whose outputs are known to the noise of a cloud."""
    clouds = search.clouds
    tilt = clouds.law.tilt(jnp.zeros(search.output_shape, clouds.dtype), 1.0)
    cloud = clouds.prior(2 * clouds.block)
    even = np.zeros((RUNS, len(cloud) // RUNS))
    drawn = Walked(cloud.reshape(*even.shape, -1), even, np.zeros(RUNS))
    outputs, _ = means_of_runs(clouds, tilt, drawn)
    return judged(
        search.risk, outputs.reshape(RUNS, *search.output_shape), np.zeros(RUNS)
    )


def close(search: IntervalSearch) -> None:
    """Improve the interval until it is narrow or the budget is spent."""
    clouds = search.clouds
    before = clouds.work
    if not math.isfinite(search.known.prior_objective):
        search.begin()
    clouds.limit = before + search.effort
    try:
        while search.known.size <= search.largest_run and not search.is_sharp():
            ascent = search.known.ascent
            if ascent is None or search.known.bounded:
                ascent = search.climbed()
                search.known = replace(search.known, ascent=ascent, bounded=False)
                search.save(search.known, clouds)
            following = _bound(search, ascent, search.known.size)
            search.known = search.known.after_round(following)
            search.save(search.known, clouds)
            if search.is_enough((clouds.work - before) / search.effort):
                return
    except EffortSpent as spent:  # what is known by then is reported
        known = search.known
        if spent.ascent is not None:
            search.known = replace(known, ascent=spent.ascent, bounded=True)
        elif known.ascent is not None and not known.bounded:
            # bounds that another call makes of this ascent have a level of their own
            search.known = replace(known, rounds=known.rounds + 1)


def _rate(search: IntervalSearch) -> float:
    """Return neuron gradients a CPU second of moves, compiled before."""
    clouds = search.clouds
    rates = []
    work = clouds.work
    draws = clouds.draws
    tilt = clouds.law.tilt(jnp.zeros(search.output_shape, clouds.dtype), 1.0)
    target = clouds.target(tilt)
    cloud = clouds.prior(clouds.block)
    for _ in range(4):
        began = time.process_time()
        done = clouds.work
        clouds.moved(target, cloud, np.eye(clouds.law.size), 0.1)
        rates.append((clouds.work - done) / max(time.process_time() - began, 1e-9))
    clouds.work, clouds.draws = work, draws  # the result depends on the effort alone
    return float(np.median(rates[1:]))


def _power_of_two(value: float, least: int, most: int) -> int:
    return 2 ** int(np.clip(np.log2(max(value, 1)), np.log2(least), np.log2(most)))


def _bound(search: IntervalSearch, ascent: Ascent, size: int) -> Ascent | None:
    """Bound from both sides at the dual of an ascent; return where to climb on, None for a new start."""
    search.progress("walks from the prior")
    estimates = _forward(search, ascent, size)
    cloud = _settled(search.clouds, ascent.path[-1], ascent.cloud)
    _meet_wells(search, ascent.path[-1], cloud, estimates)
    search.progress("walks to the prior")
    own = _backward(search, cloud, size)
    met = max(estimate.value for estimate in search.evidence.estimates)
    hidden = met > own + search.hidden
    search.progress("walks around the cloud")
    spent = _around(search, ascent.path[-1], cloud, size, hidden or search.in_cells)
    estimates = search.evidence.estimates
    if math.isfinite(own):
        highest = max(estimates, key=lambda estimate: estimate.high)
        # g / T is that of the law, whose own temperature may be higher
        dual = ascent.dual * (search.temperature / ascent.temperature)
        search.keep_lower(dual, highest)
        search.explain(own, highest.high)
    if spent is not None:
        raise spent
    search.progress(
        "log Z: "
        + "; ".join(f"{e.source} {e.value:.2f} ± {e.error:.2f}" for e in estimates)
    )
    if hidden or not ascent.reached or not math.isfinite(own):
        return None
    # more rounds at the last temperature make the mean of their duals better known
    return replace(ascent, cloud=cloud)


def unmet_wells(
    met_wells: wells.Wells, cloud: np.ndarray, least_share: float = 1e-3
) -> list[int]:
    """Return the wells in which next to nothing of a cloud lies: less than the `least_share` of it."""
    size = cloud.shape[1]
    unmet = []
    for number, (position, spread) in enumerate(
        zip(met_wells.positions, met_wells.covariances, strict=True)
    ):
        white = np.linalg.solve(np.linalg.cholesky(spread), (cloud - position).T)
        if np.mean((white**2).sum(0) < size + 4 * math.sqrt(2 * size)) < least_share:
            unmet.append(number)
    return unmet


def _settled(
    clouds: Clouds,
    tilt: Tilt,
    cloud: np.ndarray,
    rounds: int = 6,
) -> np.ndarray:
    """Return a cloud after moves that take it to the law of a tilt, as far as moves alone do."""
    pilot = PilotCloud.of(cloud)
    for _ in range(rounds):
        pilot, _ = pilot.measured().moved(clouds, clouds.target(tilt), 5)
    return pilot.cloud


def _forward(
    search: IntervalSearch, ascent: Ascent, size: int
) -> tuple[LogPartition, ...]:
    """Walk from the prior along the path of optima, and bound P at every law passed; return log Z at the last."""
    clouds = search.clouds
    risk = search.risk
    temperature = search.temperature
    plan = plan_along(clouds, ascent.path, max(RUNS * size // 2, FEWEST_CLOUD))
    search.evidence = search.evidence._replace(plan=plan)
    laws: list[tuple[np.ndarray, np.ndarray]] = []

    def watch(law: Step, walked: Walked) -> None:
        outputs, exponents = means_of_runs(clouds, law.tilt, walked)
        free = temperature * (exponents - walked.log_partition)
        outputs = outputs.astype(np.float32).reshape(-1, *search.output_shape)
        laws.append((outputs, free))

    try:
        walked = walk(clouds, plan, RUNS, size, watch)
    finally:  # the laws passed bound P where the effort ends on the way
        search.keep_upper(*(judged(risk, *law) for law in laws))
    search.evidence = search.evidence._replace(walked=walked if plan.complete else None)
    if not plan.complete:
        return ()
    return (_estimate(search, walked.log_partition, "walks from the prior"),)


def _meet_wells(
    search: IntervalSearch,
    tilt: Tilt,
    cloud: np.ndarray,
    estimates: tuple[LogPartition, ...],
) -> None:
    """Search for wells, from the cloud too."""
    search.progress("wells")
    met = wells.search(search.clouds, tilt, [cloud, *search.training])
    descents = search.known.descents + met.num_descents
    search.known = replace(search.known, descents=descents)
    search.evidence = search.evidence._replace(wells_met=met, estimates=estimates)
    # few draws tell whether wells outweigh what walks met, not how much these hold: their error would be the widest
    _add(search, search.log_partition(met.log_partition, 0.0, "wells"))


def _add(search: IntervalSearch, *estimates: LogPartition) -> None:
    evidence = search.evidence
    search.evidence = evidence._replace(estimates=(*evidence.estimates, *estimates))


def _backward(search: IntervalSearch, cloud: np.ndarray, size: int) -> float:
    """Walk from the cloud to the prior; return log Z, or minus infinity where no plan leads there."""
    clouds = search.clouds
    plan = search.evidence.plan
    if plan is None or not plan.complete:
        return -math.inf
    chosen = clouds.generator().integers(len(cloud), size=RUNS * size)
    back = walk_back(clouds, plan, cloud[chosen].reshape(RUNS, size, -1))
    estimate = _estimate(search, back, "walks to the prior", back=True)
    _add(search, estimate)
    return estimate.value


def _around(
    search: IntervalSearch,
    tilt: Tilt,
    cloud: np.ndarray,
    size: int,
    in_cells: bool,
) -> EffortSpent | None:
    """Walk from normals around the cloud, and bound P; return where the effort ended."""
    clouds = search.clouds
    start = around_cloud(clouds, cloud)
    try:
        runs = local_runs(clouds, tilt, start, cloud, size, in_cells)
    except EffortSpent as spent:  # what is known by now bounds P
        return spent
    if runs is not None:
        effective = runs.effective
        search.evidence = search.evidence._replace(effective=effective)
        for bound in upper_bounds(search.risk, search.temperature, runs):
            search.keep_upper(bound)
        _add(search, _estimate(search, runs.log_partition, "walks around the cloud"))
    return None


def _estimate(
    search: IntervalSearch,
    logs: np.ndarray,
    source: str,
    back: bool = False,
) -> LogPartition:
    """Return log of the mean of exp(logs) over runs, or minus that of exp(-logs), with the error of a mean."""
    signed = -logs if back else logs
    if not np.all(np.isfinite(signed)):
        return search.log_partition(-math.inf, 0.0, source)
    ratios = np.exp(signed - signed.max())
    value = float(log_mean_exp(signed))
    error = float(ratios.std(ddof=1) / ratios.mean() / math.sqrt(len(logs)))
    return search.log_partition(-value if back else value, error, source)
