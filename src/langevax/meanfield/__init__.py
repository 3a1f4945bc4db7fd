"""Mean-field Langevin dynamics and dual methods: networks trained as a law over neurons."""

from langevax.meanfield.certificate import Certificate, certify
from langevax.meanfield.duality_gap import DualEstimate, duality_gap
from langevax.meanfield.fictitious_play import FictitiousPlay
from langevax.meanfield.mfld import MFLD, anneal, halving
from langevax.meanfield.pda import PDA
from langevax.meanfield.psdca import PSDCA

__all__ = [
    "MFLD",
    "PDA",
    "PSDCA",
    "Certificate",
    "DualEstimate",
    "FictitiousPlay",
    "anneal",
    "certify",
    "duality_gap",
    "halving",
]
__dir__ = __all__.copy
