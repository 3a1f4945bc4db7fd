"""A pilot run: a mode of the posterior, the curvature there, and coordinates in which that curvature is 1.

With H the Hessian of the potential at the mode, position = A z and A A^T = H^-1: a nearly normal posterior has
curvature 1 in every direction of z and relaxes in 1 / step_size steps, whatever its conditioning. Where coordinates are
many, as for a function on a fine grid, the data inform few directions and the prior determines the rest: H is the
precision of the prior plus a matrix of low rank (Cui, Law, Marzouk, J. Comput. Phys. 2016).
"""

from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Key

from langevax._typing import PyTree
from langevax.problems.coordinates import Affine, Raveled, Rotated, affine
from langevax.problems.problem import Problem

Preconditioner = Literal["full", "low-rank", "diagonal"]
MAX_COORDINATES = 500  # up to which the whole Hessian is formed, from d products with it
NUM_PROBES = 50  # random signs from which the diagonal is estimated beyond that
RANK, NUM_ITERATIONS = 120, 3  # of the subspace iteration for the directions that the data inform
NEGLIGIBLE = 0.03  # share of the prior's curvature below which a direction is left to the prior
FLATTEST = 1e-6  # share of the largest curvature to which smaller ones are raised
MAX_ITERATIONS = 500


class CoordinateMap(eqx.Module):
    """A problem in changed coordinates: each layer is a problem in the coordinates of the layer before it."""

    layers: tuple[Raveled | Rotated | Affine, ...]
    """The first is `Raveled`."""

    @property
    def problem(self) -> Raveled | Rotated | Affine:
        """The problem in the coordinates that are sampled."""
        return self.layers[-1]

    @property
    def is_whitened(self) -> bool:
        """True where the coordinates are in units of a prior with a scale for each."""
        return len(self.layers) > 1

    def preconditioned(self, scales: Array | None, directions: Array | None = None) -> "CoordinateMap":
        """Rotate `directions` to the first axes, then scale; None leaves out either change."""
        layers = self.layers
        if directions is not None:
            layers = (*layers, Rotated(layers[-1], directions))
        return CoordinateMap(layers if scales is None else (*layers, affine(layers[-1], scales)))

    @eqx.filter_jit
    def to_position(self, z: Float[Array, " d"]) -> PyTree:
        """Return the position in the user's coordinates."""
        for layer in reversed(self.layers):
            z = layer.to_position(z)
        return z

    @eqx.filter_jit
    def to_positions(self, z: Float[Array, "chain draw d"]) -> PyTree:
        """Return positions in the user's coordinates, with the same leading axes."""
        return jax.vmap(jax.vmap(self.to_position))(z)

    @eqx.filter_jit
    def from_position(self, position: PyTree, after: int = 0) -> Float[Array, " d"]:
        """Return the coordinates of a position that is given in those of the first `after` layers."""
        for layer in self.layers[after:]:
            position = layer.from_position(position)
        return position


def coordinates_of(problem: Problem, like: PyTree, temperature: float, whiten: bool) -> CoordinateMap:
    """Return the position as one vector; with `whiten`, in units of a prior with a scale for each coordinate.

    Whitened coordinates have one precision, so that the pilot may rotate them, and the search for the mode is short
    however many rough modes a function has.
    """
    flat = Raveled(problem, like)
    if not whiten or jnp.ndim(flat.precision) == 0 or not np.all(np.asarray(flat.precision) > 0):
        return CoordinateMap((flat,))
    level = jnp.asarray(temperature, flat.precision.dtype)
    white = affine(flat, jnp.sqrt(level / flat.precision))
    return CoordinateMap((flat, eqx.tree_at(lambda problem: problem.precision, white, level)))


class Pilot(NamedTuple):
    """The mode of a problem on vectors, and its preconditioner."""

    mode: Float[Array, " d"]
    scales: Float[Array, "d ..."] | None
    """A: (d,) or (d, d), or None without a preconditioner."""
    evaluations: int
    """Component gradients used; a product with the Hessian counts as two."""
    directions: Float[Array, "d r"] | None = None
    """Orthonormal columns that are rotated to the first axes before `scales`."""


def run_pilot(problem: Problem, start: Float[Array, " d"], kind: Preconditioner | None, key: Key[Array, ""]) -> Pilot:
    """Find a mode from `start`, and a preconditioner of this kind there."""
    mode, passes = find_mode(problem, start)
    dimension, size = len(mode), int(problem.size)
    if kind is None:
        return Pilot(mode, None, passes * size)
    if kind == "full" and dimension > MAX_COORDINATES:
        raise ValueError(
            f"preconditioner='full' forms a matrix of {dimension}^2 numbers; above {MAX_COORDINATES} coordinates pass "
            "preconditioner='low-rank' or 'diagonal'."
        )
    if kind != "diagonal" and (jnp.ndim(problem.precision) or (kind == "low-rank" and float(problem.precision) <= 0)):
        raise ValueError(
            f"preconditioner={kind!r} needs a Gaussian prior for every coordinate, or one precision for all; pass "
            "preconditioner='diagonal', or put the prior into log_prior."
        )
    directions = None
    if kind == "low-rank":
        rank = min(RANK, dimension)
        products = NUM_ITERATIONS * rank
        curvatures, directions = _informed_directions(problem, mode, rank, key)
        scales = np.full(dimension, 1 / np.sqrt(float(problem.precision)))
        scales[: len(curvatures)] = _inverse_roots(curvatures)
        directions = jnp.asarray(directions, mode.dtype)
    elif dimension > MAX_COORDINATES:
        products, scales = NUM_PROBES, _inverse_roots(_diagonal(problem, mode, key))
    else:
        products, hessian = dimension, np.asarray(_hessian(problem, mode))
        if not np.isfinite(hessian).all():
            raise ValueError(
                "the log density is not finite, or not smooth, around the mode found from start; start where it is "
                "(a draw from a wide prior often is not), or pass preconditioner=None."
            )
        if kind == "diagonal":
            scales = _inverse_roots(np.diagonal(hessian))
        else:
            curvatures, vectors = np.linalg.eigh(np.asarray(hessian, np.float64))
            scales = vectors * _inverse_roots(curvatures)
    return Pilot(mode, jnp.asarray(scales, mode.dtype), (passes + 2 * products) * size, directions)


def find_mode(problem: Problem, start: Float[Array, " d"]) -> tuple[Float[Array, " d"], int]:
    """Return a local minimum of the potential, by L-BFGS from `start`, and the passes over the data that it took."""
    from scipy.optimize import minimize

    def value_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = _potential_and_gradient(problem, jnp.asarray(x, start.dtype))
        return float(value), np.asarray(gradient, np.float64)

    x0, options = np.asarray(start, np.float64), {"maxiter": MAX_ITERATIONS}
    optimum = minimize(value_and_gradient, x0, jac=True, method="L-BFGS-B", options=options)
    return jnp.asarray(optimum.x, start.dtype), int(optimum.nfev)


def _informed_directions(
    problem: Problem, mode: Array, rank: int, key: Key[Array, ""]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the curvatures of the potential along the directions that the data inform, and these directions.

    Subspace iteration from random directions for the Hessian less the precision (Halko, Martinsson, Tropp, SIAM Review
    2011).
    """
    level = float(problem.precision)
    products = np.asarray(jax.random.normal(key, (rank, len(mode)), mode.dtype), np.float64)
    basis = products
    for _ in range(NUM_ITERATIONS):
        basis = np.linalg.qr(products.T)[0].T
        products = np.asarray(_products(problem, mode, jnp.asarray(basis, mode.dtype)), np.float64) - level * basis
    projected = basis @ products.T
    informed, rotation = np.linalg.eigh((projected + projected.T) / 2)
    order = np.argsort(-np.abs(informed))
    order = order[: max(1, int(np.sum(np.abs(informed) > NEGLIGIBLE * level)))]
    return (informed + level)[order], basis.T @ rotation[:, order]


def _inverse_roots(curvatures: Float[Array, " d"] | np.ndarray) -> np.ndarray:
    sizes = np.abs(np.asarray(curvatures))
    return 1 / np.sqrt(sizes.clip(FLATTEST * sizes.max()))


@eqx.filter_jit
def _potential_and_gradient(problem: Problem, x: Array) -> tuple[Float[Array, ""], Array]:
    return problem.potential_and_gradient(x)


@eqx.filter_jit
def _hessian(problem: Problem, x: Array) -> Float[Array, "d d"]:
    columns = _products(problem, x, jnp.eye(len(x), dtype=x.dtype))
    return (columns + columns.T) / 2


@eqx.filter_jit
def _products(problem: Problem, x: Array, directions: Float[Array, "m d"]) -> Float[Array, "m d"]:
    """Return the Hessian times each direction."""
    return lax.map(lambda u: jax.jvp(problem.potential_gradient, (x,), (u,))[1], directions)


@eqx.filter_jit
def _diagonal(problem: Problem, x: Array, key: Key[Array, ""]) -> Float[Array, " d"]:
    """Return the mean of u * H u over random signs u (Hutchinson)."""
    signs = jax.random.rademacher(key, (NUM_PROBES, len(x)), x.dtype)
    return jnp.mean(signs * _products(problem, x, signs), axis=0)
