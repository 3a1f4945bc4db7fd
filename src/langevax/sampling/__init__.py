"""Bayesian sampling: a posterior in, draws with diagnostics out."""

from langevax import renamed
from langevax.sampling.coefficient import LearningCoefficient
from langevax.sampling.hyperparameters import HierarchicalInverseProblem
from langevax.sampling.inverse import InverseProblem, SolverWarning
from langevax.sampling.inverse_problems import inverse_problem
from langevax.sampling.learning_coefficient import learning_coefficient
from langevax.sampling.moves import HMC
from langevax.sampling.noise import GaussianNoise
from langevax.sampling.nuts import NUTS
from langevax.sampling.sample import sample
from langevax.sampling.samples import Samples, SamplingWarning
from langevax.sampling.solve_cache import SolveCacheError
from langevax.sampling.tolerance import ToleranceError
from langevax.sampling.umbridge import UMBridgeModel

__all__ = [
    "HMC",
    "NUTS",
    "GaussianNoise",
    "HierarchicalInverseProblem",
    "InverseProblem",
    "LearningCoefficient",
    "Samples",
    "SamplingWarning",
    "SolveCacheError",
    "SolverWarning",
    "ToleranceError",
    "UMBridgeModel",
    "inverse_problem",
    "learning_coefficient",
    "sample",
]
__dir__: object = __all__.copy
__getattr__ = renamed.getattr_of(__name__)
