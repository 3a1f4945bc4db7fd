"""Cosines: functions on an interval without a condition at its ends, by fast cosine transforms."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.fft import dct, idct

from langevax.spaces.basis import Coefficients, Fast, Values, pad_modes
from langevax.spaces.transforms import Transform


class Cosine(Fast):
    """`f_0 = 1, f_k(t) = sqrt(2) cos(pi k t)`, t in [0, 1] along the domain: eigenfunctions with free ends (Neumann).

    Args:
        num_modes: N.
        num_points: of the grid, the midpoints of as many cells; N where it is not given.
        domain: the interval.

    `synthesize` and `analyze` are one cosine transform each, O(G log G).

    Raises:
        ValueError: no modes, fewer points than modes, a domain that is none.

    Example:
        >>> import jax.numpy as jnp
        >>> from langevax import spaces
        >>> basis = spaces.Cosine(4, num_points=8, domain=(0.0, 2.0))
        >>> basis.synthesize(jnp.array([2.0, 0.0, 0.0, 0.0])).round(3)
        Array([2., 2., 2., 2., 2., 2., 2., 2.], dtype=float32)
        >>> basis.analyze(jnp.asarray(basis.grid, jnp.float32)).round(2)  # of the identity
        Array([ 1.  , -0.57,  0.  , -0.06], dtype=float32)
    """

    @property
    def to_values(self) -> Transform:
        return functools.partial(_to_values, num_points=self.num_points)

    @property
    def to_coefficients(self) -> Transform:
        return functools.partial(_to_coefficients, num_modes=self.num_modes)

    @staticmethod
    def _fewest_points(num_modes: int) -> int:
        return num_modes

    def _unit_grid(self) -> np.ndarray:
        return (np.arange(self.num_points) + 0.5) / self.num_points

    def _unit_frequencies(self) -> np.ndarray:
        return np.pi * np.arange(self.num_modes)

    def _functions(self, xp: Any, t: Any) -> Any:
        k = np.arange(self.num_modes)
        heights = xp.asarray(np.where(k > 0, np.sqrt(2), 1.0), t.dtype)
        return heights * xp.cos(xp.asarray(np.pi * k, t.dtype) * t[:, None])


@functools.partial(jax.jit, static_argnames="num_points")
def _to_values(coefficients: Coefficients, num_points: int) -> Values:
    padded = pad_modes(coefficients, num_points)
    return idct(padded, norm="ortho") * jnp.asarray(np.sqrt(num_points), padded.dtype)


@functools.partial(jax.jit, static_argnames="num_modes")
def _to_coefficients(values: Values, num_modes: int) -> Coefficients:
    scale = jnp.asarray(np.sqrt(1 / values.shape[-1]), values.dtype)
    return dct(values, norm="ortho")[..., :num_modes] * scale
