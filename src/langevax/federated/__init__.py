"""Federated optimisation: a server and clients that keep their rows, counted by what passes between them."""

from langevax import renamed
from langevax.federated.bvr_l_psgd import BVRLPSGD, BVRLSGD, MinibatchSARAH
from langevax.federated.exchange import Exchange
from langevax.federated.fedavg import FedAvg, MinibatchSGD
from langevax.federated.feddyn import FedDyn
from langevax.federated.fednova import FedNova
from langevax.federated.fedprox import FedProx
from langevax.federated.fledge import FLEDGE
from langevax.federated.mime import MimeSGD
from langevax.federated.rounds import Federated
from langevax.federated.scaffold import SCAFFOLD
from langevax.federated.scaffold_m import SCAFFOLDM

__all__ = [
    "BVRLPSGD",
    "BVRLSGD",
    "FLEDGE",
    "SCAFFOLD",
    "SCAFFOLDM",
    "Exchange",
    "FedAvg",
    "FedDyn",
    "FedNova",
    "FedProx",
    "Federated",
    "MimeSGD",
    "MinibatchSARAH",
    "MinibatchSGD",
]
__dir__: object = __all__.copy
__getattr__ = renamed.getattr_of(__name__)
