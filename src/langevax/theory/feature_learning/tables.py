"""What the theory of long steps reads of student and teacher: moments given the position along the gradient.

Notation of `unified`: s = <x, u> at Gauss-Hermite nodes, readouts xi = sqrt(N) a of neurons at nodes of their law.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from langevax.theory.feature_learning.hermite import (
    Activation,
    Coefficients,
    gaussian_moments,
    gaussian_moments_on_host,
)

INPUT_NODES, READOUT_NODES = 41, 40
"""They give risks to 1e-6 for steps up to 2 sqrt(N), to 0.3 % at 5 sqrt(N)."""


Moments = Any
"""Of JAX where traced, else of NumPy."""


class Tables(NamedTuple):
    """Moments of student and teacher at J nodes of s, for K readouts."""

    weights: Moments
    """(J,) of the nodes"""
    shares: Moments
    """(K,) of neurons with a readout"""
    mean: Moments
    """(K, J) E student"""
    linear: Moments
    """(K, J) E z student"""
    rest: Moments
    """(K, J) E student^2 - mean^2 - linear^2"""
    along: Moments
    """(K, J) s E z student: what a neuron's component along u adds"""
    second: Moments
    """(K, J) sqrt(2) E (z^2 - 1) student / 2: what a neuron's length adds, 0 for lengths of 1"""
    target_mean: Moments
    """(J,) E teacher"""
    target_linear: Moments
    """(J,) E t teacher"""
    target_rest: Moments
    """(J,) E teacher^2 - mean^2 - linear^2"""


class Aligned(NamedTuple):
    """Of the first layer after the step."""

    cosine: Any
    """between the gradient's direction u and the teacher's"""
    sine: Any
    slopes: Any
    """(K,) r xi: the neurons' components along u"""
    spreads: Any
    """(K,) sqrt(c): the lengths of the rest"""


def readout_nodes(readout: str) -> tuple[np.ndarray, np.ndarray]:
    """Values and weights of xi = sqrt(N) a: gaussian, constant (1) or rademacher (1 and -1)."""
    match readout:
        case "gaussian":
            return normal_nodes(READOUT_NODES)
        case "constant":
            return np.ones(1), np.ones(1)
        case "rademacher":
            return np.array([-1.0, 1.0]), np.full(2, 0.5)
    raise ValueError(f"readout is {readout!r}; pass one of gaussian, constant, rademacher.")


def after_step(
    student: Coefficients,
    teacher: Coefficients,
    readouts: np.ndarray,
    step_size: Any,
    num_neurons: Any,
    noise: Any,
    gradient_samples_per_dim: Any,
    xp: Any = jnp,
) -> Aligned:
    """How the step turns and lengthens neurons, for one point; traced where `xp` is jnp."""
    sampling = (teacher.linear**2 + teacher.rest**2 + noise**2) / gradient_samples_per_dim
    length = xp.sqrt(teacher.linear**2 + sampling)
    per_neuron = step_size / xp.sqrt(num_neurons)
    spreads = xp.sqrt(1 + per_neuron**2 * readouts**2 * sampling * student.slope_rest**2)
    slopes = per_neuron * student.linear * length * readouts
    return Aligned(teacher.linear / length, xp.sqrt(sampling) / length, slopes, spreads)


def moments_after_step(
    student: Activation,
    teacher: Activation,
    aligned: Aligned,
    shares: np.ndarray,
    unit_rows: bool = False,
    xp: Any = jnp,
) -> Tables:
    """The tables of one point; traced where `xp` is jnp, and then differentiable in what made `aligned`."""
    moments = gaussian_moments if xp is jnp else gaussian_moments_on_host
    s, weights = normal_nodes(INPUT_NODES)
    shift = aligned.slopes[:, None] * s
    mean, linear, square, second = moments(student, shift, aligned.spreads[:, None] + 0 * shift)
    at = aligned.cosine * s
    target_mean, target_linear, target_square, _ = moments(teacher, at, aligned.sine + 0 * at)
    return Tables(
        xp.asarray(weights),
        xp.asarray(shares),
        mean,
        linear,
        square - mean**2 - linear**2,
        s * linear,
        (0 if unit_rows else np.sqrt(2)) * second,
        target_mean,
        target_linear,
        target_square - target_mean**2 - target_linear**2,
    )


def normal_nodes(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Hermite nodes and weights for N(0, 1)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(number)
    return nodes, weights / weights.sum()
