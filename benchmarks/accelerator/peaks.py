"""The peaks of a device: by its data sheet, and measured by one product of matrices and one copy."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

REPEATS = 5


@dataclass(frozen=True)
class Peak:
    """Operations a second of dense products by the precision of their operands, and bytes a second of memory."""

    float32: float
    tensorfloat32: float | None
    bfloat16: float | None
    memory: float
    source: str


KNOWN = {
    "H200": Peak(
        67e12, 494.7e12, 989.4e12, 4.8e12, "NVIDIA's data sheet of the H200 SXM, dense"
    ),
    "H100 PCIe": Peak(
        51e12, 378e12, 756e12, 2.0e12, "NVIDIA's data sheet of the H100 PCIe, dense"
    ),
    "H100": Peak(
        67e12, 494.7e12, 989.4e12, 3.35e12, "NVIDIA's data sheet of the H100 SXM, dense"
    ),
    "A100-SXM4-40GB": Peak(
        19.5e12, 156e12, 312e12, 1.555e12, "NVIDIA's data sheet of the A100 SXM, dense"
    ),
    "A100": Peak(
        19.5e12,
        156e12,
        312e12,
        2.039e12,
        "NVIDIA's data sheet of the A100 80 GB SXM, dense",
    ),
    "L40S": Peak(
        91.6e12, 183e12, 362e12, 864e9, "NVIDIA's data sheet of the L40S, dense"
    ),
    "L4": Peak(30.3e12, 60e12, 121e12, 300e9, "NVIDIA's data sheet of the L4, dense"),
    "T4": Peak(8.1e12, None, None, 320e9, "NVIDIA's data sheet of the T4"),
}
"""By a part of the device's name, the more special one first."""


def of_data_sheet(kind: str) -> Peak | None:
    """Return the peak of a device, None where it is not listed."""
    return next((peak for name, peak in KNOWN.items() if name in kind), None)


def seconds_of(run: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Return the median duration of `run`, which waits for its result, after one run that is left out."""
    run()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


@partial(jax.jit, static_argnames=("times", "precision"))
def _products(
    left: jax.Array, right: jax.Array, times: int, precision: str
) -> jax.Array:
    def once(_: Any, left: jax.Array) -> jax.Array:
        return 1e-4 * jnp.dot(
            left, right, precision=precision, preferred_element_type=left.dtype
        )

    return lax.fori_loop(0, times, once, left)


@partial(jax.jit, static_argnames="times")
def _copies(numbers: jax.Array, times: int) -> jax.Array:
    return lax.fori_loop(
        0, times, lambda _, x: lax.optimization_barrier(x + 1), numbers
    )


def measured(size: int, length: int, times: int) -> dict[str, float]:
    """Return operations a second of products of size x size, by precision, and bytes a second of a copy of `length`."""
    rates = {}
    left = right = jnp.ones((size, size))
    for name, precision in (
        ("float32", "highest"),
        ("tensorfloat32", "high"),
        ("default", "default"),
    ):
        seconds = seconds_of(
            lambda precision=precision: _products(
                left, right, times, precision
            ).block_until_ready()
        )
        rates[name] = 2.0 * size**3 * times / seconds
    narrow = left.astype(jnp.bfloat16)
    seconds = seconds_of(
        lambda: _products(narrow, narrow, times, "default").block_until_ready()
    )
    rates["bfloat16"] = 2.0 * size**3 * times / seconds
    numbers = jnp.zeros(length)
    seconds = seconds_of(lambda: _copies(numbers, times).block_until_ready())
    rates["memory"] = 2.0 * numbers.nbytes * times / seconds
    return rates
