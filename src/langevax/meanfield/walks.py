"""Clouds of neurons that walk between laws: preconditioned moves, plans that pilots make, and walks on frozen plans.

A walk goes over laws f_0, ..., f_K, unnormalised log densities of which f_0 can be drawn exactly:

    f_k(x) = (1 - b_k) log q_0(x) + b_k log prior(x) + c_k v_k(x)

with v_k the exponent of tilt k (`gibbs_law`). Weights f_k - f_(k-1) at the current positions come first, then
resampling where the plan says so, then moves that leave f_k invariant. On a plan whose laws, metrics, step sizes and
resampling are fixed beforehand, E Z^ = Z_K / Z_0 exactly, however badly it mixes (Del Moral, Doucet, Jasra 2006).

Particles are moved a block at a time by one compiled program, on as many threads as there are cores, so that another
number of particles compiles nothing and memory does not grow with it. `work` counts gradients of one neuron at one row.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Key

from langevax.keys import unrolled
from langevax.meanfield.gibbs_law import Cloud, GibbsLaw, Tilt
from langevax.problems.matmul import in_float32

MOVES = 4  # a law
EVEN = 0.8  # share of effective particles from one law of a plan to the next
RESAMPLED = 0.5  # share below which a plan resamples
ACCEPTANCE = 0.7
SHRINKAGE = 0.05  # of the covariance towards its diagonal's mean, for the metric of the moves
ELEMENTS = 2**20  # features of a block
SMALLEST_BLOCK, LARGEST_BLOCK = 128, 2048
MOST_LAWS = 200
COMPONENTS = 12  # normals of a start, those not needed with weight 0
LOG_2_PI = float(np.log(2 * np.pi))


class Mixture(eqx.Module):
    """A mixture of normals, whose draws and density are known: the start of a walk."""

    log_shares: Float[Array, " components"]
    means: Float[Array, "components coordinates"]
    factors: Float[Array, "components coordinates coordinates"]
    """Lower Cholesky factors of the covariances."""
    whitening: Float[Array, "components coordinates coordinates"]
    """Their inverses."""
    log_scales: Float[Array, " components"]

    def log_density(self, cloud: Cloud) -> Float[Array, " particles"]:
        """log q_0 of each particle."""

        def one(mean: Array, whitening: Array, constant: Array) -> Array:
            white = (cloud - mean) @ whitening.T
            return constant - jnp.sum(white**2, axis=-1) / 2

        constants = self.log_shares - self.log_scales
        return logsumexp(jax.vmap(one)(self.means, self.whitening, constants), axis=0)


def mixture(shares: np.ndarray, means: np.ndarray, covariances: np.ndarray, dtype: Any) -> Mixture:
    """Return a mixture of `COMPONENTS` normals, the last with weight 0 where fewer are given."""
    missing, size = COMPONENTS - len(shares), means.shape[1]
    log_shares = np.append(np.log(shares / np.sum(shares)), np.full(missing, -1e30))
    means = np.concatenate([means, np.zeros((missing, size))])
    covariances = np.concatenate([covariances, np.broadcast_to(np.eye(size), (missing, size, size))])
    factors = np.linalg.cholesky(covariances)
    log_scales = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(1) + size * LOG_2_PI / 2
    parts = log_shares, means, factors, np.linalg.inv(factors), log_scales
    return Mixture(*(jnp.asarray(part, dtype) for part in parts))


class Target(eqx.Module):
    """One law of a walk."""

    tilt: Tilt
    start_share: Float[Array, ""]
    """1 - b, of q_0; b of the prior."""
    exponent_share: Float[Array, ""]
    """c, of v."""
    start: Mixture


class Values(NamedTuple):
    """Of each particle."""

    exponent: np.ndarray
    """v under the tilt."""
    log_start: np.ndarray
    log_prior: np.ndarray

    def of(self, share: float, exponent_share: float) -> np.ndarray:
        """Return the log density of a law with b = `share`, c = `exponent_share`."""
        # q_0 does not count at b = 1, where it may be infinitely small
        start = 0.0 if share == 1 else (1 - share) * self.log_start
        return start + share * self.log_prior + exponent_share * self.exponent


def _log_density(law: GibbsLaw, target: Target, cloud: Cloud) -> tuple[tuple[Array, Array, Array, Array], Cloud]:
    """Return (f, v, log q_0, log prior) of each particle, and the gradient of f."""
    exponent, gradient = law.value_and_gradient(target.tilt, cloud)
    log_prior = -jnp.sum(cloud**2, axis=-1) / 2 - law.size * LOG_2_PI / 2
    share = 1 - target.start_share

    def with_start(cloud: Cloud) -> tuple[Array, Cloud]:
        values, pull = jax.vjp(target.start.log_density, cloud)
        return values, pull(jnp.ones_like(values))[0]

    def without(cloud: Cloud) -> tuple[Array, Cloud]:
        return jnp.zeros_like(exponent), jnp.zeros_like(cloud)

    log_start, slope = lax.cond(target.start_share > 0, with_start, without, cloud)
    value = target.start_share * log_start + share * log_prior + target.exponent_share * exponent
    gradient = target.start_share * slope - share * cloud + target.exponent_share * gradient
    return (value, exponent, log_start, log_prior), gradient


@in_float32
@eqx.filter_jit
def _moved(
    law: GibbsLaw, target: Target, cloud: Cloud, factor: Array, step: Array, num_moves: Array, key: Key[Array, ""]
) -> tuple[Cloud, tuple[Array, Array, Array], Array]:
    """Return the cloud after MALA moves in the metric `factor factor^T`, its values, and the mean acceptance."""
    key = unrolled(key)
    values, gradient = _log_density(law, target, cloud)

    def move(index: Array, carry: tuple[Any, ...]) -> tuple[Any, ...]:
        cloud, values, gradient, accepted = carry
        noise_key, accept_key = random.split(random.fold_in(key, index))
        noise = random.normal(noise_key, cloud.shape, cloud.dtype)
        drift = step / 2 * (gradient @ factor)
        proposal = cloud + step * (drift + noise) @ factor.T
        new_values, new_gradient = _log_density(law, target, proposal)
        back = drift + noise + step / 2 * (new_gradient @ factor)
        log_ratio = new_values[0] - values[0] + jnp.sum(noise**2 - back**2, axis=-1) / 2
        accept = jnp.log(random.uniform(accept_key, log_ratio.shape, cloud.dtype)) < log_ratio
        pick = lambda new, old: jnp.where(accept if new.ndim == 1 else accept[:, None], new, old)  # noqa: E731
        rate = jnp.mean(jnp.where(jnp.isnan(log_ratio), 0, jnp.minimum(1, jnp.exp(jnp.minimum(log_ratio, 0)))))
        moved = jax.tree.map(pick, (proposal, new_values, new_gradient), (cloud, values, gradient))
        return *moved, accepted + rate

    cloud, values, _, accepted = lax.fori_loop(
        0, num_moves, move, (cloud, values, gradient, jnp.zeros((), cloud.dtype))
    )
    return cloud, values[1:], accepted / jnp.maximum(num_moves, 1).astype(accepted.dtype)


@in_float32
@eqx.filter_jit
def _features(law: GibbsLaw, cloud: Cloud) -> Array:
    return law.features(cloud)


@in_float32
@eqx.filter_jit
def _sums(law: GibbsLaw, tilt: Tilt, cloud: Cloud, weights: Array) -> tuple[Array, Array]:
    """Return sums over particles of each row of `weights` (cells, particles): of E[h] (cells, rows, columns), of e."""
    activity = law.activity(tilt, cloud)
    outputs = jax.vmap(lambda slopes: (weights * slopes) @ activity.features, 1, 2)(activity.slopes)
    return outputs, weights @ activity.exponent


@in_float32
@eqx.filter_jit
def _descended(
    law: GibbsLaw, tilt: Tilt, cloud: Cloud, num_steps: Array
) -> tuple[Cloud, Float[Array, " particles"], Cloud]:
    """Return positions, energies |x|^2 / 2 - v and their gradients after gradient steps that never go up."""

    def energy(cloud: Cloud) -> tuple[Array, Cloud]:
        value, gradient = law.value_and_gradient(tilt, cloud)
        return jnp.sum(cloud**2, axis=-1) / 2 - value, cloud - gradient

    def step(_: Array, carry: tuple[Array, ...]) -> tuple[Array, ...]:
        cloud, value, gradient, size = carry
        proposal = cloud - size[:, None] * gradient
        new_value, new_gradient = energy(proposal)
        down = new_value < value
        size = jnp.where(down, 1.5 * size, 0.5 * size)
        pick = down[:, None]
        return (
            jnp.where(pick, proposal, cloud),
            jnp.where(down, new_value, value),
            jnp.where(pick, new_gradient, gradient),
            size,
        )

    value, gradient = energy(cloud)
    size = 0.3 / (1 + jnp.sqrt(jnp.sum(gradient**2, axis=-1)))
    end, value, gradient, _ = lax.fori_loop(0, num_steps, step, (cloud, value, gradient, size))
    return end, value, gradient


class EffortSpent(Exception):
    """The work that was allowed is done."""


@dataclass
class Clouds:
    """Moves, values and sums of clouds of any size, a block at a time; EffortSpent once `work` exceeds `limit`."""

    law: GibbsLaw
    num_rows: int
    """Those in use: what a gradient of one neuron is counted as."""
    key: Key[Array, ""]
    work: int = 0
    draws: int = 0
    limit: float = float("inf")

    def __post_init__(self) -> None:
        rows = len(self.law.inputs) * (1 if self.law.output_weight is not None else max(1, self._num_outputs()))
        block = 2 ** int(np.log2(max(1, ELEMENTS // rows)))
        self.block = int(np.clip(block, SMALLEST_BLOCK, LARGEST_BLOCK))
        self.dtype = self.law.inputs.dtype
        self.none = mixture(np.ones(1), np.zeros((1, self.law.size)), np.eye(self.law.size)[None], self.dtype)
        self.wide = jax.config.read("jax_enable_x64")
        self.threads = ThreadPoolExecutor(os.cpu_count())

    def close(self) -> None:
        """End the threads."""
        self.threads.shutdown()

    def _num_outputs(self) -> int:
        return int(np.prod(self.law.neuron.output_shape))

    def spend(self, gradients: int | float) -> None:
        """Count gradients of one neuron at all rows.

        Raises:
            EffortSpent: when more is done than was allowed.
        """
        if self.work > self.limit:
            raise EffortSpent
        self.work += round(gradients * self.num_rows)

    def next_key(self) -> Key[Array, ""]:
        """Return a key that was not used before."""
        self.draws += 1
        return random.fold_in(self.key, self.draws)

    def generator(self) -> np.random.Generator:
        """Return NumPy's generator of the next key."""
        return np.random.default_rng(np.asarray(random.key_data(self.next_key())).tolist())

    def blocks(self, function: Callable[[int, Array], Any], cloud: np.ndarray) -> list[Any]:
        """Return `function(number, block)` of all blocks; the last block is filled up with its last particle."""
        missing = -len(cloud) % self.block
        whole = np.concatenate([cloud, np.repeat(cloud[-1:], missing, axis=0)]) if missing else cloud
        parts = whole.reshape(-1, self.block, cloud.shape[1])

        def run(number: int) -> Any:
            with jax.enable_x64(self.wide):  # threads do not inherit the contexts of their caller
                return jax.tree.map(np.asarray, function(number, jnp.asarray(parts[number], self.dtype)))

        return list(self.threads.map(run, range(len(parts))))

    def target(
        self, tilt: Tilt, share: float = 1.0, exponent_share: float = 1.0, start: Mixture | None = None
    ) -> Target:
        """Return the law (1 - b) log q_0 + b log prior + c v of b = `share`, c = `exponent_share`."""
        shares = (jnp.asarray(1 - share, self.dtype), jnp.asarray(exponent_share, self.dtype))
        return Target(tilt, *shares, self.none if start is None else start)

    def moved(
        self, target: Target, cloud: np.ndarray, factor: np.ndarray, step: float, num_moves: int = MOVES
    ) -> tuple[np.ndarray, Values, float]:
        """Return the cloud after moves, values there, and the mean acceptance; no moves give the values alone."""
        key, size = self.next_key(), len(cloud)
        traced = jnp.asarray(factor, self.dtype), jnp.asarray(step, self.dtype), jnp.asarray(num_moves, jnp.int32)
        done = self.blocks(lambda k, block: _moved(self.law, target, block, *traced, random.fold_in(key, k)), cloud)
        self.spend(size * (1 + num_moves))
        end = np.concatenate([part for part, _, _ in done])[:size]
        values = [
            np.concatenate(column)[:size].astype(np.float64) for column in zip(*(v for _, v, _ in done), strict=True)
        ]
        return end, Values(*values), float(np.mean([rate for _, _, rate in done]))

    def values(self, target: Target, cloud: np.ndarray) -> Values:
        """Return the values of a law's parts."""
        return self.moved(target, cloud, np.eye(self.law.size), 0.0, 0)[1]

    def features(self, cloud: np.ndarray) -> np.ndarray:
        """Return (particles, rows)."""
        self.spend(len(cloud) / 2)
        return np.concatenate(self.blocks(lambda _, block: _features(self.law, block), cloud))[: len(cloud)]

    def sums(self, tilt: Tilt, cloud: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return sums over particles of E[h] (cells, rows, columns) and e (cells,) with weights (cells, particles)."""
        missing = -len(cloud) % self.block
        parts = np.pad(weights, ((0, 0), (0, missing))).reshape(len(weights), -1, self.block)
        done = self.blocks(lambda k, block: _sums(self.law, tilt, block, jnp.asarray(parts[:, k], self.dtype)), cloud)
        self.spend(len(cloud) / 2)
        outputs = np.sum([part.astype(np.float64) for part, _ in done], axis=0)
        return outputs, np.sum([part.astype(np.float64) for _, part in done], axis=0)

    def descended(self, tilt: Tilt, cloud: np.ndarray, num_steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return where descents of |x|^2 / 2 - v end, their energies, and the gradients there."""
        steps = jnp.asarray(num_steps, jnp.int32)
        done = self.blocks(lambda _, block: _descended(self.law, tilt, block, steps), cloud)
        self.spend(len(cloud) * (1 + num_steps))
        return tuple(np.concatenate(column)[: len(cloud)] for column in zip(*done, strict=True))  # pyright: ignore

    def prior(self, size: int) -> np.ndarray:
        """Return draws of N(0, I)."""
        return self.generator().normal(size=(size, self.law.size)).astype(self.dtype)

    def drawn(self, start: Mixture, size: int) -> np.ndarray:
        """Return draws of a mixture."""
        generator, shares = self.generator(), np.exp(np.asarray(start.log_shares, np.float64))
        chosen = np.sort(generator.choice(len(shares), size, p=shares / shares.sum()))
        noise = generator.normal(size=(size, self.law.size))
        factors, means = np.asarray(start.factors), np.asarray(start.means)
        cloud = np.concatenate([means[j] + noise[chosen == j] @ factors[j].T for j in range(len(shares))])
        return generator.permutation(cloud).astype(self.dtype)


class Step(NamedTuple):
    """One law of a plan."""

    tilt: Tilt
    share: float
    exponent_share: float
    factor: np.ndarray
    step: float
    resample: bool


@dataclass(frozen=True)
class Plan:
    """A walk, fixed beforehand; `start` None is the prior."""

    laws: list[Step]
    start: Mixture | None
    complete: bool
    """Whether it ends at the law it was made for."""


class Adaptation:
    """The metric and the step size that a cloud's moves learn."""

    def __init__(self, size: int):
        self.step: float = 1.2 * size ** (-1 / 6)
        self.factor: np.ndarray = np.eye(size)

    def measure(self, cloud: np.ndarray, weights: np.ndarray | None = None) -> None:
        """Take the metric from a weighted cloud, shrunk towards its diagonal."""
        self.factor = np.linalg.cholesky(covariance(cloud, weights))

    def learn(self, acceptance: float) -> None:
        """Lengthen or shorten the step towards the acceptance that is aimed at."""
        self.step = float(np.clip(self.step * np.exp(acceptance - ACCEPTANCE), 1e-3, 4.0))


def covariance(cloud: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the weighted covariance, shrunk towards its diagonal where coordinates are many."""
    wide = cloud.astype(np.float64)
    weights = np.full(len(wide), 1 / len(wide)) if weights is None else weights
    centred = wide - weights @ wide
    matrix = (centred * weights[:, None]).T @ centred
    effective = 1 / np.sum(weights**2)
    shrink = min(0.9, SHRINKAGE + matrix.shape[0] / effective)
    diagonal = np.diag(np.diag(matrix) + 1e-8 * np.trace(matrix) / len(matrix) + 1e-12)
    return (1 - shrink) * matrix + shrink * diagonal


def normalised(log_weights: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return weights of sum one."""
    weights = np.exp(log_weights - log_weights.max(axis, keepdims=True))
    return weights / weights.sum(axis, keepdims=True)


def log_mean(log_weights: np.ndarray, axis: int = -1) -> np.ndarray | np.floating:
    """Return the logarithm of the mean weight."""
    largest = log_weights.max(axis, keepdims=True)
    return np.log(np.mean(np.exp(log_weights - largest), axis)) + largest.squeeze(axis)


def effective_share(log_weights: np.ndarray) -> float:
    """Return the share of particles that weights leave effective; 0 of weights that are not finite."""
    if not np.all(np.isfinite(log_weights)):
        return 0.0
    return float(1 / np.sum(normalised(log_weights) ** 2) / len(log_weights))


def systematic(generator: np.random.Generator, weights: np.ndarray, size: int | None = None) -> np.ndarray:
    """Return the indices of a systematic resample of weights of sum one."""
    size = len(weights) if size is None else size
    places = (np.arange(size) + generator.uniform()) / size
    return np.minimum(np.searchsorted(np.cumsum(weights), places), len(weights) - 1)


def largest_step(share_of: Callable[[float], float], rest: float) -> float:
    """Return the largest step up to `rest` at which `share_of(step)` is at least EVEN, by bisection."""
    if share_of(rest) >= EVEN:
        return rest
    low, high = 0.0, rest
    for _ in range(25):
        middle = (low + high) / 2
        low, high = (middle, high) if share_of(middle) >= EVEN else (low, middle)
    return low


def _resampled(clouds: Clouds, cloud: np.ndarray, change: np.ndarray) -> np.ndarray:
    return cloud[systematic(clouds.generator(), normalised(change))]


class _Resampling:
    """Says at which laws a plan resamples: where weights since the last time leave too few particles effective."""

    def __init__(self) -> None:
        self.effective = 1.0

    def due(self, share: float) -> bool:
        # shares of the steps multiply where their weights are independent
        self.effective *= share
        if self.effective >= RESAMPLED:
            return False
        self.effective = 1.0
        return True


class Cells:
    """Parts of space around centres that are fixed beforehand."""

    def __init__(self, centres: np.ndarray, whitening: np.ndarray):
        self.centres, self.whitening = centres, whitening

    def __len__(self) -> int:
        return len(self.centres)

    def of(self, cloud: np.ndarray) -> np.ndarray:
        """Return the cell of each particle."""
        distances = (self.centres**2).sum(1) - 2 * (cloud @ self.whitening.T) @ self.centres.T
        return distances.argmin(1)


def resample_within(
    generator: np.random.Generator, cells: np.ndarray, log_weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return parents and log weights after resampling each cell for itself.

    Every cell keeps its particles and its weight, so that a mode that is light under one dual is there for another.
    """
    parents, weights = np.arange(len(cells)), log_weights.copy()
    for cell in np.unique(cells):
        own = np.flatnonzero(cells == cell)
        parents[own] = own[systematic(generator, normalised(log_weights[own]))]
        weights[own] = log_mean(log_weights[own])
    return parents, weights


def _share_within(cells: np.ndarray, log_weights: np.ndarray) -> float:
    """Return the share of particles that weights leave effective in their cells."""
    shares = [(np.mean(cells == cell), effective_share(log_weights[cells == cell])) for cell in np.unique(cells)]
    return float(sum(part * share for part, share in shares))


def plan_from_start(clouds: Clouds, tilt: Tilt, start: Mixture, size: int, cells: Cells) -> Plan:
    """Plan q_0^(1 - b) (prior e^v)^b by a pilot of `size` particles that is resampled within cells."""
    cloud, adaptation, resampling = clouds.drawn(start, size), Adaptation(clouds.law.size), _Resampling()
    values, b, laws = clouds.values(clouds.target(tilt, 0.0, 0.0, start), cloud), 0.0, []
    while b < 1 and len(laws) < MOST_LAWS:
        slope, labels = values.log_prior + values.exponent - values.log_start, cells.of(cloud)
        step = largest_step(lambda step: _share_within(labels, step * slope), 1 - b)  # noqa: B023
        if step == 0:
            break
        b = 1.0 if step >= 1 - b else b + step
        share = _share_within(labels, step * slope)
        cloud = cloud[resample_within(clouds.generator(), labels, step * slope)[0]]
        adaptation.measure(cloud)
        target = clouds.target(tilt, b, b, start)
        used = adaptation.step
        cloud, values, acceptance = clouds.moved(target, cloud, adaptation.factor, used)
        laws.append(Step(tilt, b, b, adaptation.factor, used, resampling.due(share)))
        adaptation.learn(acceptance)
    return Plan(laws, start, b >= 1)


def plan_along(clouds: Clouds, tilts: list[Tilt], size: int) -> tuple[Plan, np.ndarray]:
    """Plan a walk from the prior along tilts, each followed by as many between as weights ask for."""
    cloud, adaptation, resampling = clouds.prior(size), Adaptation(clouds.law.size), _Resampling()
    current, following, laws = np.zeros_like(np.asarray(tilts[0])), 0, []
    while following < len(tilts) and len(laws) < MOST_LAWS:
        features = clouds.features(cloud)
        sums = features @ current
        before = _log_ratio(clouds.law, sums)
        while following + 1 < len(tilts):  # optima nearer than a step are passed over
            beyond = _log_ratio(clouds.law, features @ np.asarray(tilts[following + 1])) - before
            if effective_share(beyond) < EVEN:
                break
            following += 1
        aim = np.asarray(tilts[following])
        change = features @ aim - sums
        difference = lambda share: _log_ratio(clouds.law, sums + share * change) - before  # noqa: B023, E731
        share = largest_step(lambda share: effective_share(difference(share)), 1.0)  # noqa: B023
        if share == 0:
            break
        log_weights = difference(share)
        if share == 1:
            current, following = aim, following + 1
        else:
            current = current + np.asarray(share, current.dtype) * (aim - current)
        adaptation.measure(cloud, normalised(log_weights))
        cloud = _resampled(clouds, cloud, log_weights)
        tilt, used = jnp.asarray(current, clouds.dtype), adaptation.step
        cloud, _, acceptance = clouds.moved(clouds.target(tilt), cloud, adaptation.factor, used)
        laws.append(Step(tilt, 1.0, 1.0, adaptation.factor, used, resampling.due(effective_share(log_weights))))
        adaptation.learn(acceptance)
    return Plan(laws, None, following >= len(tilts)), cloud


def _log_ratio(law: GibbsLaw, sums: np.ndarray) -> np.ndarray:
    """Return v from s, in NumPy: what a pilot asks some dozen times."""
    if law.output_weight is None:
        return sums.sum(1).astype(np.float64)
    return np.asarray(_ratio(law, jnp.asarray(sums)), np.float64)


@eqx.filter_jit
def _ratio(law: GibbsLaw, sums: Array) -> Array:
    return law.log_ratio(sums)


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
    plan: Plan,
    num_runs: int,
    size: int,
    watch: Callable[[Step, Walked], None] = lambda *_: None,
    cells: Cells | None = None,
) -> Walked:
    """Run a frozen plan forwards, independently `num_runs` times with `size` particles each.

    `watch` sees each law; with `cells` resampling is within cells.
    """
    start = clouds.prior(num_runs * size) if plan.start is None else clouds.drawn(plan.start, num_runs * size)
    state = _Runs(clouds, start, num_runs, cells)
    share, exponent_share, tilt, values = float(plan.start is None), 0.0, None, None
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
        share, exponent_share, tilt = law.share, law.exponent_share, law.tilt
    return state.end()


def walk_back(clouds: Clouds, plan: Plan, starts: np.ndarray) -> np.ndarray:
    """Run a plan from the prior backwards, from clouds (runs, particles, coordinates) of its last law; return log Z^.

    The estimate of one run is minus the logarithm of the mean weight, of expectation 1 / Z from exact draws.
    """
    num_runs = len(starts)
    state = _Runs(clouds, starts.reshape(-1, starts.shape[2]), num_runs)
    for law, earlier in zip(reversed(plan.laws), [*reversed(plan.laws[:-1]), None], strict=True):
        here = clouds.values(clouds.target(law.tilt), state.cloud).exponent
        if earlier is None:
            state.weigh(-here)
            break
        target = clouds.target(earlier.tilt)
        state.step(clouds.values(target, state.cloud).exponent - here, earlier, target)
    return -state.end().log_partition


class _Runs:
    """Weighted clouds of several runs that move together and never mix."""

    def __init__(self, clouds: Clouds, cloud: np.ndarray, num_runs: int, cells: Cells | None = None):
        self.clouds, self.cloud, self.cells = clouds, cloud, cells
        self.generator = clouds.generator()
        self.log_weights = np.zeros((num_runs, len(cloud) // num_runs))
        self.log_partition = np.zeros(num_runs)

    def weigh(self, change: np.ndarray) -> None:
        self.log_weights += change.reshape(self.log_weights.shape)

    def step(self, change: np.ndarray, law: Step, target: Target) -> Values:
        self.weigh(change)
        if law.resample:
            self._resample()
        self.cloud, values, _ = self.clouds.moved(target, self.cloud, law.factor, law.step)
        return values

    def _resample(self) -> None:
        size, parents = self.log_weights.shape[1], []
        for run, own in enumerate(self.log_weights):
            if self.cells is None:
                chosen = systematic(self.generator, normalised(own))
                self.log_partition[run] += log_mean(own)
                own[:] = 0
            else:
                labels = self.cells.of(self.cloud[run * size : (run + 1) * size])
                chosen, own[:] = resample_within(self.generator, labels, own)
            parents.append(run * size + chosen)
        self.cloud = self.cloud[np.concatenate(parents)]

    def end(self) -> Walked:
        shape = *self.log_weights.shape, self.cloud.shape[1]
        return Walked(self.cloud.reshape(shape), self.log_weights, self.log_partition + log_mean(self.log_weights))


def snapshots(clouds: Clouds, plan: Plan, cloud: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """Yield a cloud at the last law of a plan and as it is after every further `MOVES` moves."""
    last = plan.laws[-1]
    target = clouds.target(last.tilt)
    for index in range(count):
        if index:
            cloud, _, _ = clouds.moved(target, cloud, last.factor, last.step)
        yield cloud
