"""Global optimisation: a function in, SciPy's `OptimizeResult` out, with the expected number of better basins."""

from langevax.optimize.anneal import anneal
from langevax.optimize.basins import Basin
from langevax.optimize.minimize import minimize
from langevax.optimize.schedules import Geometric, Logarithmic

__all__ = ["Basin", "Geometric", "Logarithmic", "anneal", "minimize"]
__dir__: object = __all__.copy
