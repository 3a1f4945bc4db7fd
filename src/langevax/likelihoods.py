"""Likelihoods by their public name, for `from langevax.likelihoods import Gaussian`.

A short file, since an import needs one.
"""

from langevax.problems.likelihoods import *  # noqa: F403
from langevax.problems.likelihoods import __all__, __dir__, __getattr__  # noqa: F401
