"""Hermite coefficients of activations and their Gaussian moments, exact at kinks.

With z ~ N(0, 1) and an activation s,

    mean = E s(z),   linear = E z s(z),   rest^2 = E s(z)^2 - mean^2 - linear^2,   slope_rest^2 = E (s'(z) - linear)^2.

A smooth s is integrated by the trapezoidal rule, whose error falls exponentially; one with kinks by Gauss-Legendre
between them. Teachers f*(x) = s*(<x, beta>), |beta| = 1, are described by the same numbers.

`kernel_floor` and `tau_star` are the two numbers that the risk after one large step lies between: what kernels cannot
go below, and what a large step can reach (Ba et al., NeurIPS 2022, Proposition 1 and Theorem 7).
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.optimize import minimize_scalar

NORMAL_WIDTH = 10.0
"""Gaussian integrals end here: 1e-23 of the mass lies beyond."""

_NAMED = {  # with kinks
    "erf": (jax.scipy.special.erf, ()),
    "tanh": (jnp.tanh, ()),
    "sin": (jnp.sin, ()),
    "softplus": (jax.nn.softplus, ()),
    "relu": (jax.nn.relu, (0.0,)),
}


@dataclass(frozen=True)
class Activation:
    """An elementwise function of one variable, where it bends, what is subtracted from it; see `activation`."""

    function: Callable[[Array], Array]
    kinks: tuple[float, ...] = ()
    offset: float = 0.0

    def traced(self, x: Array) -> Array:
        """Return its values as part of a JAX program."""
        return self.function(x) - self.offset

    def values(self, x: np.ndarray) -> np.ndarray:
        """Return its values in NumPy."""
        with jax.enable_x64():
            return np.asarray(self.traced(jnp.asarray(x)))

    def slopes(self, x: np.ndarray) -> np.ndarray:
        """Return its derivatives in NumPy."""
        with jax.enable_x64():
            ones = jnp.ones(x.shape)
            _, slopes = jax.jvp(self.traced, (jnp.asarray(x),), (ones,))
            return np.asarray(slopes)


Function = str | Activation | Callable[[Array], Array]
"""Accepted as student or teacher."""


class Coefficients(NamedTuple):
    """Coefficients of an activation: mu_0, mu_1, mu_2 of the papers, and the root of E (s' - mu_1)^2."""

    mean: float
    linear: float
    rest: float
    slope_rest: float


def activation(
    function: Function, *, centred: bool = False, kinks: Sequence[float] = ()
) -> Activation:
    """An `Activation` from its name or from an elementwise function of JAX.

    Names: erf, tanh, sin, softplus, relu, and each with "centred " in front, which subtracts E s(z), as does
    `centred=True`. `kinks` lists where the function itself bends or jumps; those of named ones are known.

    >>> relu = activation("centred relu")
    >>> relu.kinks, round(relu.offset, 6)
    ((0.0,), 0.398942)
    >>> relu == activation("relu", centred=True)
    True
    """
    if isinstance(function, Activation):
        made = function if not kinks else replace(function, kinks=_sorted(kinks))
    elif isinstance(function, str):
        name = function.removeprefix("centred ")
        centred = centred or name != function
        if name not in _NAMED:
            known = ", ".join(_NAMED)
            raise ValueError(
                f'no activation {function!r}; pass one of {known}, with "centred " in front, or a function.'
            )
        made = Activation(*_NAMED[name])
    elif callable(function):
        _check_elementwise(function)
        made = Activation(function, _sorted(kinks))
    else:
        raise TypeError(
            "an activation must be a name or an elementwise function, got "
            f"{function!r}."
        )
    return (
        replace(made, offset=made.offset + _coefficients(made).mean)
        if centred
        else made
    )


def _check_elementwise(function: Callable[[Array], Array], size: int = 2) -> None:
    """Raise unless JAX can trace a function, which keeps shapes."""
    try:
        traced = jax.eval_shape(lambda x: function(x), jnp.zeros(size))
    except jax.errors.TracerArrayConversionError as error:
        raise TypeError(
            f"an activation must be a function of JAX, got {function!r}; pass "
            "jnp.tanh, not np.tanh."
        ) from error
    if traced.shape != (size,):
        raise ValueError(
            f"the activation maps shape {(size,)} to {traced.shape}; pass an "
            "elementwise function."
        )


def hermite_coefficients(
    function: Function, *, centred: bool = False, kinks: Sequence[float] = ()
) -> Coefficients:
    """Mean, linear and higher part of an activation under N(0, 1), to rounding; arguments as in `activation`.

    Raises:
        ValueError: a function that two quadratures see differently, as it bends where `kinks` does not say so.

    >>> [round(c, 6) for c in hermite_coefficients("relu")]
    [0.398942, 0.5, 0.301405, 0.5]
    >>> [round(c, 6) for c in hermite_coefficients(lambda t: abs(t - 1), kinks=[1.0])][:2]
    [1.166631, -0.682689]
    """
    return _coefficients(activation(function, centred=centred, kinks=kinks))


@functools.lru_cache
def _coefficients(made: Activation, agreement: float = 1e-7) -> Coefficients:
    """Coefficients; two quadratures further apart than `agreement` do not see the same smooth function."""
    z, weights = gaussian_nodes(made.kinks)
    values = made.values(z)
    first = _moments_of(z, weights, values)
    others = gaussian_nodes(made.kinks, again=True)
    second = _moments_of(*others, made.values(others[0]))
    off = np.max(np.abs(first - second)) / (1 + np.max(np.abs(first)))
    if not off < agreement:
        raise ValueError(
            f"two quadratures of the activation differ by {off:.1g}; pass kinks= with "
            "all places where it bends or jumps, or a function that grows slower and "
            "is less steep."
        )
    mean, linear, square = (float(v) for v in first)
    rest = max(float(weights @ (values - mean - linear * z) ** 2), 0.0)
    slopes = made.slopes(z)
    if abs(weights @ slopes - linear) > 1e-6 * (1 + abs(linear)):
        slope_rest = np.inf  # it jumps, and E s'^2 with it
    else:
        slope_rest = float(np.sqrt(weights @ (slopes - linear) ** 2))
    if rest <= 1e-28 * square:
        rest = 0.0
    return Coefficients(mean, linear, float(np.sqrt(rest)), slope_rest)


def gaussian_moments(made: Activation, shift: Array, scale: Array) -> tuple[Array, ...]:
    """E s, E z s, E s^2 and E (z^2 - 1) s / 2 of s(shift + scale z), elementwise in `shift` and `scale` > 0; traced."""
    z, weights = _moving_nodes(made.kinks, shift, scale)
    values = made.traced(shift[..., None] + scale[..., None] * z)
    terms = values, z * values, values**2, (z**2 - 1) / 2 * values
    return tuple((weights * term).sum(-1) for term in terms)


_compiled_moments = jax.jit(gaussian_moments, static_argnums=0)


def moments_in_numpy(
    made: Activation, shift: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Return `gaussian_moments` in float64."""
    with jax.enable_x64():
        moments = _compiled_moments(made, jnp.asarray(shift), jnp.asarray(scale))
    return tuple(map(np.asarray, moments))


def gaussian_nodes(
    kinks: tuple[float, ...], *, again: bool = False, spacing: float = 1 / 16
) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights for E f(z) of an f that bends at `kinks`; `again` gives others, to compare."""
    if kinks:
        ends = np.clip(
            [-NORMAL_WIDTH, *kinks, NORMAL_WIDTH], -NORMAL_WIDTH, NORMAL_WIDTH
        )
        return _between(ends, np, 64) if again else _between(ends, np)
    z = np.arange(-NORMAL_WIDTH, NORMAL_WIDTH, spacing) + (spacing / 2 if again else 0)
    return z, spacing * _density(z, np)


def _moving_nodes(
    kinks: tuple[float, ...], shift: Array, scale: Array
) -> tuple[Any, Any]:
    """Nodes and weights along a last axis for functions of shift + scale z that bend at `kinks`."""
    if not kinks:
        return gaussian_nodes(())
    ends = [
        jnp.clip((kink - shift) / scale, -NORMAL_WIDTH, NORMAL_WIDTH) for kink in kinks
    ]
    whole = jnp.full_like(ends[0], NORMAL_WIDTH)
    return _between(jnp.stack([-whole, *ends, whole], -1), jnp)


def _between(ends: Any, xp: ModuleType, nodes: int = 80) -> tuple[Any, Any]:
    """Gauss-Legendre between neighbouring ends of the last axis, times the normal density."""
    points, weights = np.polynomial.legendre.leggauss(nodes)
    half = (ends[..., 1:] - ends[..., :-1]) / 2
    middle = (ends[..., 1:] + ends[..., :-1]) / 2
    z = middle[..., None] + half[..., None] * points
    weights = half[..., None] * weights * _density(z, xp)
    flat = (*z.shape[:-2], z.shape[-2] * nodes)
    return z.reshape(flat), weights.reshape(flat)


def _density(z: Any, xp: ModuleType) -> Any:
    return xp.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)


def _moments_of(z: np.ndarray, weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.array([weights @ values, weights @ (z * values), weights @ values**2])


def _sorted(kinks: Sequence[float]) -> tuple[float, ...]:
    return tuple(sorted(float(k) for k in kinks))


class LargeStep(NamedTuple):
    """The best that an infinitely wide network of one large step comes to, and the slope it does that with."""

    tau: float
    slope: float


def kernel_floor(teacher: Function) -> float:
    """s2^2, the teacher's variance beyond its linear part: no rotation-invariant kernel and no small step goes below.

    It holds in the proportional limit for kernel ridge, random features, the NTK, and steps of size Theta(1).

    >>> round(kernel_floor("erf"), 6)
    0.040146
    """
    return hermite_coefficients(teacher).rest ** 2


def tau_star(student: Function, teacher: Function) -> LargeStep:
    """inf_slope E_u (s*(u) - E_v s(slope u + v))^2, u and v independent N(0, 1).

    After a step of size Theta(sqrt(N)) the risk is at most 10 tau + C (sqrt(tau d / n) + d / n) for small ridges
    (Theorem 7): below `kernel_floor` for many samples where tau is small, and of order d / n where it is 0. The
    constant in the step does not matter, since a Gaussian second layer supplies every slope.

    >>> best = tau_star("tanh", "tanh")
    >>> round(best.tau, 7), round(best.slope, 3)
    (9.45e-05, 1.588)
    """
    s = activation(student)
    target = activation(teacher)
    u, weights = gaussian_nodes(target.kinks)
    target_values = target.values(u)

    def distance(slope: float) -> float:
        return float(weights @ (target_values - _smoothed(s, slope * u)) ** 2)

    slopes = np.geomspace(0.05, 100, 12)
    grid = np.concatenate([-slopes[::-1], [0.0], slopes])
    best = int(np.argmin([distance(slope) for slope in grid]))
    last = len(grid) - 1
    around = grid[max(best - 1, 0)], grid[min(best + 1, last)]
    minimum: Any = minimize_scalar(
        distance, bounds=around, method="bounded", options={"xatol": 1e-9}
    )
    return LargeStep(float(minimum.fun), float(minimum.x))


def _smoothed(s: Activation, shift: np.ndarray) -> np.ndarray:
    """E s(shift + v)."""
    return moments_in_numpy(s, shift, np.ones_like(shift))[0]
