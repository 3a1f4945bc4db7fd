"""Linear estimators that two-layer networks are compared with: kernels, random features, nearest neighbours.

    arc-cosine of degree 0   kappa_0(t) = (pi - angle) / pi
    arc-cosine of degree 1   |x| |y| kappa_1(t),      kappa_1(t) = (sin angle + (pi - angle) t) / pi
    neural tangent           |x| |y| (t kappa_0(t) + kappa_1(t))
    Gaussian                 exp(-|x - y|^2 / (2 bandwidth^2))

t the cosine of the angle of x and y (Cho and Saul, NeurIPS 2009; Jacot et al., NeurIPS 2018, for a network of two
layers without biases, both trained). A kernel is called as scikit-learn's are, `kernel(X, Y) -> (n, k)`, for estimators
with kernel="precomputed"; it takes two single rows too, as kernel=callable passes them, which is far slower. On
unit vectors it is a function of x . y alone, `profile`, from which `relu_sphere.kernel_excess_risk` has
the exact excess risk of an estimator: no test set, no error bar.

Ridge regression on random ReLU features is a network whose inner weights are drawn and stay,

    f(x) = sum_j outer_j relu(w_j . x),      w_j uniform on the sphere,
    outer = (Phi^T Phi + ridge I)^-1 Phi^T y,      Phi_ij = relu(w_j . x_i)

linear in y, so bound by Theorem 4.1 of Akiyama and Suzuki (ICLR 2023), with the exact excess risk
`relu_sphere.excess_risk`. With many features it is arc-cosine kernel ridge.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import equinox as eqx
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from langevax import checks
from langevax.teacher_student.networks import ReLUNetwork, on_sphere

RIDGES = np.logspace(-6, 1, 29)
"""One grid for every kernel and every n, in units of the mean of K's diagonal: four to a decade."""


class Kernel(eqx.Module):
    """`kernel(X, Y)` for rows of X and of Y (X again, where it is left out), computed in float64."""

    def __call__(self, X: ArrayLike, Y: ArrayLike | None = None) -> np.ndarray:
        x = np.asarray(X, np.float64)
        y = x if Y is None else np.asarray(Y, np.float64)
        return self.between(x @ y.T, np.sum(x * x, axis=-1), np.sum(y * y, axis=-1))

    @abstractmethod
    def between(self, products: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """From x . y and the squared lengths of the x and the y."""

    def profile(self, t: np.ndarray) -> np.ndarray:
        """k(x, y) of unit vectors with x . y = t."""
        t = np.asarray(t, np.float64)
        return self.between(t, np.ones(()), np.ones(()))


class ArcCosine(Kernel):
    """The arc-cosine kernel of degree 0 or 1: networks with a random first layer of steps, or of ReLUs.

    Example:
        >>> ArcCosine()(np.eye(2)).round(4)
        array([[1.    , 0.3183],
               [0.3183, 1.    ]])
    """

    degree: int = 1

    def __check_init__(self) -> None:
        if self.degree not in (0, 1):
            raise ValueError(f"degree must be 0 or 1, got {self.degree!r}.")

    def between(self, products: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        lengths, t, angle = _angles(products, left, right)
        return (np.pi - angle) / np.pi if self.degree == 0 else lengths * _kappa_1(t, angle)


class NeuralTangent(Kernel):
    """The neural tangent kernel of a two-layer ReLU network, scaled so that k(x, x) = 2 |x|^2.

    Example:
        >>> NeuralTangent()(np.eye(2)).round(4)
        array([[2.    , 0.3183],
               [0.3183, 2.    ]])
    """

    def between(self, products: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        lengths, t, angle = _angles(products, left, right)
        return lengths * (t * (np.pi - angle) / np.pi + _kappa_1(t, angle))


class Gaussian(Kernel):
    """exp(-|x - y|^2 / (2 bandwidth^2)).

    Example:
        >>> Gaussian(bandwidth=1.0)(np.eye(2)).round(4)
        array([[1.    , 0.3679],
               [0.3679, 1.    ]])
    """

    bandwidth: float = 1.0

    def __check_init__(self) -> None:
        checks.number("bandwidth", self.bandwidth, positive=True)

    def between(self, products: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        squares = np.maximum(np.add.outer(left, right) - 2 * products, 0)
        return np.exp(-squares / (2 * self.bandwidth**2))


class TunedRidge(NamedTuple):
    """Kernel ridge regression with the best kernel and penalty of a grid: f(x) = sum_i coefficients_i k(x_i, x)."""

    kernel: Kernel
    ridge: float
    """scikit-learn's alpha."""
    coefficients: Float[np.ndarray, " n"]
    score: float
    on_edge: bool
    """Whether the best penalty is the grid's first or last; then widen the grid."""


def tuned_ridge(
    kernels: Sequence[Kernel],
    inputs: Float[ArrayLike, "n d"],
    targets: Float[ArrayLike, " n"],
    risk: Callable[[Kernel, np.ndarray], ArrayLike],
    ridges: Float[np.ndarray, " ridges"] = RIDGES,
) -> TunedRidge:
    """Kernel ridge regression, (K + ridge I)^-1 y, with kernel and ridge chosen by `risk` over one grid.

    Args:
        kernels: candidates, such as `[Gaussian(h) for h in (0.5, 1.0, 2.0)]`.
        inputs, targets: (n, d) and (n,).
        risk: `risk(kernel, coefficients (ridges, n)) -> (ridges,)`, minimised; on the sphere the exact
            excess risk, which tunes in the competitor's favour, with inputs that are unit vectors in float64:
            `lambda k, c: kernel_excess_risk(k.profile, inputs, c, teacher)`.
        ridges: penalties in units of the mean of K's diagonal.

    Cost: one eigendecomposition for each kernel.

    Example:
        >>> X = np.linspace(-1, 1, 20)[:, None]
        >>> far = lambda kernel, c: np.mean((c @ kernel(X, X + 0.05) - np.sin(3 * X[:, 0] + 0.15)) ** 2, axis=1)
        >>> best = tuned_ridge([Gaussian(0.5), Gaussian(50.0)], X, np.sin(3 * X[:, 0]), far)
        >>> best.kernel.bandwidth, best.score < 1e-4
        (0.5, True)
    """
    if not kernels:
        raise ValueError("kernels is empty; pass at least one, such as [NeuralTangent()].")
    y = np.asarray(targets, np.float64)
    fits = []
    for kernel in kernels:
        values, vectors = _eigenpairs(kernel(inputs))
        penalties = np.asarray(ridges) * values.mean()  # the mean of K's diagonal
        coefficients = (vectors.T @ y / (values + penalties[:, None])) @ vectors.T
        best, score, on_edge = _best(risk(kernel, coefficients), len(penalties))
        fits.append(TunedRidge(kernel, float(penalties[best]), coefficients[best], score, on_edge))
    return min(fits, key=lambda fit: fit.score)


def _eigenpairs(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, vectors = np.linalg.eigh(matrix)
    return np.maximum(values, 0), vectors


def _best(scores: ArrayLike, size: int) -> tuple[int, float, bool]:
    """Return the place of the least of `size` scores, the score, and whether it is the first or the last."""
    scores = np.broadcast_to(np.asarray(scores), size)
    best = int(np.argmin(scores))
    return best, float(scores[best]), best in (0, size - 1)


def _angles(products: np.ndarray, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(|x| |y|, cosine, angle); the angle with a zero vector counts as 90 degrees."""
    lengths = np.sqrt(np.multiply.outer(left, right))
    t = np.clip(np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0), -1, 1)
    return lengths, t, np.arccos(t)


def _kappa_1(t: np.ndarray, angle: np.ndarray) -> np.ndarray:
    return (np.sin(angle) + (np.pi - angle) * t) / np.pi


class TunedFeatures(NamedTuple):
    """Ridge regression on random features with the best width and penalty of a grid."""

    network: ReLUNetwork
    """As NumPy arrays in float64."""
    ridge: float
    """scikit-learn's alpha."""
    score: float
    on_edge: bool
    """Whether the best penalty is the grid's first or last; then widen the grid."""


def tuned_features(
    widths: Sequence[int],
    inputs: Float[ArrayLike, "n d"],
    targets: Float[ArrayLike, " n"],
    risk: Callable[[ReLUNetwork], ArrayLike],
    ridges: Float[np.ndarray, " ridges"] = RIDGES,
    *,
    key: Key[Array, ""],
) -> TunedFeatures:
    """Ridge regression on random ReLU features, with width and penalty chosen by `risk` over one grid.

    Args:
        widths: numbers of features to choose from; fewer ones are the first of more.
        inputs, targets: (n, d) and (n,).
        risk: `risk(networks) -> (ridges,)` of networks with outer (ridges, p) and one inner (p, d),
            minimised; on the sphere the exact excess risk, which tunes in the competitor's favour:
            `lambda networks: excess_risk(networks, teacher)`.
        ridges: penalties in units of the mean of |Phi_i|^2.
        key: of the features.

    Cost: one eigendecomposition of a (p, p) matrix for each width.

    Example:
        >>> import jax
        >>> X = np.random.default_rng(0).normal(size=(50, 2))
        >>> error = lambda networks: np.mean((np.maximum(X @ networks.inner.T, 0) @ networks.outer.T - 1) ** 2)
        >>> best = tuned_features([3, 30], X, np.ones(50), error, np.array([1e-3]), key=jax.random.key(0))
        >>> best.network.inner.shape, best.on_edge
        ((30, 2), True)
    """
    if not widths:
        raise ValueError("widths is empty; pass at least one, such as [1024].")
    for width in widths:
        checks.positive_int("widths", width)
    x, y = np.asarray(inputs, np.float64), np.asarray(targets, np.float64)
    drawn = np.asarray(on_sphere(key, max(widths), x.shape[1]), np.float64)
    fits = []
    for width in widths:
        features = np.maximum(x @ drawn[:width].T, 0)
        values, vectors = _eigenpairs(features.T @ features)
        penalties = np.asarray(ridges) * values.sum() / len(x)
        outer = (vectors.T @ (features.T @ y) / (values + penalties[:, None])) @ vectors.T
        best, score, on_edge = _best(risk(ReLUNetwork(outer, drawn[:width])), len(penalties))
        fits.append(TunedFeatures(ReLUNetwork(outer[best], drawn[:width]), float(penalties[best]), score, on_edge))
    return min(fits, key=lambda fit: fit.score)


NEIGHBORS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
"""One grid for every n."""


class TunedNeighbors(NamedTuple):
    """The mean of the best number of nearest targets."""

    num_neighbors: int
    score: float
    """Mean squared error against the test values, at its least."""
    score_error: float
    """Its standard error over test inputs."""
    on_edge: bool
    """Whether the best number is the grid's first or last; then widen the grid."""


def tuned_neighbors(
    inputs: Float[ArrayLike, "n d"],
    targets: Float[ArrayLike, " n"],
    test_inputs: Float[ArrayLike, "tests d"],
    test_values: Float[ArrayLike, " tests"],
    neighbors: Sequence[int] = NEIGHBORS,
) -> TunedNeighbors:
    """scikit-learn's `KNeighborsRegressor` with the number of neighbours that is best at the test inputs.

    Args:
        inputs, targets: (n, d) and (n,).
        test_inputs, test_values: where, and against what; the teacher's own values give the excess risk. Choosing by
            them tunes in the competitor's favour.
        neighbors: numbers to choose from; those above n are left out.

    Cost: one search, for the most neighbours.

    Example:
        >>> X = np.linspace(0, 1, 9)[:, None]
        >>> tuned_neighbors(X, X[:, 0], X + 0.05, X[:, 0] + 0.05, [1, 2, 4]).num_neighbors
        2
    """
    from sklearn.neighbors import KNeighborsRegressor

    for number in neighbors:
        checks.positive_int("neighbors", number)
    y, values = np.asarray(targets, np.float64), np.asarray(test_values, np.float64)
    grid = np.array([number for number in sorted(neighbors) if number <= len(y)])
    if not len(grid):
        raise ValueError(f"neighbors is {list(neighbors)} but there are {len(y)} rows; pass at least one up to that.")
    search = KNeighborsRegressor(n_neighbors=int(grid[-1])).fit(np.asarray(inputs), y)
    nearest = search.kneighbors(np.asarray(test_inputs), return_distance=False)
    means = np.cumsum(y[nearest], axis=1)[:, grid - 1] / grid
    squares = (means - values[:, None]) ** 2
    best, score, on_edge = _best(squares.mean(axis=0), len(grid))
    error = float(squares[:, best].std(ddof=1) / np.sqrt(len(values)))
    return TunedNeighbors(int(grid[best]), score, error, on_edge)
