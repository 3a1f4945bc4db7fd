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

and e = (I + V' diag(w / (1 + V)^2))^-1 F' of total derivatives in q gives risk = w . e - noise^2 and training error
w . e / (1 + V)^2. As N grows at a fixed step it becomes `closed`; steps of order sqrt(N) leave `kernel_floor` below.

`unified` is the traced core of one point; `tables.moments_after_step`, traced as well, makes what it reads.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from langevax.theory.feature_learning.arguments import Errors
from langevax.theory.feature_learning.implicit import newton_or_plain, with_derivatives
from langevax.theory.feature_learning.tables import Tables

SETTLED = 1e-4
"""A last Newton step longer than this found no root."""
LONGEST = 3.0
"""Newton steps in log q and log Q are cut at this."""


class _Equations(NamedTuple):
    """Both sides of the fixed point with their derivatives in q and in log Q, all in closed form."""

    V: jax.Array
    V_q: jax.Array
    V_Q: jax.Array
    F_q: jax.Array
    F_Q: jax.Array
    inverse: jax.Array
    """(K,) the right-hand side of 1 / Q"""
    inverse_q: jax.Array
    inverse_Q: jax.Array


def unified(
    samples_per_dim: jax.Array,
    neurons_per_dim: jax.Array,
    num_neurons: jax.Array,
    ridge: jax.Array,
    noise: jax.Array,
    tables: Tables,
) -> Errors:
    """Traced, for one point; differentiable up to order three in the numbers and `tables`, NaN where not settled."""
    numbers = (samples_per_dim, neurons_per_dim, num_neurons, ridge, noise)
    stopped = lax.stop_gradient((numbers, tables))
    start = jnp.concatenate([jnp.log(tables.weights), -jnp.log(ridge + tables.rest @ tables.weights)])
    solution = newton_or_plain(
        lambda x: _residual(_equations(x, *stopped), x, stopped[1]),
        lambda x: _newton_step(x, *stopped),
        lax.stop_gradient(start),
        LONGEST,
    )
    x = with_derivatives(lambda x: _newton_step(x, numbers, tables), solution)
    found = _equations(x, numbers, tables)
    Q_by_q = -jnp.linalg.solve(
        _unit(found.inverse) + found.inverse_Q / found.inverse[:, None], found.inverse_q / found.inverse[:, None]
    )
    F_slope, V_slope = found.F_q + found.F_Q @ Q_by_q, found.V_q + found.V_Q @ Q_by_q
    squared = tables.weights / (1 + found.V) ** 2
    e = jnp.linalg.solve(_unit(squared) + V_slope * squared, F_slope)
    off = jnp.max(jnp.abs(lax.stop_gradient(_newton_step(x, *stopped))))
    settled = jnp.where(off < SETTLED, 1.0, jnp.nan)  # a tiny ridge, as many samples as neurons: no root is found
    return Errors(settled * (tables.weights @ e - noise**2), settled * (squared @ e))


def _equations(x: jax.Array, numbers: tuple[jax.Array, ...], tables: Tables) -> _Equations:
    samples_per_dim, neurons_per_dim, num_neurons, ridge, noise = numbers
    size, readouts = len(tables.weights), len(tables.shares)
    q, share = jnp.exp(x[:size]), tables.shares * jnp.exp(x[size:])

    linear = jnp.sqrt(neurons_per_dim) * tables.linear  # scaled so that T and S are sums over neurons
    seen = jnp.concatenate(
        [
            jnp.sqrt(num_neurons) * tables.mean,
            jnp.sqrt(neurons_per_dim) * tables.along,
            jnp.sqrt(neurons_per_dim) * tables.second,
        ]
    )
    T = (linear.T * share) @ linear
    S = (seen.T * jnp.tile(share, 3)) @ seen
    by_T = jnp.linalg.solve(_unit(q) + T * q, jnp.concatenate([T, linear.T, tables.target_linear[:, None]], 1))
    by_S = jnp.linalg.solve(_unit(q) + S * q, jnp.concatenate([S, seen.T, tables.target_mean[:, None]], 1))
    X, U, target_linear = by_T[:, :size], by_T[:, size:-1].T, by_T[:, -1]
    Y, W, target_mean = by_S[:, :size], by_S[:, size:-1].T, by_S[:, -1]
    per_neuron = neurons_per_dim / num_neurons

    def over_kinds(rows: jax.Array) -> jax.Array:
        return rows.reshape(3, readouts, *rows.shape[1:]).sum(0)

    rest = neurons_per_dim * tables.rest
    V = (share @ rest + jnp.diag(X) + per_neuron * jnp.diag(Y)) / samples_per_dim
    V_q = -(X**2 + per_neuron * Y**2) / samples_per_dim
    V_Q = ((rest + U**2 + per_neuron * over_kinds(W**2)) * share[:, None]).T / samples_per_dim
    F_q = tables.target_rest + noise**2 + target_mean**2 + target_linear**2
    F_Q = -share * ((U @ (q * tables.target_linear)) ** 2 + over_kinds((W @ (q * tables.target_mean)) ** 2))
    overlaps = (linear * q) @ U.T
    inverse = ridge + (rest @ q + jnp.diag(overlaps)) / neurons_per_dim
    inverse_q = (rest + U**2) / neurons_per_dim
    inverse_Q = -(overlaps**2) * share / neurons_per_dim
    return _Equations(V, V_q, V_Q, F_q, F_Q, inverse, inverse_q, inverse_Q)


def _residual(found: _Equations, x: jax.Array, tables: Tables) -> jax.Array:
    log_q, log_Q = jnp.split(x, [len(tables.weights)])
    return jnp.concatenate([log_q - jnp.log(tables.weights) + jnp.log1p(found.V), log_Q + jnp.log(found.inverse)])


def _newton_step(x: jax.Array, numbers: tuple[jax.Array, ...], tables: Tables) -> jax.Array:
    """In the logarithms of q and Q."""
    found = _equations(x, numbers, tables)
    q = jnp.exp(x[: len(tables.weights)])
    above = jnp.concatenate([found.V_q * q, found.V_Q], 1) / (1 + found.V)[:, None]
    below = jnp.concatenate([found.inverse_q * q, found.inverse_Q], 1) / found.inverse[:, None]
    return jnp.linalg.solve(_unit(x) + jnp.concatenate([above, below]), _residual(found, x, tables))


def _unit(like: jax.Array) -> jax.Array:
    return jnp.eye(len(like), dtype=like.dtype)
