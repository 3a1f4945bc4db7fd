"""The kernel machine that a mean-field network tends to as its output scale grows: its temperature in closed form.

For large scale at fixed n T / scale^2 the optimum is kernel ridge regression with K = E_prior[h h'] and

    alpha = n T        (scikit-learn's alpha; 1 / alpha is the C of a kernel logistic model)

(derived, and checked on tables: within Monte-Carlo error at scale 100, +.03 R2 below the network on
nonlinear data at scale 10: that difference is the feature learning). So the temperature is a ridge
penalty, and its leave-one-out optimum is known in closed form: one eigendecomposition, no training.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from langevax import trees
from langevax.problems.neurons import Neuron

NUM_NEURONS = 4000
RELATIVE_ALPHAS = np.logspace(-4, 2, 61)
"""Grid of penalties, in units of the mean of K's diagonal."""


class LeaveOneOut(NamedTuple):
    """Errors of predicting each row from all others, over a grid of penalties."""

    alphas: np.ndarray
    errors: np.ndarray
    """(alpha,) weighted mean square error, averaged over outputs."""
    excess_errors: np.ndarray
    """(alpha,) standard error of the excess of `errors` over the least of them, from differences row by row."""
    row_errors: np.ndarray
    """(n,) square errors at the least error, averaged over outputs."""

    @property
    def alpha(self) -> float:
        """The largest penalty within one standard error of the best: a hotter law is easier to certify."""
        return float(self.alphas[self.errors <= self.error + self.excess_errors][-1])

    @property
    def best_alpha(self) -> float:
        """The penalty of least error."""
        return float(self.alphas[np.argmin(self.errors)])

    @property
    def error(self) -> float:
        return float(np.min(self.errors))


def excess(losses: np.ndarray, reference: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (mean, standard error) of losses (..., n) above `reference` (n,), paired row by row.

    Weights are multiplicities of rows. With differences d_i of mean m: se^2 = sum_i w_i^2 (d_i - m)^2 / (sum_i w_i)^2.

    Example:
        >>> noise = np.random.default_rng(0).normal(size=400)
        >>> mean, error = excess(noise + 0.1, noise, np.ones(400))
        >>> bool(abs(mean - 0.1) < 1e-12), bool(error < 1e-12)
        (True, True)
    """
    shares = weights / weights.sum()
    differences = losses - reference
    mean = differences @ shares
    return mean, np.sqrt(((differences - mean[..., None]) ** 2) @ shares**2)


def prior_features(
    neuron: Neuron,
    inputs: Float[np.ndarray | Array, "n features"],
    prior_variance: float,
    num_neurons: int,
    *,
    key: Key[Array, ""],
    num_columns: int | None = None,
) -> Float[Array, "neurons n"]:
    """Return h(theta_r, x_i) of neurons drawn from N(0, prior_variance I); the first output of several.

    Columns of `inputs` from `num_columns` on are zeros, for which no weights are drawn: the numbers do not depend on
    how many there are.
    """
    d, dtype = inputs.shape[-1] if num_columns is None else num_columns, inputs.dtype
    draws = trees.host_normal((num_neurons, neuron.particle_size(d)), dtype, key=key)
    particles = np.sqrt(np.asarray(prior_variance, dtype)) * draws
    missing = np.full(inputs.shape[-1] - d, neuron.input_weights(d).stop)
    particles = np.insert(particles, missing, 0, axis=-1)
    return _features(neuron, jax.device_put(particles), jax.device_put(inputs))


@eqx.filter_jit
def _features(neuron: Neuron, particles: Array, inputs: Array) -> Float[Array, "neurons n"]:
    features = jax.vmap(jax.vmap(neuron, in_axes=(None, 0)), in_axes=(0, None))(particles, inputs)
    return features if features.ndim == 2 else features[..., 0]


def leave_one_out(
    features: Float[ArrayLike, "neurons n"], targets: Float[ArrayLike, "n outputs"], weights: Float[ArrayLike, " n"]
) -> LeaveOneOut:
    """Return the closed-form leave-one-out errors of kernel ridge with K = features^T features / neurons.

    With G = (K + alpha W^-1)^-1 the residual is r_i = alpha (G y)_i / w_i and the leverage of a row S_i = 1 - alpha
    G_ii / w_i. A row of weight w >= 1 counts as w equal rows, of which one is left out, a lighter row is left out
    whole:

        e_i = r_i / (1 - S_i / max(1, w_i))

    Cost: n^2 (neurons + n) and n^2 per penalty.

    Example:
        >>> x = np.linspace(-1, 1, 30)
        >>> features = np.stack([np.ones(30), x])
        >>> noise = np.random.default_rng(0).normal(size=30)
        >>> exact = leave_one_out(features, (3 * x)[:, None], np.ones(30))
        >>> exact.alpha < leave_one_out(features, noise[:, None], np.ones(30)).alpha
        True
    """
    features, targets, weights = (np.asarray(a, np.float64) for a in (features, targets, weights))
    roots = np.sqrt(weights)
    scaled = features * roots
    kernel = scaled.T @ scaled / len(features)  # W^1/2 K W^1/2; alpha W^-1/2 G W^-1/2 = alpha (kernel + alpha)^-1
    values, vectors = np.linalg.eigh(kernel)
    values = np.maximum(values, 0.0)
    rotated, squared = vectors.T @ (roots[:, None] * targets), vectors**2
    alphas = RELATIVE_ALPHAS * max(float(np.mean(np.sum(features**2, 0))) / len(features), np.finfo(float).tiny)
    rows = np.stack([_row_errors(alpha / (values + alpha), vectors, rotated, squared, roots) for alpha in alphas])
    errors = np.average(rows, axis=1, weights=weights)
    best = rows[np.argmin(errors)]
    return LeaveOneOut(alphas, errors, excess(rows, best, weights)[1], best)


def _row_errors(
    shrink: np.ndarray, vectors: np.ndarray, rotated: np.ndarray, squared: np.ndarray, roots: np.ndarray
) -> np.ndarray:
    """Return (n,) square errors, averaged over outputs; `shrink` holds alpha / (eigenvalue + alpha)."""
    residuals = vectors @ (shrink[:, None] * rotated) / roots[:, None]
    leverages = 1 - squared @ shrink
    errors = residuals / np.maximum(1 - leverages / np.maximum(1, roots**2), 1e-12)[:, None]
    return np.mean(errors**2, axis=1)
