"""Gradient estimators: a gradient for each step from few components."""

from langevax import renamed
from langevax.gradients.estimator import Full, GradientEstimator, Minibatch
from langevax.gradients.sarah import SARAH, STORM
from langevax.gradients.sledge import SLEDGE
from langevax.gradients.svrg import SVRG, ControlVariate

__all__ = [
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
__getattr__ = renamed.getattr_of(__name__)
