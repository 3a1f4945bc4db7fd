"""Ridge risk after one gradient step of size Theta(1) on the first layer, in closed form.

Ba, Erdogdu, Suzuki, Wang, Wu, Yang (NeurIPS 2022), Theorems 3 and 5; their formula for the gain is replaced by one
derived from the Gaussian equivalent features mu1 W1^T x + mu2 z and the rank-one step W1 = W0 + u a^T, |a| = 1,

    <u, beta> = t = step_size mu1 s1,      |u|^2 = t^2 + step_size^2 mu1^2 E y^2 / gradient_samples_per_dim.

With M, mt the traces of `marchenko_pastur` at (mu1^2, mu2^2 + k) and psi1, psi2 the samples and neurons per dimension:

    kappa = ridge + kappa (psi2 / psi1) df1(kappa),      df1(k) = tr Omega (Omega + k)^-1 / N
    Q(k)  = s1^2 [1 - w M + G],      G(k) = t^2 mu1^2 w^2 M^2 mt / (1 + w M mu1^2 mt |u|^2),      w = mu2^2 + k
    risk  = (E y^2 - Q + kappa Q') / (1 - df2 / n) - noise^2,      training error = (risk + noise^2) (ridge / kappa)^2

`closed_form` is the traced core: elementwise, for use inside `jax.jit`, `grad` and `vmap`; in float64 where the
caller has `jax.enable_x64()`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from langevax.theory.feature_learning.implicit import positive_root
from langevax.theory.feature_learning.marchenko_pastur import traces


class ClosedForm(NamedTuple):
    """What the closed form gives, elementwise."""

    risk: jax.Array
    training_error: jax.Array
    improvement: jax.Array
    """Risk without the step minus risk with it, from the formula's own difference: never below 0."""
    kappa: jax.Array
    """The ridge that the population problem would need."""


def closed_form(
    samples_per_dim: jax.Array,
    neurons_per_dim: jax.Array,
    ridge: jax.Array,
    step_size: jax.Array,
    noise: jax.Array,
    gradient_samples_per_dim: jax.Array,
    student_linear: jax.Array,
    student_rest: jax.Array,
    teacher_linear: jax.Array,
    teacher_rest: jax.Array,
) -> ClosedForm:
    """Traced and elementwise; the last four are `hermite_coefficients` of student and teacher."""
    a, tail, signal = student_linear**2, student_rest**2, teacher_linear**2
    label_variance = signal + teacher_rest**2 + noise**2
    aligned = step_size**2 * a * signal
    spike = aligned + step_size**2 * a * label_variance / gradient_samples_per_dim

    def df1_share(k: jax.Array) -> jax.Array:  # tr Omega (Omega + k)^-1 / n
        bulk = traces(a, tail + k, neurons_per_dim)
        return neurons_per_dim / samples_per_dim * (bulk.inner_filled + tail * bulk.inner)

    def linear_part(k: jax.Array) -> jax.Array:  # Q without the step
        return signal * traces(a, tail + k, neurons_per_dim).outer_filled

    def gain(k: jax.Array) -> jax.Array:  # what the step adds to Q
        bulk = traces(a, tail + k, neurons_per_dim)
        shrunk = (tail + k) * bulk.outer
        filled = shrunk * a * bulk.inner
        return signal * aligned * shrunk * filled / (1 + filled * spike)

    high = ridge + neurons_per_dim / samples_per_dim * (a + tail)
    kappa = positive_root(lambda k: 1 - ridge / k - df1_share(k), ridge, high)
    one = jnp.ones_like(kappa)
    _, df1_slope = jax.jvp(df1_share, (kappa,), (one,))
    freedom = ridge / kappa - kappa * df1_slope  # 1 - df2 / n, as a sum of positive terms
    (linear, linear_slope), (gained, gain_slope) = (jax.jvp(f, (kappa,), (one,)) for f in (linear_part, gain))
    improvement = (gained - kappa * gain_slope) / freedom
    risk = (label_variance - linear + kappa * linear_slope) / freedom - improvement - noise**2
    training_error = (risk + noise**2) * (ridge / kappa) ** 2
    return ClosedForm(risk, training_error, improvement, kappa)
