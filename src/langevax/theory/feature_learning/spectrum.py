"""Singular values of the first layer after one step of size Theta(1): a bulk, and an outlier along the teacher.

W1 = W0 + u a^T up to a rank-one error that vanishes (Ba et al., NeurIPS 2022, Proposition 2), with |a| = 1 and

    |u|^2 = (step_size mu1)^2 (s1^2 + E y^2 d / n0),      <u, beta> = step_size mu1 s1

W0 of shape (d, N) with entries N(0, 1/d) has singular values between |sqrt(N/d) - 1| and sqrt(N/d) + 1. Once
|u|^4 > N/d one leaves them for sqrt((N/d + |u|^2)(1 + |u|^2)) / |u|, and its left vector has the squared cosine
1 - (N/d + |u|^2) / (|u|^2 (1 + |u|^2)) with u (Benaych-Georges and Nadakuditi, J. Multivariate Analysis 2012).
"""

from typing import NamedTuple

import numpy as np

from langevax.theory.feature_learning.arguments import centred, nonnegative, positive
from langevax.theory.feature_learning.hermite import Function


class Spectrum(NamedTuple):
    """Of the trained first layer."""

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
    """Edges of the bulk, the outlier and how much it knows; arguments as in `risk_one_step`.

    >>> [round(value, 4) for value in spectrum_one_step(2.0, 6.0, "erf", "erf", 0.1, 8.0)]
    [0.4142, 2.4142, 3.2652, 0.7445]
    """
    positive(neurons_per_dim=neurons_per_dim, gradient_samples_per_dim=gradient_samples_per_dim)
    nonnegative(step_size=step_size, noise=noise)
    (_, of_student), (_, of_teacher) = centred("student", student), centred("teacher", teacher)
    variance = of_teacher.linear**2 + of_teacher.rest**2 + noise**2
    signal = (step_size * of_student.linear * of_teacher.linear) ** 2
    square = signal + (step_size * of_student.linear) ** 2 * variance / gradient_samples_per_dim
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
    values, root = np.asarray(values, float), np.sqrt(neurons_per_dim)
    inside = np.maximum(((root + 1) ** 2 - values**2) * (values**2 - (root - 1) ** 2), 0)
    return np.sqrt(inside) / (np.pi * np.where(values > 0, values, 1)) / min(1.0, neurons_per_dim)
