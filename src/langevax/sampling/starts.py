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
from langevax.sampling.preconditioning import CoordinateMap, potential_and_gradient

NUM_TRIES = 20
NUM_HALVINGS = 12
RADIUS = 2.0  # of the cube in which NumPyro and Stan start


def normal_deviates(key: Key[Array, ""], shape: tuple[int, ...]) -> Float[np.ndarray, "..."]:
    """Return standard normal deviates of NumPy, where compiling a program for them would take longer than their use."""
    return np.random.default_rng(np.asarray(random.key_data(key))).normal(size=shape)


class StartNearMode(eqx.Module):
    """Draws from N(mode, scale^2), the law of chains about a mode of unit curvature."""

    mode: Float[Array, " d"]
    scale: Float[Array, ""]

    def __call__(self, key: Key[Array, ""]) -> Float[Array, " d"]:
        return self.mode + self.scale * random.normal(key, self.mode.shape, self.mode.dtype)


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


class StartNearPosition(eqx.Module):
    """Draws from N(position, scale^2) where the log density is finite, and the position itself elsewhere."""

    problem: Problem
    position: Float[Array, " d"]
    scale: Float[Array, ""]

    def __call__(self, key: Key[Array, ""]) -> Float[Array, " d"]:
        near = self.position + self.scale * random.normal(key, self.position.shape, self.position.dtype)
        return jnp.where(jnp.isfinite(self.problem.potential(near)), near, self.position)


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
        points = self.mode + jnp.append(shares, jnp.zeros(1, shares.dtype))[:, None] * deviation
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
        return jax.tree.map(lambda leaf: jnp.asarray(np.zeros(leaf.shape, leaf.dtype)), jax.eval_shape(self.like, key))

    def vector(self, key: Key[Array, ""], problem: Problem, zeros: Float[Array, " d"]) -> Float[Array, " d"]:
        """Return such a position as a vector, by the program that searches for the mode of `problem`."""
        rng = np.random.default_rng(np.asarray(random.key_data(key)))
        tries = rng.uniform(-RADIUS, RADIUS, (NUM_TRIES, len(zeros)))
        potentials = [float(potential_and_gradient(problem, jnp.asarray(x, zeros.dtype))[0]) for x in tries]
        return jnp.asarray(tries[np.argmin(np.where(np.isfinite(potentials), potentials, np.inf))], zeros.dtype)

    @eqx.filter_jit
    def __call__(self, key: Key[Array, ""]) -> PyTree:
        leaves, structure = jax.tree.flatten(jax.eval_shape(self.like, key))
        ends = np.cumsum([leaf.size for leaf in leaves])
        uniform = random.uniform(key, (NUM_TRIES, int(ends[-1])), leaves[0].dtype, -RADIUS, RADIUS)
        tries = [
            numbers.reshape(NUM_TRIES, *leaf.shape).astype(leaf.dtype)
            for numbers, leaf in zip(jnp.split(uniform, ends[:-1], axis=1), leaves, strict=True)
        ]
        potentials = jax.lax.map(self.problem.potential, jax.tree.unflatten(structure, tries))
        lowest = jnp.argmin(jnp.where(jnp.isfinite(potentials), potentials, jnp.inf))
        return jax.tree.unflatten(structure, [leaf[lowest] for leaf in tries])
