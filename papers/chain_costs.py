"""What Langevin chains with noisy gradients cost, and how much hotter than their target they are to leading order."""

import numpy as np

from langevax.theory.moments import Components, Vector, batch_law, batch_variance_factor


def ld_evaluations(num_steps: int, size: int) -> int:
    """Component gradients of `num_steps` of LD.

    >>> ld_evaluations(10, size=100)
    1000
    """
    return num_steps * size


def variance_reduced_evaluations(num_steps: int, batch_size: int, period: int, size: int) -> int:
    """Component gradients of SVRG-LD or SARAH-LD: `size` at steps 0, m, 2 m, ..., and 2 batch_size at all others.

    >>> variance_reduced_evaluations(10, batch_size=10, period=10, size=100)
    280
    """
    full = -(-num_steps // period)
    return full * size + (num_steps - full) * 2 * batch_size


def evaluations_per_epoch(size: int, batch_size: int, period: int) -> int:
    """Component gradients of one epoch of SVRG-LD or SARAH-LD: size + 2 B (period - 1).

    Kinoshita and Suzuki (NeurIPS 2022), the algorithms: one full pass, then two batch gradients per step.

    >>> evaluations_per_epoch(100, batch_size=10, period=10)
    280
    """
    return size + 2 * batch_size * (period - 1)


def sgld_excess_variance(
    curvatures: Components, slopes: Components, *, step_size: float, temperature: float, batch_size: int, replace: bool
) -> Vector:
    """Stationary variance of SGLD in excess of LD, as a fraction of the target's temperature / h, leading order.

    step_size Xi Var(grad f_i) / (2 temperature), the variance over components under the target (derived).

    >>> a, c = np.ones((2, 1)), np.array([[-1.0], [1.0]])
    >>> sgld_excess_variance(a, c, step_size=0.01, temperature=1.0, batch_size=1, replace=True)
    array([0.005])
    """
    law = batch_law(curvatures, slopes, batch_size, replace)
    mean = -law.slope / law.curvature
    second = mean**2 + temperature / law.curvature
    gradient_variance = law.curvature_variance * second + 2 * law.covariance * mean + law.slope_variance
    return step_size * gradient_variance / (2 * temperature)


def svrg_excess_variance(
    curvatures: Components, *, step_size: float, batch_size: int, period: int, replace: bool
) -> Vector:
    """Stationary variance of SVRG-LD in excess of LD, as a fraction of the target's, leading order.

    Xi Var(a_i) step_size^2 (period - 1) / 2, for period step_size h << 1 (derived).

    >>> svrg_excess_variance(np.array([[0.0], [2.0]]), step_size=0.01, batch_size=1, period=3, replace=True)
    array([0.0001])
    """
    factor = batch_variance_factor(len(curvatures), batch_size, replace=replace)
    return factor * np.var(np.asarray(curvatures, float), axis=0) * step_size**2 * (period - 1) / 2


def sarah_excess_variance(
    curvatures: Components, *, step_size: float, batch_size: int, period: int, replace: bool
) -> Vector:
    """Stationary variance of SARAH-LD in excess of LD, as a fraction of the target's, leading order.

    Xi Var(a_i) step_size^2 (period - 1) (2 period - 1) / 6, for period step_size h << 1 (derived):
    (2 period - 1) / 3 times that of SVRG-LD, since errors persist through the epoch.

    >>> sarah_excess_variance(np.array([[0.0], [2.0]]), step_size=0.01, batch_size=1, period=2, replace=True)
    array([5.e-05])
    """
    options = {"step_size": step_size, "batch_size": batch_size, "period": period, "replace": replace}
    return svrg_excess_variance(curvatures, **options) * (2 * period - 1) / 3
