"""Markov chains and descents in R^d: Langevin dynamics, Metropolis methods, and what wraps them."""

from langevax.samplers.langevin import Langevin, LangevinState
from langevax.samplers.metropolis import MALA, PCN, PCNL, MALAState, PCNLState, PCNState
from langevax.samplers.perturbed import PerturbedDescent, PerturbedDescentState
from langevax.samplers.reflected import Reflected, fold
from langevax.samplers.underdamped import Underdamped, UnderdampedState

__all__ = [
    "MALA",
    "PCN",
    "PCNL",
    "Langevin",
    "LangevinState",
    "MALAState",
    "PCNLState",
    "PCNState",
    "PerturbedDescent",
    "PerturbedDescentState",
    "Reflected",
    "Underdamped",
    "UnderdampedState",
    "fold",
]
