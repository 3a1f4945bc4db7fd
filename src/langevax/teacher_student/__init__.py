"""Two-layer ReLU networks that learn from a network: two phases, conic descent, one step."""

from langevax import renamed
from langevax.teacher_student.conic import Conic, spread_neurons, total_variation
from langevax.teacher_student.networks import (
    Matching,
    ReLUNetwork,
    match_neurons,
    orthogonal_teacher,
    teach,
)
from langevax.teacher_student.one_step import (
    OneStepRuns,
    simulate_one_step,
)
from langevax.teacher_student.phases import Converge, Explore
from langevax.teacher_student.two_phase import TwoPhaseFit, two_phase

__all__ = [
    "Conic",
    "Converge",
    "Explore",
    "Matching",
    "OneStepRuns",
    "ReLUNetwork",
    "TwoPhaseFit",
    "match_neurons",
    "orthogonal_teacher",
    "simulate_one_step",
    "spread_neurons",
    "teach",
    "total_variation",
    "two_phase",
]
__dir__: object = __all__.copy
__getattr__ = renamed.getattr_of(__name__)
