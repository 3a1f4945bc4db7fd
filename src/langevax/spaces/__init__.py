"""Functions as vectors of coefficients: orthonormal bases, and Gaussian laws of finite trace on them.

To read in this order: `basis` (the vocabulary), `cosine` (its shortest instance), `prior`, `spectra`.
"""

from langevax.spaces import spectra
from langevax.spaces.basis import Basis
from langevax.spaces.cosine import Cosine
from langevax.spaces.fourier import Fourier
from langevax.spaces.kernel_eigenbasis import KernelEigenbasis
from langevax.spaces.prior import GaussianPrior
from langevax.spaces.tabulated import Tabulated

__all__ = ["Basis", "Cosine", "Fourier", "GaussianPrior", "KernelEigenbasis", "Tabulated", "spectra"]
