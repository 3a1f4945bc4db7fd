"""Random ReLU features with ridge regression on top: a network whose inner weights are drawn and stay.

    f(x) = sum_j outer_j relu(w_j . x),      w_j uniform on the sphere,
    outer = (Phi^T Phi + ridge I)^-1 Phi^T y,      Phi_ij = relu(w_j . x_i)

linear in y, so bound by Theorem 4.1 of Akiyama and Suzuki (ICLR 2023), and a ReLU network, so that its excess risk on
the sphere is exact: `langevax.theory.relu_sphere.excess_risk`. With many features it is arc-cosine kernel ridge.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Float, Key

from langevax import checks
from langevax.teacher_student.kernels import RIDGES
from langevax.teacher_student.networks import ReLUNetwork, on_sphere


class TunedFeatures(NamedTuple):
    """Ridge regression on random features with the best width and penalty of a grid."""

    network: ReLUNetwork
    """As NumPy arrays in float64."""
    ridge: float
    """scikit-learn's alpha."""
    score: float
    """What was minimised, at its least."""
    on_edge: bool
    """Whether the best penalty is the grid's first or last; the best width is `network.outer.size`."""


def tuned_features(
    widths: Sequence[int],
    key: Key[Array, ""],
    inputs: Float[Any, "n d"],
    targets: Float[Any, " n"],
    risk: Callable[[ReLUNetwork], Any],
    ridges: Float[np.ndarray, " ridges"] = RIDGES,
) -> TunedFeatures:
    """Ridge regression on random ReLU features, with width and penalty chosen by `risk` over one grid.

    Args:
        widths: numbers of features to choose from; fewer ones are the first of more.
        key: of the features.
        inputs, targets: (n, d) and (n,).
        risk: `risk(networks) -> (ridges,)` of networks with outer (ridges, p) and one inner (p, d), what is to be
            small; on the sphere the exact excess risk, which tunes in the competitor's favour:
            `lambda networks: excess_risk(networks, teacher)`.
        ridges: penalties in units of the mean of |Phi_i|^2.

    Cost: one eigendecomposition of a (p, p) matrix for each width.

    Example:
        >>> import jax
        >>> X = np.random.default_rng(0).normal(size=(50, 2))
        >>> error = lambda networks: np.mean((np.maximum(X @ networks.inner.T, 0) @ networks.outer.T - 1) ** 2)
        >>> best = tuned_features([3, 30], jax.random.key(0), X, np.ones(50), error, ridges=np.array([1e-3]))
        >>> best.network.inner.shape, best.on_edge
        ((30, 2), True)
    """
    if not widths:
        raise ValueError("widths is empty; pass at least one, such as [1024].")
    for width in widths:
        checks.positive_int("widths", width)
    x, y = np.asarray(inputs, np.float64), np.asarray(targets, np.float64)
    drawn = np.asarray(on_sphere(key, max(widths), x.shape[1]), np.float64)
    found = []
    for width in widths:
        features = np.maximum(x @ drawn[:width].T, 0)
        values, vectors = np.linalg.eigh(features.T @ features)
        values = np.maximum(values, 0)
        penalties = np.asarray(ridges) * values.sum() / len(x)
        outer = (vectors.T @ (features.T @ y) / (values + penalties[:, None])) @ vectors.T
        scores = np.broadcast_to(risk(ReLUNetwork(outer, drawn[:width])), len(penalties))
        best = int(np.argmin(scores))
        network = ReLUNetwork(outer[best], drawn[:width])
        on_edge = best in (0, len(penalties) - 1)
        found.append(TunedFeatures(network, float(penalties[best]), float(scores[best]), on_edge))
    return min(found, key=lambda one: one.score)
