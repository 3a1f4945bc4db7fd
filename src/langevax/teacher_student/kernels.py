"""The kernels that two-layer networks are held against: arc-cosine, ReLU neural tangent, Gaussian.

    arc-cosine of degree 0   kappa_0(t) = (pi - angle) / pi
    arc-cosine of degree 1   |x| |y| kappa_1(t),      kappa_1(t) = (sin angle + (pi - angle) t) / pi
    neural tangent           |x| |y| (t kappa_0(t) + kappa_1(t))
    Gaussian                 exp(-|x - y|^2 / (2 bandwidth^2))

t the cosine of the angle of x and y (Cho and Saul, NeurIPS 2009; Jacot et al., NeurIPS 2018, for a network of two
layers without biases, both trained). A kernel is called as scikit-learn's are, `kernel(X, Y) -> (n, k)`, for estimators
with kernel="precomputed"; it takes two single rows too, as kernel=callable hands them over, which is far slower. On
unit vectors it is a function of x . y alone, `profile`, from which `langevax.theory.relu_sphere.kernel_excess_risk` has
the exact excess risk of an estimator: no test set, no error bar.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Float

from langevax import checks

RIDGES = np.logspace(-6, 1, 29)
"""One grid for every kernel and every n, in units of the mean of K's diagonal: four to a decade."""


class Kernel(eqx.Module):
    """`kernel(X, Y)` for rows of X and of Y (X again, where it is left out), computed in float64."""

    def __call__(self, X: Any, Y: Any = None) -> np.ndarray:
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
    """What was minimised, at its least."""
    on_edge: bool
    """Whether the best penalty is the grid's first or last, so that the grid ought to be wider."""


def tuned_ridge(
    kernels: Sequence[Kernel],
    inputs: Float[Any, "n d"],
    targets: Float[Any, " n"],
    risk: Callable[[Kernel, np.ndarray], Any],
    ridges: Float[np.ndarray, " ridges"] = RIDGES,
) -> TunedRidge:
    """Kernel ridge regression, (K + ridge I)^-1 y, with kernel and ridge chosen by `risk` over one grid.

    Args:
        kernels: candidates, such as `[Gaussian(h) for h in (0.5, 1.0, 2.0)]`.
        inputs, targets: (n, d) and (n,).
        risk: `risk(kernel, coefficients (ridges, n)) -> (ridges,)`, what is to be small; on the sphere the exact
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
    found = []
    for kernel in kernels:
        values, vectors = np.linalg.eigh(kernel(inputs))
        values = np.maximum(values, 0)
        penalties = np.asarray(ridges) * values.mean()  # the mean of K's diagonal
        coefficients = (vectors.T @ y / (values + penalties[:, None])) @ vectors.T
        scores = np.asarray(risk(kernel, coefficients))
        best = int(np.argmin(scores))
        on_edge = best in (0, len(penalties) - 1)
        found.append(TunedRidge(kernel, float(penalties[best]), coefficients[best], float(scores[best]), on_edge))
    return min(found, key=lambda one: one.score)


def _angles(products: np.ndarray, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(|x| |y|, cosine, angle); the angle with a zero vector counts as 90 degrees."""
    lengths = np.sqrt(np.multiply.outer(left, right))
    t = np.clip(np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0), -1, 1)
    return lengths, t, np.arccos(t)


def _kappa_1(t: np.ndarray, angle: np.ndarray) -> np.ndarray:
    return (np.sin(angle) + (np.pi - angle) * t) / np.pi
