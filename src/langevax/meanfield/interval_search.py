"""The search for both ends of a certificate: what is known so far, and the rounds that narrow it."""

import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from langevax import checks
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
    high: float


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
    effort: float = 0.0
    """What may be spent."""
    prior_objective: float = math.inf
    lower: tuple[float, np.ndarray] | None = None
    """With its dual."""
    upper: tuple[float, UpperBound] | None = None
    history: tuple[tuple[int, float, float], ...] = ()
    """(work, lower end, upper end)."""
    rounds: int = 0
    run_size: int = 0
    """Particles of a run."""
    num_particles: int = 0
    """Of the homotopy."""
    moves: int = MOVES_PER_LAW
    """Of the homotopy, under each law."""
    ascent: Ascent | None = None
    """Where the homotopy goes on; None for a new start."""
    descents: int = 0
    refusal: str = (
        "the budget ended before walks from the prior reached this temperature; "
        "{more}, or a higher temperature"
    )
    walked: Walked | None = None
    """The ends of the last walks from the prior that reached the law."""
    effective: float = 0.0
    """Particles of the last walks around the cloud that their weights leave effective."""

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

    def allow(self, effort: float, cpu_seconds: float | None) -> None:
        """Set what may be spent."""
        if cpu_seconds is not None:
            self.progress("measuring the rate")
            effort = cpu_seconds * self.useful * _rate(self)
        self.effort = float(effort)

    def progress(self, words: str) -> None:
        """Report what is done and the share of the effort that is spent."""
        self.report(words, min(1.0, self.clouds.work / max(self.effort, 1.0)))

    def log_partition(self, value: float, error: float) -> LogPartition:
        """Return an estimate with its end at the level of the round."""
        from scipy.special import stdtrit

        high = value - float(stdtrit(RUNS - 1, self.level)) * error
        return LogPartition(value, high)

    def keep_upper(self, *bounds: UpperBound) -> None:
        """Keep the lowest upper end, that of the prior and of at most four calls a round.

        The least of several ends holds where all of them do: each has its part of the level. Laws on the way to a cold
        one are bounded so, since a choice by half of the runs takes one of much noise now and then.
        """
        for bound in bounds:
            high = bound.high(self.level / 5 / len(bounds))
            if math.isfinite(high) and (self.upper is None or high < self.upper[0]):
                self.upper = high, bound
                self._note()

    def keep_lower(self, dual: np.ndarray, log_partition: LogPartition) -> None:
        """Keep the highest lower end: D of a dual with the largest log Z that was met."""
        conjugate = float(mean_conjugate(self.risk, jnp.asarray(dual)))
        lower = 0.0 - conjugate - self.temperature * log_partition.high
        if math.isfinite(lower) and (self.lower is None or lower > self.lower[0]):
            self.lower = lower, dual
            self._note()

    def _note(self) -> None:
        if self.lower is not None and self.upper is not None:
            point = self.clouds.work, self.lower[0], self.upper[0]
            self.history = (*self.history, point)

    def end_round(self, ascent: Ascent | None) -> None:
        """Go on from an ascent or begin anew: the next round is twice as large, a new start has more moves."""
        self.ascent = ascent
        self.rounds += 1
        self.run_size *= 2
        self.num_particles *= 2
        if ascent is None:
            self.moves *= 4

    @property
    def least_left(self) -> float:
        """Least value of what the untrained prior leaves."""
        return 0.0

    def narrow(self, share: float) -> bool:
        """Return whether the interval is at most a share of what the untrained prior leaves, and its lower end says so."""
        if self.lower is None or self.upper is None or not self.is_two_sided():
            return False
        left = max(self.prior_objective - self.lower[0], self.least_left)
        return self.width <= share * left

    @cached_property
    def bound_of_any(self) -> float:
        """D(0), a lower bound for every network; -inf where 0 is not a dual of the loss."""
        nothing = jnp.zeros(self.output_shape, self.clouds.dtype)
        dual = project(self.risk, nothing)
        if np.asarray(dual).any():
            return -math.inf
        return 0.0 - float(mean_conjugate(self.risk, dual))

    def is_two_sided(self) -> bool:
        """Return whether the lower end is nearer to the upper one than to the bound of any network."""
        if self.lower is None or self.upper is None:
            return False
        least = self.bound_of_any
        if not math.isfinite(least):
            return True
        return self.lower[0] - least >= (self.upper[0] - least) / 2

    def is_sharp(self) -> bool:
        """Return whether no more is asked for."""
        return self.narrow(self.sharp)

    def is_enough(self, spent: float) -> bool:
        """Return whether the interval will do, with this share of the effort spent."""
        return self.narrow(TRUSTED) and spent > self.cheap

    def explain(self, own: float, highest: float) -> None:
        """Say why the interval is still wide, and what would narrow it, by log Z of walks back and its upper end."""
        if self.lower is None or self.upper is None:
            return
        beyond = highest - own
        if self.temperature * beyond > self.width / 2:
            mass = (
                "about as much mass as it"
                if beyond < 1
                else f"e^{beyond:.0f} times its mass"
            )
            refusal = f"{self.outside} hold {mass}; {{more}}, so that they join it"
        elif self.upper[1].error > self.width / 8:
            errors = 2 * self.upper[1].error / self.width
            refusal = f"{errors:.0%} of the width are the errors of sampling; {{more}}"
        else:
            refusal = "the dual is not yet that of the optimum; {more}"
        self.refusal = refusal

    def begin(self) -> None:
        """Bound P by that of the prior, and choose how large the first round is."""
        untrained = _prior(self)
        self.keep_upper(untrained)
        self.prior_objective = untrained.value
        if math.isfinite(self.bound_of_any):  # whose law is the prior
            nothing = np.zeros(self.output_shape, self.clouds.dtype)
            self.keep_lower(nothing, LogPartition(0.0, 0.0))
        self.choose_sizes()

    def go_on_from(self, dual: ArrayLike) -> None:
        """Let the first climb begin at a dual, with the first of the trained clouds, which is of its law."""
        entries = jnp.asarray(checks.plain_array("dual", dual), self.clouds.dtype)
        if entries.shape != self.output_shape or not self.training:
            raise ValueError(
                f"dual must have shape {self.output_shape}, one per row and output, "
                "with particles of its law as the first of clouds, got "
                f"{entries.shape} and {len(self.training)} clouds."
            )
        checks.finite("dual", entries, remedy="pass the dual of a finite network")
        nearest = np.asarray(project(self.risk, entries))
        path = [self.clouds.law.tilt(jnp.asarray(nearest), self.temperature)]
        cloud = self.training[0].astype(self.clouds.dtype)
        still = np.ptp(cloud, axis=0) == 0  # as of columns of zeros, which have no law
        cloud[:, still] = self.clouds.prior(len(cloud))[:, still]
        self.ascent = Ascent(nearest, cloud, path, self.temperature, True)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Of the outputs at all rows."""
        return (self.risk.max_size, *self.risk.neuron.output_shape)

    def choose_sizes(self) -> None:
        """Set the particles of the first round."""
        # gradients of one neuron at all rows: a fifth for the homotopy of some 20 rounds, a fifth for 50 laws of a walk
        share = self.effort / self.clouds.num_rows / 5
        self.num_particles = _power_of_two(
            share / 110, FEWEST_CLOUD, self.largest_cloud
        )
        self.run_size = _power_of_two(share / (300 * RUNS), *self.run_sizes)

    def climbed(self) -> Ascent:
        """Climb on, or from the prior.

        Few moves a law leave a cloud near where the prior had it. A dual that fits it gives other neurons, of many more
        weights than the cloud can cover, up to e^18 times its mass; with 24 moves that was less than e^1. So each new
        start has more moves than the one before.
        """
        assert isinstance(self.risk, MeanFieldRisk)
        return climb(
            self.clouds,
            self.risk,
            self.temperature,
            self.num_particles,
            start=self.ascent,
            moves=self.moves,
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
    search.begin()
    search.clouds.limit = search.effort
    # what is known where the effort ends is reported
    with suppress(EffortSpent):
        while search.run_size <= search.largest_run and not search.is_sharp():
            search.end_round(_bound(search, search.climbed(), search.run_size))
            if search.is_enough(search.clouds.work / search.effort):
                return


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
    last = ascent.path[-1]
    own = -math.inf
    search.progress("walks from the prior")
    plan, estimates = _forward(search, ascent, size)
    cloud = _settled(search.clouds, last, ascent.cloud)
    search.progress("wells")
    estimates.append(_wells(search, last, cloud))
    if plan.complete:
        search.progress("walks to the prior")
        estimates.append(_backward(search, plan, cloud, size))
        own = estimates[-1].value
    hidden = max(estimate.value for estimate in estimates) > own + search.hidden
    search.progress("walks around the cloud")
    try:
        estimates += _around(search, last, cloud, size, hidden or search.in_cells)
    finally:  # what is known where the effort ends is reported
        if math.isfinite(own):
            highest = max(estimates, key=lambda estimate: estimate.high)
            # g / T is that of the law, whose own temperature may be higher
            dual = ascent.dual * (search.temperature / ascent.temperature)
            search.keep_lower(dual, highest)
            search.explain(own, highest.high)
    if hidden or not ascent.reached or not math.isfinite(own):
        return None
    # more rounds at the last temperature make the mean of their duals better known
    return replace(ascent, cloud=cloud)


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
) -> tuple[WalkPlan, list[LogPartition]]:
    """Walk from the prior along the path of optima, and bound P at every law passed; return the plan, log Z at its end."""
    clouds = search.clouds
    risk = search.risk
    temperature = search.temperature
    plan = plan_along(clouds, ascent.path, max(RUNS * size // 2, FEWEST_CLOUD))
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
    search.walked = walked if plan.complete else None
    if not plan.complete:
        return plan, []
    return plan, [_estimate(search, walked.log_partition)]


def _wells(search: IntervalSearch, tilt: Tilt, cloud: np.ndarray) -> LogPartition:
    """Search for wells, from the cloud too; return log of their mass."""
    met = wells.search(search.clouds, tilt, [cloud, *search.training])
    search.descents += met.num_descents
    # few draws tell whether wells outweigh what walks met, not how much these hold: their error would be the widest
    return search.log_partition(met.log_partition, 0.0)


def _backward(
    search: IntervalSearch,
    plan: WalkPlan,
    cloud: np.ndarray,
    size: int,
) -> LogPartition:
    """Walk from the cloud to the prior; return log Z."""
    chosen = search.clouds.generator().integers(len(cloud), size=RUNS * size)
    starts = cloud[chosen].reshape(RUNS, size, -1)
    back = walk_back(search.clouds, plan, starts)
    return _estimate(search, back, back=True)


def _around(
    search: IntervalSearch,
    tilt: Tilt,
    cloud: np.ndarray,
    size: int,
    in_cells: bool,
) -> list[LogPartition]:
    """Walk from normals around the cloud, and bound P; return log Z where a plan leads there."""
    start = around_cloud(search.clouds, cloud)
    runs = local_runs(search.clouds, tilt, start, cloud, size, in_cells)
    if runs is None:
        return []
    search.effective = runs.effective
    for bound in upper_bounds(search.risk, search.temperature, runs):
        search.keep_upper(bound)
    return [_estimate(search, runs.log_partition)]


def _estimate(
    search: IntervalSearch,
    logs: np.ndarray,
    back: bool = False,
) -> LogPartition:
    """Return log of the mean of exp(logs) over runs, or minus that of exp(-logs), with the error of a mean."""
    signed = -logs if back else logs
    if not np.all(np.isfinite(signed)):
        return search.log_partition(-math.inf, 0.0)
    ratios = np.exp(signed - signed.max())
    value = float(log_mean_exp(signed))
    error = float(ratios.std(ddof=1) / ratios.mean() / math.sqrt(len(logs)))
    return search.log_partition(-value if back else value, error)
