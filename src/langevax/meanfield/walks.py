"""Walks of clouds between laws, on plans that pilots make and that are frozen then.

A walk goes over laws f_0, ..., f_K, unnormalised log densities of which f_0 can be drawn exactly:

    f_k(x) = (1 - b_k) log q_0(x) + b_k log prior(x) + c_k v_k(x)

with v_k the exponent of tilt k (`gibbs_law`). Weights f_k - f_(k-1) at the current positions come first, then
resampling where the plan says so, then moves that leave f_k invariant. On a plan whose laws, metrics, step sizes and
resampling are fixed beforehand, E Z^ = Z_K / Z_0 exactly, however badly it mixes (Del Moral, Doucet, Jasra 2006).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from langevax.log_weights import (
    LEAST_EFFECTIVE,
    effective_share,
    log_mean_exp,
    normalised,
    systematic,
)
from langevax.meanfield.clouds import (
    MOVES_PER_LAW,
    Clouds,
    Mixture,
    Values,
    WalkTarget,
)
from langevax.meanfield.gibbs_law import ParticleLaw, Tilt

EFFECTIVE_SHARE = 0.8
"""Of the particles, that weights leave from one law to the next on the way from the prior."""
NEARLY_EVEN = 0.9
"""On the way from normals, whose laws are few."""
MOST_LAWS = 200


class Step(NamedTuple):
    """One law of a plan."""

    tilt: Tilt
    share: float
    exponent_share: float
    factor: np.ndarray
    step: float
    resample: bool


@dataclass(frozen=True)
class WalkPlan:
    """A walk, fixed beforehand; `start` None is the prior."""

    laws: list[Step]
    start: Mixture | None
    complete: bool
    """Whether it ends at the law it was made for."""


class PilotCloud(NamedTuple):
    """A cloud that goes from law to law, with the metric and the step size that its moves have learnt."""

    cloud: np.ndarray
    factor: np.ndarray
    step: float

    @classmethod
    def of(cls, cloud: np.ndarray) -> "PilotCloud":
        """Return the pilot that has learnt nothing yet."""
        size = cloud.shape[1]
        return cls(cloud, np.eye(size), 1.2 * size ** (-1 / 6))

    def measured(self, weights: np.ndarray | None = None) -> "PilotCloud":
        """Take the metric from the weighted cloud, shrunk towards its diagonal."""
        return self._replace(factor=np.linalg.cholesky(covariance(self.cloud, weights)))

    def resampled(self, parents: np.ndarray) -> "PilotCloud":
        """Take these particles of the cloud."""
        return self._replace(cloud=self.cloud[parents])

    def moved(
        self,
        clouds: Clouds,
        target: WalkTarget,
        num_moves: int = MOVES_PER_LAW,
        aim: float = 0.7,
    ) -> tuple["PilotCloud", Values]:
        """Move the cloud, and lengthen or shorten the step towards the acceptance that is aimed at."""
        cloud, values, acceptance = clouds.moved(
            target, self.cloud, self.factor, self.step, num_moves
        )
        step = float(np.clip(self.step * np.exp(acceptance - aim), 1e-3, 4.0))
        return self._replace(cloud=cloud, step=step), values


def covariance(
    cloud: np.ndarray, weights: np.ndarray | None = None, shrinkage: float = 0.05
) -> np.ndarray:
    """Return the weighted covariance, shrunk towards its diagonal, by more where coordinates are many."""
    wide = cloud.astype(np.float64)
    weights = np.full(len(wide), 1 / len(wide)) if weights is None else weights
    centred = wide - weights @ wide
    matrix = (centred * weights[:, None]).T @ centred
    effective = 1 / np.sum(weights**2)
    shrink = min(0.9, shrinkage + matrix.shape[0] / effective)
    diagonal = np.diag(np.diag(matrix) + 1e-8 * np.trace(matrix) / len(matrix) + 1e-12)
    return (1 - shrink) * matrix + shrink * diagonal


def largest_step(
    share_of: Callable[[float], float], rest: float, even: float = EFFECTIVE_SHARE
) -> float:
    """Return the largest step up to `rest` at which `share_of(step)` is at least `even`, by bisection."""
    if share_of(rest) >= even:
        return rest
    low = 0.0
    high = rest
    for _ in range(25):
        middle = (low + high) / 2
        low, high = (middle, high) if share_of(middle) >= even else (low, middle)
    return low


class _Resampling:
    """Says at which laws a plan resamples: where weights since the last time leave too few particles effective."""

    def __init__(self) -> None:
        self.effective = 1.0

    def due(self, share: float) -> bool:
        # shares of the steps multiply where their weights are independent
        self.effective *= share
        if self.effective >= LEAST_EFFECTIVE:
            return False
        self.effective = 1.0
        return True


class Cells:
    """Parts of space around centres that are fixed beforehand."""

    def __init__(self, centres: np.ndarray, whitening: np.ndarray):
        self.centres = centres
        self.whitening = whitening

    def __len__(self) -> int:
        return len(self.centres)

    def of(self, cloud: np.ndarray) -> np.ndarray:
        """Return the cell of each particle."""
        distances = (self.centres**2).sum(1) - 2 * (
            cloud @ self.whitening.T
        ) @ self.centres.T
        return distances.argmin(1)


def resample_within(
    generator: np.random.Generator, cells: np.ndarray, log_weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return parents and log weights after resampling each cell for itself.

    Every cell keeps its particles and its weight, so that a mode that is light under one dual is there for another.
    """
    parents = np.arange(len(cells))
    weights = log_weights.copy()
    for cell in np.unique(cells):
        own = np.flatnonzero(cells == cell)
        parents[own] = own[systematic(log_weights[own], generator.uniform())]
        weights[own] = log_mean_exp(log_weights[own])
    return parents, weights


def _share_within(cells: np.ndarray, log_weights: np.ndarray) -> float:
    """Return the share of particles that weights leave effective in their cells."""
    shares = [
        (np.mean(cells == cell), effective_share(log_weights[cells == cell]))
        for cell in np.unique(cells)
    ]
    return float(sum(part * share for part, share in shares))


def plan_from_start(
    clouds: Clouds,
    tilt: Tilt,
    start: Mixture,
    size: int,
    cells: Cells,
) -> WalkPlan:
    """Make the plan of q_0^(1 - b) (prior e^v)^b by a pilot of `size` particles that is resampled within cells."""
    pilot = PilotCloud.of(clouds.drawn(start, size))
    resampling = _Resampling()
    values = clouds.values(clouds.target(tilt, 0.0, 0.0, start), pilot.cloud)
    b = 0.0
    laws = []
    while b < 1 and len(laws) < MOST_LAWS:
        slope = values.log_prior + values.exponent - values.log_start
        labels = cells.of(pilot.cloud)
        share_of = lambda step: _share_within(labels, step * slope)  # noqa: B023
        step = largest_step(share_of, 1 - b, NEARLY_EVEN)
        if step == 0:
            break
        b = 1.0 if step >= 1 - b else b + step
        parents, _ = resample_within(clouds.generator(), labels, step * slope)
        pilot = pilot.resampled(parents).measured()
        due = resampling.due(share_of(step))
        laws.append(Step(tilt, b, b, pilot.factor, pilot.step, due))
        pilot, values = pilot.moved(clouds, clouds.target(tilt, b, b, start))
    return WalkPlan(laws, start, b >= 1)


def plan_along(clouds: Clouds, tilts: list[Tilt], size: int) -> WalkPlan:
    """Make the plan of a walk from the prior along tilts, each followed by as many between as weights ask for."""
    pilot = PilotCloud.of(clouds.prior(size))
    resampling = _Resampling()
    current = np.zeros_like(np.asarray(tilts[0]))
    following = 0
    laws = []
    while following < len(tilts) and len(laws) < MOST_LAWS:
        line = TiltLine(clouds.law, clouds.features(pilot.cloud), current)
        while (  # optima nearer than a step are passed over
            following + 1 < len(tilts)
            and effective_share(line.to(tilts[following + 1])) >= EFFECTIVE_SHARE
        ):
            following += 1
        aim = np.asarray(tilts[following])
        log_weights_at = line.towards(aim)
        share = largest_step(
            lambda share: effective_share(log_weights_at(share)),  # noqa: B023
            1.0,
        )
        if share == 0:
            break
        log_weights = log_weights_at(share)
        if share == 1:
            current = aim
            following = following + 1
        else:
            current = current + np.asarray(share, current.dtype) * (aim - current)
        weights = normalised(log_weights)
        parents = systematic(log_weights, clouds.generator().uniform())
        pilot = pilot.measured(weights).resampled(parents)
        tilt = jnp.asarray(current, clouds.dtype)
        due = resampling.due(effective_share(log_weights))
        laws.append(Step(tilt, 1.0, 1.0, pilot.factor, pilot.step, due))
        pilot, _ = pilot.moved(clouds, clouds.target(tilt))
    return WalkPlan(laws, None, following >= len(tilts))


class TiltLine:
    """The log weights of a cloud, from its own tilt to others."""

    def __init__(
        self,
        law: ParticleLaw,
        features: np.ndarray,
        tilt: np.ndarray,
    ):
        self.law = law
        self.features = features
        self.sums = features @ tilt
        self.before = _log_ratio(law, self.sums)

    def to(self, tilt: Tilt) -> np.ndarray:
        """Return the log weights of a tilt."""
        return _log_ratio(self.law, self.features @ np.asarray(tilt)) - self.before

    def towards(self, aim: np.ndarray) -> Callable[[float], np.ndarray]:
        """Return the log weights as a function of the share of the way to a tilt."""
        change = self.features @ aim - self.sums
        return lambda share: (
            _log_ratio(self.law, self.sums + share * change) - self.before
        )


def _log_ratio(law: ParticleLaw, sums: np.ndarray) -> np.ndarray:
    """Return v from s, in NumPy: what a pilot asks some dozen times."""
    values = sums if law.output_weight is None else law.output_weight(sums)[0]
    return values.sum(1).astype(np.float64)


class Walked(NamedTuple):
    """Runs of a walk at its end."""

    clouds: np.ndarray
    """(runs, particles, coordinates)."""
    log_weights: np.ndarray
    """(runs, particles)."""
    log_partition: np.ndarray
    """log Z^ of each run."""


def walk(
    clouds: Clouds,
    plan: WalkPlan,
    num_runs: int,
    size: int,
    watch: Callable[[Step, Walked], None] = lambda *_: None,
    cells: Cells | None = None,
) -> Walked:
    """Run a frozen plan forwards, independently `num_runs` times with `size` particles each.

    `watch` sees each law; with `cells` resampling is within cells.
    """
    start = (
        clouds.prior(num_runs * size)
        if plan.start is None
        else clouds.drawn(plan.start, num_runs * size)
    )
    state = _WalkRuns(clouds, start, num_runs, cells)
    share = float(plan.start is None)
    exponent_share = 0.0
    tilt = None
    values = None
    for law in plan.laws:
        if law.tilt is not tilt:  # v of all particles is another one
            from_here = clouds.target(law.tilt, share, 0.0, plan.start)
            now = clouds.values(from_here, state.cloud)
            old = now if values is None else values
        else:
            assert values is not None
            now = old = values
        change = now.of(law.share, law.exponent_share) - old.of(share, exponent_share)
        target = clouds.target(law.tilt, law.share, law.exponent_share, plan.start)
        values = state.step(change, law, target)
        watch(law, state.end())
        share = law.share
        exponent_share = law.exponent_share
        tilt = law.tilt
    return state.end()


def means_of_runs(
    clouds: Clouds, tilt: Tilt, walked: Walked
) -> tuple[np.ndarray, np.ndarray]:
    """Return the outputs (runs, rows, columns) and the exponents (runs,) of each run, by its weights."""
    count, size = walked.log_weights.shape
    weights = normalised(walked.log_weights).reshape(-1)
    runs = np.repeat(np.arange(count), size)
    cloud = walked.clouds.reshape(len(weights), -1)
    return clouds.cell_sums(tilt, cloud, weights, runs, count)


def walk_back(clouds: Clouds, plan: WalkPlan, starts: np.ndarray) -> np.ndarray:
    """Run a plan from the prior backwards, from clouds (runs, particles, coordinates) of its last law; return log Z^.

    The estimate of one run is minus the logarithm of the mean weight, of expectation 1 / Z from exact draws.
    """
    num_runs = len(starts)
    state = _WalkRuns(clouds, starts.reshape(-1, starts.shape[2]), num_runs)
    for law, earlier in zip(
        reversed(plan.laws), [*reversed(plan.laws[:-1]), None], strict=True
    ):
        here = clouds.values(clouds.target(law.tilt), state.cloud).exponent
        if earlier is None:
            state.weigh(-here)
            break
        target = clouds.target(earlier.tilt)
        state.step(clouds.values(target, state.cloud).exponent - here, earlier, target)
    return -state.end().log_partition


class _WalkRuns:
    """Weighted clouds of several runs that move together and never mix."""

    def __init__(
        self,
        clouds: Clouds,
        cloud: np.ndarray,
        num_runs: int,
        cells: Cells | None = None,
    ):
        self.clouds = clouds
        self.cloud = cloud
        self.cells = cells
        self.generator = clouds.generator()
        self.log_weights = np.zeros((num_runs, len(cloud) // num_runs))
        self.log_partition = np.zeros(num_runs)

    def weigh(self, change: np.ndarray) -> None:
        self.log_weights += change.reshape(self.log_weights.shape)

    def step(
        self,
        change: np.ndarray,
        law: Step,
        target: WalkTarget,
    ) -> Values:
        self.weigh(change)
        if law.resample:
            self._resample()
        self.cloud, values, _ = self.clouds.moved(
            target, self.cloud, law.factor, law.step
        )
        return values

    def _resample(self) -> None:
        size = self.log_weights.shape[1]
        parents = []
        for run, own in enumerate(self.log_weights):
            if self.cells is None:
                chosen = systematic(own, self.generator.uniform())
                self.log_partition[run] += log_mean_exp(own)
                own[:] = 0
            else:
                labels = self.cells.of(self.cloud[run * size : (run + 1) * size])
                chosen, own[:] = resample_within(self.generator, labels, own)
            parents.append(run * size + chosen)
        self.cloud = self.cloud[np.concatenate(parents)]

    def end(self) -> Walked:
        shape = *self.log_weights.shape, self.cloud.shape[1]
        return Walked(
            self.cloud.reshape(shape),
            self.log_weights,
            self.log_partition + log_mean_exp(self.log_weights),
        )


def snapshots(
    clouds: Clouds,
    plan: WalkPlan,
    cloud: np.ndarray,
    count: int,
) -> Iterator[np.ndarray]:
    """Yield a cloud at the last law of a plan and as it is after every further `MOVES_PER_LAW` moves."""
    last = plan.laws[-1]
    target = clouds.target(last.tilt)
    for index in range(count):
        if index:
            cloud, _, _ = clouds.moved(target, cloud, last.factor, last.step)
        yield cloud
