"""Clouds of neurons of any size: preconditioned MALA moves, values, sums and descents, a block at a time.

Particles are moved a block at a time by one compiled program, on as many threads as there are cores, so that another
number of particles compiles nothing and memory does not grow with it. `work` counts gradients of one neuron at one row.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jaxtyping import Array, Float

from langevax._typing import FloatScalar, IntScalar, PRNGKey
from langevax.keys import unrolled
from langevax.meanfield.gibbs_law import Cloud, ParticleLaw, Tilt
from langevax.platforms import sizes
from langevax.problems.matmul import in_float32

MOVES_PER_LAW = 4
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
    num_used: IntScalar
    """Of the components, the first ones."""

    def value_and_gradient(
        self, cloud: Cloud
    ) -> tuple[Float[Array, " particles"], Cloud]:
        """Return log q_0 of each particle, and its gradient."""
        constants = self.log_shares - self.log_scales

        def add(
            j: Array, carry: tuple[Array, Array, Cloud]
        ) -> tuple[Array, Array, Cloud]:
            largest, total, slopes = carry
            white = (cloud - self.means[j]) @ self.whitening[j].T
            log = constants[j] - jnp.sum(white**2, axis=-1) / 2
            new = jnp.maximum(largest, log)
            before = jnp.exp(largest - new)
            share = jnp.exp(log - new)
            return (
                new,
                before * total + share,
                before[:, None] * slopes - share[:, None] * (white @ self.whitening[j]),
            )

        nothing = jnp.zeros(len(cloud), cloud.dtype)
        # all of the unused components would cost, in 120 columns, eight times what the neuron does
        largest, total, slopes = lax.fori_loop(
            0,
            self.num_used,
            add,
            (jnp.full_like(nothing, -jnp.inf), nothing, jnp.zeros_like(cloud)),
        )
        return largest + jnp.log(total), slopes / total[:, None]


def mixture(
    shares: np.ndarray,
    means: np.ndarray,
    covariances: np.ndarray,
    dtype: Any,
    most: int = 12,
) -> Mixture:
    """Return a mixture of at most `most` normals; all have arrays of one size, and programs in common."""
    missing = most - len(shares)
    size = means.shape[1]
    log_shares = np.append(np.log(shares / np.sum(shares)), np.full(missing, -np.inf))
    means = np.concatenate([means, np.zeros((missing, size))])
    covariances = np.concatenate(
        [covariances, np.broadcast_to(np.eye(size), (missing, size, size))]
    )
    factors = np.linalg.cholesky(covariances)
    log_scales = (
        np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(1) + size * LOG_2_PI / 2
    )
    parts = log_shares, means, factors, np.linalg.inv(factors), log_scales
    return Mixture(
        *(jnp.asarray(part, dtype) for part in parts),
        num_used=jnp.asarray(len(shares), jnp.int32),
    )


class WalkTarget(eqx.Module):
    """One law of a walk."""

    tilt: Tilt
    start_share: FloatScalar
    """1 - b, of q_0; b of the prior."""
    exponent_share: FloatScalar
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


def _log_density(
    law: ParticleLaw, target: WalkTarget, cloud: Cloud
) -> tuple[tuple[Array, Array, Array, Array], Cloud]:
    """Return (f, v, log q_0, log prior) of each particle, and the gradient of f."""
    exponent, gradient = law.value_and_gradient(target.tilt, cloud)
    log_prior = -jnp.sum(cloud**2, axis=-1) / 2 - law.size * LOG_2_PI / 2
    share = 1 - target.start_share

    def of_start(cloud: Cloud) -> tuple[Array, Cloud]:
        return target.start.value_and_gradient(cloud)

    def without(cloud: Cloud) -> tuple[Array, Cloud]:
        return jnp.zeros_like(exponent), jnp.zeros_like(cloud)

    log_start, slope = lax.cond(target.start_share > 0, of_start, without, cloud)
    value = (
        target.start_share * log_start
        + share * log_prior
        + target.exponent_share * exponent
    )
    gradient = (
        target.start_share * slope - share * cloud + target.exponent_share * gradient
    )
    return (value, exponent, log_start, log_prior), gradient


@in_float32
@eqx.filter_jit
def _moved(
    law: ParticleLaw,
    target: WalkTarget,
    cloud: Cloud,
    factor: Array,
    step: Array,
    num_moves: Array,
    key: PRNGKey,
) -> tuple[Cloud, tuple[Array, Array, Array], Array]:
    """Return the cloud after MALA moves in the metric `factor factor^T`, its values, and the mean acceptance."""
    key = unrolled(key)

    def at(cloud: Cloud) -> tuple[tuple[Array, ...], Cloud]:
        values, gradient = _log_density(law, target, cloud)
        return values, gradient @ factor

    values, gradient = at(cloud)

    def move(index: Array, carry: tuple[Any, ...]) -> tuple[Any, ...]:
        cloud, values, gradient, accepted = carry
        noise_key, accept_key = random.split(random.fold_in(key, index))
        noise = random.normal(noise_key, cloud.shape, cloud.dtype)
        drift = step / 2 * gradient
        proposal = cloud + step * (drift + noise) @ factor.T
        new_values, new_gradient = at(proposal)
        back = drift + noise + step / 2 * new_gradient
        log_ratio = new_values[0] - values[0] + jnp.sum(noise**2 - back**2, axis=-1) / 2
        accept = (
            jnp.log(random.uniform(accept_key, log_ratio.shape, cloud.dtype))
            < log_ratio
        )
        pick = lambda new, old: jnp.where(
            accept if new.ndim == 1 else accept[:, None], new, old
        )
        rate = jnp.mean(
            jnp.where(
                jnp.isnan(log_ratio),
                0,
                jnp.minimum(1, jnp.exp(jnp.minimum(log_ratio, 0))),
            )
        )
        moved = jax.tree.map(
            pick, (proposal, new_values, new_gradient), (cloud, values, gradient)
        )
        return *moved, accepted + rate

    cloud, values, _, accepted = lax.fori_loop(
        0, num_moves, move, (cloud, values, gradient, jnp.zeros((), cloud.dtype))
    )
    return (
        cloud,
        values[1:],
        accepted / jnp.maximum(num_moves, 1).astype(accepted.dtype),
    )


@in_float32
@eqx.filter_jit
def _features(law: ParticleLaw, cloud: Cloud) -> Array:
    return law.features(cloud)


@in_float32
@eqx.filter_jit
def _cell_sums(
    law: ParticleLaw,
    tilt: Tilt,
    cloud: Cloud,
    weights: Array,
    labels: Array,
    num_cells: int,
) -> tuple[Array, Array]:
    """Return sums over the particles of each cell: of E[h] (cells, rows, columns), and of e."""
    activity = law.activity(tilt, cloud)

    def apart(values: Array) -> Array:
        return jax.ops.segment_sum(values, labels, num_cells)

    def product(values: Array) -> Array:
        return jax.nn.one_hot(labels, num_cells, dtype=values.dtype, axis=0) @ values

    def summed(values: Array) -> Array:
        # elsewhere sums of segments come in any order, and would not repeat a certificate
        return lax.platform_dependent(values, cpu=apart, default=product)

    scaled = weights[:, None] * activity.slopes
    outputs = lax.map(
        lambda slopes: summed(slopes[:, None] * activity.features), scaled.T
    )
    return jnp.moveaxis(outputs, 0, 2), summed((weights * activity.exponent)[:, None])[
        :, 0
    ]


@in_float32
@eqx.filter_jit
def _descended(
    law: ParticleLaw,
    tilt: Tilt,
    cloud: Cloud,
    sizes: Array,
    num_steps: Array,
) -> tuple[Cloud, Float[Array, " particles"], Cloud, Float[Array, " particles"]]:
    """Return positions, energies |x|^2 / 2 - v, their gradients and step sizes after steps that never go up.

    Where `sizes` is 0, the first step size follows from the gradient.
    """

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
    size = jnp.where(
        sizes > 0, sizes, 0.3 / (1 + jnp.sqrt(jnp.sum(gradient**2, axis=-1)))
    )
    return lax.fori_loop(0, num_steps, step, (cloud, value, gradient, size))


class EffortSpent(Exception):
    """The work that was allowed is done."""


@dataclass
class Clouds:
    """Moves, values and sums of clouds of any size, a block at a time; EffortSpent before `work` exceeds `limit`."""

    law: ParticleLaw
    num_rows: int
    """Those in use: what a gradient of one neuron is counted as."""
    key: PRNGKey
    work: int = 0
    draws: int = 0
    limit: float = float("inf")
    block: int = 0
    """Particles of a block; 0 is what suits the rows."""

    def __post_init__(self) -> None:
        best = sizes()
        block = 2 ** int(
            np.log2(max(1, best.certificate_activations // self.law.num_activations))
        )
        if self.block == 0:
            self.block = int(
                np.clip(block, best.smallest_certificate_block, best.largest_block)
            )
        self.dtype: Any = self.law.dtype
        self.none: Mixture = mixture(
            np.ones(1),
            np.zeros((1, self.law.size)),
            np.eye(self.law.size)[None],
            self.dtype,
        )
        self.wide: bool = jax.config.read("jax_enable_x64")
        self.threads: ThreadPoolExecutor = ThreadPoolExecutor(os.cpu_count())

    def close(self) -> None:
        """End the threads."""
        self.threads.shutdown()

    def spend(self, gradients: int | float) -> None:
        """Count gradients of one neuron at all rows, before they are taken.

        Raises:
            EffortSpent: they are more than was allowed.
        """
        amount = round(gradients * self.num_rows)
        if self.work + amount > self.limit:
            raise EffortSpent
        self.work += amount

    def next_key(self) -> PRNGKey:
        """Return a key that was not used before."""
        self.draws += 1
        return random.fold_in(self.key, self.draws)

    def generator(self) -> np.random.Generator:
        """Return NumPy's generator of the next key."""
        return np.random.default_rng(
            np.asarray(random.key_data(self.next_key())).tolist()
        )

    def blocks(
        self, function: Callable[[int, Array], Any], cloud: np.ndarray
    ) -> list[Any]:
        """Return `function(number, block)` of all blocks; the last block is filled up with its last particle."""
        missing = -len(cloud) % self.block
        whole = (
            np.concatenate([cloud, np.repeat(cloud[-1:], missing, axis=0)])
            if missing
            else cloud
        )
        parts = whole.reshape(-1, self.block, cloud.shape[1])

        def run(number: int) -> Any:
            with jax.enable_x64(
                self.wide
            ):  # threads do not inherit the contexts of their caller
                return jax.tree.map(
                    np.asarray, function(number, jnp.asarray(parts[number], self.dtype))
                )

        return list(self.threads.map(run, range(len(parts))))

    def target(
        self,
        tilt: Tilt,
        share: float = 1.0,
        exponent_share: float = 1.0,
        start: Mixture | None = None,
    ) -> WalkTarget:
        """Return the law (1 - b) log q_0 + b log prior + c v of b = `share`, c = `exponent_share`."""
        shares = (
            jnp.asarray(1 - share, self.dtype),
            jnp.asarray(exponent_share, self.dtype),
        )
        return WalkTarget(tilt, *shares, self.none if start is None else start)

    def moved(
        self,
        target: WalkTarget,
        cloud: np.ndarray,
        factor: np.ndarray,
        step: float,
        num_moves: int = MOVES_PER_LAW,
    ) -> tuple[np.ndarray, Values, float]:
        """Return the cloud after moves, values there, and the mean acceptance; no moves give the values alone."""
        key = self.next_key()
        size = len(cloud)
        self.spend(size * (1 + num_moves))
        traced = (
            jnp.asarray(factor, self.dtype),
            jnp.asarray(step, self.dtype),
            jnp.asarray(num_moves, jnp.int32),
        )
        done = self.blocks(
            lambda k, block: _moved(
                self.law, target, block, *traced, random.fold_in(key, k)
            ),
            cloud,
        )
        end = np.concatenate([part for part, _, _ in done])[:size]
        values = [
            np.concatenate(column)[:size].astype(np.float64)
            for column in zip(*(v for _, v, _ in done), strict=True)
        ]
        return end, Values(*values), float(np.mean([rate for _, _, rate in done]))

    def values(self, target: WalkTarget, cloud: np.ndarray) -> Values:
        """Return the values of a law's parts."""
        return self.moved(target, cloud, np.eye(self.law.size), 0.0, 0)[1]

    def features(self, cloud: np.ndarray) -> np.ndarray:
        """Return (particles, rows)."""
        self.spend(len(cloud) / 2)
        return np.concatenate(
            self.blocks(lambda _, block: _features(self.law, block), cloud)
        )[: len(cloud)]

    def cell_sums(
        self,
        tilt: Tilt,
        cloud: np.ndarray,
        weights: np.ndarray,
        labels: np.ndarray,
        num_cells: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return sums of E[h] (cells, rows, columns) and e (cells,), of particles with weights and the labels of cells."""
        self.spend(len(cloud) / 2)
        weighed = self._filled(weights)
        parts = self._filled(labels)

        def run(k: int, block: Array) -> tuple[Array, Array]:
            arguments = (
                jnp.asarray(weighed[k], self.dtype),
                jnp.asarray(parts[k], jnp.int32),
            )
            return _cell_sums(self.law, tilt, block, *arguments, num_cells)

        done = self.blocks(run, cloud)
        outputs = np.sum([part.astype(np.float64) for part, _ in done], axis=0)
        return outputs, np.sum([part.astype(np.float64) for _, part in done], axis=0)

    def _filled(self, values: np.ndarray) -> np.ndarray:
        """Return numbers of particles by block, 0 where the last block is filled up."""
        return np.pad(values, (0, -len(values) % self.block)).reshape(-1, self.block)

    def descended(
        self,
        tilt: Tilt,
        cloud: np.ndarray,
        num_steps: int,
        level: float = 3e-3,
        steps_at_once: int = 20,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return where descents of |x|^2 / 2 - v end, their energies, and the gradients there.

        They end after `num_steps`, or where the gradient is below `level`. After every `steps_at_once` of them those
        that go on are joined in fewer blocks.
        """
        ends = cloud.copy()
        energies = np.zeros(len(cloud), cloud.dtype)
        gradients = np.zeros_like(cloud)
        sizes = np.zeros(len(cloud), cloud.dtype)
        active = np.arange(len(cloud))
        first = 0
        while first == 0 or (first < num_steps and len(active)):
            steps = min(steps_at_once, num_steps - first)
            self.spend(len(active) * (1 + steps))
            moved = self._descended(tilt, ends[active], sizes[active], steps)
            for whole, part in zip(
                (ends, energies, gradients, sizes), moved, strict=True
            ):
                whole[active] = part
            active = active[np.linalg.norm(gradients[active], axis=1) > level]
            first += steps_at_once
        return ends, energies, gradients

    def _descended(
        self,
        tilt: Tilt,
        cloud: np.ndarray,
        sizes: np.ndarray,
        num_steps: int,
    ) -> list[np.ndarray]:
        filled = self._filled(sizes)
        steps = jnp.asarray(num_steps, jnp.int32)

        def run(k: int, block: Array) -> tuple[Array, ...]:
            return _descended(
                self.law, tilt, block, jnp.asarray(filled[k], self.dtype), steps
            )

        return [
            np.concatenate(column)[: len(cloud)]
            for column in zip(*self.blocks(run, cloud), strict=True)
        ]

    def prior(self, size: int) -> np.ndarray:
        """Return draws of N(0, I)."""
        return self.generator().normal(size=(size, self.law.size)).astype(self.dtype)

    def drawn(self, start: Mixture, size: int) -> np.ndarray:
        """Return draws of a mixture."""
        generator = self.generator()
        shares = np.exp(np.asarray(start.log_shares, np.float64))
        chosen = np.sort(generator.choice(len(shares), size, p=shares / shares.sum()))
        noise = generator.normal(size=(size, self.law.size))
        factors = np.asarray(start.factors)
        means = np.asarray(start.means)
        cloud = np.concatenate(
            [means[j] + noise[chosen == j] @ factors[j].T for j in range(len(shares))]
        )
        return generator.permutation(cloud).astype(self.dtype)
