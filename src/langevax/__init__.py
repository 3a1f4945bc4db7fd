"""Optimisation and sampling with noisy gradients, in JAX."""

from typing import TYPE_CHECKING

from langevax import imports
from langevax._version import __version__

if TYPE_CHECKING:
    from langevax import (
        data,
        federated,
        flower,
        gradients,
        integrators,
        likelihoods,
        losses,
        meanfield,
        neurons,
        numpyro,
        optax,
        optimize,
        predictive_law,
        pymc,
        run,
        sampling,
        sklearn,
        spaces,
        teacher_student,
        theory,
    )
    from langevax.algorithm import Algorithm
    from langevax.optimize import minimize
    from langevax.predictive_law import predictive
    from langevax.problems.coordinates import affine
    from langevax.problems.external import ExternalSum
    from langevax.problems.federation import Federation
    from langevax.problems.finite_sum import FiniteSum, posterior
    from langevax.problems.mean_field import MeanFieldRisk
    from langevax.problems.problem import Function, Problem
    from langevax.run import (
        CheckpointError,
        DivergenceError,
        Result,
        Run,
        Stacked,
        simulate,
    )
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
    from langevax.sampling import NUTS, inverse_problem, learning_coefficient, sample

__all__ = [
    "MALA",
    "NUTS",
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
    "Run",
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
__dir__: object = __all__.copy

if not TYPE_CHECKING:  # with it, type checkers would accept every name
    __getattr__ = imports.lazily(
        __name__,
        {
            "": (
                "data federated flower gradients integrators likelihoods losses "
                "meanfield neurons numpyro optax optimize predictive_law pymc sampling "
                "sklearn spaces teacher_student theory run"
            ),
            "algorithm": "Algorithm",
            "optimize": "minimize",
            "predictive_law": "predictive",
            "problems.coordinates": "affine",
            "problems.external": "ExternalSum",
            "problems.federation": "Federation",
            "problems.finite_sum": "FiniteSum posterior",
            "problems.mean_field": "MeanFieldRisk",
            "problems.problem": "Function Problem",
            "run": "CheckpointError DivergenceError Result Run Stacked simulate",
            "samplers": (
                "MALA PCN PCNL Langevin PerturbedDescent Reflected ReplicaExchange "
                "Underdamped"
            ),
            "sampling": "NUTS inverse_problem learning_coefficient sample",
        },
    )
