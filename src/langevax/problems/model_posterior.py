"""The posterior of a model that another library writes, and how the adapters of these libraries check and refuse.

Each adapter separates the log density into a prior and a sum over rows, and compares that sum with the library's own
log density at random points: as absolute values, since both keep their constants.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from langevax import checks
from langevax._typing import PRNGKey, PyTree
from langevax.problems.finite_sum import Posterior
from langevax.problems.problem import Function, Problem

Position = Mapping[str, Array | np.ndarray]
Shapes = dict[str, tuple[int, ...]]
Densities = TypeVar("Densities", float, list[float])

CHECKED_ROWS = 100_000
"""Rows on which the two log densities are compared: the first ones, where there are more."""

TRIED_POINTS = 30
"""Points that are tried to find some of finite density."""


class NotRowsError(ValueError):
    """The log density of a model is not a sum over rows: why, and what would make it one."""

    def __init__(self, cause: str, remedy: str):
        super().__init__(f"{cause}; {remedy}.")
        self.cause = cause
        self.remedy = remedy


class RefusedModelError(ValueError):
    """The model has no density that can be sampled; the message says why."""


@contextmanager
def refusing(failure: str, remedy: str) -> Iterator[None]:
    """Turn any error within into a `RefusedModelError`: a model may do anything with its arguments."""
    try:
        yield
    except RefusedModelError:
        raise
    except Exception as error:
        raise RefusedModelError(
            f"{failure} ({checks.first_line(error)}); {remedy}."
        ) from error


def check_finite(
    log_density: Callable[[Position], Any], points: Iterable[Position]
) -> None:
    """Raise where a log density is finite at none of these points."""
    if not any(np.isfinite(float(log_density(point))) for point in points):
        raise RefusedModelError(
            "the log density of the model is finite at none of the positions that were "
            "tried: pass data without missing or infinite values, or a prior under "
            "which they can occur."
        )


class WholeDensity(eqx.Module):
    """A log density of all rows at once."""

    cause: str = eqx.field(static=True)
    """Why it is not a sum over rows."""
    remedy: str = eqx.field(static=True)
    """What would make it one, in the imperative."""


class Description(NamedTuple):
    """Deterministic sites, log likelihoods and data of a model, in the words of ArviZ."""

    deterministic: dict[str, np.ndarray]
    """Values of deterministic sites, (chain, draw, ...)."""
    log_likelihood: dict[str, np.ndarray]
    """Log densities of the numbers that each site observes, (chain, draw, ...)."""
    observed_data: dict[str, np.ndarray]
    axes: Mapping[str, Sequence[str | None]]
    """Names of the axes of each variable; None of those without."""
    labels: Mapping[str, Any]
    """Coordinates along axes."""


class ModelPosterior(NamedTuple):
    """A posterior and the map back to the variables of the model; `langevax.sample` takes it as it is."""

    target: Posterior
    """In unconstrained coordinates."""
    start: Callable[[PRNGKey], Position]
    """key -> an unconstrained position: of NumPyro a draw of the prior, and uniform in (-2, 2) where nothing can be
    drawn from it; of PyMC its initial point, moved by up to 1."""
    constrain: Callable[[PyTree], Position]
    """Unconstrained positions as values of the variables, with any leading axes such as (chain, draw)."""
    describe: Callable[[PyTree, bool], Description]
    """Unconstrained positions (chain, draw, ...), and whether log likelihoods are wanted."""

    @property
    def problem(self) -> Problem:
        return self.target.problem

    @property
    def full_gradients(self) -> str | None:
        """Reason why minibatches are not possible, in a sentence that names the variable; None where they are."""
        density = self.problem.fun if isinstance(self.problem, Function) else None
        return (
            f"{density.cause}; for minibatches {density.remedy}."
            if isinstance(density, WholeDensity)
            else None
        )

    def __repr__(self) -> str:
        size = (
            "full gradients"
            if self.full_gradients
            else f"{int(self.problem.size):,} rows"
        )
        return f"ModelPosterior({size}; fields: {', '.join(self._fields)})"


def random_point(seed: int, shapes: Shapes, radius: float = 2) -> dict[str, np.ndarray]:
    """Return an unconstrained point, uniform in (-radius, radius) in each coordinate, as NumPyro's."""
    rng = np.random.default_rng(
        seed
    )  # of NumPy, as nothing here is worth a compiled program
    dtype = jnp.result_type(float)
    return {
        name: rng.uniform(-radius, radius, shape).astype(dtype)
        for name, shape in shapes.items()
    }


def points_of_finite_density(
    log_density: Callable[[Position], Densities], shapes: Shapes, number: int = 3
) -> list[tuple[Position, Densities]]:
    """Return random points at which one log density, or each of several, is finite, with what it is there.

    At most `number` of the `TRIED_POINTS`; raise `NotRowsError` where it is finite at none of them.
    """
    points = []
    for seed in range(TRIED_POINTS):
        point = random_point(seed, shapes)
        densities = log_density(point)
        points += [(point, densities)] if np.isfinite(densities).all() else []
        if len(points) == number:
            break
    if not points:
        raise NotRowsError(
            f"the log density is not finite at any of {TRIED_POINTS} random positions, "
            "so that the sum over rows cannot be compared with it",
            "scale data and priors so that it is finite where parameters are about 1",
        )
    return points


def is_same_sum(
    by_row: float,
    own: float,
    scale: float,
    tolerance: float = 1e-6,
) -> bool:
    """Return whether two log densities agree to the rounding of terms whose absolute values add up to `scale`.

    Models may cast to float32 within, which rounds to 1e-7.
    """
    return by_row == own or abs(by_row - own) <= tolerance * scale < np.inf


def one_by_one(function: Callable[..., PyTree]) -> Callable[..., PyTree]:
    """Return a function mapped over an axis as `jax.vmap` does, in the memory of one call."""
    return partial(lax.map, function)


def over_leading_axes(
    function: Callable[..., PyTree],
    positions: Position,
    shapes: Shapes,
    mapped: Callable[..., Any] = jax.vmap,
) -> PyTree:
    """Return a function of one position at many, which have leading axes, as NumPy arrays."""
    name, shape = next(iter(shapes.items()))
    for _ in range(jnp.ndim(positions[name]) - len(shape)):
        function = mapped(function)
    function = jax.jit(function)
    positions = jax.tree.map(jnp.asarray, positions)
    like = jax.tree.leaves(jax.eval_shape(function, positions))
    count = sum(leaf.size for leaf in like)
    checks.fits_memory("the numbers of the model at all draws", count, 4)
    return jax.tree.map(np.asarray, function(positions))
