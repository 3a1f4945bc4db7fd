"""Waves: periodic functions, by fast Fourier transforms."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from langevax.spaces.basis import Coefficients, Fast, Values, pad_modes
from langevax.spaces.transforms import Transform


class Fourier(Fast):
    """`f_0 = 1, f_{2k-1}(t) = sqrt(2) cos(2 pi k t), f_{2k}(t) = sqrt(2) sin(2 pi k t)`, of period one domain.

    Args:
        num_modes: N; odd numbers have a sine for every cosine.
        num_points: of the grid, the left ends of as many cells; the least power of two that resolves all modes where it
            is not given.
        domain: one period.

    `synthesize` and `analyze` are one real Fourier transform each, O(G log G).

    Raises:
        ValueError: no modes, too few points for them, a domain that is none.

    Example:
        >>> import jax.numpy as jnp
        >>> from langevax import spaces
        >>> basis = spaces.Fourier(3)
        >>> basis.synthesize(jnp.array([1.0, 0.0, 1.0])).round(1)  # 1 + sqrt(2) sin(2 pi t)
        Array([ 1. ,  2.4,  1. , -0.4], dtype=float32)
    """

    @property
    def to_values(self) -> Transform:
        return functools.partial(_to_values, num_points=self.num_points)

    @property
    def to_coefficients(self) -> Transform:
        return functools.partial(_to_coefficients, num_modes=self.num_modes)

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

    def _functions(self, xp: Any, t: Any) -> Any:
        j = np.arange(self.num_modes)
        heights = xp.asarray(np.where(j > 0, np.sqrt(2), 1.0), t.dtype)
        angle = xp.asarray(2 * np.pi * ((j + 1) // 2), t.dtype) * t[:, None]
        return heights * xp.where((j == 0) | (j % 2 == 1), xp.cos(angle), xp.sin(angle))


@functools.partial(jax.jit, static_argnames="num_points")
def _to_values(coefficients: Coefficients, num_points: int) -> Values:
    num_waves = num_points // 2
    padded = pad_modes(coefficients, 2 * num_waves + 1)
    mean, waves = padded[..., :1], padded[..., 1:].reshape(*padded.shape[:-1], num_waves, 2)
    waves = waves * jnp.asarray(np.sqrt(0.5), padded.dtype)
    spectrum = lax.complex(waves[..., 0], -waves[..., 1])
    spectrum = jnp.concatenate([lax.complex(mean, jnp.zeros_like(mean)), spectrum], axis=-1)
    return jnp.fft.irfft(spectrum, num_points, norm="forward")


@functools.partial(jax.jit, static_argnames="num_modes")
def _to_coefficients(values: Values, num_modes: int) -> Coefficients:
    spectrum = jnp.fft.rfft(values, norm="forward")
    pairs = jnp.stack([spectrum.real, -spectrum.imag], axis=-1) * jnp.asarray(np.sqrt(2), values.dtype)
    waves = pairs[..., 1:, :].reshape(*values.shape[:-1], -1)
    return jnp.concatenate([spectrum[..., :1].real, waves], axis=-1)[..., :num_modes]
