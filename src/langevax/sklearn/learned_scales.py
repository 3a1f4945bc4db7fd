"""A scale for each column from the slopes of the kernel limit: columns on which the target depends count more.

The prior of a network sees all columns alike, and with few rows a network cannot learn which of them matter before it
fits noise. The slopes of its kernel limit say so in closed form. Scales by mean square slopes are the diagonal of the
matrix of recursive feature machines (Radhakrishnan, Beaglehole, Pandit, Belkin, Science 2024).
"""

from typing import NamedTuple

import numpy as np

from langevax._typing import PRNGKey
from langevax.meanfield.kernel_limit import (
    LeaveOneOut,
    features_of,
    leave_one_out,
    prior_particles,
    ridge,
    slopes,
)
from langevax.problems.neurons import Neuron
from langevax.sklearn.column_maps import Scaling, Standardiser, weighted_moments
from langevax.sklearn.saved import saved_class
from langevax.sklearn.table import padded, subsample, widened

COMPARED_NEURONS = 1000


@saved_class
class LearnedScales(NamedTuple):
    """Scales of the columns, and how they were learned."""

    scales: np.ndarray
    """(d,) of mean square 1 over the columns that vary."""
    penalties: list[float]
    """Ridge penalty of each round."""


class PreparedColumns(NamedTuple):
    """Scaling of the columns."""

    standardiser: Standardiser
    scaling: Scaling
    learned: LearnedScales | None


class KernelProblem(NamedTuple):
    """The regression that chooses: neurons of the kernel limit, and rows."""

    neuron: Neuron
    prior_precision: float
    inputs: np.ndarray
    """(n, d) float32, standardised."""
    targets: np.ndarray
    """(n, outputs)."""
    weights: np.ndarray
    """(n,) of the loss."""
    copies: np.ndarray
    """(n,) equal rows of which one is left out."""
    key: PRNGKey
    """Of the neurons drawn."""
    groups: np.ndarray | None = None
    """(n,) rows that are left out together."""

    def rows(self, places: np.ndarray) -> "KernelProblem":
        """Return the problem of some rows."""
        return self._replace(
            inputs=self.inputs[places],
            targets=self.targets[places],
            weights=self.weights[places],
            copies=self.copies[places],
            groups=None if self.groups is None else self.groups[places],
        )

    def some_rows(self, most: int) -> "KernelProblem":
        """Return the problem of at most so many rows."""
        return self.rows(subsample(len(self.inputs), most))

    def under(self, standardiser: Standardiser) -> "KernelProblem":
        """Return the problem on standardised columns."""
        return self._replace(inputs=standardiser(self.inputs))

    def with_columns_times(self, scales: np.ndarray) -> "KernelProblem":
        """Return the problem with other scales of the columns."""
        return self._replace(inputs=self.inputs * scales.astype(self.inputs.dtype))

    def particles(self, num_neurons: int) -> np.ndarray:
        """Return neurons of the prior for stored inputs."""
        d = self.inputs.shape[1]
        variance = 1 / self.prior_precision
        width = in_powers_of_two(self.inputs[:1]).shape[1]
        return prior_particles(
            self.neuron,
            d,
            width,
            variance,
            num_neurons,
            self.inputs.dtype,
            key=self.key,
        )

    def features(self, particles: np.ndarray) -> np.ndarray:
        """Return (neurons, n)."""
        return np.asarray(
            features_of(self.neuron, particles, in_powers_of_two(self.inputs))
        )[:, : len(self.inputs)]

    def leave_one_out(self, num_neurons: int) -> LeaveOneOut:
        """Return the closed-form leave-one-out errors."""
        features = self.features(self.particles(num_neurons))
        return leave_one_out(
            features, self.targets, self.weights, copies=self.copies, groups=self.groups
        )


def in_powers_of_two(inputs: np.ndarray, smallest: int = 16) -> np.ndarray:
    """Return rows padded by rows and by columns of zeros, so that all scalings of most tables share few programs."""
    rows, columns = (
        max(smallest, 1 << (size - 1).bit_length()) for size in inputs.shape
    )
    return widened(padded(inputs, rows), columns)


def slope_scales(
    problem: KernelProblem,
    penalty: float,
    floor: float = 0.2,
) -> np.ndarray:
    """Return (d,) scales of the columns by the slopes of kernel ridge regression.

    With f the regression at the penalty, and s_j the deviation of column j,

        g_j = s_j (E |df / dx_j|^2)^(1/2),    scale_j ~ g_j / (mean of g^2)^(1/2) + floor,

    E over weighted rows and outputs; a column without a slope may matter together with others. The scales have mean
    square 1 over the columns that vary. Since g does not depend on the scales that columns already have, the result
    replaces these.
    """
    problem = problem.some_rows(1000)
    n, d = problem.inputs.shape
    particles = problem.particles(COMPARED_NEURONS)
    coefficients = ridge(
        problem.features(particles), problem.targets, problem.weights, penalty
    )
    gradients = slopes(
        problem.neuron, particles, in_powers_of_two(problem.inputs), coefficients
    )[:, :n, :d]
    deviation = weighted_moments(problem.inputs.astype(np.float64), problem.weights)[1]
    varies = deviation > 0
    size = deviation * np.sqrt(
        np.average(np.mean(gradients**2, axis=0), axis=0, weights=problem.weights)
    )
    if not np.any(size > 0):
        return np.ones(d)
    scales = size / np.sqrt(np.mean(size[varies] ** 2)) + floor
    return np.where(varies, scales / np.sqrt(np.mean(scales[varies] ** 2)), 1.0)


def learned_scales(problem: KernelProblem, penalties: list[float]) -> np.ndarray:
    """Return (d,) scales of plain columns after a round at each penalty."""
    scales = np.ones(problem.inputs.shape[1])
    for penalty in penalties:
        scales = slope_scales(problem.with_columns_times(scales), penalty)
    return scales
