"""Ridge risk after one gradient step of any size on the first layer, at a finite number of neurons.

Derived, by conditional Gaussian equivalence: given s = <x, u>, u the direction of the gradient's X^T y, the features
are Gaussian, neuron by neuron with moments in s. With readouts xi = sqrt(N) a and e = step_size / sqrt(N),

    nu^2 = s1^2 + E y^2 / psi0,   cos = s1 / nu,   r = e mu1 nu,   c_k = 1 + e^2 xi_k^2 E y^2 E (s' - mu1)^2 / psi0
    student(r xi_k s + sqrt(c_k) z)          has moments m_kj, b_kj, rho_kj, phi_kj        at s_j
    teacher(cos s + sqrt(1 - cos^2) t)       has moments f0_j, f1_j, f2_j                  at s_j

Row k of neurons has the resolvent Q_k, node j of s (weight w_j) the effective weight q_j; with D = diag(q),

    T = psi2 sum_k p_k Q_k b_k b_k^T,      1 / Q_k = ridge + rho_k . q + b_k^T D (I + T D)^-1 b_k
    S = N sum_k p_k Q_k m_k m_k^T + psi2 sum_k p_k Q_k [(s b_k)(s b_k)^T + 2 phi_k phi_k^T]
    V = (psi2 / psi1) sum_k p_k Q_k rho_k + diag((I + T D)^-1 T) / psi1 + psi2 / (psi1 N) diag((I + S D)^-1 S)
    q = w / (1 + V)
    F = q . (f2 + noise^2 - f0^2 - f1^2) + f0^T D (I + S D)^-1 f0 + f1^T D (I + T D)^-1 f1

and e = (I + V' diag(w / (1 + V)^2))^-1 F' of total derivatives in q gives risk = w . e - noise^2 and training error w .
e / (1 + V)^2. As N grows at a fixed step it becomes `closed_form`; steps of order sqrt(N) leave `kernel_floor` below.

`unified` is the traced core of one point; `moments_after_step`, traced as well, makes what it reads.

Where all readouts are 1 / sqrt(N), these are the spiked random features of Cui, Pesce, Dandi, Krzakala, Lu, Zdeborova,
Loureiro (2024), with the overlap of W0 with the spike, which their stored runs leave out.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from langevax.theory.feature_learning.activations import (
    Activation,
    Coefficients,
    gaussian_moments,
)
from langevax.theory.feature_learning.numerics import (
    Errors,
    newton_or_plain,
    with_derivatives,
)


class Tables(NamedTuple):
    """Moments of student and teacher at J nodes of s, for K readouts."""

    weights: Array
    """(J,) of the nodes"""
    shares: Array
    """(K,) of neurons with a readout"""
    mean: Array
    """(K, J) E student"""
    linear: Array
    """(K, J) E z student"""
    rest: Array
    """(K, J) E student^2 - mean^2 - linear^2"""
    along: Array
    """(K, J) s E z student: what a neuron's component along u adds"""
    second: Array
    """(K, J) sqrt(2) E (z^2 - 1) student / 2: what a neuron's length adds, 0 for lengths of 1"""
    target_mean: Array
    """(J,) E teacher"""
    target_linear: Array
    """(J,) E t teacher"""
    target_rest: Array
    """(J,) E teacher^2 - mean^2 - linear^2"""


class Aligned(NamedTuple):
    """The first layer after the step."""

    cosine: Any
    """between the gradient's direction u and the teacher's"""
    sine: Any
    slopes: Any
    """(K,) r xi: the neurons' components along u"""
    spreads: Any
    """(K,) sqrt(c): the lengths of the rest"""


def readout_nodes(readout: str, number: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Values and weights of xi = sqrt(N) a: gaussian, by `number` nodes, constant (1) or rademacher (1 and -1)."""
    match readout:
        case "gaussian":
            return normal_nodes(number)
        case "constant":
            return np.ones(1), np.ones(1)
        case "rademacher":
            return np.array([-1.0, 1.0]), np.full(2, 0.5)
    raise ValueError(
        f"readout is {readout!r}; pass one of gaussian, constant, rademacher."
    )


def after_step(
    student: Coefficients,
    teacher: Coefficients,
    readouts: np.ndarray,
    step_size: Any,
    num_neurons: Any,
    noise: Any,
    gradient_samples_per_dim: Any,
) -> Aligned:
    """Return how the step rotates and lengthens neurons, for one point; traced."""
    sampling = (
        teacher.linear**2 + teacher.rest**2 + noise**2
    ) / gradient_samples_per_dim
    length = jnp.sqrt(teacher.linear**2 + sampling)
    per_neuron = step_size / jnp.sqrt(num_neurons)
    spreads = jnp.sqrt(
        1 + per_neuron**2 * readouts**2 * sampling * student.slope_rest**2
    )
    slopes = per_neuron * student.linear * length * readouts
    return Aligned(
        teacher.linear / length, jnp.sqrt(sampling) / length, slopes, spreads
    )


def moments_after_step(
    student: Activation,
    teacher: Activation,
    aligned: Aligned,
    shares: np.ndarray,
    unit_rows: bool = False,
    num_nodes: int = 41,
) -> Tables:
    """The tables of one point; traced, and differentiable in what made `aligned`.

    With the default numbers of nodes risks are right to 1e-6 for steps up to 2 sqrt(N), to 0.3 % at 5 sqrt(N).
    """
    s, weights = normal_nodes(num_nodes)
    shift = aligned.slopes[:, None] * s
    mean, linear, square, second = gaussian_moments(
        student, shift, aligned.spreads[:, None] + 0 * shift
    )
    at = aligned.cosine * s
    target_mean, target_linear, target_square, _ = gaussian_moments(
        teacher, at, aligned.sine + 0 * at
    )
    return Tables(
        jnp.asarray(weights),
        jnp.asarray(shares),
        mean,
        linear,
        square - mean**2 - linear**2,
        jnp.asarray(s) * linear,
        (0 if unit_rows else 2**0.5) * second,
        target_mean,
        target_linear,
        target_square - target_mean**2 - target_linear**2,
    )


def normal_nodes(
    number: int, least_weight: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Hermite nodes and weights for N(0, 1), those alone of more than a least weight."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(number)
    weights = weights / weights.sum()
    return nodes[weights > least_weight], weights[weights > least_weight]


class _Point(NamedTuple):
    samples_per_dim: Array
    neurons_per_dim: Array
    num_neurons: Array
    ridge: Array
    noise: Array


class _Equations(NamedTuple):
    """Both sides of the fixed point with their derivatives in q and in log Q, all in closed form."""

    V: Array
    V_q: Array
    V_Q: Array
    F_q: Array
    F_Q: Array
    inverse: Array
    """(K,) the right-hand side of 1 / Q"""
    inverse_q: Array
    inverse_Q: Array


def unified(
    samples_per_dim: Array,
    neurons_per_dim: Array,
    num_neurons: Array,
    ridge: Array,
    noise: Array,
    tables: Tables,
    longest: float = 3.0,
    settled: float = 1e-4,
) -> Errors:
    """Traced, for one point; differentiable up to order three in the numbers and `tables`, NaN where not settled.

    Newton steps in log q and log Q are cut at `longest`; a last one longer than `settled` has not found a root.
    """
    numbers = _Point(samples_per_dim, neurons_per_dim, num_neurons, ridge, noise)
    stopped = lax.stop_gradient((numbers, tables))
    start = jnp.concatenate(
        [jnp.log(tables.weights), -jnp.log(ridge + tables.rest @ tables.weights)]
    )
    solution = newton_or_plain(
        lambda x: _residual(_equations(x, *stopped), x, stopped[1]),
        lambda x: _newton_step(x, *stopped),
        lax.stop_gradient(start),
        longest,
    )
    x = with_derivatives(lambda x: _newton_step(x, numbers, tables), solution)
    eqs = _equations(x, numbers, tables)
    Q_by_q = -jnp.linalg.solve(
        _unit(eqs.inverse) + eqs.inverse_Q / eqs.inverse[:, None],
        eqs.inverse_q / eqs.inverse[:, None],
    )
    F_slope = eqs.F_q + eqs.F_Q @ Q_by_q
    V_slope = eqs.V_q + eqs.V_Q @ Q_by_q
    squared = tables.weights / (1 + eqs.V) ** 2
    e = jnp.linalg.solve(_unit(squared) + V_slope * squared, F_slope)
    off = jnp.max(jnp.abs(lax.stop_gradient(_newton_step(x, *stopped))))
    # a tiny ridge, as many samples as neurons: no root is found
    known = jnp.where(off < settled, 1.0, jnp.nan)
    return Errors(known * (tables.weights @ e - noise**2), known * (squared @ e))


def _equations(x: Array, point: _Point, tables: Tables) -> _Equations:
    log_q, log_Q = jnp.split(x, [len(tables.weights)])
    q = jnp.exp(log_q)
    share = tables.shares * jnp.exp(log_Q)
    per_neuron = point.neurons_per_dim / point.num_neurons
    rest = point.neurons_per_dim * tables.rest

    # scaled so that T and S are sums over neurons
    linear = jnp.sqrt(point.neurons_per_dim) * tables.linear
    around = jnp.sqrt(point.neurons_per_dim) * jnp.concatenate(
        [tables.along, tables.second]
    )
    stacked = jnp.concatenate([jnp.sqrt(point.num_neurons) * tables.mean, around])
    X, U, target_linear = _resolved(linear, share, q, tables.target_linear)
    Y, W, target_mean = _resolved(stacked, jnp.tile(share, 3), q, tables.target_mean)

    def over_kinds(rows: Array) -> Array:
        return rows.reshape(3, len(share), *rows.shape[1:]).sum(0)

    V_Q = (rest + U**2 + per_neuron * over_kinds(W**2)) * share[:, None]
    explained = (U @ (q * tables.target_linear)) ** 2
    explained += over_kinds((W @ (q * tables.target_mean)) ** 2)
    overlaps = (linear * q) @ U.T
    return _Equations(
        V=(share @ rest + jnp.diag(X) + per_neuron * jnp.diag(Y))
        / point.samples_per_dim,
        V_q=-(X**2 + per_neuron * Y**2) / point.samples_per_dim,
        V_Q=V_Q.T / point.samples_per_dim,
        F_q=tables.target_rest + point.noise**2 + target_mean**2 + target_linear**2,
        F_Q=-share * explained,
        inverse=point.ridge + (rest @ q + jnp.diag(overlaps)) / point.neurons_per_dim,
        inverse_q=(rest + U**2) / point.neurons_per_dim,
        inverse_Q=-(overlaps**2) * share / point.neurons_per_dim,
    )


def _resolved(
    rows: Array,
    share: Array,
    q: Array,
    target: Array,
) -> tuple[Array, Array, Array]:
    """Return (I + T D)^-1 of T = rows^T diag(share) rows, of the rows themselves, and of a target."""
    size = len(q)
    T = (rows.T * share) @ rows
    columns = jnp.concatenate([T, rows.T, target[:, None]], 1)
    solved = jnp.linalg.solve(_unit(q) + T * q, columns)
    return solved[:, :size], solved[:, size:-1].T, solved[:, -1]


def _residual(eqs: _Equations, x: Array, tables: Tables) -> Array:
    log_q, log_Q = jnp.split(x, [len(tables.weights)])
    return jnp.concatenate(
        [
            log_q - jnp.log(tables.weights) + jnp.log1p(eqs.V),
            log_Q + jnp.log(eqs.inverse),
        ]
    )


def _newton_step(x: Array, point: _Point, tables: Tables) -> Array:
    """In the logarithms of q and Q."""
    eqs = _equations(x, point, tables)
    q = jnp.exp(x[: len(tables.weights)])
    slopes = jnp.concatenate([eqs.V_q * q, eqs.V_Q], 1)
    above = slopes / (1 + eqs.V)[:, None]
    below = (
        jnp.concatenate([eqs.inverse_q * q, eqs.inverse_Q], 1) / eqs.inverse[:, None]
    )
    return jnp.linalg.solve(
        _unit(x) + jnp.concatenate([above, below]), _residual(eqs, x, tables)
    )


def _unit(like: Array) -> Array:
    return jnp.eye(len(like), dtype=like.dtype)
