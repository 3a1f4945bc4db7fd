"""The kernel machine that a mean-field network tends to as its output scale grows: its temperature in closed form.

For large scale at fixed n T / scale^2 the optimum is kernel ridge regression with K = E_prior[h h'] and

    alpha = n T        (scikit-learn's alpha; 1 / alpha is the C of a kernel logistic model)

(derived, and checked on tables: within Monte-Carlo error at scale 100, +.03 R2 below the network on
nonlinear data at scale 10: that difference is the feature learning). So the temperature is a ridge
penalty, and its leave-one-out optimum is known in closed form: one eigendecomposition, no training.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from langevax import trees
from langevax._typing import PRNGKey
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


def excess(
    losses: np.ndarray,
    reference: np.ndarray,
    weights: np.ndarray,
    groups: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return (mean, standard error) of losses (..., n) above `reference` (n,), paired row by row.

    Weights are multiplicities of rows. With differences d_i of mean m: se^2 = sum_i w_i^2 (d_i - m)^2 / (sum_i w_i)^2.
    Rows of one of `groups` (n,) may depend on each other, and w_i (d_i - m) is summed over a group before the square.

    Example:
        >>> noise = np.random.default_rng(0).normal(size=400)
        >>> mean, error = excess(noise + 0.1, noise, np.ones(400))
        >>> bool(abs(mean - 0.1) < 1e-12), bool(error < 1e-12)
        (True, True)
    """
    shares = weights / weights.sum()
    differences = losses - reference
    mean = differences @ shares
    parts = (differences - mean[..., None]) * shares
    if groups is not None:
        order = np.argsort(groups, kind="stable")
        parts = np.add.reduceat(
            parts[..., order], np.unique(groups[order], return_index=True)[1], axis=-1
        )
    return mean, np.sqrt(np.sum(parts**2, axis=-1))


def prior_particles(
    neuron: Neuron,
    num_columns: int,
    width: int,
    prior_variance: float,
    num_neurons: int,
    dtype: np.dtype[Any],
    *,
    key: PRNGKey,
) -> Float[np.ndarray, "neurons size"]:
    """Return neurons drawn from N(0, prior_variance I), for inputs of `width` columns of which `num_columns` are used.

    No weights are drawn for the others, which are zeros: the numbers do not depend on how many there are.
    """
    draws = trees.host_normal(
        (num_neurons, neuron.particle_size(num_columns)), dtype, key=key
    )
    particles = np.sqrt(np.asarray(prior_variance, dtype)) * draws
    unused = np.full(width - num_columns, neuron.input_weights(num_columns).stop)
    return np.insert(particles, unused, 0, axis=-1)


def features_of(
    neuron: Neuron,
    particles: Float[np.ndarray, "neurons size"],
    inputs: Float[np.ndarray | Array, "n features"],
) -> Float[Array, "neurons n"]:
    """Return h(theta_r, x_i); the first output of several."""
    return _features(neuron, jax.device_put(particles), jax.device_put(inputs))


def ridge(
    features: Float[np.ndarray, "neurons n"],
    targets: Float[np.ndarray, "n outputs"],
    weights: Float[np.ndarray, " n"],
    penalty: float,
) -> Float[np.ndarray, "neurons outputs"]:
    """Return the coefficients b of kernel ridge regression, f(x) = sum_r b_r h_r(x), at a penalty alpha.

    With K = H^T H / neurons: b = H (K + alpha W^-1)^-1 y / neurons.

    Example:
        >>> h = np.random.default_rng(0).normal(size=(300, 20))
        >>> b = ridge(h, h[:1].T, np.ones(20), 1e-9)
        >>> bool(np.allclose(b.T @ h, h[:1], atol=1e-6))
        True
    """
    kernel = _kernel(features)
    kernel[np.diag_indices_from(kernel)] += penalty / weights
    return features @ np.linalg.solve(kernel, targets) / len(features)


def _kernel(features: Float[np.ndarray, "neurons n"]) -> Float[np.ndarray, "n n"]:
    """Return features^T features / neurons in float64, multiplied in the features' own precision."""
    return (features.T @ features).astype(np.float64) / len(features)


def slopes(
    neuron: Neuron,
    particles: Float[np.ndarray, "neurons size"],
    inputs: Float[np.ndarray, "n features"],
    coefficients: Float[np.ndarray, "neurons outputs"],
) -> Float[np.ndarray, "outputs n features"]:
    """Return df / dx at the inputs of f(x) = sum_r b_r h(theta_r, x)."""
    arrays = (
        jax.device_put(array.astype(inputs.dtype))
        for array in (particles, inputs, coefficients)
    )
    return np.asarray(_slopes(neuron, *arrays), np.float64)


@eqx.filter_jit
def _slopes(
    neuron: Neuron,
    particles: Array,
    inputs: Array,
    coefficients: Array,
) -> Float[Array, "outputs n features"]:
    """Reverse mode row by row, which is four to nine times less work here than through all rows at once."""

    def of_row(x: Array) -> Float[Array, "outputs features"]:
        transposed = jax.vjp(
            lambda x: _first_outputs(
                jax.vmap(neuron, in_axes=(0, None))(particles, x), 1
            ),
            x,
        )[1]
        return jax.vmap(lambda b: transposed(b)[0], in_axes=1)(coefficients)

    return jax.vmap(of_row, out_axes=1)(inputs)


@eqx.filter_jit
def _features(
    neuron: Neuron, particles: Array, inputs: Array
) -> Float[Array, "neurons n"]:
    return _first_outputs(
        jax.vmap(jax.vmap(neuron, in_axes=(None, 0)), in_axes=(0, None))(
            particles, inputs
        ),
        2,
    )


def _first_outputs(features: Array, ndim: int) -> Array:
    """Return the first output of each neuron, where it has several."""
    return features if features.ndim == ndim else features[..., 0]


def leave_one_out(
    features: Float[ArrayLike, "neurons n"],
    targets: Float[ArrayLike, "n outputs"],
    weights: Float[ArrayLike, " n"],
    *,
    copies: Float[ArrayLike, " n"] | None = None,
    groups: np.ndarray | None = None,
    least_left: float = 1e-12,
) -> LeaveOneOut:
    """Return the closed-form leave-one-out errors of kernel ridge with K = features^T features / neurons.

    With G = (K + alpha W^-1)^-1 the residual is r_i = alpha (G y)_i / w_i and the leverage of a row S_i = 1 - alpha
    G_ii / w_i. A row of weight w >= 1 counts as w equal rows, of which one is left out, a lighter row is left out
    whole:

        e_i = r_i / (1 - S_i / max(1, w_i))

    `copies` are other numbers of equal rows than max(1, w_i): ones leave all rows out whole. With `groups` (n,) all
    rows of a group g are left out together, whatever their copies: e_g = (G_gg)^-1 (G y)_g. Of a row or a group at least
    `least_left` is left in itself, once it is left out.

    Cost: n^2 (neurons + n) and n^2 per penalty; with groups, n sum_g |g|^2 per penalty.

    Example:
        >>> x = np.linspace(-1, 1, 30)
        >>> features = np.stack([np.ones(30), x])
        >>> noise = np.random.default_rng(0).normal(size=30)
        >>> exact = leave_one_out(features, (3 * x)[:, None], np.ones(30))
        >>> exact.alpha < leave_one_out(features, noise[:, None], np.ones(30)).alpha
        True
    """
    features, targets, weights = (
        np.asarray(features),
        *(np.asarray(a, np.float64) for a in (targets, weights)),
    )
    roots = np.sqrt(weights)
    kernel = _kernel(features * roots.astype(features.dtype))
    # K is W^1/2 K W^1/2 here, and alpha W^-1/2 G W^-1/2 = alpha (K + alpha)^-1
    diagonal = float(np.mean(np.diagonal(kernel) / weights))
    values, vectors = np.linalg.eigh(kernel)
    values = np.maximum(values, 0.0)
    alphas = RELATIVE_ALPHAS * max(diagonal, np.finfo(float).tiny)
    shrink = alphas / (values[:, None] + alphas)  # (n, alpha)
    rotated = vectors.T @ (roots[:, None] * targets)
    if groups is None:
        counted = (
            np.maximum(1, weights) if copies is None else np.asarray(copies, np.float64)
        )
        leverages = 1 - vectors**2 @ shrink
        left = np.maximum(1 - leverages / counted[:, None], least_left) * roots[:, None]
        squares = np.zeros_like(shrink)
        for column in rotated.T:
            squares += (vectors @ (shrink * column[:, None]) / left) ** 2
    else:
        squares = (
            _squares_of_groups(vectors, shrink, rotated, groups, least_left)
            / weights[:, None]
        )
    rows = squares.T / targets.shape[1]
    errors = np.average(rows, axis=1, weights=weights)
    best = rows[np.argmin(errors)]
    return LeaveOneOut(alphas, errors, excess(rows, best, weights, groups)[1], best)


def _squares_of_groups(
    vectors: np.ndarray,
    shrink: np.ndarray,
    rotated: np.ndarray,
    groups: np.ndarray,
    least_left: float,
    most_elements: int = 2**22,
) -> np.ndarray:
    """Return (n, alpha) square errors, summed over outputs, of rows that are left out with their whole group.

    Products of a group at several penalties have at most so many elements at once.
    """
    squares = np.empty_like(shrink)
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        own = vectors[rows]
        at_once = max(1, most_elements // own.size)
        for first in range(0, shrink.shape[1], at_once):
            factors = shrink[:, first : first + at_once].T[:, None]  # (alpha, 1, n)
            scaled = own * factors
            left = scaled @ own.T + least_left * np.eye(len(rows))
            squares[rows, first : first + at_once] = np.sum(
                np.linalg.solve(left, scaled @ rotated) ** 2, axis=2
            ).T
    return squares
