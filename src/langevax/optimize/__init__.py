"""The door for optimisers: a function in, SciPy's `OptimizeResult` out, and how far to believe it."""

from langevax.optimize.basins import Basin
from langevax.optimize.minimize import minimize
from langevax.optimize.schedules import Geometric, Logarithmic

__all__ = ["Basin", "Geometric", "Logarithmic", "minimize"]
