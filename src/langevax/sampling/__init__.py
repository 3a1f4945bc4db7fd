"""Bayesian sampling: a posterior in, draws with diagnostics out."""

from langevax.sampling.inverse import InverseProblem, inverse_problem
from langevax.sampling.sample import sample
from langevax.sampling.samples import Samples, SamplingWarning, stein_discrepancy

__all__ = ["InverseProblem", "Samples", "SamplingWarning", "inverse_problem", "sample", "stein_discrepancy"]
__dir__ = __all__.copy
