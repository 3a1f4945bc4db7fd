"""Eigenfunctions of any kernel with respect to the points at hand (Nystrom)."""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from langevax import checks
from langevax.spaces.eigenpairs import leading, with_fixed_signs
from langevax.spaces.tabulated import Tabulated, probabilities


class KernelEigenbasis(Tabulated):
    """The eigenpairs of a kernel in L2(rho), rho the law of `points`, carried on to all other points:

        sum_i w_i K(x, x_i) f_k(x_i) = mu_k f_k(x),      sum_i w_i f_k(x_i) f_l(x_i) = 1{k = l}

    so that `sum_k mu_k f_k(x) f_k(x')` is K among the points, and its projection on their span (Nystrom) elsewhere.

    Args:
        kernel: (n, d), (m, d) -> (n, m), such as `sklearn.gaussian_process.kernels.Matern()` or a plain function. It is
            called with float64 arrays of NumPy outside of any compiled program, JAX's 64-bit mode switched on.
        points: (n, d), or (n,), which the kernel sees as (n, 1).
        num_modes: N; all whose eigenvalue is above rounding, 45 n eps mu_0, where it is not given.
        weights: (n,), > 0, those of the points; equal where they are not given.

    `.eigenvalues` (N,), decreasing, are those of the prior with this kernel: `GaussianPrior(basis, basis.eigenvalues)`.
    Costs O(n^3) once, and O(n) calls of the kernel for each further point.

    Raises:
        ValueError: a kernel whose matrix has another shape, is not symmetric, not finite or not positive; more modes
            than there are above rounding; points, weights that are none.

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

    per_mode: ClassVar = ("matrix", "eigenvalues")

    eigenvalues: Float[np.ndarray, " modes"]
    kernel: "HostKernel" = eqx.field(static=True)

    def __init__(
        self,
        kernel: Callable[[Any, Any], Any],
        points: Any,
        num_modes: int | None = None,
        weights: Any = None,
    ):
        points = np.asarray(points, np.float64)
        if points.ndim not in (1, 2) or len(points) == 0:
            raise ValueError(f"points must have shape (n,) or (n, d) and be at least one, got {points.shape}.")
        checks.finite("points", points, remedy="pass finite points")
        if num_modes is not None:
            checks.positive_int("num_modes", num_modes)
        self.points = points
        self.weights = probabilities(weights, len(points))
        self.kernel = HostKernel(kernel)
        roots = np.sqrt(self.weights)
        gram, rounding = self.kernel(points, points)
        weighted = roots[:, None] * _symmetric(gram, rounding) * roots
        self.eigenvalues, vectors = leading(weighted, num_modes, name="kernel", rounding=rounding)
        self.matrix = with_fixed_signs(vectors / roots[:, None])

    def evaluate(self, points: Any) -> Float[Array, "points modes"]:
        if not (checks.is_concrete(points) and checks.is_concrete(self.matrix)):
            raise ValueError(
                "a KernelEigenbasis is evaluated on the host, but its points or itself are traced; call `evaluate`, "
                "`at` or `features` outside of jit and pass the numbers in."
            )
        points = np.asarray(points, np.float64)
        if points.shape[1:] != self.points.shape[1:] or points.ndim == 0:
            shape = ("m", *self.points.shape[1:])
            raise ValueError(f"points must have shape ({', '.join(map(str, shape))}), got {points.shape}.")
        rows, _ = self.kernel(points, self.points)
        checks.finite("kernel(points, ...)", rows, remedy="pass points where the kernel is finite")
        functions = rows @ (self.weights[:, None] * self.matrix / self.eigenvalues)
        return jnp.asarray(functions, jnp.result_type(float))


class HostKernel:
    """A kernel called on the host in float64; two are equal if the functions are.

    Programs look bases up by it, and a kernel of scikit-learn has no hash.
    """

    def __init__(self, function: Callable[[Any, Any], Any]):
        if not callable(function):
            raise TypeError(f"kernel must be a function (n, d), (m, d) -> (n, m), got {function!r}; pass one.")
        self.function = function

    def __call__(self, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, float]:
        """(n, m) in float64, and the relative rounding of the numbers that came."""
        left, right = (points[:, None] if points.ndim == 1 else points for points in (left, right))
        with jax.enable_x64():
            found = np.asarray(self.function(left, right))
        if found.shape != (len(left), len(right)):
            raise ValueError(
                f"kernel of shapes {left.shape} and {right.shape} must be ({len(left)}, {len(right)}), one number for "
                f"each pair of points, got {found.shape}."
            )
        rounding = np.finfo(found.dtype).eps if np.issubdtype(found.dtype, np.floating) else np.finfo(float).eps
        return found.astype(np.float64), float(rounding)

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, HostKernel) or type(self.function) is not type(other.function):
            return False
        try:
            return self.function is other.function or bool(self.function == other.function)
        except ValueError:  # scikit-learn's own comparison, of length scales that are arrays
            return False

    def __hash__(self) -> int:
        return hash(type(self.function))


def _symmetric(gram: np.ndarray, rounding: float) -> np.ndarray:
    """The kernel's matrix, looked over; its halves differ by rounding."""
    checks.finite("kernel(points, points)", gram, remedy="pass a kernel that is finite on all pairs of points")
    gaps = np.abs(gram - gram.T)
    if gaps.max() > np.sqrt(rounding) * np.abs(gram).max():
        i, j = np.unravel_index(np.argmax(gaps), gaps.shape)
        raise ValueError(
            f"kernel must be symmetric, but K(points[{i}], points[{j}]) = {gram[i, j]} and the other way round "
            f"{gram[j, i]}; pass a covariance."
        )
    return (gram + gram.T) / 2
