"""Where chains start, and what is seen there: values, slopes, curvatures."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Float, Key, PyTree

from langevax import trees
from langevax.keys import unrolled
from langevax.optimize import arguments
from langevax.optimize.arguments import Box
from langevax.problems.problem import CURVATURE_ITERATIONS, Problem, largest_curvature
from langevax.reflected import fold

MIN_PLACES = 32
"""Places that are looked at, at the least, however few the chains: a spread of values is to be told from them."""
MAX_EVALUATIONS = 20_000_000
"""Component gradients that the curvatures may cost; where rows are many, fewer places are asked."""
SPREAD = 1.0


class Survey(NamedTuple):
    """Of places drawn as the starts are; the first of them are the starts."""

    places: Float[Array, "places d"]
    values: Float[np.ndarray, " places"]
    slopes: Float[np.ndarray, " places"]
    """Norms of the gradients."""
    curvature: float
    """The largest, over the places that were asked; 0 where none was."""
    scale: float
    """Root mean square distance of a coordinate from its mean over the places."""
    evaluations: int

    @property
    def size_of_values(self) -> float:
        """Their absolute size, a few absurd ones left out."""
        return float(np.quantile(np.abs(self.values), 0.75))

    def spread_above(self, lowest: float) -> float:
        """By how much the upper quartile of the values lies above the lowest value known."""
        return max(0.0, float(np.quantile(self.values, 0.75)) - lowest)


def draw(x0: Array, spread: Any, box: Box | None, key: Key[Array, ""], number: int) -> Float[Array, "places d"]:
    """Places around x0, itself the first; uniform between two bounds unless a spread is given."""
    if spread is not None and np.shape(spread) not in ((), x0.shape):
        raise ValueError(
            f"spread has shape {np.shape(spread)} but x0 has {len(x0)} numbers; pass a float, or one for each of them."
        )
    infinite = jnp.full(x0.shape, jnp.inf, x0.dtype)
    lower, upper = (-infinite, infinite) if box is None else (jnp.asarray(side) for side in box)
    width = jnp.asarray(np.asarray(SPREAD if spread is None else spread), x0.dtype)
    return _draw(x0, width, lower, upper, key, number, spread is None)


@eqx.filter_jit
def _draw(
    x0: Array, width: Array, lower: Array, upper: Array, key: Key[Array, ""], number: int, fill: bool
) -> Float[Array, "places d"]:
    uniform_key, normal_key = random.split(unrolled(key))
    shape = (number - 1, *x0.shape)
    around, _ = fold(x0 + width * trees.normal(normal_key, shape, x0.dtype), lower, upper)
    if fill:
        boxed = jnp.isfinite(upper - lower)
        low, high = jnp.where(boxed, lower, 0), jnp.where(boxed, upper, 1)
        inside = low + (high - low) * random.uniform(uniform_key, shape, x0.dtype)
        around = jnp.where(boxed, jnp.minimum(inside, high), around)
    return jnp.concatenate([x0[None], around])


@eqx.filter_jit
def draw_with(start: Callable[[Any], PyTree], key: Key[Array, ""], number: int) -> PyTree:
    """`start(key)`, one for each place, places first."""
    return jax.vmap(start)(random.split(unrolled(key), number))


def look(problem: Problem, places: Array, tuned: bool, key: Key[Array, ""], name: str) -> Survey:
    """Values, slopes and curvatures; a place where one of them is not finite is replaced by the first good one.

    Raises:
        ValueError: the first place is no good, or none is.
    """
    arguments.check_scalar(problem, places[0])
    size = int(problem.size)
    asked = min(len(places), max(1, MAX_EVALUATIONS // (2 * CURVATURE_ITERATIONS * size)))
    values, slopes = (np.asarray(a, np.float64) for a in _values_and_slopes(problem, places))
    good = np.isfinite(values) & np.isfinite(slopes)
    if name == "x0" and not good[0]:
        what, number = (
            ("fun", values[0]) if not np.isfinite(values[0]) else ("the norm of the gradient of fun", slopes[0])
        )
        raise ValueError(f"{what} at x0 is {number}; start where fun and its gradient are finite.")
    if not good.any():
        raise ValueError(f"fun is not finite at any of {len(places)} starts that x0 drew; draw them where it is.")
    if not good.all():
        stand_in = np.where(good, np.arange(len(good)), np.argmax(good))
        places, values, slopes = places[jnp.asarray(stand_in)], values[stand_in], slopes[stand_in]
    evaluations, curvature = 2 * size * len(places), 0.0
    if tuned:
        curvatures = np.asarray(_curvatures(problem, places[:asked], key), np.float64)
        curvature = float(np.max(curvatures[np.isfinite(curvatures)], initial=0.0))
        evaluations += 2 * CURVATURE_ITERATIONS * size * asked
    scale = float(np.sqrt(np.mean(np.var(np.asarray(places, np.float64), axis=0))))
    return Survey(places, values, slopes, curvature, scale, evaluations)


@eqx.filter_jit
def _values_and_slopes(problem: Problem, places: Array) -> tuple[Array, Array]:
    def one(x: Array) -> tuple[Array, Array]:
        value, gradient = problem.potential_and_gradient(x)
        return value, jnp.sqrt(trees.dot(gradient, gradient))

    return jax.vmap(one)(places)


@eqx.filter_jit
def _curvatures(problem: Problem, places: Array, key: Key[Array, ""]) -> Float[Array, " places"]:
    keys = random.split(unrolled(key), len(places))
    return jax.vmap(lambda x, key: largest_curvature(problem, x, key=key))(places, keys)
