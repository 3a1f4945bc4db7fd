"""Gradient estimators: how a step's gradient is had from few components."""

from langevax.gradients.control_variate import ControlVariate
from langevax.gradients.estimator import GradientEstimator
from langevax.gradients.full import Full
from langevax.gradients.minibatch import Minibatch
from langevax.gradients.page import PAGE
from langevax.gradients.saga import SAGA
from langevax.gradients.sarah import SARAH
from langevax.gradients.sledge import SILVER, SLEDGE
from langevax.gradients.storm import STORM
from langevax.gradients.svrg import SVRG

__all__ = [
    "PAGE",
    "SAGA",
    "SARAH",
    "SILVER",
    "SLEDGE",
    "STORM",
    "SVRG",
    "ControlVariate",
    "Full",
    "GradientEstimator",
    "Minibatch",
]
