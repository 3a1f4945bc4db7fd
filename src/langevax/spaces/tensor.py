"""Products of bases: functions of several variables."""

import math
from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from langevax import checks
from langevax.renamed import refuse_former
from langevax.spaces.basis import (
    ArrayLike,
    Basis,
    Coefficients,
    Values,
    check_modes,
    check_values,
)


@refuse_former
class TensorProduct(Basis):
    """`f_k(t_1, ..., t_d) = f^1_{k_1}(t_1) ... f^d_{k_d}(t_d)` on the product of the domains.

    Modes come in the order of `frequency^2 = sum_i frequency_{k_i}^2`, those of equal frequency in that of their
    indices (k_1, ..., k_d).

    Args:
        bases: the factors, each of functions of one variable: intervals, or a graph for the nodes at which curves live.
        num_modes: N; all products by default.

    `synthesize` and `analyze` apply each factor along its axis. Values are flat: `.reshape(*batch, *basis.grid_shape)`.

    Raises:
        ValueError: no factor, a factor of several variables, more modes than there are products.

    Example:
        >>> import jax.numpy as jnp
        >>> from langevax import spaces
        >>> square = spaces.TensorProduct([spaces.Cosine(8), spaces.Fourier(5)], num_modes=4)
        >>> (square.frequencies / jnp.pi).round(2)  # 1; cos(pi s); cos(2 pi s); cos(2 pi t)
        array([0., 1., 2., 2.])
        >>> square.synthesize(jnp.ones(4)).shape, square.grid_shape
        ((64,), (8, 8))
    """

    bases: tuple[Basis, ...]
    order: Int[np.ndarray, " modes"]
    """Of each mode, its place among all products in C order."""

    def __init__(self, bases: Sequence[Basis], num_modes: int | None = None):
        checks.instance(
            "bases",
            bases,
            (tuple, list),
            "[langevax.spaces.Cosine(8), langevax.spaces.Fourier(5)]",
        )
        self.bases = tuple(bases)
        if not self.bases:
            raise ValueError(
                "bases is empty; pass at least one basis, such as spaces.Cosine(16)."
            )
        for i, basis in enumerate(self.bases):
            checks.instance(f"bases[{i}]", basis, Basis, "langevax.spaces.Cosine(16)")
            if np.ndim(basis.grid) != 1:
                raise ValueError(
                    f"bases[{i}] has functions of {basis.dim} variables; pass factors "
                    "of one variable each."
                )
        products = math.prod(self._shape)
        num_modes = (
            products if num_modes is None else checks.whole("num_modes", num_modes)
        )
        if num_modes > products:
            raise ValueError(
                f"num_modes is {num_modes}, but factors of {self._shape} modes have "
                f"{products} products; give the factors more modes."
            )
        order = np.argsort(self._squared_frequencies(), kind="stable")
        # of one kind in either precision
        self.order = order[:num_modes].astype(np.int32)

    @property
    def num_modes(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """N."""
        return self.order.shape[0]

    @property
    def grid(self) -> np.ndarray:
        axes = np.meshgrid(*(basis.grid for basis in self.bases), indexing="ij")
        return np.stack([axis.ravel() for axis in axes], axis=-1)

    @property
    def grid_shape(self) -> tuple[int, ...]:
        """(G_1, ..., G_d), with G their product."""
        return tuple(len(basis.grid) for basis in self.bases)

    @property
    def frequencies(self) -> np.ndarray:
        return np.sqrt(self._squared_frequencies()[self.order])

    @property
    def dim(self) -> int:
        return sum(basis.dim for basis in self.bases)

    @property
    def volume(self) -> float:
        return math.prod(basis.volume for basis in self.bases)

    def evaluate(self, points: ArrayLike) -> Float[Array, "points modes"]:
        points = (
            np.asarray(points) if checks.is_concrete(points) else jnp.asarray(points)
        )
        if points.ndim != 2 or points.shape[1] != len(self.bases):
            raise ValueError(
                f"points must have shape (n, {len(self.bases)}), one column a factor, "
                f"got {points.shape}."
            )
        return self._products(
            [basis.evaluate(points[:, i]) for i, basis in enumerate(self.bases)]
        )

    @eqx.filter_jit
    def synthesize(self, coefficients: Coefficients) -> Values:
        check_modes(coefficients, self.num_modes)
        batch = coefficients.shape[:-1]
        products = jnp.zeros((*batch, math.prod(self._shape)), coefficients.dtype)
        products = products.at[..., self.order].set(coefficients)
        tensor = products.reshape(*batch, *self._shape)
        for basis in self.bases:  # the first axis becomes the last: after all of them, they are in order again
            tensor = basis.synthesize(jnp.moveaxis(tensor, len(batch), -1))
        return tensor.reshape(*batch, -1)

    @eqx.filter_jit
    def analyze(self, values: Values) -> Coefficients:
        check_values(values, math.prod(self.grid_shape))
        batch = values.shape[:-1]
        tensor = values.reshape(*batch, *self.grid_shape)
        for basis in self.bases:
            tensor = basis.analyze(jnp.moveaxis(tensor, len(batch), -1))
        return tensor.reshape(*batch, -1)[..., self.order]

    def with_modes(self, num_modes: int) -> "Basis":
        """The same factors; at most as many modes as they have products."""
        return TensorProduct(self.bases, num_modes)

    @eqx.filter_jit
    def _products(self, factors: list[Array]) -> Array:
        """(n, N) of the factors' (n, N_i)."""
        modes = jnp.unravel_index(jnp.asarray(self.order), self._shape)
        columns = [
            factor[:, places] for factor, places in zip(factors, modes, strict=True)
        ]
        return math.prod(columns[1:], start=columns[0])

    @property
    def _shape(self) -> tuple[int, ...]:
        return tuple(basis.num_modes for basis in self.bases)

    def _squared_frequencies(self) -> np.ndarray:
        """(N_1 ... N_d,), the terms added in the order of their size, so that equal sums are equal to the last bit."""
        squares = np.meshgrid(
            *(basis.frequencies**2 for basis in self.bases), indexing="ij"
        )
        terms = np.sort(np.stack(squares, axis=-1), axis=-1)
        return terms.sum(axis=-1).ravel()
