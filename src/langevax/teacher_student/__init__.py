"""Two-layer ReLU networks that learn from a network: two-phase training, conic descent, and their competitors."""

from langevax.teacher_student.conic import Conic, spread_neurons, total_variation
from langevax.teacher_student.matching import Matching, match_neurons
from langevax.teacher_student.networks import ReLUNetwork, orthogonal_teacher, teach
from langevax.teacher_student.phases import Converge, Explore
from langevax.teacher_student.two_phase import TwoPhaseFit, two_phase

__all__ = [
    "Conic",
    "Converge",
    "Explore",
    "Matching",
    "ReLUNetwork",
    "TwoPhaseFit",
    "match_neurons",
    "orthogonal_teacher",
    "spread_neurons",
    "teach",
    "total_variation",
    "two_phase",
]
