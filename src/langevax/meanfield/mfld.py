"""Mean-field Langevin dynamics: noisy gradient descent on a cloud of neurons.

Nitanda, Wu, Suzuki, AISTATS 2022 (noisy gradient descent); for each of N particles

    theta_r <- theta_r - h [ (1/n) sum_i loss'(z_i) grad h(theta_r, x_i) + 2 ridge theta_r ] + sqrt(2 h T) xi_r

with the ridge integrated exactly by default, which has no bias and no step limit of its own. Noise is
per particle and coordinate, not scaled by N. It is `Langevin` on a `MeanFieldRisk`, nothing else.
"""

from typing import Any

from langevax.gradients import Full, GradientEstimator
from langevax.integrators import Exponential, Integrator
from langevax.samplers import Langevin


def MFLD(
    step_size: Any,
    temperature: Any,
    gradient: GradientEstimator = Full(),  # noqa: B008 - immutable
    integrator: Integrator = Exponential(),  # noqa: B008 - immutable
) -> Langevin:
    """Langevin with the integrator that suits a mean-field risk's ridge.

    Args:
        step_size: h, a float or a schedule.
        temperature: lambda, the weight of the entropy.
        gradient: `gradients.SVRG` gives SVRG-MFLD, `gradients.Minibatch` SGD-MFLD.

    Example:
        >>> import langevax
        >>> langevax.meanfield.MFLD(step_size=0.1, temperature=0.01).integrator
        Exponential()
    """
    return Langevin(step_size, temperature, gradient, integrator)
