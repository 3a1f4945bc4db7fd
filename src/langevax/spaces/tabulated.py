"""Bases known by their values on finitely many points."""

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from langevax import checks
from langevax.spaces.basis import Basis, Coefficients, Values, check_modes, check_values


class Tabulated(Basis):
    """f_0, ..., f_{N-1} on the points of a probability measure rho; subclasses say what they are elsewhere.

    points: (G,) or (G, d), the grid.
    matrix: (G, N), `f_k(points_j)`; its columns are orthonormal with the weights.
    weights: (G,), those of rho, of sum 1.

    All three are held in float64 on the host, and rounded to the dtype of what they meet. `synthesize` and `analyze`
    are one product with the matrix each, O(G N).
    """

    per_mode: ClassVar[tuple[str, ...]] = ("matrix",)  # the arrays with modes on their last axis

    points: np.ndarray
    matrix: Float[np.ndarray, "grid modes"]
    weights: Float[np.ndarray, " grid"]

    @property
    def num_modes(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """N."""
        return self.matrix.shape[1]

    @property
    def grid(self) -> Any:
        return self.points

    @property
    def frequencies(self) -> np.ndarray:
        raise ValueError(
            f"the frequencies of a {type(self).__name__} are unknown, so spectra by formula do not apply; its own "
            "eigenvalues come with it: GaussianPrior(basis, basis.eigenvalues)."
        )

    @property
    def dim(self) -> int:
        return 1 if self.points.ndim == 1 else self.points.shape[1]

    @property
    def volume(self) -> float:
        """1: rho is a law, its domain has no volume."""
        return 1.0

    def synthesize(self, coefficients: Coefficients) -> Values:
        check_modes(coefficients, self.num_modes)
        return coefficients @ jnp.asarray(self.matrix, coefficients.dtype).T

    def analyze(self, values: Values) -> Coefficients:
        check_values(values, len(self.weights))
        weights, matrix = jnp.asarray(self.weights, values.dtype), jnp.asarray(self.matrix, values.dtype)
        return (values * weights) @ matrix

    def with_modes(self, num_modes: int) -> "Basis":
        """The first modes; there are no others."""
        checks.positive_int("num_modes", num_modes)
        if num_modes > self.num_modes:
            name = type(self).__name__
            raise ValueError(
                f"this {name} holds {self.num_modes} modes, so num_modes cannot be {num_modes}; ask for fewer."
            )
        cut = [getattr(self, name)[..., :num_modes] for name in self.per_mode]
        return eqx.tree_at(lambda basis: [getattr(basis, name) for name in self.per_mode], self, cut)


def probabilities(weights: Any, num_points: int) -> np.ndarray:
    """(G,) float64 of sum 1, uniform where there are none; raise unless all are finite and > 0."""
    if weights is None:
        return np.full(num_points, 1 / num_points)
    weights = np.asarray(weights, np.float64)
    if weights.shape != (num_points,):
        raise ValueError(f"weights must have shape ({num_points},), one for each point, got {weights.shape}.")
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights > 0)))
    if len(bad):
        raise ValueError(
            f"weights must be finite and > 0, but number {bad[0]} is {weights[bad[0]]}; drop points without weight."
        )
    return weights / weights.sum()
