"""Neurons by their public name, for `from langevax.neurons import Tanh`; a short file, since an import needs one."""

from langevax.problems.neurons import *  # noqa: F403
from langevax.problems.neurons import __all__, __dir__, __getattr__, preactivation  # noqa: F401
