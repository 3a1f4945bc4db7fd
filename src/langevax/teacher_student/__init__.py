"""Two-layer ReLU networks that learn from a network: two phases, conic descent, one step, competitors."""

from langevax.teacher_student.conic import Conic, spread_neurons, total_variation
from langevax.teacher_student.kernels import ArcCosine, Gaussian, Kernel, NeuralTangent, TunedRidge, tuned_ridge
from langevax.teacher_student.matching import Matching, match_neurons, share_near
from langevax.teacher_student.neighbors import TunedNeighbors, tuned_neighbors
from langevax.teacher_student.networks import ReLUNetwork, orthogonal_teacher, teach
from langevax.teacher_student.one_step import OneStepRuns, simulate_one_step, staircase
from langevax.teacher_student.phases import Converge, Explore
from langevax.teacher_student.random_features import TunedFeatures, tuned_features
from langevax.teacher_student.two_phase import TwoPhaseFit, two_phase

__all__ = [
    "ArcCosine",
    "Conic",
    "Converge",
    "Explore",
    "Gaussian",
    "Kernel",
    "Matching",
    "NeuralTangent",
    "OneStepRuns",
    "ReLUNetwork",
    "TunedFeatures",
    "TunedNeighbors",
    "TunedRidge",
    "TwoPhaseFit",
    "match_neurons",
    "orthogonal_teacher",
    "share_near",
    "simulate_one_step",
    "spread_neurons",
    "staircase",
    "teach",
    "total_variation",
    "tuned_features",
    "tuned_neighbors",
    "tuned_ridge",
    "two_phase",
]
