"""The risk of a two-layer network whose first layer took one gradient step, and what the step gained."""

import jax
import numpy as np

from langevax.theory.feature_learning.arguments import (
    Errors,
    Numbers,
    as_numpy,
    broadcast_call,
    centred,
    check_numbers,
    positive,
)
from langevax.theory.feature_learning.closed import ClosedForm, closed_form
from langevax.theory.feature_learning.hermite import Function
from langevax.theory.feature_learning.long_step import long_step_risk
from langevax.theory.feature_learning.tables import readout_nodes

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
    num_neurons: Numbers | None = None,
    readout: str = "gaussian",
    unit_rows: bool = False,
    method: str = "auto",
) -> float | np.ndarray:
    """Ridge risk on the features after one step of gradient descent on the first layer, as n / d and N / d are fixed.

    x ~ N(0, I_d), y = teacher(<x, beta>) + noise xi, and with a ~ N(0, 1/N), W0 ~ N(0, 1/d) of shape (d, N)

        W1 = W0 - step_size sqrt(N) grad_W 1/(2 n0) sum_i (y_i - a^T student(W^T x_i) / sqrt(N))^2      at W = W0
        w  = argmin 1/n sum_i (y_i - <w, student(W1^T x_i)>)^2 + ridge |w|^2      on n new samples

    n0 / d = `gradient_samples_per_dim`, by default that of the ridge. `conventions` translates other papers' step
    sizes and ridges. Of the methods,

        closed    steps of size Theta(1), any `readout`, infinitely many neurons; microseconds a point
        unified   any step, of order sqrt(num_neurons) as well; milliseconds a point
        spiked    the same for readouts that are all 1 / sqrt(N), by scalars only

    and "auto" is closed, or with `num_neurons` unified. A `readout` is gaussian, constant or rademacher; `unit_rows` is
    for neurons that start with length 1 exactly. A teacher without a linear part (s1 = 0) has nothing that one step
    could find, and the risk is that of initial features but for their spread.

    Raises:
        ValueError: numbers out of range, a student or teacher whose mean is not 0, an unknown method or readout.
        RuntimeError: "unified" found no fixed point, as at n = N with a ridge of 1e-7 and below.

    >>> setting = dict(neurons_per_dim=2.0, ridge=1e-3, student="erf", teacher="erf", noise=0.1)
    >>> risk_one_step(np.array([1.0, 4.0]), step_size=1.0, **setting).round(6)
    array([0.308251, 0.14586 ])
    >>> long = risk_one_step(8.0, step_size=1000**0.5, num_neurons=1000, **setting)
    >>> round(long, 5)  # below the kernels' floor of 0.04015
    0.03111
    """
    return errors_one_step(
        samples_per_dim,
        neurons_per_dim,
        ridge,
        step_size,
        student,
        teacher,
        noise,
        gradient_samples_per_dim,
        num_neurons,
        readout,
        unit_rows,
        method,
    ).risk


def errors_one_step(
    samples_per_dim: Numbers,
    neurons_per_dim: Numbers,
    ridge: Numbers,
    step_size: Numbers,
    student: Function,
    teacher: Function,
    noise: Numbers,
    gradient_samples_per_dim: Numbers | None = None,
    num_neurons: Numbers | None = None,
    readout: str = "gaussian",
    unit_rows: bool = False,
    method: str = "auto",
) -> Errors:
    """Risk and training error, of which `risk_one_step`, with the same arguments, is the first.

    >>> errors = errors_one_step(4.0, 2.0, 1e-3, 1.0, "erf", "erf", noise=0.1)
    >>> round(errors.risk, 4), round(errors.training_error, 4)
    (0.1459, 0.0409)
    """
    if method not in ("auto", "closed", "unified", "spiked"):
        raise ValueError(f"method is {method!r}; pass one of auto, closed, unified, spiked.")
    readout_nodes(readout)
    if method == "auto":
        method = "closed" if num_neurons is None else "unified"
    if gradient_samples_per_dim is None:
        gradient_samples_per_dim = samples_per_dim
    numbers = (samples_per_dim, neurons_per_dim, ridge, step_size, student, teacher, noise, gradient_samples_per_dim)
    if method == "closed":
        found = _closed(*numbers)
        return Errors(found.risk, found.training_error)
    if num_neurons is None:
        raise ValueError(f'method "{method}" needs num_neurons, got None; pass the number of neurons N.')
    if method == "spiked" and readout != "constant":
        raise ValueError(f'method "spiked" is for readout="constant", got {readout!r}; pass that, or method="unified".')
    check_numbers(*numbers[:4], noise, gradient_samples_per_dim)
    positive(num_neurons=num_neurons)
    return long_step_risk(method, *numbers, num_neurons, readout, unit_rows)


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
    check_numbers(samples_per_dim, neurons_per_dim, ridge, step_size, noise, gradient_samples_per_dim)
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
