"""Mean-field Langevin dynamics and dual methods: networks trained as a law over neurons."""

from langevax.meanfield.certificate import Certificate, certify
from langevax.meanfield.fictitious_play import FictitiousPlay
from langevax.meanfield.mfld import MFLD, anneal, halving
from langevax.meanfield.pda import PDA
from langevax.meanfield.psdca import PSDCA

__all__ = ["MFLD", "PDA", "PSDCA", "Certificate", "FictitiousPlay", "anneal", "certify", "halving"]
__dir__ = __all__.copy
