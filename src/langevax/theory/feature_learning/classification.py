"""Other losses than the squared on Gaussian features: state evolution for labels +1 and -1 by a noisy teacher.

With features g ~ N(0, Omega), a Gaussian target t, Psi = E g t, y = sign(t + noise xi), R = E t^2 + noise^2, and

    w = argmin 1/n sum_i loss(y_i <w, g_i>) + ridge |w|^2

the margin <w, g> of a new row has variance q = w^T Omega w and covariance m = Psi . w with the target. Training rows
move from h = sqrt(q) xi to argmin_x loss(y x) + (x - h)^2 / 2V, by V f; with P(y | h) = Phi(y a xi),
a = m / sqrt(q R - m^2), and expectations over xi and y,

    V_hat = - n E f'(h),   q_hat = n E f^2,   m_hat = n E f d log P / dm at fixed h,   H = (2 n ridge + V_hat Omega)^-1
    V = tr Omega H,   q = tr (q_hat Omega + m_hat^2 Psi Psi^T) Omega H^2,   m = m_hat Psi^T H Psi

Loureiro et al. (NeurIPS 2021). Where loss(z) = (1 - z)^2 it is `errors_gaussian_design` for the target y.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from langevax.theory.feature_learning.equivalents import GaussianDesign, spectrum_of
from langevax.theory.lsi import nonnegative, positive


class Classification(NamedTuple):
    """Errors of the fitted linear classifier, in the limit."""

    error: float
    """Probability that the sign of a new margin is not that of the teacher without noise."""
    training_loss: float
    """Mean loss of the training rows, without the penalty."""
    length: float
    """sqrt(q): the standard deviation of new margins"""
    overlap: float
    """m: the covariance of new margins and target"""


def classify_gaussian_design(
    design: GaussianDesign,
    num_samples: float,
    ridge: float,
    loss: str = "logistic",
    noise: float = 0.0,
) -> Classification:
    """Error and training loss of a regularised linear classifier; `loss` is logistic, hinge or squared.

    The losses of the margin z are log(1 + e^-z), max(1 - z, 0) and (1 - z)^2, without a factor.

    Raises:
        ValueError: numbers out of range, an unknown loss, an impossible design.
        RuntimeError: an iteration that does not settle, as where ridge is tiny and the rows are separable.

    >>> design = GaussianDesign(np.eye(50), np.full(50, 50**-0.5), 1.0)
    >>> [round(classify_gaussian_design(design, 200, 0.01, loss).error, 3) for loss in ("logistic", "hinge", "squared")]
    [0.111, 0.112, 0.13]
    """
    positive(num_samples=num_samples, ridge=ridge)
    nonnegative(noise=noise)
    if loss not in _PROXIMAL:
        raise ValueError(f"loss is {loss!r}; pass one of {', '.join(_PROXIMAL)}.")
    omega, overlaps = spectrum_of(design)
    total = design.target_variance + noise**2
    rows = _Rows(num_samples, total, loss)

    def of_weights(hats: np.ndarray) -> np.ndarray:
        below = 2 * num_samples * ridge + hats[0] * omega
        return np.array(
            [
                np.sum(omega / below),
                np.sum((hats[1] * omega + hats[2] ** 2 * overlaps) * omega / below**2),
                hats[2] * np.sum(overlaps / below),
            ]
        )

    start = rows.respond(1.0, 1.0, 0.1 * np.sqrt(total))[0]
    V, q, m = of_weights(
        _settled(lambda hats: rows.respond(*of_weights(hats))[0], start, ridge)
    )
    cosine = m / np.sqrt(q * design.target_variance)
    error = float(np.arccos(np.clip(cosine, -1, 1)) / np.pi)
    _, training = rows.respond(V, q, m)
    return Classification(error, training, float(np.sqrt(q)), float(m))


class _Rows(NamedTuple):
    """The training rows, to which margins respond by the loss."""

    num_samples: float
    total: float
    """E t^2 + noise^2"""
    loss: str

    def respond(
        self,
        V: float,
        q: float,
        m: float,
    ) -> tuple[np.ndarray, float]:
        """(V_hat, q_hat, m_hat) and the training loss; y = -1 at -h is y = 1 at h, so y = 1 counts twice."""
        xi, density = _trapezoids()
        gap_of, loss_of = _PROXIMAL[self.loss]
        h = np.sqrt(q) * xi
        spread = np.sqrt(max(self.total - m**2 / q, 1e-12 * self.total))
        steepness = m / np.sqrt(q) / spread
        chance = 2 * density * ndtr(steepness * xi)
        slope = 2 * density * np.exp(-((steepness * xi) ** 2) / 2) / np.sqrt(2 * np.pi)
        gap = gap_of(h, V)
        # - E f' by parts, as the hinge's f bends
        curvature = gap @ (slope * steepness - xi * chance) / np.sqrt(q)
        hats = [curvature, chance @ gap**2, slope @ gap / spread]
        return self.num_samples * np.array(hats), float(chance @ loss_of(h + V * gap))


@cache
def _trapezoids(nodes: int = 1201, width: float = 8.0) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of the trapezoidal rule under N(0, 1), at which kinks of the hinge cost 1e-6."""
    xi = np.linspace(-width, width, nodes)
    density = np.exp(-(xi**2) / 2) / np.sqrt(2 * np.pi)
    return xi, density * (xi[1] - xi[0])


def _settled(
    function: Callable[[np.ndarray], np.ndarray],
    start: np.ndarray,
    ridge: float,
    max_sweeps: int = 20_000,
    tolerance: float = 1e-10,
) -> np.ndarray:
    """The fixed point of a function, by half of each step."""
    hats = start
    change = np.inf
    for _ in range(max_sweeps):
        new = function(hats)
        change = np.max(np.abs(new - hats) / np.abs(new))
        hats = (new + hats) / 2
        if change < tolerance:
            return hats
    raise RuntimeError(
        f"the iteration still moves by {change:.1g}; pass a larger ridge than {ridge}."
    )


def _squared(h: np.ndarray, V: float) -> np.ndarray:
    return 2 * (1 - h) / (1 + 2 * V)


def _hinge(h: np.ndarray, V: float) -> np.ndarray:
    return np.clip((1 - h) / V, 0, 1)


def _logistic(h: np.ndarray, V: float, newton_steps: int = 60) -> np.ndarray:
    """gap = 1 / (1 + exp(h + V gap)): Newton from a bracket that it cannot leave, as gap falls in itself."""
    low = np.zeros_like(h)
    high = np.ones_like(h)
    gap = np.full_like(h, 0.5)
    for _ in range(newton_steps):
        value = 1 / (1 + np.exp(h + V * gap))
        low = np.where(value > gap, gap, low)
        high = np.where(value > gap, high, gap)
        newton = gap - (gap - value) / (1 + V * value * (1 - value))
        inside = (newton > low) & (newton < high)
        new = np.where(inside, newton, (low + high) / 2)
        if np.max(np.abs(new - gap)) < 1e-15:
            break
        gap = new
    return gap


_PROXIMAL = {
    "logistic": (_logistic, lambda z: np.logaddexp(0, -z)),
    "hinge": (_hinge, lambda z: np.maximum(1 - z, 0)),
    "squared": (_squared, lambda z: (1 - z) ** 2),
}
