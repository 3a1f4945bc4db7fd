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
from langevax.trees import in_double

Points = Float[np.ndarray, "m d"]
Numbers = Float[np.ndarray, " m"]


def evaluate(
    problem: Problem,
    points: Points,
    places: int = 170,
    most_numbers: int = 2**17,
) -> tuple[Numbers, Points]:
    """Return potentials and gradients at the points, computed in their dtype.

    The program has a place for each descent of a search for modes. Those that are empty cost nothing but memory: where
    all would take more than `most_numbers`, there is a place for each point.
    """
    num_points, dimension = points.shape
    places = places if places * dimension <= most_numbers else num_points
    missing = -num_points % max(places, 1)
    padded = np.pad(points, ((0, missing), (0, 0)))
    values = []
    gradients = []
    for first in range(0, num_points, places):
        count = min(places, num_points - first)
        both = _evaluated(
            problem,
            jnp.asarray(padded[first : first + places]),
            jnp.asarray(np.int32(count)),
        )
        values.append(in_double(both[0])[:count])
        gradients.append(in_double(both[1])[:count])
    return np.concatenate([np.zeros(0), *values]), np.concatenate(
        [np.zeros((0, dimension)), *gradients]
    )


@eqx.filter_jit
def _evaluated(
    problem: Problem,
    points: Float[Array, "m d"],
    count: IntScalar,
) -> tuple[Float[Array, " m"], Float[Array, "m d"]]:
    """Return potentials and gradients at the first `count` points, and zeros elsewhere."""

    def with_point(
        number: IntScalar,
        results: tuple[Array, Array],
    ) -> tuple[Array, Array]:
        value, gradient = problem.potential_and_gradient(points[number])
        values, gradients = results
        return values.at[number].set(value), gradients.at[number].set(gradient)

    return lax.fori_loop(
        0, count, with_point, (jnp.zeros_like(points[:, 0]), jnp.zeros_like(points))
    )
