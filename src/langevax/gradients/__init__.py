"""Gradient estimators: a gradient for each step from few components."""

from langevax.gradients.estimator import Full, GradientEstimator, Minibatch
from langevax.gradients.sarah import PAGE, SARAH, STORM
from langevax.gradients.sledge import SAGA, SLEDGE
from langevax.gradients.svrg import SVRG, ControlVariate

__all__ = [
    "PAGE",
    "SAGA",
    "SARAH",
    "SLEDGE",
    "STORM",
    "SVRG",
    "ControlVariate",
    "Full",
    "GradientEstimator",
    "Minibatch",
]
__dir__: object = __all__.copy
