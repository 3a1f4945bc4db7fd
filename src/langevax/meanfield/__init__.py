"""Mean-field Langevin dynamics and its kin: networks trained as a law over neurons."""

from langevax.meanfield.certificate import Certificate, certify
from langevax.meanfield.mfld import MFLD

__all__ = ["MFLD", "Certificate", "certify"]
