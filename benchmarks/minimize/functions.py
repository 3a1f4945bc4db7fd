"""Twenty-five classical functions of any number of coordinates, with their minimum of 0 moved to a random place.

    f(x) = g(z),      z = z* + R (x - s),      x in the box of g, s uniform in its inner half, R = 1 or a rotation

z* is where g is lowest. Outside of its box g is continued by its value on the border plus a quadratic, where it would
fall below its minimum. The sources of the functions are those of the collections of Jamil and Yang (2013,
arXiv:1308.4008) and of BBOB (Hansen et al., 2009): formulas, no code.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np


class Classical(NamedTuple):
    """A function of z with its box, and where it is lowest."""

    formula: Callable[[Any, ModuleType], Any]
    half: float
    """Half width of the box, around `center`."""
    best: Callable[[int], np.ndarray | float] = lambda d: 0.0
    center: float = 0.0
    bounded: bool = False
    """Continued outside of its box by a quadratic."""


def _index(z: Any, xp: ModuleType) -> Any:
    return xp.arange(1, z.shape[-1] + 1).astype(z.dtype)


def _ackley(z: Any, xp: ModuleType) -> Any:
    radius = xp.sqrt(xp.mean(z**2) + 1e-20)
    return (
        20 + np.e - 20 * xp.exp(-0.2 * radius) - xp.exp(xp.mean(xp.cos(2 * np.pi * z)))
    )


def _levy(z: Any, xp: ModuleType) -> Any:
    w = 1 + (z - 1) / 4
    middle = xp.sum((w[:-1] - 1) ** 2 * (1 + 10 * xp.sin(np.pi * w[:-1] + 1) ** 2))
    return (
        xp.sin(np.pi * w[0]) ** 2
        + middle
        + (w[-1] - 1) ** 2 * (1 + xp.sin(2 * np.pi * w[-1]) ** 2)
    )


def _michalewicz(z: Any, xp: ModuleType) -> Any:
    return -xp.sum(xp.sin(z) * xp.sin(_index(z, xp) * z**2 / np.pi) ** 20)


def _michalewicz_best(d: int) -> np.ndarray:
    """Each coordinate alone, by a grid that is refined."""
    best = []
    for i in range(1, d + 1):
        low, high, at = 0.0, np.pi, 0.0
        for _ in range(4):
            grid = np.linspace(low, high, 20_001)
            at = grid[np.argmin(-np.sin(grid) * np.sin(i * grid**2 / np.pi) ** 20)]
            low, high = at - (high - low) / 5000, at + (high - low) / 5000
        best.append(at)
    return np.array(best)


def _weierstrass(z: Any, xp: ModuleType) -> Any:
    powers = np.arange(12)
    waves = xp.cos(2 * np.pi * 3.0**powers * (z[:, None] + 0.5))
    return xp.sum((waves + 1) @ (0.5**powers)) - 0.0


PEAKS = np.random.default_rng(21).uniform(-0.8, 0.8, (21, 64))
"""Places of Gaussian peaks, in the first d coordinates of 64."""
HEIGHTS = np.concatenate([[10.0], np.linspace(1.1, 9.1, 20)])
PEAK_WIDTHS = 10 ** np.random.default_rng(22).uniform(-0.7, 0.3, 21)


def _gallagher(z: Any, xp: ModuleType) -> Any:
    d = z.shape[-1]
    squares = xp.sum((z - 5 * PEAKS[:, :d].astype(z.dtype)) ** 2, axis=1)
    return 10 - xp.max(
        HEIGHTS.astype(z.dtype)
        * xp.exp(-PEAK_WIDTHS.astype(z.dtype) * squares / (2 * d))
    )


def _lunacek(z: Any, xp: ModuleType) -> Any:
    d = z.shape[-1]
    s = 1 - 1 / (2 * np.sqrt(d + 20) - 8.2)
    one, other = 2.5, -np.sqrt((2.5**2 - 1) / s)
    funnels = xp.minimum(xp.sum((z - one) ** 2), d + s * xp.sum((z - other) ** 2))
    return funnels + 10 * xp.sum(1 - xp.cos(2 * np.pi * (z - one)))


def _schaffer(z: Any, xp: ModuleType) -> Any:
    radius = xp.sqrt(z[:-1] ** 2 + z[1:] ** 2 + 1e-20)
    return xp.mean(xp.sqrt(radius) * (1 + xp.sin(50 * radius**0.2) ** 2)) ** 2


def _easom(z: Any, xp: ModuleType) -> Any:
    return 1 - xp.prod(xp.cos(z)) * xp.exp(-xp.sum(z**2))


def _powell(z: Any, xp: ModuleType) -> Any:
    return xp.sum(xp.abs(z) ** (2 + 4 * (_index(z, xp) - 1) / max(z.shape[-1] - 1, 1)))


def _dixon_price(z: Any, xp: ModuleType) -> Any:
    return (z[0] - 1) ** 2 + xp.sum(_index(z, xp)[1:] * (2 * z[1:] ** 2 - z[:-1]) ** 2)


def _dixon_price_best(d: int) -> np.ndarray:
    return 2.0 ** -((2.0 ** np.arange(1, d + 1) - 2) / 2.0 ** np.arange(1, d + 1))


def _bohachevsky(z: Any, xp: ModuleType) -> Any:
    a, b = z[:-1], z[1:]
    return xp.sum(
        a**2
        + 2 * b**2
        - 0.3 * xp.cos(3 * np.pi * a)
        - 0.4 * xp.cos(4 * np.pi * b)
        + 0.7
    )


def _zakharov(z: Any, xp: ModuleType) -> Any:
    slope = xp.sum(_index(z, xp) * z) / 2
    return xp.sum(z**2) + slope**2 + slope**4


def _trigonometric(z: Any, xp: ModuleType) -> Any:
    square = (z - 0.9) ** 2
    return xp.sum(8 * xp.sin(7 * square) ** 2 + 6 * xp.sin(14 * square) ** 2 + square)


def _rosenbrock(z: Any, xp: ModuleType) -> Any:
    return xp.sum(100 * (z[1:] - z[:-1] ** 2) ** 2 + (1 - z[:-1]) ** 2)


def _salomon(z: Any, xp: ModuleType) -> Any:
    radius = xp.sqrt(xp.sum(z**2) + 1e-20)
    return 1 - xp.cos(2 * np.pi * radius) + 0.1 * radius


def _drop_wave(z: Any, xp: ModuleType) -> Any:
    square = xp.sum(z**2)
    return 1 - (1 + xp.cos(12 * xp.sqrt(square + 1e-20))) / (0.5 * square + 2)


TUNED = {
    "ackley": Classical(_ackley, 32.0),
    "rastrigin": Classical(
        lambda z, xp: xp.sum(z**2 + 10 - 10 * xp.cos(2 * np.pi * z)), 5.12
    ),
    "griewank": Classical(
        lambda z, xp: (
            1 + xp.sum(z**2) / 4000 - xp.prod(xp.cos(z / xp.sqrt(_index(z, xp))))
        ),
        60.0,
    ),
    "levy": Classical(_levy, 10.0, lambda d: 1.0),
    "schwefel": Classical(
        lambda z, xp: -xp.sum(z * xp.sin(xp.sqrt(xp.abs(z) + 1e-12))),
        500.0,
        lambda d: 420.96874635998,
        bounded=True,
    ),
    "rosenbrock": Classical(_rosenbrock, 5.0, lambda d: 1.0),
    "styblinski-tang": Classical(
        lambda z, xp: xp.sum(z**4 - 16 * z**2 + 5 * z) / 2,
        5.0,
        lambda d: -2.90353402777,
    ),
    "salomon": Classical(_salomon, 20.0),
    "ellipsoid": Classical(
        lambda z, xp: xp.sum(
            10.0 ** (6 * (_index(z, xp) - 1) / max(z.shape[-1] - 1, 1)) * z**2
        ),
        5.0,
    ),
    "gallagher": Classical(_gallagher, 5.0, lambda d: 5 * PEAKS[0, :d]),
    "weierstrass": Classical(_weierstrass, 0.5),
    "alpine": Classical(lambda z, xp: xp.sum(xp.abs(z * xp.sin(z) + 0.1 * z)), 10.0),
}
"""Functions on which the constants of the portfolio were chosen."""

HELD_OUT = {
    "michalewicz": Classical(
        _michalewicz, np.pi / 2, _michalewicz_best, np.pi / 2, bounded=True
    ),
    "zakharov": Classical(_zakharov, 7.5),
    "dixon-price": Classical(_dixon_price, 10.0, _dixon_price_best),
    "schaffer": Classical(_schaffer, 50.0),
    "bohachevsky": Classical(_bohachevsky, 50.0),
    "lunacek": Classical(_lunacek, 5.0, lambda d: 2.5),
    "cosine mixture": Classical(
        lambda z, xp: xp.sum(z**2 + 0.1 * (1 - xp.cos(5 * np.pi * z))), 1.0
    ),
    "easom": Classical(_easom, 10.0),
    "drop-wave": Classical(_drop_wave, 5.12),
    "qing": Classical(
        lambda z, xp: xp.sum((z**2 - _index(z, xp)) ** 2),
        10.0,
        lambda d: np.sqrt(np.arange(1, d + 1)),
    ),
    "different powers": Classical(_powell, 5.0),
    "trigonometric": Classical(_trigonometric, 3.0, lambda d: 0.9),
    "two wells": Classical(
        lambda z, xp: xp.sum((z**2 - 1) ** 2 + 0.3 * z), 2.0, lambda d: -1.03557981468
    ),
}
"""Functions on which it was judged."""

FUNCTIONS = HELD_OUT | TUNED
DIMENSIONS = (2, 5, 10, 20, 50)


class Instance(eqx.Module):
    """One function at one place, for NumPy and JAX; its minimum is 0."""

    shift: Any
    rotation: Any
    best: Any
    lowest: Any
    name: str = eqx.field(static=True)

    def __call__(self, x: Any) -> Any:
        xp = np if isinstance(x, np.ndarray) else jnp
        function = FUNCTIONS[self.name]
        z = self.best + self.rotation @ (x - self.shift)
        if not function.bounded:
            return function.formula(z, xp) - self.lowest
        inside = xp.clip(
            z, function.center - function.half, function.center + function.half
        )
        return (
            function.formula(inside, xp)
            + xp.sum(((z - inside) / function.half) ** 2) * 1000
            - self.lowest
        )


def instance(
    name: str, dimension: int, rotated: bool, seed: int
) -> tuple[Instance, np.ndarray, np.ndarray]:
    """Return a function, the two sides of its box, in float64."""
    function = FUNCTIONS[name]
    rng = np.random.default_rng([sorted(FUNCTIONS).index(name), dimension, seed])
    shift = function.center + rng.uniform(-0.5, 0.5, dimension) * function.half
    rotation = np.eye(dimension)
    if rotated:
        q, r = np.linalg.qr(rng.standard_normal((dimension, dimension)))
        rotation = q * np.sign(np.diag(r))
    best = np.broadcast_to(
        np.asarray(function.best(dimension), float), (dimension,)
    ).copy()
    lowest = float(function.formula(best, np))
    side = np.full(dimension, function.half)
    return (
        Instance(shift, rotation, best, lowest, name),
        function.center - side,
        function.center + side,
    )
