"""Optimisation and sampling with noisy gradients, in JAX."""

from langevax import _interruption  # noqa: F401, before imports that take seconds

# isort: split

from typing import TYPE_CHECKING

from langevax import data, federated, gradients, integrators, meanfield, run, spaces
from langevax._version import __version__
from langevax.algorithm import Algorithm
from langevax.problems import likelihoods, losses, neurons
from langevax.problems.coordinates import affine
from langevax.problems.external import ExternalSum
from langevax.problems.federation import Federation
from langevax.problems.finite_sum import FiniteSum, posterior
from langevax.problems.mean_field import MeanFieldRisk
from langevax.problems.problem import Function, Problem
from langevax.run import CheckpointError, DivergenceError, Result, Stacked, simulate
from langevax.samplers import (
    MALA,
    PCN,
    PCNL,
    Langevin,
    PerturbedDescent,
    Reflected,
    ReplicaExchange,
    Underdamped,
)

if TYPE_CHECKING:
    from langevax import (
        flower,
        numpyro,
        optax,
        optimize,
        predictive_law,
        pymc,
        sampling,
        sklearn,
        teacher_student,
        theory,
    )
    from langevax.optimize import minimize
    from langevax.predictive_law import predictive
    from langevax.sampling import inverse_problem, learning_coefficient, sample

__all__ = [
    "MALA",
    "PCN",
    "PCNL",
    "Algorithm",
    "CheckpointError",
    "DivergenceError",
    "ExternalSum",
    "Federation",
    "FiniteSum",
    "Function",
    "Langevin",
    "MeanFieldRisk",
    "PerturbedDescent",
    "Problem",
    "Reflected",
    "ReplicaExchange",
    "Result",
    "Stacked",
    "Underdamped",
    "__version__",
    "affine",
    "data",
    "federated",
    "flower",
    "gradients",
    "integrators",
    "inverse_problem",
    "learning_coefficient",
    "likelihoods",
    "losses",
    "meanfield",
    "minimize",
    "neurons",
    "numpyro",
    "optax",
    "optimize",
    "posterior",
    "predictive",
    "predictive_law",
    "pymc",
    "run",
    "sample",
    "sampling",
    "simulate",
    "sklearn",
    "spaces",
    "teacher_student",
    "theory",
]
__dir__ = __all__.copy

_FUNCTIONS_ON_USE = {
    "inverse_problem": "sampling",
    "learning_coefficient": "sampling",
    "minimize": "optimize",
    "predictive": "predictive_law",
    "sample": "sampling",
}

if not TYPE_CHECKING:  # with it, type checkers would accept every name

    def __getattr__(name: str) -> object:
        """Import what is not needed by every program at its first use."""
        import importlib

        if name in _FUNCTIONS_ON_USE:
            return getattr(
                importlib.import_module(f"langevax.{_FUNCTIONS_ON_USE[name]}"), name
            )
        if name in __all__:
            return importlib.import_module(f"langevax.{name}")
        raise AttributeError(f"module 'langevax' has no attribute {name!r}")
