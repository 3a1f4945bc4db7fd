"""A pilot run: a mode of the posterior, the curvature there, and coordinates in which that curvature is 1.

With H the Hessian of the potential at the mode, position = A z and A A^T = H^-1: a nearly normal posterior has
curvature 1 in every direction of z and relaxes in 1 / step_size steps, whatever its conditioning. Where coordinates are
many, as for a function on a fine grid, the data inform few directions and the prior determines the rest: H is the
precision of the prior plus a matrix of low rank (Cui, Law, Marzouk, J. Comput. Phys. 2016).
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from langevax import trees
from langevax._typing import HostMatrix, HostVector, PRNGKey, PyTree, Vector
from langevax.problems.coordinates import (
    Affine,
    Raveled,
    Reparametrised,
    Rotated,
    affine,
    innermost,
)
from langevax.problems.problem import (
    Indices,
    Problem,
    Scalar,
    hessian_product,
)
from langevax.sampling.evaluations import evaluate
from langevax.sampling.tolerances import NEAR_MODE, UNINFORMED
from langevax.trees import in_double

MAX_COORDINATES = 512
"""Coordinates up to which the whole Hessian is formed, from as many products with it."""
LOW_RANK = 120
"""Directions that data inform, of which the search finds no more."""
NUM_ITERATIONS = 3
"""Of the subspace that finds these directions."""
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

    def gradients_at(self, position: PyTree, indices: Indices) -> PyTree:
        return self._with_prior(position, self.problem.gradients_at(position, indices))

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
    def dimension(self) -> int:
        """Of the vectors that are sampled."""
        return self.layers[0].dimension  # pyright: ignore

    @property
    def _has_quadratic(self) -> bool:
        return bool(np.any(np.asarray(self.problem.precision)))

    @property
    def _is_open(self) -> bool:
        """True where any matrix may follow, by other numbers in the last layer."""
        last = self.layers[-1]
        is_matrix = isinstance(last, Affine) and last.matrix.ndim == 2
        return is_matrix and not self._has_quadratic

    @property
    def is_linear(self) -> bool:
        """True where a matrix takes them to the numbers of the position."""
        return self._is_open and len(self.layers) == 2

    @property
    def matrix(self) -> HostMatrix:
        """Of the last layer, where it is one."""
        return in_double(self.layers[-1].matrix)  # pyright: ignore

    @property
    def log_volume(self) -> float:
        """Logarithm of the volume of a unit cube, in the numbers of the position."""
        matrices = [
            as_matrix(in_double(layer.matrix))
            for layer in self.layers
            if isinstance(layer, Affine)
        ]
        return float(sum(np.linalg.slogdet(matrix)[1] for matrix in matrices))

    def preconditioned(
        self, pilot: "Pilot"
    ) -> "tuple[CoordinateMap, Float[Array, ' d']]":
        """Return the coordinates of the pilot's preconditioner, and its mode in them.

        A matrix as last layer, without a quadratic part, is replaced, so that programs compiled for it serve these.
        """
        assert pilot.scales is not None
        layers = self.layers
        if self._is_open:
            matrix = as_matrix(in_double(pilot.scales))
            mode = np.linalg.solve(matrix, in_double(pilot.mode))
            return self.times(matrix), jnp.asarray(mode, pilot.mode.dtype)
        if pilot.directions is not None:
            layers = (*layers, Rotated(layers[-1], pilot.directions))
        coordinates = CoordinateMap((*layers, affine(layers[-1], pilot.scales)))
        return coordinates, coordinates.from_position(pilot.mode, len(self.layers))

    def times(self, scales: Float[np.ndarray, "d ..."]) -> "CoordinateMap":
        """Return coordinates z such that `scales z` are these; the quadratic part is counted in the value.

        Numbers of a last layer that is affine are replaced, so that programs compiled for it serve these.
        """
        layers = self.layers
        if self._has_quadratic:
            layers = (*layers, QuadraticInValue(layers[-1]))
        dtype = jnp.result_type(float)
        last = layers[-1]
        if isinstance(last, Affine):
            before = in_double(last.matrix)
            if before.ndim < scales.ndim:
                before = np.diag(before)
            product = before * scales
            if before.ndim == 2:
                product = before @ as_matrix(scales)
            matrix = jnp.asarray(product, dtype)
            layer = eqx.tree_at(lambda layer: layer.matrix, last, matrix)
            return CoordinateMap((*layers[:-1], layer))
        layer = affine(last, jnp.asarray(scales, dtype))
        layer = eqx.tree_at(lambda layer: layer.precision, layer, jnp.zeros(()))
        return CoordinateMap((*layers, layer))

    def with_units(self, curvatures: HostVector) -> "CoordinateMap":
        """Measure each coordinate in a unit in which its curvature is 1."""
        return self.times(_units(curvatures))

    def with_units_at(
        self,
        vector: Vector,
        temperature: float,
        key: PRNGKey,
    ) -> "CoordinateMap":
        """Measure each coordinate in a unit from its curvature at a point, and of at most the size of the point."""
        diagonal = _diagonal(self.problem, vector, key)
        curvatures = np.abs(in_double(diagonal))
        curvatures = np.where(np.isfinite(curvatures), curvatures, 0)
        least = temperature / (1 + np.abs(in_double(vector))) ** 2
        return self.with_units(np.maximum(curvatures, least))

    def with_matrix(self) -> "CoordinateMap":
        """Return the same coordinates with a matrix as last layer, other numbers of which make any coordinates.

        Above MAX_COORDINATES dimensions nothing changes.
        """
        if self.dimension > MAX_COORDINATES or self._is_open:
            return self
        return self.times(np.eye(self.dimension))

    def without_matrix(self) -> "CoordinateMap":
        """Return the same coordinates with the diagonal of a matrix that has no other entries as last layer."""
        if not self._is_open:
            return self
        last = self.layers[-1]
        diagonal = jnp.diagonal(last.matrix)  # pyright: ignore
        layer = eqx.tree_at(lambda layer: layer.matrix, last, diagonal)
        return CoordinateMap((*self.layers[:-1], layer))

    def with_rows_apart(self, indices: Indices) -> "CoordinateMap":
        """Return the same coordinates of the same potential, with these rows in each component."""
        sums = [innermost(layer) for layer in self.layers]
        apart = sums[0].with_rows_apart(indices)  # pyright: ignore
        return eqx.tree_at(
            lambda coordinates: [innermost(layer) for layer in coordinates.layers],
            self,
            [apart] * len(sums),
        )

    @eqx.filter_jit
    def to_position(self, z: Vector) -> PyTree:
        """Return the position in the user's coordinates."""
        for layer in reversed(self.layers):
            z = layer.to_position(z)
        return z

    @eqx.filter_jit
    def to_positions(self, z: Float[Array, "chain draw d"]) -> PyTree:
        """Return positions in the user's coordinates, with the same leading axes."""
        return jax.vmap(jax.vmap(self.to_position))(z)

    def from_vectors(
        self,
        vectors: Float[np.ndarray, "n d"],
    ) -> Float[np.ndarray, "n d"]:
        """Return the coordinates of positions that are given as vectors."""
        dtype = jnp.result_type(float)
        if self.is_linear:
            return np.linalg.solve(self.matrix, vectors.T).T.astype(dtype)
        place = jax.vmap(lambda vector: self.from_position(vector, 1))
        return np.asarray(place(jnp.asarray(vectors, dtype)))

    @eqx.filter_jit
    def from_position(self, position: PyTree, after: int = 0) -> Vector:
        """Return the coordinates of a position that is given in those of the first `after` layers."""
        for layer in self.layers[after:]:
            position = layer.from_position(position)
        return position


def coordinates_of(
    problem: Problem,
    like: PyTree,
    temperature: float,
) -> CoordinateMap:
    """Return the position as one vector, in units of a prior with a scale for each coordinate.

    Without a Gaussian prior all units are 1, until others replace them. Whitened coordinates have one precision, so
    that the pilot may rotate them, and the search for the mode is short however many rough modes a function has.
    """
    flat = Raveled(problem, like)
    precision = np.asarray(flat.precision)
    if not precision.any():
        return CoordinateMap((flat,)).times(np.ones(flat.dimension))
    if precision.ndim and (precision > 0).all():
        return CoordinateMap((flat, in_prior_units(flat, temperature)))
    return CoordinateMap((flat,))


def in_prior_units(flat: Raveled, temperature: float) -> Affine:
    """Return the problem in units of a Gaussian prior of each coordinate: all have one precision then."""
    level = jnp.asarray(temperature, flat.precision.dtype)
    precision = jnp.broadcast_to(flat.precision, (flat.dimension,))
    white = affine(flat, jnp.sqrt(level / precision))
    return eqx.tree_at(lambda problem: problem.precision, white, level)


def pilot_coordinates(
    problem: Problem,
    like: PyTree,
    temperature: float,
    is_preconditioned: bool,
) -> CoordinateMap:
    """Return the coordinates of the pilot: any matrix follows them where a few coordinates have no single precision."""
    if not is_preconditioned:
        return CoordinateMap((Raveled(problem, like),))
    base = coordinates_of(problem, like, temperature)
    precision = np.asarray(base.problem.precision)
    is_one = precision.ndim == 0 and precision.any()
    return base if is_one else base.with_matrix()


class Pilot(NamedTuple):
    """The mode of a problem on vectors, and its preconditioner."""

    mode: Vector
    scales: Float[Array, "d ..."] | None
    """A: (d,) or (d, d), or None without a preconditioner."""
    evaluations: int
    """Component gradients used; a product with the Hessian counts as two."""
    directions: Float[Array, "d r"] | None = None
    """Orthonormal columns that are rotated to the first axes before `scales`."""
    curvatures: HostVector | None = None
    """Absolute curvature of each coordinate at the mode, where the whole Hessian was formed."""


def run_even_pilot(
    flat: CoordinateMap,
    start: Vector,
    temperature: float,
    key: PRNGKey,
    exact_prior: bool,
    most_apart: float = 1e4,
) -> tuple[CoordinateMap, Pilot]:
    """Run a pilot, and again with a unit for each coordinate where curvatures are more than `most_apart` times apart.

    A Hessian in float32 says nothing of the smallest then. Units count the prior's quadratic part in the value, which
    `exact_prior` rules out.
    """
    pilot = run_pilot(flat.problem, start, temperature, key)
    if exact_prior or pilot.curvatures is None:
        return flat, pilot
    positive = pilot.curvatures[pilot.curvatures > 0]
    if positive.max() <= most_apart * positive.min():
        return flat, pilot
    even = flat.with_units(pilot.curvatures)
    begin = even.from_position(flat.to_position(pilot.mode))
    second = run_pilot(even.problem, begin, temperature, key)
    return even, second._replace(evaluations=pilot.evaluations + second.evaluations)


def run_pilot(
    problem: Problem,
    start: Vector,
    temperature: float,
    key: PRNGKey,
) -> Pilot:
    """Find a mode from `start`, and the preconditioner that is possible there.

    Up to MAX_COORDINATES coordinates it is the whole Hessian. Beyond, it is the directions that the data inform if the
    prior has a single precision, and the diagonal otherwise. Raises ValueError if the curvature at the mode is not that
    of the distribution.
    """
    mode, passes = find_mode(problem, start)
    dimension = len(mode)
    if dimension <= MAX_COORDINATES:
        return _whole_pilot(problem, mode, temperature, passes)
    if jnp.ndim(problem.precision) == 0 and float(problem.precision) > 0:
        curvatures, directions = _informed_directions(problem, mode, key)
        passes += 2 * NUM_ITERATIONS * LOW_RANK
        scales = np.full(dimension, 1 / np.sqrt(float(problem.precision)))
        scales[: len(curvatures)] = _inverse_roots(curvatures)
        directions = jnp.asarray(directions, mode.dtype)
    else:
        passes += 2 * NUM_PROBES
        directions = None
        scales = _inverse_roots(_diagonal(problem, mode, key))
    evaluations = passes * int(problem.size)
    return Pilot(mode, jnp.asarray(scales, mode.dtype), evaluations, directions)


def _whole_pilot(
    problem: Problem,
    mode: Vector,
    temperature: float,
    passes: int,
    max_newton: int = 3,
) -> Pilot:
    """Return the pilot that forms the Hessian, after a few Newton steps where the search ended far from the mode."""
    potential, gradient = _at(problem, mode)
    is_quadratic = bool(np.any(np.asarray(problem.precision)))
    while True:
        hessian = in_double(hessian_at(problem, mode))
        passes += 2 * len(mode)
        if not (np.isfinite(hessian).all() and hessian.any()):
            raise ValueError(
                "the log density has no curvature, or none that is finite, at the mode "
                "found from start: its shape there (flat, a cusp, a power above 2) "
                "says nothing of its scale; start elsewhere, or pass "
                "algorithm=langevax.NUTS() or preconditioner=None."
            )
        scales = _root(hessian, is_quadratic)
        slopes = scales.T @ gradient
        max_newton -= 1
        is_near = np.linalg.norm(slopes) <= NEAR_MODE * np.sqrt(temperature)
        if is_near or not max_newton:
            break
        nearer = in_double(mode) - scales @ slopes
        nearer = jnp.asarray(nearer, mode.dtype)
        value, slope = _at(problem, nearer)
        passes += 1
        if not value < potential:
            break
        mode, potential, gradient = nearer, value, slope
    scales = jnp.asarray(scales, mode.dtype)
    evaluations = passes * int(problem.size)
    curvatures = np.abs(np.diagonal(hessian))
    return Pilot(mode, scales, evaluations, curvatures=curvatures)


def _root(
    hessian: HostMatrix,
    is_quadratic: bool,
) -> HostMatrix:
    """Return A with A A^T = H^-1, symmetric up to units, as coordinates near to the user's are.

    Its columns are orthogonal for a problem with a quadratic part, which stays diagonal then.
    """
    if is_quadratic:
        curvatures, vectors = np.linalg.eigh(hessian)
        return vectors * _inverse_roots(curvatures)
    units = _units(np.diagonal(hessian))
    curvatures, vectors = np.linalg.eigh(hessian * np.outer(units, units))
    scaled = units[:, None] * vectors * _inverse_roots(curvatures)
    return scaled @ vectors.T


def find_mode(
    problem: Problem,
    start: Vector,
    max_iterations: int = 500,
) -> tuple[Vector, int]:
    """Return a local minimum of the potential, by L-BFGS from `start`, and the passes over the data that it took."""
    from scipy.optimize import minimize

    def value_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
        return _at(problem, x.astype(start.dtype))

    x0 = in_double(start)
    options = {"maxiter": max_iterations}
    optimum = minimize(
        value_and_gradient, x0, jac=True, method="L-BFGS-B", options=options
    )
    if not (np.isfinite(optimum.x).all() and np.isfinite(optimum.fun)):
        raise ValueError(
            "the search for a mode from start left the region where the log density is "
            "finite; start nearer to the mode, or pass algorithm=langevax.NUTS(), "
            "which needs none."
        )
    return jnp.asarray(optimum.x, start.dtype), int(optimum.nfev)


def _informed_directions(
    problem: Problem,
    mode: Array,
    key: PRNGKey,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the curvatures of the potential along the directions that the data inform, and these directions.

    Subspace iteration from random directions for the Hessian less the precision (Halko, Martinsson, Tropp, SIAM Review
    2011).
    """
    level = float(problem.precision)
    random = jax.random.normal(key, (LOW_RANK, len(mode)), mode.dtype)
    basis = products = in_double(random)
    for _ in range(NUM_ITERATIONS):
        basis = np.linalg.qr(products.T)[0].T
        images = _products(problem, mode, jnp.asarray(basis, mode.dtype))
        products = in_double(images) - level * basis
    projected = basis @ products.T
    informed, rotation = np.linalg.eigh((projected + projected.T) / 2)
    sizes = np.abs(informed)
    number = max(1, np.sum(sizes > UNINFORMED * level))
    order = np.argsort(-sizes)[:number]
    return (informed + level)[order], basis.T @ rotation[:, order]


def _inverse_roots(
    curvatures: Vector | np.ndarray,
    flattest: float = 1e-6,
) -> np.ndarray:
    """Return 1 / sqrt(curvature), of at least `flattest` of the largest."""
    sizes = np.abs(np.asarray(curvatures))
    return 1 / np.sqrt(sizes.clip(flattest * sizes.max()))


def _units(curvatures: HostVector) -> HostVector:
    """Return 1 / sqrt(curvature), whatever their ratios; a coordinate without curvature is like the flattest."""
    sizes = np.abs(in_double(curvatures))
    least = sizes[sizes > 0].min() if sizes.any() else 1.0
    return 1 / np.sqrt(np.where(sizes > 0, sizes, least))


def as_matrix(scales: Float[np.ndarray, "d ..."]) -> HostMatrix:
    return scales if scales.ndim == 2 else np.diag(scales)


def _at(
    problem: Problem,
    x: Vector | np.ndarray,
) -> tuple[float, HostVector]:
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
    problem: Problem,
    x: Array,
    directions: Float[Array, "m d"],
) -> Float[Array, "m d"]:
    """Return the Hessian times each direction."""
    return lax.map(lambda u: hessian_product(problem, x, u), directions)


def _diagonal(problem: Problem, x: Array, key: PRNGKey) -> Vector:
    """Return that of the Hessian; of one that is not formed the mean of u * H u over random signs u (Hutchinson)."""
    if len(x) <= MAX_COORDINATES:
        return jnp.diagonal(hessian_at(problem, x))
    signs = jax.random.rademacher(key, (NUM_PROBES, len(x)), x.dtype)
    return jnp.mean(signs * _products(problem, x, signs), axis=0)
