"""Effect of one gradient step on the first layer on a two-layer network's ridge risk, in the proportional limit.

Ba, Erdogdu, Suzuki, Wang, Wu, Yang (NeurIPS 2022). Samples n, neurons N and the dimension d grow together; students and
teachers are names (erf, tanh, sin, softplus, relu, "centred relu", ...) or functions made by `activation`.

`errors_...`, `optimal_...` and `classify_...` compute in float64 whatever the
global flag and return NumPy. In one's own `jax.jit`, `grad` or `vmap` the traced cores serve, in `jax.enable_x64()`:
`closed_form` elementwise; `unified` for one point, of `moments_after_step(.., after_step(..))`;
`gaussian_design`, `random_features` of a spectrum.
"""

from langevax.theory.feature_learning.activations import (
    Activation,
    Coefficients,
    LargeStep,
    activation,
    hermite_coefficients,
    kernel_floor,
    tau_star,
)
from langevax.theory.feature_learning.classification import (
    Classification,
    classify_gaussian_design,
)
from langevax.theory.feature_learning.equivalents import (
    GaussianDesign,
    RandomFeatures,
    errors_gaussian_design,
    errors_given_weights,
    gaussian_design,
    gaussian_equivalent,
    random_feature_equivalent,
    random_features,
)
from langevax.theory.feature_learning.large_step import (
    after_step,
    moments_after_step,
    unified,
)
from langevax.theory.feature_learning.numerics import Errors
from langevax.theory.feature_learning.one_step import (
    Optimum,
    errors_one_step,
    improvement,
    optimal_ridge,
    optimal_step_size,
)
from langevax.theory.feature_learning.small_step import (
    Spectrum,
    bulk_density,
    closed_form,
    spectrum_one_step,
)

__all__ = [
    "Activation",
    "Classification",
    "Coefficients",
    "Errors",
    "GaussianDesign",
    "LargeStep",
    "Optimum",
    "RandomFeatures",
    "Spectrum",
    "activation",
    "after_step",
    "bulk_density",
    "classify_gaussian_design",
    "closed_form",
    "errors_gaussian_design",
    "errors_given_weights",
    "errors_one_step",
    "gaussian_design",
    "gaussian_equivalent",
    "hermite_coefficients",
    "improvement",
    "kernel_floor",
    "moments_after_step",
    "optimal_ridge",
    "optimal_step_size",
    "random_feature_equivalent",
    "random_features",
    "spectrum_one_step",
    "tau_star",
    "unified",
]
__dir__: object = __all__.copy
