"""The space of the unknown function: coefficients in the kernel's eigenbasis, and what the basis leaves out.

    f(x) = sum_{k < N} x_k f_k(x) + g(x),      x_k ~ N(0, mu_k),      g ~ GP(0, K - sum_{k < N} mu_k f_k f_k)

The f_k are orthonormal in the law of the training rows (`spaces.KernelEigenbasis`). Where N is the number of rows, g
vanishes on them and this is the Gaussian process prior itself; else the data are taken to say nothing about g, which
keeps its prior variance (Seeger, Williams and Lawrence 2003): bands widen away from the rows as they should.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
from sklearn.gaussian_process.kernels import Kernel, WhiteKernel

from langevax.sklearn.column_maps import Standardiser, row_blocks
from langevax.sklearn.saved import saved_class
from langevax.sklearn.table import bucket, subsample
from langevax.spaces import KernelEigenbasis

Covariance = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(n, d), (m, d) -> (n, m)."""


@saved_class
@dataclass(frozen=True)
class KernelSpace:
    """The eigenbasis of a kernel of scikit-learn, on standardised columns or on columns as they are."""

    kernel: Kernel
    standardiser: Standardiser | None
    landmarks: np.ndarray
    """(m, d), inputs of the kernel."""
    projection: np.ndarray
    """(m, N): `f(x) = K(x, landmarks) projection`."""
    eigenvalues: np.ndarray
    """(N,): mu."""

    def inputs(self, X: np.ndarray) -> np.ndarray:
        """Return the inputs of the kernel."""
        return (
            X if self.standardiser is None else self.standardiser(X).astype(np.float64)
        )

    def features(self, X: np.ndarray) -> np.ndarray:
        """Return (n, N) float64: `f_k(x_i)`."""
        inputs = self.inputs(X)
        # 128 MB of kernel at once
        blocks = row_blocks(len(inputs), 2**24 // len(self.landmarks))
        return np.concatenate(
            [
                self.kernel(inputs[rows], self.landmarks) @ self.projection
                for rows in blocks
            ]
        )

    def leftover(self, X: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Return (n,) variance of g."""
        return np.maximum(
            self.kernel.diag(self.inputs(X)) - features**2 @ self.eigenvalues, 0.0
        )

    def leftover_covariance(self, X: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Return (n, n) covariance of g."""
        return self.kernel(self.inputs(X)) - (features * self.eigenvalues) @ features.T


def kernel_space(
    kernel: Kernel,
    standardiser: Standardiser | None,
    X: np.ndarray,
    weights: np.ndarray,
    num_modes: int | str,
    precision: float,
    most_modes: int = 512,
    most_landmarks: int = 2000,
    informed: float = 0.01,
) -> KernelSpace:
    """Return the kernel's leading eigenfunctions in the law of the rows.

    Args:
        X: (n, d), in the user's units.
        weights: (n,).
        num_modes: N, or "auto": modes with precision * mu_k > informed, rounded up to a power of two.
        precision: what the data add to the precision of a mode at most, sum of weights / noise^2.
        most_modes: the most that "auto" takes.
        most_landmarks: rows whose kernel matrix is decomposed, one to two seconds.
        informed: share of the prior's precision that data add to a mode of the basis at least.
    """
    inputs = X if standardiser is None else standardiser(X).astype(np.float64)
    chosen = subsample(len(inputs), most_landmarks)
    basis = KernelEigenbasis(
        cast("Covariance", kernel), inputs[chosen], weights=weights[chosen]
    )
    available = basis.num_modes
    if isinstance(num_modes, str):
        number = int(np.sum(precision * basis.eigenvalues > informed))
        num_modes = min(_power_of_two(number), available, most_modes)
    elif num_modes > available:
        raise ValueError(
            f"num_modes is {num_modes}, but on {len(chosen)} rows the kernel has "
            f"{available} modes above rounding; pass at most {available}, or 'auto'."
        )
    projection = basis.weights[:, None] * basis.matrix / basis.eigenvalues
    return KernelSpace(
        kernel,
        standardiser,
        inputs[chosen],
        projection[:, :num_modes],
        basis.eigenvalues[:num_modes],
    )


def width_of(num_modes: int) -> int:
    """Return how many modes to store for `num_modes` of them.

    Example:
        >>> [width_of(n) for n in (1, 33, 65, 129, 300)]
        [32, 64, 128, 144, 320]
    """
    return min(_power_of_two(num_modes), bucket(num_modes))


def _power_of_two(num_modes: int, fewest: int = 32) -> int:
    return max(fewest, 1 << max(num_modes - 1, 0).bit_length())


def check_kernel(kernel: Kernel | str) -> None:
    """Raise ValueError for a kernel with noise of its own."""
    if isinstance(kernel, Kernel):
        parts = [kernel, *kernel.get_params().values()]
        if any(isinstance(part, WhiteKernel) for part in parts):
            raise ValueError(
                f"kernel {kernel} holds a WhiteKernel; take it out, and pass noise= or "
                "let it be estimated."
            )
