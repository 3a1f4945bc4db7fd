"""Ridge risk after one gradient step of size Theta(1) on the first layer, in closed form.

Ba, Erdogdu, Suzuki, Wang, Wu, Yang (NeurIPS 2022), Theorems 3 and 5; their formula for the gain is replaced by one
derived from the Gaussian equivalent features mu1 W1^T x + mu2 z and the rank-one step W1 = W0 + u a^T, |a| = 1,

    <u, beta> = t = step_size mu1 s1,      |u|^2 = t^2 + step_size^2 mu1^2 E y^2 / gradient_samples_per_dim.

With M, mt the resolvent `traces` of W0 at (mu1^2, mu2^2 + k) and psi1, psi2 the samples and neurons per dimension:

    kappa = ridge + kappa (psi2 / psi1) df1(kappa),      df1(k) = tr Omega (Omega + k)^-1 / N
    Q(k)  = s1^2 [1 - w M + G],      G(k) = t^2 mu1^2 w^2 M^2 mt / (1 + w M mu1^2 mt |u|^2),      w = mu2^2 + k
    risk  = (E y^2 - Q + kappa Q') / (1 - df2 / n) - noise^2,      training error = (risk + noise^2) (ridge / kappa)^2

`closed_form` is the traced core: elementwise, for use inside `jax.jit`, `grad` and `vmap`; in float64 where the
caller has `jax.enable_x64()`.

The first layer W1 has the singular values of W0, between |sqrt(N/d) - 1| and sqrt(N/d) + 1. Once |u|^4 > N/d one leaves
them for sqrt((N/d + |u|^2)(1 + |u|^2)) / |u|, and its left vector has the squared cosine
1 - (N/d + |u|^2) / (|u|^2 (1 + |u|^2)) with u (Benaych-Georges and Nadakuditi, J. Multivariate Analysis 2012).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from langevax.theory.feature_learning.activations import Function
from langevax.theory.feature_learning.numerics import (
    centred,
    positive_root,
)
from langevax.theory.lsi import nonnegative, positive


class Traces(NamedTuple):
    """Traces of a W W^T + w (d x d) and a W^T W + w (N x N), for a >= 0 and w > 0."""

    outer: Array
    """tr (a W W^T + w)^-1 / d"""
    inner: Array
    """tr (a W^T W + w)^-1 / N"""
    outer_filled: Array
    """tr a W W^T (a W W^T + w)^-1 / d"""
    inner_filled: Array
    """tr a W^T W (a W^T W + w)^-1 / N"""


def traces(a: Array, w: Array, neurons_per_dim: Array) -> Traces:
    """With M the outer trace, which solves a w M^2 + (w + a (neurons_per_dim - 1)) M = 1, and m = a M:

        inner = 1 / (w (1 + m)),   outer_filled = neurons_per_dim m / (1 + m),   inner_filled = m / (1 + m)

    Traced; all arguments broadcast.
    """
    middle = w + a * (neurons_per_dim - 1)
    root = jnp.sqrt(middle**2 + 4 * a * w)
    is_positive = middle > 0
    aw = jnp.where(is_positive, 1, a * w)
    outer = jnp.where(
        is_positive,
        2 / jnp.where(is_positive, middle + root, 1),
        (root - middle) / (2 * aw),
    )
    m = a * outer
    share = m / (1 + m)
    return Traces(outer, 1 / (w * (1 + m)), neurons_per_dim * m / (1 + m), share)


class ClosedForm(NamedTuple):
    """Results of the closed form, elementwise."""

    risk: Array
    training_error: Array
    improvement: Array
    """Risk without the step minus risk with it, from the formula's own difference: never below 0."""
    kappa: Array
    """The ridge that the population problem would need."""


def closed_form(
    samples_per_dim: Array,
    neurons_per_dim: Array,
    ridge: Array,
    step_size: Array,
    noise: Array,
    gradient_samples_per_dim: Array,
    student_linear: Array,
    student_rest: Array,
    teacher_linear: Array,
    teacher_rest: Array,
) -> ClosedForm:
    """Traced and elementwise; the last four are `hermite_coefficients` of student and teacher."""
    a = student_linear**2
    tail = student_rest**2
    signal = teacher_linear**2
    label_variance = signal + teacher_rest**2 + noise**2
    aligned = step_size**2 * a * signal
    spike = aligned + step_size**2 * a * label_variance / gradient_samples_per_dim

    def df1_share(k: Array) -> Array:  # tr Omega (Omega + k)^-1 / n
        bulk = traces(a, tail + k, neurons_per_dim)
        return (
            neurons_per_dim / samples_per_dim * (bulk.inner_filled + tail * bulk.inner)
        )

    def linear_part(k: Array) -> Array:  # Q without the step
        return signal * traces(a, tail + k, neurons_per_dim).outer_filled

    def gain(k: Array) -> Array:  # what the step adds to Q
        bulk = traces(a, tail + k, neurons_per_dim)
        shrunk = (tail + k) * bulk.outer
        filled = shrunk * a * bulk.inner
        return signal * aligned * shrunk * filled / (1 + filled * spike)

    high = ridge + neurons_per_dim / samples_per_dim * (a + tail)
    kappa = positive_root(lambda k: 1 - ridge / k - df1_share(k), ridge, high)

    def with_slope(f: Callable[[Array], Array]) -> tuple[Array, Array]:
        return jax.jvp(f, (kappa,), (jnp.ones_like(kappa),))

    # 1 - df2 / n, as a sum of positive terms
    freedom = ridge / kappa - kappa * with_slope(df1_share)[1]
    (linear, linear_slope), (gained, gain_slope) = map(with_slope, (linear_part, gain))
    improvement = (gained - kappa * gain_slope) / freedom
    risk = (
        (label_variance - linear + kappa * linear_slope) / freedom
        - improvement
        - noise**2
    )
    training_error = (risk + noise**2) * (ridge / kappa) ** 2
    return ClosedForm(risk, training_error, improvement, kappa)


class Spectrum(NamedTuple):
    """Spectrum of the trained first layer."""

    lower_edge: float
    upper_edge: float
    outlier: float
    """The largest singular value, nan where it stays in the bulk."""
    alignment: float
    """Squared cosine of its left vector with the teacher's direction; 0 where it stays in the bulk."""


def spectrum_one_step(
    neurons_per_dim: float,
    step_size: float,
    student: Function,
    teacher: Function,
    noise: float,
    gradient_samples_per_dim: float,
) -> Spectrum:
    """Edges of the bulk, the outlier and how much it knows; arguments as in `errors_one_step`.

    >>> [round(value, 4) for value in spectrum_one_step(2.0, 6.0, "erf", "erf", 0.1, 8.0)]
    [0.4142, 2.4142, 3.2652, 0.7445]
    """
    positive(
        neurons_per_dim=neurons_per_dim,
        gradient_samples_per_dim=gradient_samples_per_dim,
    )
    nonnegative(step_size=step_size, noise=noise)
    (_, of_student) = centred("student", student)
    (_, of_teacher) = centred("teacher", teacher)
    variance = of_teacher.linear**2 + of_teacher.rest**2 + noise**2
    signal = (step_size * of_student.linear * of_teacher.linear) ** 2
    square = (
        signal
        + (step_size * of_student.linear) ** 2 * variance / gradient_samples_per_dim
    )
    root = np.sqrt(neurons_per_dim)
    edges = float(abs(root - 1)), float(root + 1)
    if square**2 <= neurons_per_dim:
        return Spectrum(*edges, float("nan"), 0.0)
    outlier = np.sqrt((neurons_per_dim + square) * (1 + square) / square)
    overlap = 1 - (neurons_per_dim + square) / (square * (1 + square))
    return Spectrum(*edges, float(outlier), float(overlap * signal / square))


def bulk_density(values: np.ndarray, neurons_per_dim: float) -> np.ndarray:
    """Marchenko-Pastur density of the min(d, N) singular values of W0, of integral 1.

    >>> values = np.linspace(0, 3, 3001)
    >>> round(float(np.trapezoid(bulk_density(values, 2.0), values)), 4)
    1.0
    """
    positive(neurons_per_dim=neurons_per_dim)
    values = np.asarray(values, float)
    root = np.sqrt(neurons_per_dim)
    inside = np.maximum(
        ((root + 1) ** 2 - values**2) * (values**2 - (root - 1) ** 2), 0
    )
    return (
        np.sqrt(inside)
        / (np.pi * np.where(values > 0, values, 1))
        / min(1.0, neurons_per_dim)
    )
