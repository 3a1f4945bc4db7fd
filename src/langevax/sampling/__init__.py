"""The door for Bayesians: a posterior in, draws with diagnostics out."""

from langevax.sampling.sample import sample
from langevax.sampling.samples import Samples
from langevax.sampling.stein import stein_discrepancy

__all__ = ["Samples", "sample", "stein_discrepancy"]
