"""Eigenvectors on the host in float64: which of them mean something, and which way they point."""

import numpy as np

LOST = 45  # roundings of the matrix: of a smaller eigenvalue so few digits are right that 1 / mu_k means nothing
SIZABLE = 0.43  # of the greatest entry: the waves of a path or a cycle have no entry just there, as they have at a half


def leading(
    matrix: np.ndarray, num_modes: int | None, *, name: str, rounding: float = float(np.finfo(np.float64).eps)
) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues (N,), decreasing, of a covariance, and its vectors (n, N): `num_modes` of them.

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
    values, vectors = values[::-1][:num_modes], vectors[:, ::-1][:, :num_modes]
    lost = LOST * n * rounding
    if values[0] <= 0 or values[-1] < -np.sqrt(lost) * values[0]:
        raise ValueError(f"{name} must be positive, but its matrix has the eigenvalue {values[-1]}; pass a covariance.")
    reached = int(np.sum(values > lost * values[0]))
    if num_modes is not None and num_modes > reached:
        raise ValueError(
            f"num_modes is {num_modes}, but the {n} x {n} matrix of {name} has {reached} eigenvalues above rounding; "
            f"ask for at most {reached}, or leave num_modes out."
        )
    return values[:reached].copy(), vectors[:, :reached]


def with_fixed_signs(vectors: np.ndarray) -> np.ndarray:
    """Columns v turned so that their first entry of a sizable part of the greatest size is positive.

    LAPACK leaves the sign of an eigenvector open, and so to the machine.

    >>> with_fixed_signs(np.array([[0.1, 1.0], [-2.0, 3.0]]))
    array([[-0.1,  1. ],
           [ 2. ,  3. ]])
    """
    sizes = np.abs(vectors)
    first = np.argmax(sizes >= SIZABLE * sizes.max(axis=0), axis=0)
    return vectors * np.where(vectors[first, np.arange(vectors.shape[1])] < 0, -1.0, 1.0)
