"""Losses by their public name, for `from langevax.losses import Squared`; a short file, since an import needs one."""

from langevax.problems.losses import *  # noqa: F403
from langevax.problems.losses import __all__, __dir__  # noqa: F401
