"""Claims of the papers, each measured by one command: `langevax study NAME`."""

import importlib

from langevax.studies.study import Claim, Config, Study, Verdict

NAMES = {
    "variance-reduction": "variance_reduction",
    "mixture": "mixture",
    "concentration": "concentration",
    "classification": "classification",
    "sparse-parity": "sparse_parity",
    "dual-methods": "dual_methods",
    "entropy-sandwich": "entropy_sandwich",
    "propagation-of-chaos": "propagation_of_chaos",
    "dimension-free": "dimension_free",
    "functional-inputs": "functional_inputs",
    "federated": "federated",
    "one-step": "one_step",
    "teacher-student": "teacher_student",
}
"""Names of studies and their files."""

QUICK_SECONDS: dict[str, float] = {
    "variance-reduction": 17,
    "mixture": 17,
    "concentration": 6,
    "classification": 10,
    "sparse-parity": 21,
    "dual-methods": 59,
    "entropy-sandwich": 6,
    "propagation-of-chaos": 13,
    "dimension-free": 31,
    "functional-inputs": 32,
    "federated": 46,
    "one-step": 36,
    "teacher-student": 26,
}
"""Seconds of a processor that each takes with size="small", Python's start included: measured on one machine."""


def load(name: str) -> Study:
    """The study of that name; raises ValueError with the names there are."""
    if name not in NAMES:
        raise ValueError(f"there is no study {name!r}; the studies are {', '.join(NAMES)}.")
    return importlib.import_module(f"langevax.studies.{NAMES[name]}").STUDY


__all__ = ["NAMES", "QUICK_SECONDS", "Claim", "Config", "Study", "Verdict", "load"]
