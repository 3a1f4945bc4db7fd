"""Functions as vectors of coefficients: orthonormal bases, and Gaussian laws of finite trace on them.

To read in this order: `basis` (the vocabulary), `cosine` (its shortest instance), `prior`, `spectra`. Then, as needed:
other bases by formula (`fourier`, `legendre`, `tensor`), bases known on points (`tabulated`: `kernel_eigenbasis`,
`principal_components`, `graph`), and `quadrature`, from curves to coefficients.
"""

from langevax.spaces import spectra
from langevax.spaces.basis import Basis
from langevax.spaces.cosine import Cosine
from langevax.spaces.fourier import Fourier
from langevax.spaces.graph import GraphLaplacian
from langevax.spaces.kernel_eigenbasis import KernelEigenbasis
from langevax.spaces.legendre import Legendre
from langevax.spaces.principal_components import PrincipalComponents
from langevax.spaces.prior import GaussianPrior
from langevax.spaces.quadrature import project, regress, trapezoid_weights
from langevax.spaces.tabulated import Tabulated
from langevax.spaces.tensor import TensorProduct

__all__ = [
    "Basis",
    "Cosine",
    "Fourier",
    "GaussianPrior",
    "GraphLaplacian",
    "KernelEigenbasis",
    "Legendre",
    "PrincipalComponents",
    "Tabulated",
    "TensorProduct",
    "project",
    "regress",
    "spectra",
    "trapezoid_weights",
]
