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
from langevax.problems.function import Function
from langevax.problems.posterior import Posterior
from langevax.problems.problem import Problem
from langevax.problems.raveled import Raveled


def problem_of(target: Any, temperature: float | None) -> tuple[Problem, float]:
    if isinstance(target, Posterior):
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


class Moved(eqx.Module):
    """A user's own starts, in the coordinates that are sampled."""

    start: Callable[..., Any]
    flat: Raveled
    seen: Any

    def __call__(self, key: Key[Array, ""]) -> Float[Array, " d"]:
        vector = self.flat.from_position(self.start(key))
        return vector if self.seen is None else self.seen.from_position(vector)
