"""Starts of the chains of `sample`: near a mode, near a position, from a user's function, or anywhere in (-2, 2)."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Float, Key

from langevax._typing import PyTree
from langevax.problems.problem import Problem
from langevax.run.program import start_positions
from langevax.sampling.evaluations import evaluate
from langevax.sampling.preconditioning import CoordinateMap

NUM_TRIES = 20
NUM_HALVINGS = 12
ChainStart = Callable[[Key[Array, ""]], Float[Array, " d"]]
RADIUS = 2.0  # of the cube in which NumPyro and Stan start


def normal_deviates(
    key: Key[Array, ""], shape: tuple[int, ...]
) -> Float[np.ndarray, "..."]:
    """Return standard normal deviates of NumPy, where compiling a program for them would take longer than their use."""
    return np.random.default_rng(np.asarray(random.key_data(key))).normal(size=shape)


class StartNearMode(eqx.Module):
    """Draws from N(mode, scale^2), the law of chains about a mode of unit curvature."""

    mode: Float[Array, " d"]
    scale: Float[Array, ""]

    def __call__(self, key: Key[Array, ""]) -> Float[Array, " d"]:
        return self.mode + self.scale * random.normal(
            key, self.mode.shape, self.mode.dtype
        )

    def drawn(self, key: Key[Array, ""], num_chains: int) -> Float[Array, "chain d"]:
        """Return other draws, by NumPy."""
        deviates = normal_deviates(key, (num_chains, len(self.mode)))
        return jnp.asarray(
            np.asarray(self.mode) + float(self.scale) * deviates, self.mode.dtype
        )


class StartNearModes(eqx.Module):
    """Draws from a mixture of normal laws, one about each mode."""

    modes: Float[Array, "m d"]
    roots: Float[Array, "m d d"]
    log_weights: Float[Array, " m"]
    scale: Float[Array, ""]

    def __call__(self, key: Key[Array, ""]) -> Float[Array, " d"]:
        mode_key, noise_key = random.split(key)
        number = random.categorical(mode_key, self.log_weights)
        xi = random.normal(noise_key, self.modes.shape[1:], self.modes.dtype)
        return self.modes[number] + self.scale * self.roots[number] @ xi

    def drawn(self, key: Key[Array, ""], num_chains: int) -> Float[Array, "chain d"]:
        """Return draws, by NumPy, of which each mode has its share, rounded up or down."""
        rng = np.random.default_rng(np.asarray(random.key_data(key)))
        modes, roots, log_weights = map(
            np.asarray, (self.modes, self.roots, self.log_weights)
        )
        ends = np.cumsum(np.exp(log_weights))
        numbers = np.searchsorted(
            ends, ends[-1] * (rng.uniform() + np.arange(num_chains)) / num_chains
        )
        deviations = np.einsum(
            "cij,cj->ci", roots[numbers], rng.normal(size=(num_chains, modes.shape[1]))
        )
        return jnp.asarray(
            modes[numbers] + float(self.scale) * deviations, self.modes.dtype
        )


class StartNearPosition(eqx.Module):
    """Draws from N(position, scale^2) where the log density is finite, and the position itself elsewhere."""

    problem: Problem
    position: Float[Array, " d"]
    scale: Float[Array, ""]

    def __call__(self, key: Key[Array, ""]) -> Float[Array, " d"]:
        near = self.position + self.scale * random.normal(
            key, self.position.shape, self.position.dtype
        )
        return jnp.where(
            jnp.isfinite(self.problem.potential(near)), near, self.position
        )

    def drawn(self, key: Key[Array, ""], num_chains: int) -> Float[Array, "chain d"]:
        """Return other draws, by NumPy and the program that searches for a mode."""
        position = np.asarray(self.position)
        near = position + float(self.scale) * normal_deviates(
            key, (num_chains, len(position))
        )
        near = near.astype(position.dtype)
        return jnp.asarray(
            np.where(
                np.isfinite(evaluate(self.problem, near)[0])[:, None], near, position
            )
        )


class StartWithinReach(eqx.Module):
    """Draws from N(mode, T), drawn towards the mode where the law there is narrower than its curvature says.

    The deviation is halved until the potential is above that of the mode by at most T (d/2 + 2 sqrt(d)), as nearly all
    draws of a normal law are.
    """

    problem: Problem
    mode: Float[Array, " d"]
    temperature: Float[Array, ""]

    def __call__(self, key: Key[Array, ""]) -> Float[Array, " d"]:
        scale, dimension = jnp.sqrt(self.temperature), len(self.mode)
        deviation = scale * random.normal(key, self.mode.shape, self.mode.dtype)
        shares = 0.5 ** jnp.arange(NUM_HALVINGS, dtype=self.mode.dtype)
        points = (
            self.mode
            + jnp.append(shares, jnp.zeros(1, shares.dtype))[:, None] * deviation
        )
        potentials = jax.lax.map(self.problem.potential, points)
        rise = (potentials - potentials[-1]) / self.temperature
        return points[jnp.argmax(rise <= dimension / 2 + 2 * dimension**0.5)]


class TransformedStart(eqx.Module):
    """A user's start function, in the coordinates that are sampled."""

    start: Callable[[Key[Array, ""]], PyTree]
    coordinates: CoordinateMap

    def __call__(self, key: Key[Array, ""]) -> Float[Array, " d"]:
        return self.coordinates.from_position(self.start(key))


class UniformStart(eqx.Module):
    """Of some uniform positions in (-RADIUS, RADIUS) the one with the largest log density."""

    problem: Problem
    like: Callable[[Key[Array, ""]], PyTree]
    """A function `key -> position`, of which only the shapes are used."""

    def zeros(self, key: Key[Array, ""]) -> PyTree:
        """Return a position of zeros."""
        return jax.tree.map(
            lambda leaf: jnp.asarray(np.zeros(leaf.shape, leaf.dtype)),
            jax.eval_shape(self.like, key),
        )

    def vectors(
        self, key: Key[Array, ""], problem: Problem, zeros: Float[Array, " d"]
    ) -> Float[np.ndarray, "n d"]:
        """Return the positions as vectors, that of the largest density first.

        Evaluated by the program that searches for the mode of `problem`.
        """
        rng = np.random.default_rng(np.asarray(random.key_data(key)))
        tries = rng.uniform(-RADIUS, RADIUS, (NUM_TRIES, len(zeros))).astype(
            zeros.dtype
        )
        potentials, _ = evaluate(problem, tries)
        return tries[
            np.argsort(
                np.where(np.isfinite(potentials), potentials, np.inf), kind="stable"
            )
        ]

    def drawn(
        self, key: Key[Array, ""], num_chains: int, coordinates: CoordinateMap
    ) -> Float[Array, "chain d"]:
        """Return such positions in linear coordinates, by the program that searches for the mode there."""
        rng = np.random.default_rng(np.asarray(random.key_data(key)))
        dtype, dimension = jnp.result_type(float), coordinates.dimension
        tries = rng.uniform(-RADIUS, RADIUS, (num_chains * NUM_TRIES, dimension))
        tries = np.linalg.solve(coordinates.matrix, tries.T).T.astype(dtype)
        potentials = evaluate(coordinates.problem, tries)[0].reshape(
            num_chains, NUM_TRIES
        )
        lowest = np.argmin(
            np.where(np.isfinite(potentials), potentials, np.inf), axis=1
        )
        return jnp.asarray(
            tries.reshape(num_chains, NUM_TRIES, dimension)[
                np.arange(num_chains), lowest
            ]
        )

    @eqx.filter_jit
    def __call__(self, key: Key[Array, ""]) -> PyTree:
        leaves, structure = jax.tree.flatten(jax.eval_shape(self.like, key))
        ends = np.cumsum([leaf.size for leaf in leaves])
        uniform = random.uniform(
            key, (NUM_TRIES, int(ends[-1])), leaves[0].dtype, -RADIUS, RADIUS
        )
        tries = [
            numbers.reshape(NUM_TRIES, *leaf.shape).astype(leaf.dtype)
            for numbers, leaf in zip(
                jnp.split(uniform, ends[:-1], axis=1), leaves, strict=True
            )
        ]
        potentials = jax.lax.map(
            self.problem.potential, jax.tree.unflatten(structure, tries)
        )
        lowest = jnp.argmin(jnp.where(jnp.isfinite(potentials), potentials, jnp.inf))
        return jax.tree.unflatten(structure, [leaf[lowest] for leaf in tries])


def drawn_positions(
    start: ChainStart, key: Key[Array, ""], num_chains: int
) -> Float[Array, "chain d"]:
    """Return where chains start, without compiling a program where NumPy can draw."""
    if isinstance(start, StartNearMode | StartNearModes | StartNearPosition):
        return start.drawn(key, num_chains)
    if (
        isinstance(start, TransformedStart)
        and isinstance(start.start, UniformStart)
        and start.coordinates.is_linear
    ):
        return start.start.drawn(key, num_chains, start.coordinates)
    return start_positions(start, key, num_chains)
