"""Predictive laws: the best mixture of a user's own model for new rows, Bayes where Bayes is right."""

from langevax.predictive_law.agreement import LawAgreement
from langevax.predictive_law.law import (
    BayesComparison,
    PredictiveLaw,
    PredictiveWarning,
    load,
)
from langevax.predictive_law.law_certificate import LawCertificate
from langevax.predictive_law.mixing import MixingDistribution, mixing_distribution
from langevax.predictive_law.path import PredictivePath
from langevax.predictive_law.predictive import predictive

__all__ = [
    "BayesComparison",
    "LawAgreement",
    "LawCertificate",
    "MixingDistribution",
    "PredictiveLaw",
    "PredictivePath",
    "PredictiveWarning",
    "load",
    "mixing_distribution",
    "predictive",
]
__dir__: object = __all__.copy
