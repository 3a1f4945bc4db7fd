"""Claims of the papers, each measured by one command: `langevax study NAME`."""

import importlib

from langevax.studies.study import Option, Study, Verdict

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


def load(name: str) -> Study:
    """The study of that name; raises ValueError with the names there are."""
    if name not in NAMES:
        raise ValueError(f"there is no study {name!r}; the studies are {', '.join(NAMES)}.")
    return importlib.import_module(f"langevax.studies.{NAMES[name]}").STUDY


__all__ = ["NAMES", "Option", "Study", "Verdict", "load"]
