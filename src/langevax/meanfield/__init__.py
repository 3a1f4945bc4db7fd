"""Mean-field Langevin dynamics and its kin: networks trained as a law over neurons."""

from langevax.meanfield.mfld import MFLD

__all__ = ["MFLD"]
