"""Predictive distributions: the best mixture of a user's own model for new rows, Bayes where Bayes is right."""

from langevax import renamed
from langevax.predictive_law.law import (
    BayesComparison,
    PredictiveLaw,
    load,
)
from langevax.predictive_law.law_certificate import LawCertificate
from langevax.predictive_law.law_problem import PredictiveWarning
from langevax.predictive_law.path import PredictivePath
from langevax.predictive_law.predictive import predictive

__all__ = [
    "BayesComparison",
    "LawCertificate",
    "PredictiveLaw",
    "PredictivePath",
    "PredictiveWarning",
    "load",
    "predictive",
]
__dir__: object = __all__.copy
__getattr__ = renamed.getattr_of(__name__)
