"""Starts of the chains of `sample`: near a mode, near a position, from a user's function, or anywhere in (-2, 2).

A start is a function `(key, num_chains) -> positions`, drawn by NumPy where a user's function does not draw them:
compiling a program for so few numbers would take longer than their use.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Float

from langevax import checks
from langevax._typing import FloatScalar, HostVector, PRNGKey, PyTree
from langevax.problems.problem import Problem
from langevax.run.program import start_positions
from langevax.sampling.evaluations import evaluate
from langevax.sampling.preconditioning import CoordinateMap

NUM_TRIES = 20
RADIUS = 2.0  # of the cube in which NumPyro and Stan start
Positions = Float[Array, "chain d"]
ChainStart = Callable[[PRNGKey, int], Positions]


def generator(key: PRNGKey) -> np.random.Generator:
    """Return NumPy's generator for a key."""
    return np.random.default_rng(np.asarray(random.key_data(key)))


def normal_deviates(key: PRNGKey, shape: tuple[int, ...]) -> Float[np.ndarray, "..."]:
    """Return standard normal deviates of NumPy."""
    return generator(key).normal(size=shape)


class Keys(NamedTuple):
    """Keys of the parts of a run."""

    pilot: PRNGKey
    start: PRNGKey
    batches: PRNGKey
    tuning: PRNGKey
    warmup: PRNGKey
    sampling: PRNGKey

    @classmethod
    def of(cls, key: PRNGKey) -> "Keys":
        return cls(*random.split(key, 6))

    def folded(self, number: int) -> "Keys":
        """Return the keys of another run."""
        return Keys(*(random.fold_in(key, number) for key in self))


class Lengths(NamedTuple):
    """Draws, chains and steps; "auto" where the dynamics choose."""

    num_samples: int
    num_chains: int
    num_warmup: int | Literal["auto"]
    thinning: int | Literal["auto"]

    def check(self) -> None:
        """Raise unless they are counts; of draws and chains, two at least."""
        for name, count in self._asdict().items():
            is_least = name in ("num_samples", "num_chains")
            checks.positive_int(name, count, minimum=1 + is_least, auto=not is_least)

    def warmup(self, default: int) -> int:
        """Return the steps before the first draw."""
        return default if isinstance(self.num_warmup, str) else self.num_warmup

    def spacing(self, default: int) -> int:
        """Return the steps between draws."""
        return default if isinstance(self.thinning, str) else self.thinning


class StartNearModes(eqx.Module):
    """Draws from a mixture of normal laws, one about each mode, of which each has its share, rounded up or down."""

    modes: Float[Array, "m d"]
    roots: Float[Array, "m d d"]
    weights: Float[Array, " m"]
    scale: FloatScalar

    def __call__(self, key: PRNGKey, num_chains: int) -> Positions:
        rng = generator(key)
        ends = np.cumsum(np.asarray(self.weights))
        places = (rng.uniform() + np.arange(num_chains)) / num_chains
        numbers = np.searchsorted(ends, ends[-1] * places)
        deviates = rng.normal(size=(num_chains, self.modes.shape[1]))
        roots = np.asarray(self.roots)[numbers]
        deviations = float(self.scale) * np.einsum("cij,cj->ci", roots, deviates)
        positions = np.asarray(self.modes)[numbers] + deviations
        return jnp.asarray(positions, self.modes.dtype)


class StartNear(eqx.Module):
    """Draws from N(position, scale^2) where the log density is finite, and the position itself elsewhere."""

    problem: Problem
    position: Float[Array, " d"]
    scale: FloatScalar

    def __call__(self, key: PRNGKey, num_chains: int) -> Positions:
        position = np.asarray(self.position)
        near = position + float(self.scale) * normal_deviates(
            key, (num_chains, len(position))
        )
        near = near.astype(position.dtype)
        is_finite = np.isfinite(evaluate(self.problem, near)[0])
        return jnp.asarray(np.where(is_finite[:, None], near, position))


class StartByFunction(eqx.Module):
    """A user's function `key -> position`, in the coordinates that are sampled."""

    function: Callable[[PRNGKey], PyTree]
    coordinates: CoordinateMap

    def __call__(self, key: PRNGKey, num_chains: int) -> Positions:
        place = lambda key: self.coordinates.from_position(self.function(key))
        return start_positions(place, key, num_chains)


class UniformStart(eqx.Module):
    """Of `NUM_TRIES` uniform positions in (-RADIUS, RADIUS) the one with the largest log density."""

    like: PyTree[Array]
    """A position, of which only the shapes are used."""
    coordinates: CoordinateMap | None = None
    """Those that are sampled."""
    values: HostVector | float = np.nan
    """Numbers of the position, as a vector, that all tries have; NaN where they are uniform."""

    @classmethod
    def of(cls, shapes: PyTree, values: Mapping[str, Any] = {}) -> "UniformStart":
        """Return the start of positions of these shapes, which have these `values` by name."""
        zeros = lambda leaf: jnp.asarray(np.zeros(leaf.shape, leaf.dtype))
        like = jax.tree.map(zeros, shapes)
        if not values:
            return cls(like)
        free = {name: np.full(leaf.shape, np.nan) for name, leaf in like.items()}
        leaves = map(np.ravel, jax.tree.leaves({**free, **values}))
        return cls(like, values=np.concatenate([*leaves]))

    def best(
        self,
        key: PRNGKey,
        coordinates: CoordinateMap,
    ) -> Float[np.ndarray, "tries d"]:
        """Return the tries of one chain, as vectors of the position, that of the largest density first."""
        vectors, _, potentials = self._tries(key, 1, coordinates)
        return vectors[np.argsort(potentials[0], kind="stable")]

    def __call__(self, key: PRNGKey, num_chains: int) -> Positions:
        assert self.coordinates is not None
        _, tries, potentials = self._tries(key, num_chains, self.coordinates)
        best = np.argmin(potentials, axis=1)
        return jnp.asarray(tries[np.arange(num_chains), best])

    def _tries(
        self,
        key: PRNGKey,
        num_chains: int,
        coordinates: CoordinateMap,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the tries of all chains as vectors, and of each chain in the coordinates, with their potentials."""
        rng = generator(key)
        shape = num_chains, NUM_TRIES, coordinates.dimension
        vectors = rng.uniform(-RADIUS, RADIUS, (num_chains * NUM_TRIES, shape[2]))
        vectors = np.where(np.isnan(self.values), vectors, self.values)
        tries = coordinates.from_vectors(vectors)
        potentials, _ = evaluate(coordinates.problem, tries)
        potentials = np.nan_to_num(potentials, nan=np.inf, neginf=np.inf)
        return vectors, tries.reshape(shape), potentials.reshape(shape[:2])
