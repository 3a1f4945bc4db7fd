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
from jaxtyping import Array, Float

from langevax import trees
from langevax._typing import PRNGKey, PyTree
from langevax.problems.coordinates import (
    Affine,
    Raveled,
    Reparametrised,
    Rotated,
    affine,
)
from langevax.problems.problem import (
    Indices,
    Problem,
    Scalar,
    hessian_product,
    quadratic,
)
from langevax.sampling.evaluations import evaluate
from langevax.sampling.tolerances import NEAR_MODE, UNINFORMED

Preconditioner = Literal["full", "low-rank", "diagonal"]
MAX_COORDINATES = 512
"""Coordinates up to which the whole Hessian is formed, from as many products with it."""
LOW_RANK = 120
"""Directions that data inform, of which the search finds no more."""
NUM_PROBES = 50
"""Random signs from which the diagonal of a larger Hessian is estimated."""


class QuadraticInValue(Reparametrised):
    """`problem` with its quadratic part counted in `value`, so that any matrix may change its coordinates."""

    problem: Problem
    precision: PyTree

    def __init__(self, problem: Problem):
        self.problem = problem
        self.precision = 0.0

    def to_position(self, z: PyTree) -> PyTree:
        """The position itself."""
        return z

    def from_position(self, position: PyTree) -> PyTree:
        """The position itself."""
        return position

    def pull_back(self, gradient: PyTree) -> PyTree:
        """The gradient itself."""
        return gradient

    def value(self, position: PyTree) -> Scalar:
        return self.problem.potential(position)

    def gradient(self, position: PyTree) -> PyTree:
        return self.problem.potential_gradient(position)

    def value_and_gradient(self, position: PyTree) -> tuple[Scalar, PyTree]:
        return self.problem.potential_and_gradient(position)

    def gradient_at(self, position: PyTree, indices: Indices) -> PyTree:
        return self._with_prior(position, self.problem.gradient_at(position, indices))

    def values_at(self, position: PyTree, indices: Indices) -> Float[Array, " batch"]:
        return self.problem.values_at(position, indices) + quadratic(
            self.problem.precision, position
        )

    def gradients_at(self, position: PyTree, indices: Indices) -> PyTree:
        gradients = self.problem.gradients_at(position, indices)
        return jax.vmap(lambda gradient: self._with_prior(position, gradient))(
            gradients
        )

    def _with_prior(self, position: PyTree, gradient: PyTree) -> PyTree:
        add = lambda p, x, g: g + jnp.asarray(p, g.dtype) * x
        return trees.map_prefix(add, self.problem.precision, position, gradient)


class CoordinateMap(eqx.Module):
    """A problem in changed coordinates: each layer is a problem in the coordinates of the layer before it."""

    layers: tuple[Reparametrised, ...]
    """The first is `Raveled`."""

    @property
    def problem(self) -> Reparametrised:
        """The problem in the coordinates that are sampled."""
        return self.layers[-1]

    @property
    def is_whitened(self) -> bool:
        """True where the coordinates are in units of a prior with a scale for each."""
        return len(self.layers) > 1 and bool(np.any(np.asarray(self.problem.precision)))

    @property
    def dimension(self) -> int:
        """Of the vectors that are sampled."""
        return self.layers[0].dimension  # pyright: ignore

    @property
    def _is_open(self) -> bool:
        """True where any matrix may follow, by other numbers in the last layer."""
        last = self.layers[-1]
        return (
            isinstance(last, Affine)
            and last.matrix.ndim == 2
            and not np.any(np.asarray(last.precision))
        )

    @property
    def is_linear(self) -> bool:
        """True where a matrix takes them to the numbers of the position."""
        return self._is_open and len(self.layers) == 2

    @property
    def matrix(self) -> Float[np.ndarray, "d d"]:
        """Of the last layer, where it is one."""
        return np.asarray(self.layers[-1].matrix, np.float64)  # pyright: ignore

    def preconditioned_at(
        self, pilot: "Pilot"
    ) -> "tuple[CoordinateMap, Float[Array, ' d']]":
        """Return the coordinates of the pilot's preconditioner, and its mode in them.

        A matrix as last layer, without a quadratic part, is replaced, so that programs compiled for it serve these.
        """
        if self._is_open and pilot.scales is not None:
            matrix = as_matrix(np.asarray(pilot.scales, np.float64))
            mode = np.linalg.solve(matrix, np.asarray(pilot.mode, np.float64))
            return self.times_last_matrix(matrix), jnp.asarray(mode, pilot.mode.dtype)
        coordinates = self.preconditioned(pilot.scales, pilot.directions)
        return coordinates, coordinates.from_position(pilot.mode, len(self.layers))

    def preconditioned(
        self, scales: Array | None, directions: Array | None = None
    ) -> "CoordinateMap":
        """Rotate `directions` to the first axes, then scale; None leaves out either change."""
        layers = self.layers
        if directions is not None:
            layers = (*layers, Rotated(layers[-1], directions))
        return CoordinateMap(
            layers if scales is None else (*layers, affine(layers[-1], scales))
        )

    def with_units(self, curvatures: Float[np.ndarray, " d"]) -> "CoordinateMap":
        """Measure each coordinate in a unit in which its curvature is 1; any matrix may follow.

        Units of the last layer are replaced, so that programs compiled for them serve these.
        """
        layers = self.layers
        units = _units(curvatures)
        last = self.layers[-1]
        if self._is_open:
            return self.times_last_matrix(np.diag(units))
        if np.any(np.asarray(last.precision)):
            layers = (*layers, QuadraticInValue(last))
        elif isinstance(last, Affine) and last.matrix.ndim == 1:
            layers = layers[:-1]
            units = units * np.asarray(last.matrix, np.float64)
        in_units = affine(layers[-1], jnp.asarray(units, jnp.result_type(float)))
        return CoordinateMap(
            (
                *layers,
                eqx.tree_at(lambda problem: problem.precision, in_units, jnp.zeros(())),
            )
        )

    def with_units_at(
        self, vector: Float[Array, " d"], temperature: float, key: PRNGKey
    ) -> "CoordinateMap":
        """Measure each coordinate in a unit from its curvature at a point, and of at most the size of the point."""
        formed = len(vector) <= MAX_COORDINATES
        diagonal = (
            jnp.diagonal(hessian_at(self.problem, vector))
            if formed
            else _diagonal(self.problem, vector, key)
        )
        curvatures = np.abs(np.asarray(diagonal, np.float64))
        least = temperature / (1 + np.abs(np.asarray(vector, np.float64))) ** 2
        return self.with_units(
            np.maximum(np.where(np.isfinite(curvatures), curvatures, 0), least)
        )

    def with_matrix(self) -> "CoordinateMap":
        """Return the same coordinates with a matrix as last layer and no quadratic part, so that any matrix may follow.

        Above MAX_COORDINATES dimensions nothing changes.
        """
        if self.dimension > MAX_COORDINATES or self._is_open:
            return self
        layers = self.layers
        last = self.layers[-1]
        units = np.ones(self.dimension)
        if np.any(np.asarray(last.precision)):
            layers = (*layers, QuadraticInValue(last))
        elif isinstance(last, Affine):
            layers = layers[:-1]
            units = np.asarray(last.matrix)
        return CoordinateMap(
            (
                *layers,
                affine(layers[-1], jnp.asarray(np.diag(units), jnp.result_type(float))),
            )
        )

    def times_last_matrix(self, matrix: Float[np.ndarray, "d d"]) -> "CoordinateMap":
        """Return coordinates z such that `matrix z` are these, by other numbers in the last layer."""
        *layers, last = self.layers
        product = jnp.asarray(self.matrix @ matrix, last.matrix.dtype)  # pyright: ignore
        return CoordinateMap(
            (*layers, eqx.tree_at(lambda layer: layer.matrix, last, product))
        )

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

    def from_vectors(
        self, vectors: Float[np.ndarray, "n d"]
    ) -> Float[np.ndarray, "n d"]:
        """Return the coordinates of positions that are given as vectors."""
        dtype = jnp.result_type(float)
        if self.is_linear:
            return np.linalg.solve(self.matrix, vectors.T).T.astype(dtype)
        place = jax.vmap(lambda vector: self.from_position(vector, 1))
        return np.asarray(place(jnp.asarray(vectors, dtype)))

    @eqx.filter_jit
    def from_position(self, position: PyTree, after: int = 0) -> Float[Array, " d"]:
        """Return the coordinates of a position that is given in those of the first `after` layers."""
        for layer in self.layers[after:]:
            position = layer.from_position(position)
        return position


def coordinates_of(
    problem: Problem,
    like: PyTree,
    temperature: float,
    whiten: bool,
) -> CoordinateMap:
    """Return the position as one vector; with `whiten`, in units of a prior with a scale for each coordinate.

    Without a Gaussian prior all units are 1, until others replace them. Whitened coordinates have one precision, so
    that the pilot may rotate them, and the search for the mode is short however many rough modes a function has.
    """
    flat = Raveled(problem, like)
    if whiten and not np.any(np.asarray(flat.precision)):
        return CoordinateMap((flat,)).with_units(np.ones(flat.dimension))
    if (
        not whiten
        or jnp.ndim(flat.precision) == 0
        or not np.all(np.asarray(flat.precision) > 0)
    ):
        return CoordinateMap((flat,))
    level = jnp.asarray(temperature, flat.precision.dtype)
    white = affine(flat, jnp.sqrt(level / flat.precision))
    return CoordinateMap(
        (flat, eqx.tree_at(lambda problem: problem.precision, white, level))
    )


class Pilot(NamedTuple):
    """The mode of a problem on vectors, and its preconditioner."""

    mode: Float[Array, " d"]
    scales: Float[Array, "d ..."] | None
    """A: (d,) or (d, d), or None without a preconditioner."""
    evaluations: int
    """Component gradients used; a product with the Hessian counts as two."""
    directions: Float[Array, "d r"] | None = None
    """Orthonormal columns that are rotated to the first axes before `scales`."""
    curvatures: Float[np.ndarray, " d"] | None = None
    """Absolute curvature of each coordinate at the mode, where the whole Hessian was formed."""

    @property
    def is_uneven(self) -> bool:
        """True where coordinates should get units before anything is computed from the Hessian in float32.

        Their curvatures are then 10,000 times apart.
        """
        if self.curvatures is None:
            return False
        positive = self.curvatures[self.curvatures > 0]
        return bool(positive.max() > 1e4 * positive.min())


def run_even_pilot(
    flat: CoordinateMap,
    start: Float[Array, " d"],
    kind: Preconditioner | None,
    temperature: float,
    key: PRNGKey,
    exact_prior: bool,
) -> tuple[CoordinateMap, Pilot]:
    """Run a pilot, and again with a unit for each coordinate where their curvatures differ too much for float32.

    Units count the prior's quadratic part in the value, which `exact_prior` rules out.
    """
    pilot = run_pilot(flat.problem, start, kind, temperature, key)
    if exact_prior or pilot.curvatures is None or not pilot.is_uneven:
        return flat, pilot
    even = flat.with_units(pilot.curvatures)
    second = run_pilot(
        even.problem,
        even.from_position(flat.to_position(pilot.mode)),
        kind,
        temperature,
        key,
    )
    return even, second._replace(evaluations=pilot.evaluations + second.evaluations)


def run_pilot(
    problem: Problem,
    start: Float[Array, " d"],
    kind: Preconditioner | None,
    temperature: float,
    key: PRNGKey,
) -> Pilot:
    """Find a mode from `start`, and a preconditioner of this kind there.

    Raises ValueError where there is no mode at which the curvature says something of the law.
    """
    mode, passes = find_mode(problem, start)
    dimension = len(mode)
    size = int(problem.size)
    if kind is None:
        return Pilot(mode, None, passes * size)
    if kind == "full" and dimension > MAX_COORDINATES:
        raise ValueError(
            f"preconditioner='full' forms a matrix of {dimension}^2 numbers; above {MAX_COORDINATES} coordinates pass "
            "preconditioner='low-rank' or 'diagonal'."
        )
    if kind != "diagonal" and (
        jnp.ndim(problem.precision)
        or (kind == "low-rank" and float(problem.precision) <= 0)
    ):
        raise ValueError(
            f"preconditioner={kind!r} needs a Gaussian prior for every coordinate, or one precision for all; pass "
            "preconditioner='diagonal', or put the prior into log_prior."
        )
    directions = None
    if kind == "low-rank":
        rank = min(LOW_RANK, dimension)
        num_iterations = 3
        products = num_iterations * rank
        curvatures, directions = _informed_directions(
            problem, mode, rank, num_iterations, key
        )
        scales = np.full(dimension, 1 / np.sqrt(float(problem.precision)))
        scales[: len(curvatures)] = _inverse_roots(curvatures)
        directions = jnp.asarray(directions, mode.dtype)
    elif dimension > MAX_COORDINATES:
        products = NUM_PROBES
        scales = _inverse_roots(_diagonal(problem, mode, key))
    else:
        return _whole_pilot(problem, mode, kind, temperature, passes)
    return Pilot(
        mode,
        jnp.asarray(scales, mode.dtype),
        (passes + 2 * products) * size,
        directions,
    )


def _whole_pilot(
    problem: Problem,
    mode: Float[Array, " d"],
    kind: Preconditioner,
    temperature: float,
    passes: int,
    max_newton: int = 3,
) -> Pilot:
    """Return the pilot that forms the Hessian, after a few Newton steps where the search ended far from the mode."""
    dimension = len(mode)
    potential, gradient = _at(problem, mode)
    hessian = np.zeros((dimension, dimension))
    scales = np.eye(dimension)
    for _ in range(max_newton):
        hessian = np.asarray(hessian_at(problem, mode), np.float64)
        passes += 2 * dimension
        if not np.isfinite(hessian).all():
            raise ValueError(
                "the log density is not finite, or not smooth, around the mode found from start; start where it is "
                "(a draw from a wide prior often is not), or pass algorithm=langevax.NUTS() or preconditioner=None."
            )
        if not hessian.any():
            raise ValueError(
                "the log density has no curvature at the mode found from start: its shape there (flat, a cusp, or a "
                "power above 2) says nothing of its scale; pass algorithm=langevax.NUTS() or preconditioner=None."
            )
        if kind == "diagonal":
            scales = np.diag(_inverse_roots(np.diagonal(hessian)))
        else:
            is_quadratic = bool(np.any(np.asarray(problem.precision)))
            units = np.ones(dimension) if is_quadratic else _units(np.diagonal(hessian))
            curvatures, vectors = np.linalg.eigh(hessian * np.outer(units, units))
            scales = units[:, None] * vectors * _inverse_roots(curvatures)
            # the symmetric root is near to the user's coordinates; a quadratic part needs orthogonal columns
            scales = scales if is_quadratic else scales @ vectors.T
        step = scales @ (scales.T @ gradient)
        error = np.linalg.norm(scales.T @ gradient) / np.sqrt(temperature)
        if not error > NEAR_MODE:
            break
        nearer = jnp.asarray(np.asarray(mode, np.float64) - step, mode.dtype)
        value, slope = _at(problem, nearer)
        passes += 1
        if not value < potential:
            break
        mode = nearer
        potential = value
        gradient = slope
    scales = np.diagonal(scales) if kind == "diagonal" else scales
    evaluations = passes * int(problem.size)
    return Pilot(
        mode,
        jnp.asarray(scales, mode.dtype),
        evaluations,
        curvatures=np.abs(np.diagonal(hessian)),
    )


def find_mode(
    problem: Problem, start: Float[Array, " d"], max_iterations: int = 500
) -> tuple[Float[Array, " d"], int]:
    """Return a local minimum of the potential, by L-BFGS from `start`, and the passes over the data that it took."""
    from scipy.optimize import minimize

    def value_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
        return _at(problem, x.astype(start.dtype))

    x0 = np.asarray(start, np.float64)
    options = {"maxiter": max_iterations}
    optimum = minimize(
        value_and_gradient, x0, jac=True, method="L-BFGS-B", options=options
    )
    if not (np.isfinite(optimum.x).all() and np.isfinite(optimum.fun)):
        raise ValueError(
            "the search for a mode from start left the region where the log density is finite; start nearer to the "
            "mode, or pass algorithm=langevax.NUTS(), which needs none."
        )
    return jnp.asarray(optimum.x, start.dtype), int(optimum.nfev)


def _informed_directions(
    problem: Problem,
    mode: Array,
    rank: int,
    num_iterations: int,
    key: PRNGKey,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the curvatures of the potential along the directions that the data inform, and these directions.

    Subspace iteration from random directions for the Hessian less the precision (Halko, Martinsson, Tropp, SIAM Review
    2011).
    """
    level = float(problem.precision)
    products = np.asarray(
        jax.random.normal(key, (rank, len(mode)), mode.dtype), np.float64
    )
    basis = products
    for _ in range(num_iterations):
        basis = np.linalg.qr(products.T)[0].T
        products = (
            np.asarray(
                _products(problem, mode, jnp.asarray(basis, mode.dtype)), np.float64
            )
            - level * basis
        )
    projected = basis @ products.T
    informed, rotation = np.linalg.eigh((projected + projected.T) / 2)
    order = np.argsort(-np.abs(informed))
    order = order[: max(1, int(np.sum(np.abs(informed) > UNINFORMED * level)))]
    return (informed + level)[order], basis.T @ rotation[:, order]


def _inverse_roots(
    curvatures: Float[Array, " d"] | np.ndarray, flattest: float = 1e-6
) -> np.ndarray:
    """Return 1 / sqrt(curvature), of at least `flattest` of the largest."""
    sizes = np.abs(np.asarray(curvatures))
    return 1 / np.sqrt(sizes.clip(flattest * sizes.max()))


def _units(curvatures: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
    """Return 1 / sqrt(curvature), whatever their ratios; a coordinate without curvature is like the flattest."""
    sizes = np.abs(np.asarray(curvatures, np.float64))
    return 1 / np.sqrt(
        np.where(sizes > 0, sizes, sizes[sizes > 0].min() if sizes.any() else 1.0)
    )


def as_matrix(scales: Float[np.ndarray, "d ..."]) -> Float[np.ndarray, "d d"]:
    return scales if scales.ndim == 2 else np.diag(scales)


def _at(
    problem: Problem, x: Float[Array, " d"] | np.ndarray
) -> tuple[float, Float[np.ndarray, " d"]]:
    """Return the potential and its gradient at a point."""
    values, gradients = evaluate(problem, np.asarray(x)[None])
    return float(values[0]), gradients[0]


@eqx.filter_jit
def hessian_at(problem: Problem, x: Array) -> Float[Array, "d d"]:
    """Return the Hessian of the potential, from d products with it."""
    columns = _products(problem, x, jnp.eye(len(x), dtype=x.dtype))
    return (columns + columns.T) / 2


@eqx.filter_jit
def _products(
    problem: Problem, x: Array, directions: Float[Array, "m d"]
) -> Float[Array, "m d"]:
    """Return the Hessian times each direction."""
    return lax.map(lambda u: hessian_product(problem, x, u), directions)


@eqx.filter_jit
def _diagonal(problem: Problem, x: Array, key: PRNGKey) -> Float[Array, " d"]:
    """Return the mean of u * H u over random signs u (Hutchinson)."""
    signs = jax.random.rademacher(key, (NUM_PROBES, len(x)), x.dtype)
    return jnp.mean(signs * _products(problem, x, signs), axis=0)
