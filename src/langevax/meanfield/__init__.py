"""Mean-field Langevin dynamics and dual methods: networks trained as a law over neurons."""

from langevax import renamed
from langevax.meanfield.certificate import Certificate, certify
from langevax.meanfield.duality_gap import DualEstimate, duality_gap
from langevax.meanfield.fictitious_play import FictitiousPlay
from langevax.meanfield.mfld import MFLD
from langevax.meanfield.pda import PDA
from langevax.meanfield.psdca import PSDCA

__all__ = [
    "MFLD",
    "PDA",
    "PSDCA",
    "Certificate",
    "DualEstimate",
    "FictitiousPlay",
    "certify",
    "duality_gap",
]
__dir__: object = __all__.copy
__getattr__ = renamed.getattr_of(__name__)
