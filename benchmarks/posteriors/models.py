"""Posteriors of many styles as NumPyro models, with data that ship in packages or are typed.

`regressions.py` and `structures.py` enter them. Synthetic data are of a fixed seed; `BenchmarkPosterior.checksum` tells
whether a reference is of the same data.
"""

import functools
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

Model = Callable[..., None]
Data = tuple[np.ndarray, ...]


class BenchmarkPosterior(NamedTuple):
    """A model and its data."""

    model: Model
    data: Callable[[], Data]

    @property
    def name(self) -> str:
        return self.model.__name__

    def arrays(self) -> tuple[jax.Array, ...]:
        """Return the data in JAX's present precision."""
        dtype = jnp.result_type(float)
        return tuple(
            jnp.asarray(a, dtype if np.asarray(a).dtype.kind == "f" else jnp.int32)
            for a in self.data()
        )

    def checksum(self) -> int:
        """Return a checksum of the data as float32."""
        return functools.reduce(
            lambda sum, a: zlib.crc32(np.float32(a).tobytes(), sum), self.data(), 0
        )


POSTERIORS: dict[str, BenchmarkPosterior] = {}


def posterior(data: Callable[[], Data]) -> Callable[[Model], Model]:
    """Enter a model with its data in `POSTERIORS`."""

    def enter(model: Model) -> Model:
        POSTERIORS[model.__name__] = BenchmarkPosterior(model, data)
        return model

    return enter


def random_numbers(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def normal(name: str, loc: Any = 0.0, scale: Any = 1.0) -> jax.Array:
    return jnp.asarray(numpyro.sample(name, dist.Normal(loc, scale)))


def vector(name: str, length: int, scale: float = 1.0) -> jax.Array:
    return jnp.asarray(
        numpyro.sample(name, dist.Normal(0, scale).expand([length]).to_event(1))
    )


def half_normal(name: str, scale: float = 1.0) -> jax.Array:
    return jnp.asarray(numpyro.sample(name, dist.HalfNormal(scale)))


def observed(y: jax.Array, law: dist.Distribution) -> None:
    """Rows of data."""
    with numpyro.plate("rows", len(y)):
        numpyro.sample("y", law, obs=y)
