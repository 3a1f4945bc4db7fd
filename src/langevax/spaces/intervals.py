"""Bases on an interval, by fast transforms: cosines, sines and waves."""

import functools
import math
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.fft import dct, idct

from langevax.spaces.basis import (
    Coefficients,
    Interval,
    Values,
    pad_modes,
)


class Cosine(Interval):
    """`f_0 = 1, f_k(t) = sqrt(2) cos(pi k t)`, t in [0, 1] along the domain: eigenfunctions with free ends (Neumann).

    Args:
        num_modes: N.
        num_points: of the grid, the midpoints of as many cells; N by default.
        domain: the interval.

    `synthesize` and `analyze` are one cosine transform each, O(G log G).

    Raises:
        ValueError: no modes, fewer points than modes, an empty domain.

    Example:
        >>> import jax.numpy as jnp
        >>> from langevax import spaces
        >>> basis = spaces.Cosine(4, num_points=8, domain=(0.0, 2.0))
        >>> basis.synthesize(jnp.array([2.0, 0.0, 0.0, 0.0])).round(3)
        Array([2., 2., 2., 2., 2., 2., 2., 2.], dtype=float32)
        >>> basis.analyze(jnp.asarray(basis.grid, jnp.float32)).round(2)  # of the identity
        Array([ 1.  , -0.57,  0.  , -0.06], dtype=float32)
    """

    def _values(self, coefficients: Coefficients) -> Values:
        return _cosine_values(coefficients, self.num_points)

    def _coefficients(self, values: Values) -> Coefficients:
        return _cosine_coefficients(values, self.num_modes)

    def _unit_grid(self) -> np.ndarray:
        return (np.arange(self.num_points) + 0.5) / self.num_points

    def _unit_frequencies(self) -> np.ndarray:
        return np.pi * np.arange(self.num_modes)

    def _waves(self, xp: ModuleType, angles: Any) -> Any:
        return xp.cos(angles)


@functools.partial(jax.jit, static_argnames="num_points")
def _cosine_values(coefficients: Coefficients, num_points: int) -> Values:
    padded = pad_modes(coefficients, num_points)
    return idct(padded, norm="ortho") * math.sqrt(num_points)


@functools.partial(jax.jit, static_argnames="num_modes")
def _cosine_coefficients(values: Values, num_modes: int) -> Coefficients:
    scale = math.sqrt(1 / values.shape[-1])
    return dct(values, norm="ortho")[..., :num_modes] * scale


class Sine(Interval):
    """`f_k(t) = sqrt(2) sin(pi (k + 1) t)`, t in [0, 1] along the domain: eigenfunctions with held ends (Dirichlet).

    A law that is diagonal here is zero at both ends of the domain, and stationary some length scales away from them.

    Args:
        num_modes: N.
        num_points: of the grid, the inner nodes between as many cells and one more; N by default.
        domain: the interval.

    `synthesize` and `analyze` are one Fourier transform of twice the length each, O(G log G).

    Raises:
        ValueError: no modes, fewer points than modes, an empty domain.

    Example:
        >>> import jax.numpy as jnp
        >>> from langevax import spaces
        >>> basis = spaces.Sine(3)
        >>> basis.grid
        array([0.25, 0.5 , 0.75])
        >>> basis.synthesize(jnp.array([1.0, 0.0, 0.0])).round(2)  # sqrt(2) sin(pi t)
        Array([1.  , 1.41, 1.  ], dtype=float32)
    """

    def _values(self, coefficients: Coefficients) -> Values:
        return _sine_values(coefficients, self.num_points)

    def _coefficients(self, values: Values) -> Coefficients:
        return _sine_coefficients(values, self.num_modes)

    def _unit_grid(self) -> np.ndarray:
        return np.arange(1, self.num_points + 1) / self._num_cells()

    def _num_cells(self) -> int:
        return self.num_points + 1

    def _unit_frequencies(self) -> np.ndarray:
        return np.pi * np.arange(1, self.num_modes + 1)

    def _waves(self, xp: ModuleType, angles: Any) -> Any:
        return xp.sin(angles)


def _sine_transform(array: Values) -> Values:
    """Return `sum_j x_j sin(pi (j + 1) (k + 1) / (G + 1))`, by the Fourier transform of the odd extension."""
    zero = jnp.zeros_like(array[..., :1])
    mirrored = -jnp.flip(array, -1)
    odd = jnp.concatenate([zero, array, zero, mirrored], axis=-1)
    spectrum = jnp.fft.rfft(odd)[..., 1:-1]
    return -spectrum.imag / 2


@functools.partial(jax.jit, static_argnames="num_points")
def _sine_values(coefficients: Coefficients, num_points: int) -> Values:
    padded = pad_modes(coefficients, num_points)
    return _sine_transform(padded) * math.sqrt(2)


@functools.partial(jax.jit, static_argnames="num_modes")
def _sine_coefficients(values: Values, num_modes: int) -> Coefficients:
    scale = math.sqrt(2) / (values.shape[-1] + 1)
    return _sine_transform(values)[..., :num_modes] * scale


class Fourier(Interval):
    """`f_0 = 1, f_{2k-1}(t) = sqrt(2) cos(2 pi k t), f_{2k}(t) = sqrt(2) sin(2 pi k t)`, of period one domain.

    Args:
        num_modes: N; odd numbers have a sine for every cosine.
        num_points: of the grid, the left ends of as many cells; by default the least power of two that resolves
            all modes.
        domain: one period.

    `synthesize` and `analyze` are one real Fourier transform each, O(G log G).

    Raises:
        ValueError: no modes, too few points for them, an empty domain.

    Example:
        >>> import jax.numpy as jnp
        >>> from langevax import spaces
        >>> basis = spaces.Fourier(3)
        >>> basis.synthesize(jnp.array([1.0, 0.0, 1.0])).round(1)  # 1 + sqrt(2) sin(2 pi t)
        Array([ 1. ,  2.4,  1. , -0.4], dtype=float32)
    """

    def _values(self, coefficients: Coefficients) -> Values:
        return _fourier_values(coefficients, self.num_points)

    def _coefficients(self, values: Values) -> Coefficients:
        return _fourier_coefficients(values, self.num_modes)

    @staticmethod
    def _fewest_points(num_modes: int) -> int:
        return num_modes + 1 - num_modes % 2

    @classmethod
    def _default_points(cls, num_modes: int) -> int:
        return 1 << (num_modes - num_modes % 2).bit_length()

    def _unit_grid(self) -> np.ndarray:
        return np.arange(self.num_points) / self.num_points

    def _unit_frequencies(self) -> np.ndarray:
        return 2 * np.pi * ((np.arange(self.num_modes) + 1) // 2)

    def _waves(self, xp: ModuleType, angles: Any) -> Any:
        j = np.arange(self.num_modes)
        is_cosine = (j == 0) | (j % 2 == 1)
        return xp.where(is_cosine, xp.cos(angles), xp.sin(angles))


@functools.partial(jax.jit, static_argnames="num_points")
def _fourier_values(coefficients: Coefficients, num_points: int) -> Values:
    num_waves = num_points // 2
    padded = pad_modes(coefficients, 2 * num_waves + 1)
    mean = padded[..., :1]
    waves = padded[..., 1:].reshape(*padded.shape[:-1], num_waves, 2)
    waves = waves * math.sqrt(0.5)
    spectrum = lax.complex(waves[..., 0], -waves[..., 1])
    real = lax.complex(mean, jnp.zeros_like(mean))
    spectrum = jnp.concatenate([real, spectrum], axis=-1)
    return jnp.fft.irfft(spectrum, num_points, norm="forward")


@functools.partial(jax.jit, static_argnames="num_modes")
def _fourier_coefficients(values: Values, num_modes: int) -> Coefficients:
    spectrum = jnp.fft.rfft(values, norm="forward")
    pairs = jnp.stack([spectrum.real, -spectrum.imag], axis=-1) * math.sqrt(2)
    waves = pairs[..., 1:, :].reshape(*values.shape[:-1], -1)
    coefficients = jnp.concatenate([spectrum[..., :1].real, waves], axis=-1)
    return coefficients[..., :num_modes]
