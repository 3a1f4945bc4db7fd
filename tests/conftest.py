"""Every test runs with shape checks on, strict dtype promotion, and warnings as errors."""

import jax
import matplotlib
from jaxtyping import install_import_hook

jax.config.update("jax_numpy_dtype_promotion", "strict")
matplotlib.use("Agg")

with install_import_hook("langevax", "beartype.beartype"):
    import langevax  # noqa: F401
