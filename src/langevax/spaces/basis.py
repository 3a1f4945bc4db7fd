"""Orthonormal bases: a function is a vector of coefficients x, f = sum_k x_k f_k.

The f_k are orthonormal in L2(rho), rho the uniform law of the domain (of the sample, of the nodes), a probability
measure: |x|^2 is the mean square of the function, whatever the unit of its argument. They are ordered from smooth to
rough, so that a prefix of a vector of coefficients is a coarser view of the same function.
"""

from abc import abstractmethod
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from langevax import checks

ArrayLike = jax.typing.ArrayLike | Sequence[Any]
Coefficients = Float[Array, "*batch modes"]
Values = Float[Array, "*batch grid"]


class Basis(eqx.Module):
    """f_0, ..., f_{N-1}, orthonormal, with a grid of its own and fast maps between values there and coefficients."""

    num_modes: eqx.AbstractVar[int]

    @property
    @abstractmethod
    def grid(self) -> np.ndarray | Array:
        """The points of `synthesize` and `analyze`: (G,) numbers, or (G, d)."""

    @property
    @abstractmethod
    def frequencies(self) -> np.ndarray:
        """(N,) float64, not decreasing: -Laplacian f_k = frequencies_k^2 f_k, or its nearest analogue."""

    @property
    @abstractmethod
    def dim(self) -> int:
        """Dimension of the domain, 0 for nodes of a graph; spectra use it with `volume`."""

    @property
    @abstractmethod
    def volume(self) -> float:
        """Volume of the domain; number of nodes of a graph."""

    @abstractmethod
    def evaluate(self, points: ArrayLike) -> Float[Array, "points modes"]:
        """`f_k(points_j)`: the functions at any points of the domain."""

    @abstractmethod
    def synthesize(self, coefficients: Coefficients) -> Values:
        """Return the function on the grid of the basis."""

    @abstractmethod
    def analyze(self, values: Values) -> Coefficients:
        """Return the coefficients of the function with these values on the grid: exact in the span."""

    @abstractmethod
    def with_modes(self, num_modes: int) -> "Basis":
        """Return the same basis cut off, or extended, to `num_modes`."""

    def at(
        self, coefficients: Coefficients, points: ArrayLike
    ) -> Float[Array, "*batch points"]:
        """Return the function at any points of the domain."""
        return coefficients @ self.evaluate(points).astype(coefficients.dtype).T


class Interval(Basis):
    """A basis of waves on an interval; subclasses say which, in the coordinate t in [0, 1], with fast transforms.

    XLA gathers the input of an FFT, even where only batch axes are split over devices: there the transforms are
    products with a matrix, O(G N), of which each device computes those of the functions that it holds.
    """

    num_modes: int
    num_points: int
    domain: tuple[float, float]

    def __init__(
        self,
        num_modes: int,
        num_points: int | None = None,
        domain: tuple[float, float] = (0.0, 1.0),
    ):
        num_modes = checks.whole("num_modes", num_modes)
        ends = checks.real_array("domain", domain)
        is_pair = ends.shape == (2,) and np.isfinite(ends).all()
        if not (is_pair and ends[0] < ends[1]):
            raise ValueError(
                "domain must be two finite numbers, the smaller first, got "
                f"{checks.shown(domain)}."
            )
        least = self._fewest_points(num_modes)
        num_points = (
            self._default_points(num_modes)
            if num_points is None
            else checks.whole("num_points", num_points)
        )
        if num_points < least:
            raise ValueError(
                f"num_points must be at least {least} for {num_modes} modes, got "
                f"{num_points}."
            )
        self.num_modes = num_modes
        self.num_points = num_points
        self.domain = tuple(ends.tolist())

    @property
    def grid(self) -> np.ndarray:
        left, right = self.domain
        return left + (right - left) * self._unit_grid()

    @property
    def dim(self) -> int:
        return 1

    @property
    def volume(self) -> float:
        return self.domain[1] - self.domain[0]

    @property
    def frequencies(self) -> np.ndarray:
        return self._unit_frequencies() / self.volume

    def evaluate(self, points: ArrayLike) -> Float[Array, "points modes"]:
        left, _ = self.domain
        x, xp = points_of_line(points)
        functions = self._functions(xp, (x - left) / self.volume)
        return jnp.asarray(functions, jnp.result_type(float))

    def with_modes(self, num_modes: int) -> "Basis":
        """Return the basis of `num_modes`, with the grid kept where it is fine enough."""
        checks.positive_int("num_modes", num_modes)
        num_points = max(self.num_points, self._default_points(num_modes))
        return type(self)(num_modes, num_points, self.domain)

    def synthesize(self, coefficients: Coefficients) -> Values:
        check_modes(coefficients, self.num_modes)
        if _is_split(coefficients):
            return coefficients @ self._on_grid(coefficients.dtype).T
        return self._values(coefficients)

    def analyze(self, values: Values) -> Coefficients:
        check_values(values, self.num_points)
        if _is_split(values):
            return values @ self._on_grid(values.dtype) / self._num_cells()
        return self._coefficients(values)

    def _on_grid(self, dtype: DTypeLike) -> Float[Array, "grid modes"]:
        return jnp.asarray(self._functions(np, self._unit_grid()), dtype)

    def _num_cells(self) -> int:
        return self.num_points

    @abstractmethod
    def _values(self, coefficients: Coefficients) -> Values:
        """`synthesize` by a fast transform."""

    @abstractmethod
    def _coefficients(self, values: Values) -> Coefficients:
        """`analyze` by a fast transform."""

    @staticmethod
    def _fewest_points(num_modes: int) -> int:
        return num_modes

    @classmethod
    def _default_points(cls, num_modes: int) -> int:
        return cls._fewest_points(num_modes)

    @abstractmethod
    def _unit_grid(self) -> np.ndarray: ...

    @abstractmethod
    def _unit_frequencies(self) -> np.ndarray: ...

    @abstractmethod
    def _waves(self, xp: ModuleType, angles: Any) -> Any:
        """Sines or cosines of (points, N) angles, by the array module xp."""

    def _functions(self, xp: ModuleType, t: Any) -> Any:
        """(points, N) by the array module xp at t in [0, 1]."""
        frequencies = self._unit_frequencies()
        angles = xp.asarray(frequencies, t.dtype) * t[:, None]
        heights = np.where(frequencies > 0, np.sqrt(2), 1)
        return xp.asarray(heights, t.dtype) * self._waves(xp, angles)


def _is_split(array: Array) -> bool:
    """True where XLA divides an array over devices; in `shard_map` it is one device's already."""
    mesh = jax.typeof(array).sharding.mesh
    return mesh.size > 1 and all(kind == AxisType.Auto for kind in mesh.axis_types)


def points_of_line(points: ArrayLike) -> tuple[Any, ModuleType]:
    """Points of a line and the module that computes with them: NumPy, in float64, unless they are traced."""
    concrete = checks.is_concrete(points)  # arguments of waves are large
    xp = np if concrete else jnp
    points = xp.asarray(points, np.float64 if concrete else jnp.result_type(float))
    if points.ndim != 1:
        raise ValueError(
            "points must be a vector of numbers of the domain, got shape "
            f"{points.shape}."
        )
    return points, xp


def check_modes(coefficients: Array, num_modes: int) -> None:
    """Raise unless the last axis holds one coefficient for each mode."""
    shape = jnp.shape(coefficients)
    if shape[-1:] != (num_modes,):
        raise ValueError(
            f"coefficients must have {num_modes} modes on the last axis, got shape "
            f"{shape}."
        )


def check_values(values: Array, num_points: int) -> None:
    """Raise unless the last axis holds one value for each point of the grid."""
    shape = jnp.shape(values)
    if shape[-1:] != (num_points,):
        raise ValueError(
            f"values must have the grid's {num_points} points on the last axis, got "
            f"shape {shape}."
        )


def pad_modes(coefficients: Array, length: int) -> Array:
    """Append zeros for higher modes, up to `length`."""
    widths = [(0, 0)] * coefficients.ndim
    widths[-1] = 0, length - coefficients.shape[-1]
    return jnp.pad(coefficients, widths)
