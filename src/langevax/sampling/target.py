"""What `sample` may be given to draw from, and where its chains may begin."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Float, Key, PyTree

from langevax import checks
from langevax.problems.coordinates import Raveled, Rotated, affine
from langevax.problems.finite_sum import Posterior
from langevax.problems.problem import Function, Problem
from langevax.sampling.inverse import InverseProblem


def problem_of(target: Any, temperature: float | None) -> tuple[Problem, float]:
    if isinstance(target, Posterior | InverseProblem):
        if temperature is not None:
            raise ValueError("temperature is that of the posterior, 1/n; leave it out, or pass its problem alone.")
        return target.problem, float(target.temperature)
    if isinstance(target, Problem):
        if temperature is None:
            raise ValueError("temperature is missing: a problem has none of its own (a posterior has 1/n); pass it.")
        checks.number("temperature", temperature, positive=True)
        return target, float(temperature)
    if not callable(target):
        raise TypeError(f"target must be a posterior, a problem or a log density, got {target!r}.")
    if temperature is not None:
        checks.number("temperature", temperature, positive=True)
    return Function(Negative(target)), 1.0 if temperature is None else float(temperature)


def start_of(target: Any) -> Any:
    """Where to begin if nothing is said of it."""
    if not isinstance(target, InverseProblem):
        raise ValueError("start is missing: pass a position to begin the search for a mode from.")
    return target.start


class Negative(eqx.Module):
    function: Callable[..., Any]

    def __call__(self, position: PyTree) -> Float[Array, ""]:
        return -self.function(position)


def check_start(problem: Problem, first: PyTree) -> None:
    for path, leaf in jax.tree.leaves_with_path(first):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            label = f"start{jax.tree_util.keystr(path)}"
            raise TypeError(f"{label} must be floating, got {leaf.dtype}; pass for instance start.astype(float).")
    checks.finite("start", first, remedy="start from finite numbers")
    value = float(problem.potential(first))
    if not np.isfinite(value):
        raise ValueError(f"the log density at start is {-value}; start where it is finite.")


class NearMode(eqx.Module):
    """Starts drawn as the normal law about the mode has them, in coordinates of unit curvature."""

    mode: Float[Array, " d"]
    spread: Float[Array, ""]

    def __call__(self, key: Key[Array, ""]) -> Float[Array, " d"]:
        return self.mode + self.spread * random.normal(key, self.mode.shape, self.mode.dtype)


class Coordinates(eqx.Module):
    """A problem seen through one change of coordinates after the other."""

    layers: tuple[Any, ...]
    """Problems, each on the coordinates of the one before it; the first is `Raveled`."""

    @property
    def problem(self) -> Any:
        """In the coordinates that are sampled."""
        return self.layers[-1]

    @property
    def white(self) -> bool:
        """Whether coordinates are in units of a prior that had a scale for each."""
        return len(self.layers) > 1

    def through(self, scales: Array | None, directions: Array | None = None) -> "Coordinates":
        """Further changes: directions to the first axes, then `position = scales z`; none where None is given."""
        layers = self.layers
        if directions is not None:
            layers = (*layers, Rotated(layers[-1], directions))
        return Coordinates(layers if scales is None else (*layers, affine(layers[-1], scales)))

    @eqx.filter_jit
    def to_position(self, z: Float[Array, " d"]) -> PyTree:
        """The user's position."""
        for layer in reversed(self.layers):
            z = layer.to_position(z)
        return z

    @eqx.filter_jit
    def to_positions(self, z: Float[Array, "chain draw d"]) -> PyTree:
        """The user's positions, with the same leading axes."""
        return jax.vmap(jax.vmap(self.to_position))(z)

    @eqx.filter_jit
    def from_position(self, position: PyTree, after: int = 0) -> Float[Array, " d"]:
        """The coordinates of a user's position, or of one in the coordinates of the first `after` layers."""
        for layer in self.layers[after:]:
            position = layer.from_position(position)
        return position


def coordinates_of(problem: Problem, like: PyTree, temperature: float, whiten: bool) -> Coordinates:
    """The position as one vector; with `whiten`, in units of the prior where that has a scale for each coordinate.

    What is white has one precision, so that a pilot may turn the coordinates, and a search for the mode is short
    however many rough modes a function has.
    """
    flat = Raveled(problem, like)
    here = Coordinates((flat,))
    if not whiten or jnp.ndim(flat.precision) == 0 or not np.all(np.asarray(flat.precision) > 0):
        return here
    level = jnp.asarray(temperature, flat.precision.dtype)
    white = here.through(jnp.sqrt(level / flat.precision)).problem
    return Coordinates((flat, eqx.tree_at(lambda problem: problem.precision, white, level)))


class Moved(eqx.Module):
    """A user's own starts, in the coordinates that are sampled."""

    start: Callable[..., Any]
    coordinates: Coordinates

    def __call__(self, key: Key[Array, ""]) -> Float[Array, " d"]:
        return self.coordinates.from_position(self.start(key))
