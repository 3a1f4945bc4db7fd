"""Federated optimisation: a server and clients that keep their rows, counted by what passes between them."""

from langevax.federated.bvr_l_psgd import BVRLPSGD, BVRLSGD, MinibatchSARAH
from langevax.federated.exchange import Exchange
from langevax.federated.fedavg import FedAvg, MinibatchSGD
from langevax.federated.fledge import FLEDGE
from langevax.federated.mime import MimeSGD
from langevax.federated.rounds import Federated
from langevax.federated.scaffold import SCAFFOLD

__all__ = [
    "BVRLPSGD",
    "BVRLSGD",
    "FLEDGE",
    "SCAFFOLD",
    "Exchange",
    "FedAvg",
    "Federated",
    "MimeSGD",
    "MinibatchSARAH",
    "MinibatchSGD",
]
__dir__ = __all__.copy
