"""Global optimisation: a function in, SciPy's `OptimizeResult` out, with a statement of how far chains agree."""

from langevax.optimize.minima import Basin
from langevax.optimize.minimize import minimize
from langevax.optimize.schedules import Geometric, Logarithmic

__all__ = ["Basin", "Geometric", "Logarithmic", "minimize"]
__dir__ = __all__.copy
