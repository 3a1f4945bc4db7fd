"""Ridge regression on random features of any kernel: the deterministic equivalent averaged over the features.

Defilippis, Loureiro, Misiakiewicz (2024). The kernel of infinitely many features has eigenvalues xi_k^2, the target
coefficients b_k on its eigenfunctions; p features, n samples, D = n ridge / p the penalty of features / sqrt(p). With
r = sqrt((1 - n/p)^2 + 4 D / (p nu2)), nu2 solves

    1 + n/p - r = (2/p) sum_k xi_k^2 / (xi_k^2 + nu2),      nu1 = (nu2 / 2) (1 - n/p + r)
    t   = sum_k xi_k^4 / (xi_k^2 + nu2)^2,      chi = sum_k xi_k^2 / (xi_k^2 + nu2)^2 / (p - t)
    U   = (p/n) [(1 - nu1/nu2)^2 + (nu1/nu2)^2 t / (p - t)]
    bias = nu2^2 / (1 - U) sum_k b_k^2 (1 + chi xi_k^2) / (xi_k^2 + nu2)^2,      variance = noise^2 U / (1 - U)

The features of a two-layer network at initial weights are d eigenvalues mu1^2 / d and a tail of total mass mu2^2.
`random_features` is the traced core.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from langevax.theory.feature_learning.arguments import Numbers, broadcast_call, nonnegative, positive
from langevax.theory.feature_learning.implicit import positive_root


class RandomFeatures(NamedTuple):
    """Risk on new inputs without label noise, split, and the training error; the numbers broadcast."""

    risk: Any
    """bias + variance"""
    bias: Any
    variance: Any
    training_error: Any


def random_feature_equivalent(
    eigenvalues: Float[np.ndarray, " modes"],
    coefficients: Float[np.ndarray, " modes"],
    num_samples: Numbers,
    num_neurons: Numbers,
    ridge: Numbers,
    noise: Numbers,
    tail: float = 0.0,
    target_tail: float = 0.0,
) -> RandomFeatures:
    """Risk of w = argmin 1/n sum_i (y_i - <w, features_i>)^2 + ridge |w|^2 for num_neurons features without 1/sqrt(p).

    `tail` is the mass of infinitely many eigenvalues too small to be learned one by one, `target_tail` the target's
    energy on them: the kernel's trace is sum eigenvalues + tail, the target's variance |coefficients|^2 + target_tail.

    >>> from langevax.theory.feature_learning import hermite_coefficients
    >>> student, teacher = hermite_coefficients("erf"), hermite_coefficients("tanh")
    >>> eigenvalues, coefficients = np.full(400, student.linear**2 / 400), np.full(400, teacher.linear / 400**0.5)
    >>> tails = {"tail": student.rest**2, "target_tail": teacher.rest**2}
    >>> found = random_feature_equivalent(eigenvalues, coefficients, 1000, 600, 0.02, 0.2, **tails)
    >>> round(found.risk, 6)  # n / d = 2.5, N / d = 1.5: the closed form has 0.152953
    0.152953
    """
    positive(num_samples=num_samples, num_neurons=num_neurons, ridge=ridge)
    nonnegative(eigenvalues=eigenvalues, noise=noise, tail=tail, target_tail=target_tail)
    if not np.sum(eigenvalues) + tail > 0:
        raise ValueError("eigenvalues and tail are all 0; pass a kernel that is not.")
    spectrum = (np.asarray(eigenvalues, float), np.asarray(coefficients, float) ** 2, float(tail), float(target_tail))
    return broadcast_call(functools.partial(_mapped, *spectrum), num_samples, num_neurons, ridge, noise)


def random_features(
    eigenvalues: jax.Array,
    energies: jax.Array,
    tail: jax.Array,
    target_tail: jax.Array,
    num_samples: jax.Array,
    num_neurons: jax.Array,
    ridge: jax.Array,
    noise: jax.Array,
) -> RandomFeatures:
    """Traced, for one point; `energies` are the squared coefficients."""
    n, p = num_samples, num_neurons
    penalty, gap = n * ridge / p, 1 - n / p

    def root_of(nu: jax.Array) -> jax.Array:
        return jnp.sqrt(gap**2 + 4 * penalty / (p * nu))

    def excess(nu: jax.Array) -> jax.Array:
        return 1 + n / p - root_of(nu) - 2 / p * (jnp.sum(eigenvalues / (eigenvalues + nu)) + tail / nu)

    ratio = n / p
    share = jnp.minimum(1, ratio)
    wide = jnp.maximum(1, ratio) ** 2 - gap**2
    high = jnp.maximum(2 * (jnp.sum(eigenvalues) + tail) / (p * share), 4 * penalty / (p * wide))
    nu2 = positive_root(excess, penalty / n, high)
    root = root_of(nu2)
    over_p = 2 * penalty / (p * nu2)  # nu1 / nu2 without a difference where samples outnumber features
    fewer = gap > 0
    fraction = jnp.where(fewer, (gap + root) / 2, over_p / jnp.where(fewer, 1, root - gap))
    learned = eigenvalues / (eigenvalues + nu2)
    t = jnp.sum(learned**2)
    chi = (jnp.sum(eigenvalues / (eigenvalues + nu2) ** 2) + tail / nu2**2) / (p - t)
    U = p / n * ((1 - fraction) ** 2 + fraction**2 * t / (p - t))
    unlearned = nu2**2 * jnp.sum(energies * (1 + chi * eigenvalues) / (eigenvalues + nu2) ** 2) + target_tail
    bias, variance = unlearned / (1 - U), noise**2 * U / (1 - U)
    training_error = (bias + variance + noise**2) * (penalty / (n * fraction * nu2)) ** 2
    return RandomFeatures(bias + variance, bias, variance, training_error)


@jax.jit
def _mapped(*spectrum_and_numbers: jax.Array) -> RandomFeatures:
    spectrum, numbers = spectrum_and_numbers[:4], spectrum_and_numbers[4:]
    return jax.lax.map(lambda point: random_features(*spectrum, *point), numbers, batch_size=32)
