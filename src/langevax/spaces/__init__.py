"""Functions as vectors of coefficients: orthonormal bases, and Gaussian laws of finite trace on them.

Read `basis` (the vocabulary), `intervals` (cosines, waves, polynomials), `prior` and `spectra` first; then, as needed,
`tensor` (several variables) and the bases known on points (`tabulated`, `graph`).
"""

from langevax.spaces import spectra
from langevax.spaces.basis import Basis
from langevax.spaces.graph import GraphLaplacian
from langevax.spaces.intervals import Cosine, Fourier, Legendre
from langevax.spaces.matern_prior import MaternPrior
from langevax.spaces.prior import GaussianPrior, project, regress, trapezoid_weights
from langevax.spaces.tabulated import KernelEigenbasis, PrincipalComponents, Tabulated
from langevax.spaces.tensor import TensorProduct

__all__ = [
    "Basis",
    "Cosine",
    "Fourier",
    "GaussianPrior",
    "GraphLaplacian",
    "KernelEigenbasis",
    "Legendre",
    "MaternPrior",
    "PrincipalComponents",
    "Tabulated",
    "TensorProduct",
    "project",
    "regress",
    "spectra",
    "trapezoid_weights",
]
__dir__ = __all__.copy
