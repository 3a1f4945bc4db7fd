"""The search for both ends of a certificate: what is known so far, and the rounds that narrow it."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from langevax.log_weights import log_mean_exp, normalised
from langevax.meanfield import wells
from langevax.meanfield.certificate_file import load_search, problem_hash, save_search
from langevax.meanfield.clouds import MOVES_PER_LAW, Clouds, EffortSpent
from langevax.meanfield.gibbs_law import Tilt
from langevax.meanfield.homotopy import Ascent, RowRisk, climb, mean_conjugate, project
from langevax.meanfield.upper_bound import (
    FEWEST_CLOUD,
    RUNS,
    UpperBound,
    around_cloud,
    at_wells,
    judged,
    local_runs,
    upper_bounds,
)
from langevax.meanfield.walks import (
    MetricAdaptation,
    Step,
    Walked,
    WalkPlan,
    plan_along,
    walk,
    walk_back,
)
from langevax.problems.mean_field import MeanFieldRisk
from langevax.run.checkpoint import CheckpointError
from langevax.run.options import Run

TRUSTED = 0.25
"""Of what the untrained prior leaves: wider intervals are refused."""


class LogPartition(NamedTuple):
    """An estimate of log Z that may err downwards by the modes that it missed, and the end of its interval."""

    value: float
    error: float
    source: str
    high: float


@dataclass
class IntervalSearch:
    """The state of a certificate that improves until the interval is narrow or the budget is spent."""

    confidence = 0.95
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
    heavy = 3.0
    """Logarithm of the factor from which a climb is made again."""
    most_moves = 24
    """Of each law of that climb."""
    climbing = 0.6
    """Share of the effort that the first climb may take."""
    round_cost = 7.0
    """Of the bounds at a law, in climbs to it by as many particles."""
    useful = 0.25
    """Part of a CPU second that moves take; the rest compiles, solves and sums."""

    risk: RowRisk
    temperature: float
    clouds: Clouds
    report: Callable[[str, float], None]
    training: list[np.ndarray]
    effort: float = 0.0
    """What this call may spend."""
    size: int = 0
    """Particles of a run."""
    num_particles: int = 0
    """Of the homotopy."""
    moves: int = MOVES_PER_LAW
    """Of the homotopy, under each law."""
    prior_objective: float = math.inf
    lower: tuple[float, np.ndarray] | None = None
    upper: tuple[float, UpperBound] | None = None
    plan: WalkPlan | None = None
    history: list[tuple[int, float, float]] = field(default_factory=list)
    descents: int = 0
    ascent: Ascent | None = None
    """Where the homotopy goes on; None for a new start."""
    bounded: bool = False
    """Whether the bounds at `ascent` are done."""
    seconds: float = 0.0
    """CPU seconds so far."""
    file: Path | None = None
    """In which the search is kept."""
    problem: str = ""
    """Its hash."""
    before: int = 0
    """Work of earlier calls."""
    refusal: str = "the budget ended before walks from the prior reached this temperature; {more}, or a higher temperature"
    rounds: int = 0
    met: wells.Wells | None = None
    """Those of `ascent`, where they are known."""
    outside: str = "neurons outside of the law that was climbed"
    """Words for what the law that was climbed lacks."""
    least_left: float = 0.0
    """What the untrained prior leaves counts as at least this."""
    in_cells: bool = False
    """Whether walks around the cloud are always resampled in cells, so that light modes stay."""
    effective: float = 0.0
    """Particles of the walks around the cloud that their weights leave effective."""
    walked: Walked | None = None
    """The ends of the last walks from the prior."""
    wells_met: wells.Wells | None = None
    """The last wells, of which `estimates` has the mass."""
    estimates: list[LogPartition] = field(default_factory=list)
    """Of log Z of the last law."""

    def open(self, run: Run) -> None:
        """Read the search that the checkpoint of a run holds, if any."""
        if run.checkpoint is None:
            return
        assert isinstance(self.risk, MeanFieldRisk)
        self.file = Path(run.checkpoint)
        self.problem = problem_hash(self.risk, self.temperature)
        if self.file.exists():
            if not run.resume:
                raise CheckpointError(
                    f"checkpoint {str(self.file)!r} exists; pass resume=True to go on with it, or name another file."
                )
            load_search(self.file, self, self.problem)
        self.before = self.clouds.work

    def save(self) -> None:
        """Keep the search in its file, if any."""
        if self.file is not None:
            save_search(self.file, self, self.problem)

    def allow(self, effort: float, cpu_seconds: float | None) -> None:
        """Set what this call may spend."""
        if cpu_seconds is not None:
            self.progress("measuring the rate")
            effort = cpu_seconds * self.useful * _rate(self)
        self.effort = float(effort)

    def progress(self, words: str) -> None:
        """Report what is done and the share of the effort that is spent."""
        self.report(
            words, min(1.0, (self.clouds.work - self.before) / max(self.effort, 1.0))
        )

    @property
    def level(self) -> float:
        """The probability of error of each end in this round; those of all rounds add up to 1 less the confidence."""
        return (1 - self.confidence) * 0.6 * 0.4**self.rounds

    def log_partition(self, value: float, error: float, source: str) -> LogPartition:
        """Return an estimate with its end at the level of the round."""
        from scipy.special import stdtrit

        return LogPartition(
            value, error, source, value - float(stdtrit(RUNS - 1, self.level)) * error
        )

    def keep_upper(self, *bounds: UpperBound) -> None:
        """Keep the lowest upper end, that of the prior and of at most four calls a round.

        The least of several ends holds where all of them do: each has its part of the level. Laws on the way to a cold
        one are bounded so, since a choice by half of the runs takes one of much noise now and then.
        """
        for bound in bounds:
            high = bound.high(self.level / 5 / len(bounds))
            if math.isfinite(high) and (self.upper is None or high < self.upper[0]):
                self.upper = high, bound
                self.note()

    def keep_lower(self, dual: np.ndarray, log_partition: LogPartition) -> None:
        """Keep the highest lower end: D of a dual with the largest log Z that was met."""
        conjugate = float(mean_conjugate(self.risk, jnp.asarray(dual)))
        lower = 0.0 - conjugate - self.temperature * log_partition.high
        if math.isfinite(lower) and (self.lower is None or lower > self.lower[0]):
            self.lower = lower, dual
            self.note()

    def narrow(self, share: float) -> bool:
        """Return whether the interval is at most a share of what the untrained prior leaves."""
        if self.lower is None or self.upper is None:
            return False
        return self.upper[0] - self.lower[0] <= share * max(
            self.prior_objective - self.lower[0], self.least_left
        )

    def is_sharp(self) -> bool:
        """Return whether no more is asked for."""
        return self.narrow(self.sharp)

    def is_enough(self, spent: float) -> bool:
        """Return whether the interval will do, with this share of the effort spent."""
        return self.narrow(TRUSTED) and spent > self.cheap

    def explain(self, estimates: list[LogPartition]) -> None:
        """Say why the interval is still wide, and what would narrow it."""
        if self.lower is None or self.upper is None:
            return
        width = self.upper[0] - self.lower[0]
        known = [
            estimate.value
            for estimate in estimates
            if estimate.source == "walks to the prior"
        ]
        beyond = max(estimate.high for estimate in estimates) - known[0]
        if self.temperature * beyond > width / 2:
            mass = (
                "about as much mass as it"
                if beyond < 1
                else f"e^{beyond:.0f} times its mass"
            )
            self.refusal = f"{self.outside} hold {mass}; {{more}}, so that they join it"
        elif self.upper[1].error > width / 8:
            self.refusal = f"{2 * self.upper[1].error / width:.0%} of the width are the errors of sampling; {{more}}"
        else:
            self.refusal = "the dual is not yet that of the optimum; {more}"

    def note(self) -> None:
        """Add the interval to the history."""
        if self.lower is not None and self.upper is not None:
            self.history.append((self.clouds.work, self.lower[0], self.upper[0]))

    def begin(self) -> None:
        """Bound P by that of the prior, and choose how large the first round is."""
        risk = self.risk
        untrained = _prior(self)
        self.keep_upper(untrained)
        self.prior_objective = untrained.value
        nothing = np.asarray(
            project(
                risk,
                jnp.zeros(
                    (risk.max_size, *risk.neuron.output_shape), self.clouds.dtype
                ),
            )
        )
        if not nothing.any():  # D(0), whose law is the prior
            self.keep_lower(nothing, LogPartition(0.0, 0.0, "prior", 0.0))
        self.choose_sizes()

    def choose_sizes(self) -> None:
        """Set the particles of the first round."""
        # gradients of one neuron at all rows: a fifth for the homotopy of some 20 rounds, a fifth for 50 laws of a walk
        share = self.effort / self.clouds.num_rows / 5
        self.num_particles = _power_of_two(
            share / 110, FEWEST_CLOUD, self.largest_cloud
        )
        self.size = _power_of_two(share / (300 * RUNS), *self.run_sizes)

    def climbed(self) -> Ascent:
        """Climb on, or from the prior; from there once more where wells outweigh all that the cloud holds.

        Four moves a law leave a cloud near where the prior had it. A dual that fits it gives other neurons, of many
        more weights than the cloud can cover, up to e^18 times its mass; with 24 moves that was less than e^1.
        """
        clouds = self.clouds
        work = self.clouds.work
        limit = self.clouds.limit
        if not self.rounds:
            clouds.limit = work + self.climbing * (limit - work)
        try:
            ascent = self._climb()
        except EffortSpent as spent:
            if self.rounds or spent.ascent is None:
                raise
            return spent.ascent  # a law on the way bounds P as well
        finally:
            clouds.limit = limit
        cost = clouds.work - work
        # half of what is left, at most: bounds of a good dual take as much
        moves = int(
            min(
                self.most_moves,
                self.moves * (limit - clouds.work) / (2 * max(cost, 1)),
            )
        )
        if self.ascent is not None or not ascent.reached:
            return ascent
        self.progress("wells")
        try:
            self.met = wells.search(
                clouds, ascent.path[-1], [ascent.cloud, *self.training]
            )
            if (
                moves >= 2 * self.moves
                and self.met.log_partition > ascent.log_partition + self.heavy
            ):
                self.met = None
                self.moves = moves
                ascent = self._climb()
        except EffortSpent:  # the first one is bounded with what is left
            return ascent
        if not self.rounds:
            while (
                self.size > self.run_sizes[0]
                and self._round_work(cost) > limit - clouds.work
            ):
                self.size //= 2
        return ascent

    def _climb(self) -> Ascent:
        assert isinstance(self.risk, MeanFieldRisk)
        options = {"start": self.ascent, "moves": self.moves, "progress": self.progress}
        return climb(
            self.clouds, self.risk, self.temperature, self.num_particles, **options
        )

    def _round_work(self, climb: int) -> float:
        """Return about what a round of bounds takes, from the work of a climb of `num_particles`."""
        return self.round_cost * climb * RUNS * self.size / self.num_particles


def _prior(search: IntervalSearch) -> UpperBound:
    """Return P of the prior, whose outputs are known to the noise of a cloud."""
    clouds = search.clouds
    shape = (search.risk.max_size, *search.risk.neuron.output_shape)
    tilt = clouds.law.tilt(jnp.zeros(shape, clouds.dtype), 1.0)
    parts = np.split(clouds.prior(2 * clouds.block), RUNS)
    outputs = [
        clouds.sums(tilt, part, np.full((1, len(part)), 1 / len(part)))[0][0]
        for part in parts
    ]
    return judged(search.risk, np.stack(outputs).reshape(RUNS, *shape), np.zeros(RUNS))


def close(search: IntervalSearch) -> None:
    """Improve the interval until it is narrow or the budget is spent."""
    clouds = search.clouds
    before = search.clouds.work
    if not math.isfinite(search.prior_objective):
        search.begin()
    clouds.limit = before + search.effort
    try:
        while search.size <= search.largest_run and not search.is_sharp():
            if search.ascent is None or search.bounded:
                search.ascent = search.climbed()
                search.bounded = False
                search.save()
            on_its_way = (
                search.ascent
                if search.ascent.temperature > search.temperature
                else None
            )
            search.ascent = _bound(search, search.ascent, search.size) or on_its_way
            search.bounded = True
            search.rounds += 1
            if on_its_way is None:
                search.size = 2 * search.size
                search.num_particles = 2 * search.num_particles
            search.save()
            if search.is_enough((clouds.work - before) / search.effort):
                return
    except EffortSpent as spent:  # what is known by then is reported
        if spent.ascent is not None:
            search.ascent = spent.ascent
            search.bounded = True
        elif search.ascent is not None and not search.bounded:
            search.rounds += 1  # bounds that another call makes of this ascent have a level of their own


def _rate(search: IntervalSearch) -> float:
    """Return neuron gradients a CPU second of moves, compiled before."""
    clouds = search.clouds
    rates = []
    work = clouds.work
    draws = clouds.draws
    tilt = clouds.law.tilt(
        jnp.zeros(
            (search.risk.max_size, *search.risk.neuron.output_shape), clouds.dtype
        ),
        1.0,
    )
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
    clouds = search.clouds
    tilt = ascent.path[-1]
    temperature = search.temperature
    search.progress("walks from the prior")
    estimates = _forward(search, ascent, size)
    cloud = _settled(clouds, tilt, ascent.cloud)
    search.progress("wells")
    met_wells = search.met
    search.met = None
    if met_wells is None:
        met_wells = wells.search(clouds, tilt, [cloud, *search.training])
    search.descents = search.descents + met_wells.num_descents
    search.wells_met = met_wells
    search.estimates = estimates
    # few draws tell whether wells outweigh what walks met, not how much these hold: their error would be the widest
    estimates.append(search.log_partition(met_wells.log_partition, 0.0, "wells"))

    search.progress("walks to the prior")
    own = -math.inf
    if search.plan is not None and search.plan.complete:
        chosen = clouds.generator().integers(len(cloud), size=RUNS * size)
        back = walk_back(clouds, search.plan, cloud[chosen].reshape(RUNS, size, -1))
        estimates.append(_estimate(search, back, "walks to the prior", back=True))
        own = estimates[-1].value
    hidden = max(estimate.value for estimate in estimates) > own + search.hidden
    in_cells = hidden or search.in_cells

    search.progress("walks around the cloud")
    unmet = unmet_wells(met_wells, cloud)
    starts = [(around_cloud(clouds, cloud), cloud)]
    if unmet:
        start = at_wells(
            clouds, met_wells.positions[unmet], met_wells.covariances[unmet]
        )
        starts.append((start, clouds.drawn(start, FEWEST_CLOUD)))
    groups = []
    spent = None
    try:
        for start, around in starts:
            runs = local_runs(clouds, tilt, start, around, size, in_cells)
            groups += [] if runs is None else [runs]
    except EffortSpent as error:  # what is known by now bounds P
        spent = error
    if groups:
        search.effective = min(runs.effective for runs in groups)
        for bound in upper_bounds(search.risk, temperature, groups):
            search.keep_upper(bound)
        estimates += [
            _estimate(search, runs.log_partition, "walks around the cloud")
            for runs in groups
        ]
    if math.isfinite(own):
        # g / T is that of the law, whose own temperature may be higher
        dual = ascent.dual * (temperature / ascent.temperature)
        search.keep_lower(dual, max(estimates, key=lambda estimate: estimate.high))
        search.explain(estimates)
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
    clouds: Clouds, tilt: Tilt, cloud: np.ndarray, rounds: int = 6
) -> np.ndarray:
    """Return a cloud after moves that take it to the law of a tilt, as far as moves alone do."""
    settling = MetricAdaptation(clouds.law.size)
    for _ in range(rounds):
        settling.measure(cloud)
        cloud, _, acceptance = clouds.moved(
            clouds.target(tilt), cloud, settling.factor, settling.step, 5
        )
        settling.learn(acceptance)
    return cloud


def _forward(search: IntervalSearch, ascent: Ascent, size: int) -> list[LogPartition]:
    """Walk from the prior along the path of optima, and bound P at every law passed; return log Z at the last."""
    clouds = search.clouds
    risk = search.risk
    temperature = search.temperature
    plan, _ = plan_along(clouds, ascent.path, max(RUNS * size // 2, FEWEST_CLOUD))
    search.plan = plan
    shape = (risk.max_size, *risk.neuron.output_shape)
    laws: list[tuple[np.ndarray, np.ndarray]] = []

    def watch(law: Step, walked: Walked) -> None:
        weights = normalised(walked.log_weights).reshape(-1)
        cloud = walked.clouds.reshape(len(weights), -1)
        runs = np.repeat(np.arange(RUNS), size)
        outputs, exponents = clouds.cell_sums(law.tilt, cloud, weights, runs, RUNS)
        free = temperature * (exponents - walked.log_partition)
        laws.append((outputs.astype(np.float32).reshape(-1, *shape), free))

    try:
        walked = walk(clouds, plan, RUNS, size, watch)
    finally:  # the laws passed bound P where the effort ends on the way
        search.keep_upper(*(judged(risk, *law) for law in laws))
    search.walked = walked if plan.complete else None
    return (
        [_estimate(search, walked.log_partition, "walks from the prior")]
        if plan.complete
        else []
    )


def _estimate(
    search: IntervalSearch, logs: np.ndarray, source: str, back: bool = False
) -> LogPartition:
    """Return log of the mean of exp(logs) over runs, or minus that of exp(-logs), with the error of a mean."""
    signed = -logs if back else logs
    if not np.all(np.isfinite(signed)):
        return search.log_partition(-math.inf, 0.0, source)
    ratios = np.exp(signed - signed.max())
    value = float(log_mean_exp(signed))
    error = float(ratios.std(ddof=1) / ratios.mean() / math.sqrt(len(logs)))
    return search.log_partition(-value if back else value, error, source)
