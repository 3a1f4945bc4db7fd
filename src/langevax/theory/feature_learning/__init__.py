"""What one gradient step on the first layer does to a two-layer network's ridge risk, in the proportional limit.

Ba, Erdogdu, Suzuki, Wang, Wu, Yang (NeurIPS 2022). Samples n, neurons N and the dimension d grow together; students and
teachers are names (erf, tanh, sin, softplus, relu, "centred relu", ...) or functions made by `activation`.
"""

from langevax.theory.feature_learning.arguments import Errors
from langevax.theory.feature_learning.closed import closed_form
from langevax.theory.feature_learning.floors import LargeStep, kernel_floor, tau_star
from langevax.theory.feature_learning.hermite import Activation, Coefficients, activation, hermite_coefficients
from langevax.theory.feature_learning.one_step import improvement, risk_one_step

__all__ = [
    "Activation",
    "Coefficients",
    "Errors",
    "LargeStep",
    "activation",
    "closed_form",
    "hermite_coefficients",
    "improvement",
    "kernel_floor",
    "risk_one_step",
    "tau_star",
]
