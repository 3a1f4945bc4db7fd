"""Functions as vectors of coefficients: orthonormal bases, and Gaussian laws of finite trace on them.

Read `basis` (the vocabulary), `intervals` (cosines, sines, waves), `prior` and `spectra` first; then, as
needed, `tensor` (several variables) and the bases known on points (`tabulated`, `nodes`, `graph`, `elements`).
"""

from langevax import renamed
from langevax.spaces import spectra
from langevax.spaces.basis import Basis
from langevax.spaces.elements import FiniteElements
from langevax.spaces.graph import GraphLaplacian
from langevax.spaces.intervals import Cosine, Fourier, Sine
from langevax.spaces.matern_prior import MaternPrior
from langevax.spaces.nodes import MatrixBasis
from langevax.spaces.prior import GaussianPrior, project, regress, trapezoid_weights
from langevax.spaces.tabulated import KernelEigenbasis, PrincipalComponents, Tabulated
from langevax.spaces.tensor import TensorProduct

__all__ = [
    "Basis",
    "Cosine",
    "FiniteElements",
    "Fourier",
    "GaussianPrior",
    "GraphLaplacian",
    "KernelEigenbasis",
    "MaternPrior",
    "MatrixBasis",
    "PrincipalComponents",
    "Sine",
    "Tabulated",
    "TensorProduct",
    "project",
    "regress",
    "spectra",
    "trapezoid_weights",
]
__dir__: object = __all__.copy
__getattr__ = renamed.getattr_of(__name__)
