"""The second derivation of the errors after a long step: spiked random features, whose traces are scalars.

Where all readouts are 1 / sqrt(N), given s all neurons are alike (Cui, Pesce, Dandi, Krzakala, Lu, Zdeborova, Loureiro,
2024), so that every trace is one of Marchenko and Pastur's at (h1, h2 + ridge), h1 = sum_j q_j b_j^2 and h2 = sum_j q_j
rho_j:

    V_j = (psi2 / psi1) (b_j^2 tr A Q + rho_j tr Q) / N,   A = W0^T W0,   Q = (h1 A + h2 + ridge)^-1,   q = w / (1 + V)
    F   = q . (f2 + noise^2) - c^T (K^-1 + G)^-1 c - psi2 (q . b f1)^2 tr A Q / N
    G   = sum_j q_j p_j p_j^T,   c = sum_j q_j p_j f0_j,   p = (m, s b, sqrt(2) phi),   K = psi2 tr Q / N (inf, 1, 1)

The number of neurons enters by step_size / sqrt(N) alone.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from langevax.theory.feature_learning.large_step import Tables
from langevax.theory.feature_learning.numerics import (
    Errors,
    newton_or_plain,
    with_derivatives,
)
from langevax.theory.feature_learning.one_step import (
    student_and_teacher,
    tables_of_point,
)
from langevax.theory.feature_learning.small_step import traces


def spiked_errors(
    samples_per_dim: np.ndarray,
    neurons_per_dim: float,
    ridges: np.ndarray,
    step_size: float,
    student: str,
    teacher: str,
    noise: float,
    *,
    num_neurons: float,
    unit_rows: bool,
) -> Errors:
    """Errors at points of as many samples and ridges, with constant readouts."""
    named = (*student_and_teacher(student, teacher), "constant", unit_rows)
    points = []
    with jax.enable_x64():
        for samples, ridge in zip(samples_per_dim, ridges, strict=True):
            tables = tables_of_point(
                named, step_size, num_neurons, noise, jnp.asarray(samples)
            )
            numbers = (samples, neurons_per_dim, ridge, noise)
            points.append(spiked(*map(jnp.asarray, numbers), tables))
    return jax.tree.map(lambda *leaves: np.array(leaves), *points)


def spiked(
    samples_per_dim: Array,
    neurons_per_dim: Array,
    ridge: Array,
    noise: Array,
    tables: Tables,
) -> Errors:
    """Traced, for one point, of tables with one readout; differentiable up to order three."""
    weights = tables.weights
    b, rest = tables.linear[0], tables.rest[0]
    p = jnp.stack([tables.mean[0], tables.along[0], tables.second[0]])
    f0, f1 = tables.target_mean, tables.target_linear

    def V_of(h: Array) -> Array:
        bulk = traces(h[0], h[1] + ridge, neurons_per_dim)
        return (
            neurons_per_dim
            / samples_per_dim
            * (b**2 * bulk.inner_filled / h[0] + rest * bulk.inner)
        )

    def h_of(q: Array) -> Array:
        return jnp.stack([q @ b**2, q @ rest])

    def F_of(q: Array) -> Array:
        h = h_of(q)
        bulk = traces(h[0], h[1] + ridge, neurons_per_dim)
        filled = neurons_per_dim * bulk.inner
        cost = jnp.stack([jnp.zeros_like(filled), 1 / filled, 1 / filled])
        c = p @ (q * f0)
        by_direction = c @ jnp.linalg.solve(jnp.diag(cost) + (p * q) @ p.T, c)
        by_bulk = bulk.outer_filled / h[0] * (q @ (b * f1)) ** 2
        return (
            q @ (tables.target_rest + f0**2 + f1**2 + noise**2) - by_direction - by_bulk
        )

    h = fixed_point(lambda h: h_of(weights / (1 + V_of(h))), h_of(weights))
    V = V_of(h)
    q = weights / (1 + V)
    squared = q / (1 + V)
    V_slope = jax.jacfwd(V_of)(h) @ jnp.stack([b**2, rest])
    e = jnp.linalg.solve(
        jnp.eye(len(q), dtype=q.dtype) + V_slope * squared, jax.grad(F_of)(q)
    )
    return Errors(weights @ e - noise**2, squared @ e)


def fixed_point(function: Callable[[Array], Array], start: Array) -> Array:
    """x = function(x) for a few unknowns, with derivatives up to order three."""

    def residual(x: Array) -> Array:
        return x - function(x)

    def step(x: Array) -> Array:
        return jnp.linalg.solve(jax.jacfwd(residual)(x), residual(x))

    return with_derivatives(step, newton_or_plain(residual, step, start))
