"""What kernels cannot go below, and what one large step can reach: the two numbers that a large step's curve meets.

Ba et al. (NeurIPS 2022), Proposition 1 and Theorem 7. A teacher is f*(x) = s*(<x, beta>), |beta| = 1.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from langevax.theory.feature_learning.hermite import (
    Activation,
    Function,
    activation,
    gaussian_moments_on_host,
    gaussian_nodes,
    hermite_coefficients,
)

SLOPES = np.concatenate([[0.0], np.geomspace(0.05, 100, 12)])
"""Where the search for the best slope starts, with either sign."""


class LargeStep(NamedTuple):
    """The best that an infinitely wide network of one large step comes to, and the slope it does that with."""

    tau: float
    slope: float


def kernel_floor(teacher: Function) -> float:
    """s2^2, the teacher's variance beyond its linear part: no rotation-invariant kernel and no small step goes below.

    It holds in the proportional limit for kernel ridge, random features, the NTK, and steps of size Theta(1).

    >>> round(kernel_floor("erf"), 6)
    0.040146
    """
    return hermite_coefficients(teacher).rest ** 2


def tau_star(student: Function, teacher: Function) -> LargeStep:
    """inf_slope E_u (s*(u) - E_v s(slope u + v))^2, u and v independent N(0, 1).

    After a step of size Theta(sqrt(N)) the risk is at most 10 tau + C (sqrt(tau d / n) + d / n) for small ridges
    (Theorem 7): below `kernel_floor` for many samples where tau is small, and of order d / n where it is 0. The
    constant in the step does not matter, since a Gaussian second layer supplies every slope.

    >>> found = tau_star("tanh", "tanh")
    >>> round(found.tau, 7), round(found.slope, 3)
    (9.45e-05, 1.588)
    """
    s, target = activation(student), activation(teacher)
    u, weights = gaussian_nodes(target.kinks)
    wanted = target.values(u)

    def distance(slope: float) -> float:
        return float(weights @ (wanted - _smoothed(s, slope * u)) ** 2)

    grid = np.concatenate([-SLOPES[:0:-1], SLOPES])
    best = int(np.argmin([distance(slope) for slope in grid]))
    around = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found: Any = minimize_scalar(distance, bounds=around, method="bounded", options={"xatol": 1e-9})
    return LargeStep(float(found.fun), float(found.x))


def _smoothed(s: Activation, shift: np.ndarray) -> np.ndarray:
    """E s(shift + v)."""
    return gaussian_moments_on_host(s, shift, np.ones_like(shift))[0]
