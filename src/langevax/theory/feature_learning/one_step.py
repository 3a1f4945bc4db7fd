"""The risk of a two-layer network whose first layer took one gradient step, and what the step gained."""

import jax
import numpy as np

from langevax.theory.feature_learning.arguments import (
    Errors,
    Numbers,
    as_numpy,
    broadcast_call,
    centred,
    nonnegative,
    positive,
)
from langevax.theory.feature_learning.closed import ClosedForm, closed_form
from langevax.theory.feature_learning.hermite import Function

_closed_form = jax.jit(closed_form)


def risk_one_step(
    samples_per_dim: Numbers,
    neurons_per_dim: Numbers,
    ridge: Numbers,
    step_size: Numbers,
    student: Function,
    teacher: Function,
    noise: Numbers,
    gradient_samples_per_dim: Numbers | None = None,
) -> Errors:
    """Ridge risk on the features after one step of gradient descent on the first layer, as n / d and N / d are fixed.

    x ~ N(0, I_d), y = teacher(<x, beta>) + noise xi, and with a ~ N(0, 1/N), W0 ~ N(0, 1/d) of shape (d, N)

        W1 = W0 - step_size sqrt(N) grad_W 1/(2 n0) sum_i (y_i - a^T student(W^T x_i) / sqrt(N))^2      at W = W0
        w  = argmin 1/n sum_i (y_i - <w, student(W1^T x_i)>)^2 + ridge |w|^2      on n new samples

    n0 / d = `gradient_samples_per_dim`, by default that of the ridge. `conventions` translates other papers' step
    sizes and ridges.

    >>> setting = dict(neurons_per_dim=2.0, ridge=1e-3, student="erf", teacher="erf", noise=0.1)
    >>> risk_one_step(np.array([1.0, 4.0]), step_size=1.0, **setting).risk.round(6)
    array([0.308251, 0.14586 ])
    """
    found = _closed(
        samples_per_dim, neurons_per_dim, ridge, step_size, student, teacher, noise, gradient_samples_per_dim
    )
    return Errors(found.risk, found.training_error)


def _closed(
    samples_per_dim: Numbers,
    neurons_per_dim: Numbers,
    ridge: Numbers,
    step_size: Numbers,
    student: Function,
    teacher: Function,
    noise: Numbers,
    gradient_samples_per_dim: Numbers | None,
) -> ClosedForm:
    if gradient_samples_per_dim is None:
        gradient_samples_per_dim = samples_per_dim
    positive(samples_per_dim=samples_per_dim, neurons_per_dim=neurons_per_dim, ridge=ridge)
    positive(gradient_samples_per_dim=gradient_samples_per_dim)
    nonnegative(step_size=step_size, noise=noise)
    (_, of_student), (_, of_teacher) = centred("student", student), centred("teacher", teacher)
    numbers = (samples_per_dim, neurons_per_dim, ridge, step_size, noise, gradient_samples_per_dim)
    return broadcast_call(
        _closed_form, *numbers, of_student.linear, of_student.rest, of_teacher.linear, of_teacher.rest
    )


def improvement(
    samples_per_dim: Numbers,
    neurons_per_dim: Numbers,
    ridge: Numbers,
    step_size: Numbers,
    student: Function,
    teacher: Function,
    noise: Numbers,
    gradient_samples_per_dim: Numbers | None = None,
) -> float | np.ndarray:
    """Risk without the step minus risk with it, arguments as in `risk_one_step`: delta of Ba et al., Theorem 5.

    Never negative, and zero only without a step or where student or teacher has no linear part; computed as one
    product, so that small gains keep their digits. It vanishes as `neurons_per_dim` grows.

    >>> round(improvement(4.0, 2.0, 1e-3, 1.0, "erf", "erf", noise=0.1), 6)
    0.004879
    """
    found = _closed(
        samples_per_dim, neurons_per_dim, ridge, step_size, student, teacher, noise, gradient_samples_per_dim
    )
    return as_numpy(found.improvement)
