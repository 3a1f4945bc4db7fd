"""Algorithms in R^d: Langevin dynamics, Metropolis methods, replica exchange, reflection, and perturbed descent."""

from langevax.samplers.langevin import Langevin, LangevinState
from langevax.samplers.metropolis import MALA, PCN, PCNL, MALAState, PCNLState
from langevax.samplers.perturbed import PerturbedDescent
from langevax.samplers.reflected import Reflected
from langevax.samplers.replica_exchange import ReplicaExchange, ReplicaExchangeState
from langevax.samplers.underdamped import Underdamped

__all__ = [
    "MALA",
    "PCN",
    "PCNL",
    "Langevin",
    "LangevinState",
    "MALAState",
    "PCNLState",
    "PerturbedDescent",
    "Reflected",
    "ReplicaExchange",
    "ReplicaExchangeState",
    "Underdamped",
]
__dir__: object = __all__.copy
