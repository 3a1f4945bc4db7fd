"""Potentials with their gradients at points, by one compiled program of a problem for any number of points.

For most small posteriors compiling takes longer than sampling: the search for a mode, the descents to others and the
comparison with a normal law share this program.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from langevax._typing import IntScalar
from langevax.problems.problem import Problem

Points = Float[np.ndarray, "m d"]
Numbers = Float[np.ndarray, " m"]


def evaluate(
    problem: Problem,
    points: Points,
    most_places: int = 170,
    most_numbers: int = 2**17,
) -> tuple[Numbers, Points]:
    """Return potentials and gradients at the points, computed in their dtype.

    The program has a place for each descent of a search for modes, or fewer where they would take more numbers. Those
    that are empty cost nothing but memory.
    """
    dimension = points.shape[1]
    places = max(1, min(most_places, most_numbers // max(1, dimension)))
    values = [np.zeros(0)]
    gradients = [np.zeros((0, dimension))]
    for first in range(0, len(points), places):
        chunk = points[first : first + places]
        count = len(chunk)
        padded = np.pad(chunk, ((0, places - count), (0, 0)))
        both = _evaluated(problem, jnp.asarray(padded), jnp.asarray(np.int32(count)))
        values.append(np.asarray(both[0], np.float64)[:count])
        gradients.append(np.asarray(both[1], np.float64)[:count])
    return np.concatenate(values), np.concatenate(gradients)


@eqx.filter_jit
def _evaluated(
    problem: Problem, points: Float[Array, "m d"], count: IntScalar
) -> tuple[Float[Array, " m"], Float[Array, "m d"]]:
    """Return potentials and gradients at the first `count` points, and zeros elsewhere."""

    def with_point(
        number: IntScalar, results: tuple[Array, Array]
    ) -> tuple[Array, Array]:
        value, gradient = problem.potential_and_gradient(points[number])
        return results[0].at[number].set(value), results[1].at[number].set(gradient)

    return lax.fori_loop(
        0, count, with_point, (jnp.zeros_like(points[:, 0]), jnp.zeros_like(points))
    )
