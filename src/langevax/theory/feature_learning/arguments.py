"""What the closed forms accept: checks that name argument, value and remedy, and calls on broadcast arrays."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from langevax.theory.feature_learning.hermite import (
    Activation,
    Coefficients,
    Function,
    activation,
    hermite_coefficients,
)

CENTRED = 1e-8
"""A mean below this counts as none."""

Numbers = float | int | np.ndarray
"""One number or an array; all such arguments of one call broadcast."""


class Errors(NamedTuple):
    """What ridge regression ends with, in the limit; floats, or arrays of the broadcast shape."""

    risk: Any
    """E (f(x) - f*(x))^2 on new inputs, without the noise of labels."""
    training_error: Any
    """Mean squared residual of the noisy training labels, without the penalty."""


def positive(**named: Any) -> None:
    """Raise unless every argument is finite and > 0 (an `inf` or a zero is a limit to be taken by a large number)."""
    for name, value in named.items():
        _within(name, value, "> 0", np.asarray(value, float) > 0)


def nonnegative(**named: Any) -> None:
    """Raise unless every argument is finite and >= 0."""
    for name, value in named.items():
        _within(name, value, ">= 0", np.asarray(value, float) >= 0)


def check_numbers(
    samples_per_dim: Any, neurons_per_dim: Any, ridge: Any, step_size: Any, noise: Any, gradient_samples_per_dim: Any
) -> None:
    """The six numbers of one gradient step and its ridge."""
    positive(samples_per_dim=samples_per_dim, neurons_per_dim=neurons_per_dim, ridge=ridge)
    positive(gradient_samples_per_dim=gradient_samples_per_dim)
    nonnegative(step_size=step_size, noise=noise)


def _within(name: str, value: Any, bound: str, good: np.ndarray) -> None:
    good = good & np.isfinite(np.asarray(value, float))
    if not good.all():
        worst = np.broadcast_to(np.asarray(value, float), good.shape)[~good].flat[0]
        raise ValueError(f"{name} must be finite and {bound}, got {worst}; pass numbers {bound}.")


def centred(name: str, function: Function) -> tuple[Activation, Coefficients]:
    """An activation and its coefficients; raise unless its mean is 0."""
    made = activation(function)
    coefficients = hermite_coefficients(made)
    if abs(coefficients.mean) > CENTRED:
        called = f'"centred {function}"' if isinstance(function, str) else f"activation({name}, centred=True)"
        raise ValueError(
            f"{name} must have mean 0 under N(0, 1), got {function!r} with mean {coefficients.mean:.4g}; pass {called}."
        )
    return made, coefficients


def broadcast_call(core: Callable[..., Any], *arrays: Any) -> Any:
    """`core` of the flattened, broadcast arrays in float64, its outputs as NumPy in the broadcast shape.

    Lengths are padded to powers of two, so that few programs are compiled.
    """
    values = np.broadcast_arrays(*(np.asarray(a, float) for a in arrays))
    shape, size = values[0].shape, values[0].size
    padded = 1 << max(size - 1, 0).bit_length()
    flat = np.stack([np.concatenate([v.ravel(), np.full(padded - size, v.flat[0] if size else 1.0)]) for v in values])
    with jax.enable_x64():
        out = core(*jnp.asarray(flat))
    return jax.tree.map(lambda leaf: as_numpy(np.asarray(leaf)[:size].reshape(shape)), out)


def as_numpy(array: Any) -> Any:
    """A float where there is one number, else the array."""
    array = np.asarray(array)
    return float(array) if array.ndim == 0 else array
