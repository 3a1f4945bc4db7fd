"""What a short look at a posterior tells of it: a mode, the curvature there, and coordinates in which all is round.

With H the Hessian of the potential at the mode, position = mode-free A z and A A^T = H^-1: a posterior that is nearly
normal has curvature 1 in every direction of z, and relaxes in 1 / step_size steps whatever its conditioning. Where
there are many coordinates, as of a function on a fine grid, the data inform few directions of them and the prior the
rest: H is the prior's precision but for a matrix of low rank (Cui, Law, Marzouk, J. Comput. Phys. 2016).
"""

from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Key

from langevax.problems.problem import Problem

MAX_COORDINATES = 500  # up to which the whole Hessian is formed, d products with it
PROBES = 50  # of the diagonal, beyond
RANK, TURNS = 120, 3  # directions that data may inform, beyond; products with the Hessian to find each
NEGLIGIBLE = 0.03  # of the prior's curvature: what informs less is left to the prior
FLATTEST = 1e-6  # share of the largest curvature below which one is not believed
MAX_ITERATIONS = 500


class Pilot(NamedTuple):
    """Of a problem on vectors."""

    mode: Float[Array, " d"]
    scales: Float[Array, "d ..."] | None
    """(d,) or (d, d): A. None where no preconditioner was asked for."""
    evaluations: int
    """Component gradients used, a product with the Hessian counting as two."""
    directions: Float[Array, "d r"] | None = None
    """Orthonormal columns to turn to the first axes before `scales`."""


def find_mode(problem: Problem, start: Float[Array, " d"]) -> tuple[Float[Array, " d"], int]:
    """A local minimum of the potential by L-BFGS from `start`, and the passes over the data that it took."""
    from scipy.optimize import minimize

    def both(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = _potential_and_gradient(problem, jnp.asarray(x, start.dtype))
        return float(value), np.asarray(gradient, np.float64)

    found = minimize(
        both, np.asarray(start, np.float64), jac=True, method="L-BFGS-B", options={"maxiter": MAX_ITERATIONS}
    )
    return jnp.asarray(found.x, start.dtype), int(found.nfev)


def look(
    problem: Problem,
    start: Float[Array, " d"],
    kind: Literal["full", "diagonal", "low-rank"] | None,
    key: Key[Array, ""],
) -> Pilot:
    """Mode and preconditioner."""
    mode, passes = find_mode(problem, start)
    size = int(problem.size)
    if kind is None:
        return Pilot(mode, None, passes * size)
    if kind == "full" and len(mode) > MAX_COORDINATES:
        raise ValueError(
            f"preconditioner='full' forms a matrix of {len(mode)}^2 numbers; above {MAX_COORDINATES} coordinates pass "
            "preconditioner='low-rank' or 'diagonal'."
        )
    if kind in ("full", "low-rank") and not _one_precision(problem, positive=kind == "low-rank"):
        raise ValueError(
            f"preconditioner={kind!r} needs a Gaussian prior for every coordinate, or one precision for all; pass "
            "preconditioner='diagonal', or put the prior into log_prior."
        )
    if kind == "low-rank":
        rank = min(RANK, len(mode))
        curvatures, directions = _informed(problem, mode, rank, key)
        scales = np.full(len(mode), 1 / np.sqrt(float(problem.precision)))
        scales[: len(curvatures)] = 1 / np.sqrt(_believable(np.abs(curvatures)))
        evaluations = (passes + 2 * TURNS * rank) * size
        return Pilot(mode, jnp.asarray(scales, mode.dtype), evaluations, jnp.asarray(directions, mode.dtype))
    if len(mode) > MAX_COORDINATES:
        curvatures, products = _diagonal(problem, mode, key), PROBES
        return Pilot(mode, 1 / jnp.sqrt(_believable(jnp.abs(curvatures))), (passes + 2 * products) * size)
    hessian = _hessian(problem, mode)
    evaluations = (passes + 2 * len(mode)) * size
    if not np.isfinite(np.asarray(hessian)).all():
        raise ValueError(
            "the log density is not finite, or not smooth, around the mode that was found from start; start from a "
            "position where it is (a draw of a wide prior often is none), or pass preconditioner=None."
        )
    if kind == "diagonal":
        return Pilot(mode, 1 / jnp.sqrt(_believable(jnp.abs(jnp.diagonal(hessian)))), evaluations)
    curvatures, directions = np.linalg.eigh(np.asarray(hessian, np.float64))
    scales = directions / np.sqrt(_believable(np.abs(curvatures)))
    return Pilot(mode, jnp.asarray(scales, mode.dtype), evaluations)


def _one_precision(problem: Problem, positive: bool) -> bool:
    return jnp.ndim(problem.precision) == 0 and (float(problem.precision) > 0 or not positive)


def _informed(problem: Problem, mode: Array, rank: int, key: Key[Array, ""]) -> tuple[np.ndarray, np.ndarray]:
    """(curvatures, orthonormal directions) of the largest part of the Hessian beyond the precision.

    Subspace iteration from random directions (Halko, Martinsson, Tropp, SIAM Review 2011); the curvatures are those of
    the whole potential.
    """
    level = float(problem.precision)
    columns = np.asarray(jax.random.normal(key, (rank, len(mode)), mode.dtype))
    basis = np.linalg.qr(columns.T.astype(np.float64))[0].T
    products = basis
    for turn in range(TURNS):
        if turn > 0:
            basis = np.linalg.qr(products.T)[0].T
        products = np.asarray(_products(problem, mode, jnp.asarray(basis, mode.dtype)), np.float64) - level * basis
    small = basis @ products.T
    shares, rotation = np.linalg.eigh((small + small.T) / 2)
    order = np.argsort(-np.abs(shares))
    order = order[: max(1, int(np.sum(np.abs(shares) > NEGLIGIBLE * level)))]
    return (shares + level)[order], basis.T @ rotation[:, order]


def _believable(curvatures: Any) -> Any:
    return curvatures.clip(FLATTEST * curvatures.max())


@eqx.filter_jit
def _potential_and_gradient(problem: Problem, x: Array) -> tuple[Float[Array, ""], Array]:
    return problem.potential_and_gradient(x)


@eqx.filter_jit
def _hessian(problem: Problem, x: Array) -> Float[Array, "d d"]:
    found = _products(problem, x, jnp.eye(len(x), dtype=x.dtype))
    return (found + found.T) / 2


@eqx.filter_jit
def _products(problem: Problem, x: Array, directions: Float[Array, "m d"]) -> Float[Array, "m d"]:
    """The Hessian times each direction."""
    return lax.map(lambda u: jax.jvp(problem.potential_gradient, (x,), (u,))[1], directions)


@eqx.filter_jit
def _diagonal(problem: Problem, x: Array, key: Key[Array, ""]) -> Float[Array, " d"]:
    """Mean of u * H u over random signs u (Hutchinson)."""
    signs = jax.random.rademacher(key, (PROBES, len(x)), x.dtype)
    products = lax.map(lambda u: u * jax.jvp(problem.potential_gradient, (x,), (u,))[1], signs)
    return jnp.mean(products, axis=0)
