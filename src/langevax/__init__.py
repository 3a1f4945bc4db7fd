"""langevax: optimising and sampling with noisy gradients, in JAX."""

import importlib
from typing import Any

from langevax import data, federated, gradients, integrators, meanfield, spaces
from langevax._version import __version__
from langevax.algorithm import Algorithm
from langevax.langevin import Langevin
from langevax.metropolis import MALA
from langevax.pcn import PCN, PCNL
from langevax.perturbed import PerturbedDescent
from langevax.problems import likelihoods, losses, neurons
from langevax.problems.coordinates import affine
from langevax.problems.external import ExternalSum
from langevax.problems.federation import Federation
from langevax.problems.finite_sum import FiniteSum, posterior
from langevax.problems.mean_field import MeanFieldRisk
from langevax.problems.problem import Problem
from langevax.reflected import Reflected
from langevax.run import CheckpointError, DivergenceError, Result, simulate
from langevax.underdamped import Underdamped

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
    "Langevin",
    "MeanFieldRisk",
    "PerturbedDescent",
    "Problem",
    "Reflected",
    "Result",
    "Underdamped",
    "__version__",
    "affine",
    "data",
    "federated",
    "gradients",
    "integrators",
    "likelihoods",
    "losses",
    "meanfield",
    "neurons",
    "posterior",
    "simulate",
    "spaces",
]

LOADED_ON_USE = ("flower", "numpyro", "optax", "optimize", "sampling", "sklearn", "studies", "teacher_student")
FUNCTIONS_ON_USE = {"inverse_problem": "sampling", "minimize": "optimize", "sample": "sampling"}


def __getattr__(name: str) -> Any:
    if name in LOADED_ON_USE:
        return importlib.import_module(f"langevax.{name}")
    if name in FUNCTIONS_ON_USE:
        return getattr(importlib.import_module(f"langevax.{FUNCTIONS_ON_USE[name]}"), name)
    raise AttributeError(f"module 'langevax' has no attribute {name!r}")
