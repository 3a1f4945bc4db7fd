"""Bases known by their values on finitely many points: eigenfunctions of a kernel (Nystrom), principal components."""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from langevax import checks
from langevax.spaces.basis import (
    ArrayLike,
    Basis,
    Coefficients,
    Values,
    check_modes,
    check_values,
    points_of_line,
)
from langevax.spaces.prior import trapezoid_weights

LOST = 45  # roundings of the matrix: a smaller eigenvalue has too few correct digits to be inverted


class Tabulated(Basis):
    """f_0, ..., f_{N-1} on the points of a probability measure rho; subclasses define them elsewhere.

    points: (G,) or (G, d), the grid.
    matrix: (G, N), `f_k(points_j)`; its columns are orthonormal with the weights.
    weights: (G,), those of rho, of sum 1.

    All three are held in float64 on the host, and rounded to the dtype of what they meet. `synthesize` and `analyze`
    are one product with the matrix each, O(G N).
    """

    per_mode: ClassVar[tuple[str, ...]] = (
        "matrix",
    )  # the arrays with modes on their last axis

    points: np.ndarray
    matrix: Float[np.ndarray, "grid modes"]
    weights: Float[np.ndarray, " grid"]

    @property
    def num_modes(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """N."""
        return self.matrix.shape[1]

    @property
    def grid(self) -> np.ndarray | Array:
        return self.points

    @property
    def frequencies(self) -> np.ndarray:
        raise ValueError(
            f"the frequencies of a {type(self).__name__} are unknown, so spectra by "
            "formula do not apply; its own eigenvalues come with it: "
            "GaussianPrior(basis, basis.eigenvalues)."
        )

    @property
    def dim(self) -> int:
        return 1 if self.points.ndim == 1 else self.points.shape[1]

    @property
    def volume(self) -> float:
        """1: rho is a law, its domain has no volume."""
        return 1.0

    def synthesize(self, coefficients: Coefficients) -> Values:
        check_modes(coefficients, self.num_modes)
        return coefficients @ jnp.asarray(self.matrix, coefficients.dtype).T

    def analyze(self, values: Values) -> Coefficients:
        check_values(values, len(self.weights))
        weights = jnp.asarray(self.weights, values.dtype)
        matrix = jnp.asarray(self.matrix, values.dtype)
        return (values * weights) @ matrix

    def with_modes(self, num_modes: int) -> "Basis":
        """The first modes; there are no others."""
        checks.positive_int("num_modes", num_modes)
        if num_modes > self.num_modes:
            name = type(self).__name__
            raise ValueError(
                f"this {name} holds {self.num_modes} modes, so num_modes cannot be "
                f"{num_modes}; ask for fewer."
            )
        cut = [getattr(self, name)[..., :num_modes] for name in self.per_mode]
        return eqx.tree_at(
            lambda basis: [getattr(basis, name) for name in self.per_mode], self, cut
        )


def probabilities(weights: ArrayLike | None, num_points: int) -> np.ndarray:
    """(G,) float64 of sum 1, uniform by default; raise unless all are finite and > 0."""
    if weights is None:
        return np.full(num_points, 1 / num_points)
    weights = checks.real_array("weights", weights)
    if weights.shape != (num_points,):
        raise ValueError(
            f"weights must have shape ({num_points},), one for each point, got "
            f"{weights.shape}."
        )
    checks.all_positive("weights", weights, "drop points without weight")
    return weights / weights.sum()


class KernelEigenbasis(Tabulated):
    """The eigenpairs of a kernel in L2(rho), rho the law of `points`, carried on to all other points:

        sum_i w_i K(x, x_i) f_k(x_i) = mu_k f_k(x),      sum_i w_i f_k(x_i) f_l(x_i) = 1{k = l}

    so that `sum_k mu_k f_k(x) f_k(x')` is K among the points, and its projection on their span (Nystrom) elsewhere.

    Args:
        kernel: (n, d), (m, d) -> (n, m), such as `sklearn.gaussian_process.kernels.Matern()` or a plain function. It is
            called with float64 arrays of NumPy outside of any compiled program, JAX's 64-bit mode switched on.
        points: (n, d), or (n,), which the kernel sees as (n, 1).
        num_modes: N; by default all whose eigenvalue is above rounding, 45 n eps mu_0.
        weights: (n,), > 0, those of the points; equal by default.

    `.eigenvalues` (N,), decreasing, are those of the prior with this kernel: `GaussianPrior(basis, basis.eigenvalues)`.
    Costs O(n^3) once, and O(n) calls of the kernel for each further point.

    Raises:
        ValueError: a kernel whose matrix has another shape, is not symmetric, not finite or not positive; more modes
            than there are above rounding; invalid points or weights.

    Example:
        >>> import numpy as np
        >>> from langevax import spaces
        >>> basis = spaces.KernelEigenbasis(lambda X, Z: np.minimum(X, Z.T), np.linspace(0.02, 1, 50))
        >>> basis.eigenvalues[:4].round(3)  # of Brownian motion: about 1 / (pi (k + 1/2))^2
        array([0.413, 0.046, 0.017, 0.008])
        >>> prior = spaces.GaussianPrior(basis, basis.eigenvalues)
        >>> prior.covariance(np.array([0.5]), np.array([0.9])).round(3)
        Array([[0.5]], dtype=float32)
    """

    per_mode: ClassVar[tuple[str, ...]] = ("matrix", "eigenvalues")

    eigenvalues: Float[np.ndarray, " modes"]
    kernel: "HostKernel" = eqx.field(static=True)

    def __init__(
        self,
        kernel: Callable[..., Any],
        points: ArrayLike,
        num_modes: int | None = None,
        weights: ArrayLike | None = None,
    ):
        points = checks.plain_array("points", points, complete=False).astype(np.float64)
        if points.ndim not in (1, 2) or len(points) == 0:
            raise ValueError(
                "points must have shape (n,) or (n, d) and be at least one, got "
                f"{points.shape}."
            )
        checks.finite("points", points, remedy="pass finite points")
        num_modes = None if num_modes is None else checks.whole("num_modes", num_modes)
        self.points = points
        self.weights: np.ndarray = probabilities(weights, len(points))
        self.kernel = HostKernel(kernel)
        roots = np.sqrt(self.weights)
        gram, rounding = self.kernel(points, points)
        weighted = roots[:, None] * _symmetric(gram, rounding) * roots
        self.eigenvalues, vectors = leading(
            weighted, num_modes, name="kernel", rounding=rounding
        )
        self.matrix: np.ndarray = with_fixed_signs(vectors / roots[:, None])

    def evaluate(self, points: ArrayLike) -> Float[Array, "points modes"]:
        if not (checks.is_concrete(points) and checks.is_concrete(self.matrix)):
            raise ValueError(
                "a KernelEigenbasis is evaluated on the host, but its points or itself "
                "are traced; call `evaluate`, `at` or `features` outside of jit and "
                "pass the numbers in."
            )
        points = np.asarray(points, np.float64)
        if points.shape[1:] != self.points.shape[1:] or points.ndim == 0:
            shape = ("m", *self.points.shape[1:])
            raise ValueError(
                f"points must have shape ({', '.join(map(str, shape))}), got "
                f"{points.shape}."
            )
        rows, _ = self.kernel(points, self.points)
        checks.finite(
            "kernel(points, ...)", rows, remedy="pass points where the kernel is finite"
        )
        functions = rows @ (self.weights[:, None] * self.matrix / self.eigenvalues)
        return jnp.asarray(functions, jnp.result_type(float))


class HostKernel:
    """A kernel called on the host in float64; two are equal if the functions are.

    Compiled programs are cached by it, and a kernel of scikit-learn has no hash.
    """

    def __init__(self, function: Callable[[np.ndarray, np.ndarray], ArrayLike]):
        if not callable(function):
            raise TypeError(
                "kernel must be a function (n, d), (m, d) -> (n, m), got "
                f"{checks.shown(function)}; pass one."
            )
        self.function = function

    def __call__(self, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, float]:
        """Return (n, m) in float64, and the relative rounding of the kernel's numbers."""
        left, right = (
            points[:, None] if points.ndim == 1 else points for points in (left, right)
        )
        with jax.enable_x64():
            gram = np.asarray(self.function(left, right))
        if gram.shape != (len(left), len(right)):
            raise ValueError(
                f"kernel of shapes {left.shape} and {right.shape} must be "
                f"({len(left)}, {len(right)}), one number for each pair of points, got "
                f"{gram.shape}."
            )
        rounding = (
            np.finfo(gram.dtype).eps
            if np.issubdtype(gram.dtype, np.floating)
            else np.finfo(float).eps
        )
        return gram.astype(np.float64), float(rounding)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, HostKernel) or type(self.function) is not type(
            other.function
        ):
            return False
        try:
            return self.function is other.function or bool(
                self.function == other.function
            )
        except (
            ValueError
        ):  # scikit-learn's own comparison, of length scales that are arrays
            return False

    def __hash__(self) -> int:
        return hash(type(self.function))


def _symmetric(gram: np.ndarray, rounding: float) -> np.ndarray:
    """Check the kernel's matrix and return it symmetric to the last bit."""
    checks.finite(
        "kernel(points, points)",
        gram,
        remedy="pass a kernel that is finite on all pairs of points",
    )
    gaps = np.abs(gram - gram.T)
    if gaps.max() > np.sqrt(rounding) * np.abs(gram).max():
        i, j = np.unravel_index(np.argmax(gaps), gaps.shape)
        raise ValueError(
            f"kernel must be symmetric, but K(points[{i}], points[{j}]) = {gram[i, j]} "
            f"and the other way round {gram[j, i]}; pass a covariance."
        )
    return (gram + gram.T) / 2


class PrincipalComponents(Tabulated):
    """Eigenfunctions of the covariance of `curves` in L2(rho), rho the measure of the grid:

        sum_j w_j C(t_i, t_j) f_k(t_j) = mu_k f_k(t_i),      C(s, t) = sum_c (c - mean)(s) (c - mean)(t) / (n - 1)

    Args:
        curves: (n, G), n >= 2 of them on a common grid.
        grid: (G,) numbers, increasing, not necessarily even; by default the midpoints of G cells of [0, 1].
        num_modes: N; by default all whose variance is above rounding.
        weights: (G,), > 0, of the points of the grid; by default those of the trapezoidal rule.

    Scores are `analyze(curves - basis.mean)`; their variances are `.eigenvalues` (N,), decreasing, and they are
    uncorrelated. Between points of the grid the functions are linear, beyond its ends constant.
    Costs O(n G min(n, G)) once.

    Raises:
        ValueError: curves or a grid of another shape, not finite, not increasing; fewer than two curves, or all equal;
            more modes than there are above rounding.

    Example:
        >>> import numpy as np
        >>> from langevax import spaces
        >>> t = np.linspace(0, 1, 50)
        >>> heights, slopes = np.random.default_rng(0).normal(size=(2, 300, 1))
        >>> basis = spaces.PrincipalComponents(heights + slopes * t, grid=t)
        >>> basis.num_modes, float(basis.eigenvalues[0].round(1))
        (2, 1.3)
    """

    per_mode: ClassVar[tuple[str, ...]] = ("matrix", "eigenvalues")

    mean: Float[np.ndarray, " grid"]
    eigenvalues: Float[np.ndarray, " modes"]

    def __init__(
        self,
        curves: ArrayLike,
        grid: ArrayLike | None = None,
        num_modes: int | None = None,
        weights: ArrayLike | None = None,
    ):
        curves = checks.real_array("curves", curves)
        if curves.ndim != 2 or len(curves) < 2 or curves.shape[1] == 0:
            raise ValueError(
                f"curves must have shape (n, G) with n >= 2, got {curves.shape}."
            )
        checks.finite(
            "curves",
            curves,
            remedy="fill gaps first, such as by `regress` curve by curve",
        )
        num_modes = None if num_modes is None else checks.whole("num_modes", num_modes)
        self.points: np.ndarray = _grid(grid, curves.shape[1])
        if weights is None and grid is not None:
            weights = trapezoid_weights(self.points)
        self.weights: np.ndarray = probabilities(weights, curves.shape[1])
        self.mean = curves.mean(axis=0)
        deviations = curves - self.mean
        if np.abs(deviations).max() <= 1e-14 * np.abs(curves).max():
            raise ValueError(
                "curves are all equal, so nothing varies; pass curves that differ."
            )
        self.matrix: np.ndarray
        self.eigenvalues, self.matrix = _components(
            deviations, np.sqrt(self.weights), num_modes
        )

    def evaluate(self, points: ArrayLike) -> Float[Array, "points modes"]:
        x, xp = points_of_line(points)
        if xp is np and checks.is_concrete(self.matrix):
            columns = [np.interp(x, self.points, column) for column in self.matrix.T]
            return jnp.asarray(np.stack(columns, axis=-1), jnp.result_type(float))
        x, grid, matrix = (
            jnp.asarray(array, jnp.result_type(float))
            for array in (x, self.points, self.matrix)
        )
        return jax.vmap(jnp.interp, in_axes=(None, None, 1), out_axes=1)(
            x, grid, matrix
        )


def _grid(grid: ArrayLike | None, num_points: int) -> np.ndarray:
    if grid is None:
        return (np.arange(num_points) + 0.5) / num_points
    grid = checks.real_array("grid", grid)
    if grid.shape != (num_points,):
        raise ValueError(
            f"grid must have shape ({num_points},), one number for each column of "
            f"curves, got {grid.shape}."
        )
    if not (np.isfinite(grid).all() and (np.diff(grid) > 0).all()):
        raise ValueError(
            "grid must be finite and increasing; sort its points, and the columns of "
            "curves with them."
        )
    return grid


def _components(
    deviations: np.ndarray, roots: np.ndarray, num_modes: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """(variances, functions on the grid) by the smaller of the two matrices of inner products."""
    scaled = deviations * roots / np.sqrt(len(deviations) - 1)
    if len(scaled) >= len(roots):
        values, vectors = leading(scaled.T @ scaled, num_modes, name="curves")
    else:
        values, combinations = leading(scaled @ scaled.T, num_modes, name="curves")
        vectors, _ = np.linalg.qr(
            scaled.T @ combinations
        )  # orthogonal columns up to rounding
    return values, with_fixed_signs(vectors / roots[:, None])


def leading(
    matrix: np.ndarray,
    num_modes: int | None,
    *,
    name: str,
    rounding: float = float(np.finfo(np.float64).eps),
) -> tuple[np.ndarray, np.ndarray]:
    """Return the `num_modes` largest eigenvalues (N,) of a covariance, decreasing, and its vectors (n, N).

    All above `45 n rounding` of the greatest where num_modes is None; `rounding` is the relative one of the entries.

    >>> leading(np.diag([1.0, 3.0, 0.0]), None, name="kernel")[0]
    array([3., 1.])

    Raises:
        ValueError: a matrix that is not positive, fewer eigenvalues above rounding than asked for.
    """
    from scipy.linalg import eigh

    n = len(matrix)
    subset = None if num_modes is None or 2 * num_modes >= n else (n - num_modes, n - 1)
    values, vectors = eigh(matrix, subset_by_index=subset)
    values = values[::-1][:num_modes]
    vectors = vectors[:, ::-1][:, :num_modes]
    lost = LOST * n * rounding
    if values[0] <= 0 or values[-1] < -np.sqrt(lost) * values[0]:
        raise ValueError(
            f"{name} must be positive, but its matrix has the eigenvalue {values[-1]}; "
            "pass a covariance."
        )
    reached = int(np.sum(values > lost * values[0]))
    if num_modes is not None and num_modes > reached:
        raise ValueError(
            f"num_modes is {num_modes}, but the {n} x {n} matrix of {name} has "
            f"{reached} eigenvalues above rounding; ask for at most {reached}, or "
            "leave num_modes out."
        )
    return values[:reached].copy(), vectors[:, :reached]


def with_fixed_signs(vectors: np.ndarray, sizable: float = 0.43) -> np.ndarray:
    """Flip columns so that their first entry above `sizable` of the greatest is positive: LAPACK leaves the sign open.

    Waves of a path or a cycle have no entry at 0.43 of the greatest, as they have at a half.

    >>> with_fixed_signs(np.array([[0.1, 1.0], [-2.0, 3.0]]))
    array([[-0.1,  1. ],
           [ 2. ,  3. ]])
    """
    sizes = np.abs(vectors)
    first = np.argmax(sizes >= sizable * sizes.max(axis=0), axis=0)
    return vectors * np.where(
        vectors[first, np.arange(vectors.shape[1])] < 0, -1.0, 1.0
    )
