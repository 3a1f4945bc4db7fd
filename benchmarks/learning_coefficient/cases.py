"""Losses at their minima whose coefficient is known at this n, temperature and localization.

Normal laws in closed form, two parameters by quadrature on a grid, linear networks by Gibbs sampling.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.learning_coefficient import linear_networks
from benchmarks.learning_coefficient.linear_networks import ExactMean, Layers

N = 1_000
SWEEPS = 8_000
Rise = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Coefficient(NamedTuple):
    """A loss at its minimum, with what its coefficient is at a temperature and a localization."""

    name: str
    loss: Callable[[Any, Any], jax.Array]
    params: Any
    rows: Any
    exact: Callable[[float, float], ExactMean]
    localization: float | str = "auto"
    threshold: float | None = None
    """Its real log canonical threshold."""


def temperature_of(n: float) -> float:
    """Return log(n)/n."""
    return float(np.log(n) / n)


def normal(dimension: int = 10) -> Coefficient:
    """Least squares with columns of different scales."""
    X = np.float32(
        np.random.default_rng(0).normal(size=(N, dimension))
        * np.geomspace(0.3, 3, dimension)
    )
    s = np.linalg.eigvalsh(X.T.astype(float) @ X / N)
    exact = lambda temperature, gamma: ExactMean(
        float(np.sum(s / (s + temperature * gamma)) / 2), 0.0
    )
    loss = lambda w, x: (x @ w) ** 2 / 2
    name = f"least squares, d = {dimension}"
    return Coefficient(
        name, loss, jnp.zeros(dimension), jnp.asarray(X), exact, 1.0, dimension / 2
    )


def by_quadrature(
    rise: Rise, centre: Sequence[float], temperature: float, localization: float
) -> ExactMean:
    """Return E rise / T for two parameters; the grid has a spacing of half of the narrowest valley's deviation."""
    steps = np.linspace(-8, 8, 4001) / np.sqrt(localization)
    a, b = np.meshgrid(centre[0] + steps, centre[1] + steps, indexing="ij", sparse=True)
    u = rise(a, b) / temperature
    density = np.exp(
        -u - localization / 2 * ((a - centre[0]) ** 2 + (b - centre[1]) ** 2)
    )
    return ExactMean(float(np.sum(density * u) / np.sum(density)), 0.0)


def on_a_plane(
    name: str,
    loss: Callable[[Any, Any], jax.Array],
    centre: tuple[float, float],
    rows: np.ndarray,
    rise: Rise,
    localization: float,
    threshold: float,
) -> Coefficient:
    """Return a case of two parameters; `rise` is its mean loss less that of the minimum."""
    exact = functools.cache(
        functools.partial(by_quadrature, rise, centre)
    )  # once for all seeds
    params = jnp.asarray(centre, jnp.float32)
    return Coefficient(
        name,
        loss,
        params,
        jnp.asarray(rows, jnp.float32),
        exact,
        localization,
        threshold,
    )


def inputs(n: int, seed: int = 1) -> np.ndarray:
    """Return standard normal numbers in float32."""
    return np.float32(np.random.default_rng(seed).normal(size=n))


def curve(n: int = N) -> Coefficient:
    """y = a b x at a b = 1."""
    x = inputs(n)
    moment = float(np.mean(x.astype(float) ** 2))
    loss = lambda w, row: (w[0] * w[1] * row - row) ** 2 / 2
    return on_a_plane(
        "y = a b x",
        loss,
        (1.0, 1.0),
        x,
        lambda a, b: (a * b - 1) ** 2 * moment / 2,
        10.0,
        0.5,
    )


def crossing(n: int = N) -> Coefficient:
    """x^2 y^2 at the origin."""
    loss = lambda w, row: row * (w[0] * w[1]) ** 2
    return on_a_plane(
        "x^2 y^2", loss, (0.0, 0.0), np.ones(n), lambda a, b: (a * b) ** 2, 1.0, 0.5
    )


def quartic(n: int = N) -> Coefficient:
    """x^4 + y^4: a single minimum, without curvature."""
    loss = lambda w, row: row * jnp.sum(w**4)
    return on_a_plane(
        "x^4 + y^4", loss, (0.0, 0.0), np.ones(n), lambda a, b: a**4 + b**4, 1.0, 0.5
    )


def tanh_unit(n: int = N) -> Coefficient:
    """y = a tanh(b x), trained to a = 1, b = 1/2."""
    x = inputs(n)
    loss = lambda w, row: (w[0] * jnp.tanh(w[1] * row) - jnp.tanh(row / 2)) ** 2 / 2

    def rise(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        hidden = np.tanh(np.outer(np.ravel(b), x.astype(float)))
        target = np.tanh(x.astype(float) / 2)
        squares, products = np.mean(hidden**2, axis=1), hidden @ target / len(x)
        return (a**2 * squares - 2 * a * products + np.mean(target**2)) / 2

    return on_a_plane("y = a tanh(b x)", loss, (1.0, 0.5), x, rise, 1.0, 1.0)


def power(base: Any, exponent: int) -> Any:
    """Return base^exponent, and 1 for an exponent of 0."""
    return functools.reduce(
        lambda product, factor: product * factor, [base] * exponent, 1.0
    )


def crossings() -> list[Coefficient]:
    """Normal crossings y = u^i v^j x at 0: those of devinterp's own tests."""
    x, cases = 2 * inputs(N), []
    moment = float(np.mean(x.astype(float) ** 2))
    for i, j in (
        (0, 1),
        (1, 1),
        (0, 2),
        (1, 2),
        (2, 2),
        (0, 3),
        (1, 3),
        (2, 3),
        (3, 3),
    ):
        loss = lambda w, row, i=i, j=j: (power(w[0], i) * power(w[1], j) * row) ** 2 / 2
        rise = lambda a, b, i=i, j=j: (
            (power(a, i) * power(b, j)) ** 2 * moment / 2 + 0 * a
        )
        cases.append(
            on_a_plane(
                f"y = u^{i} v^{j} x", loss, (0.0, 0.0), x, rise, 1.0, 1 / (2 * j)
            )
        )
    return cases


POWERS = (2,), (2, 2), (2, 2, 2), (4,), (4, 2)
"""Of the monomials of devinterp's pull request 113."""
WEAK = 1e-6
"""Localization that leaves a single minimum what it is without one."""


def monomials(powers: Sequence[int]) -> Coefficient:
    """Half the sum of powers of single parameters, whose coefficient is the sum of 1 / power; rows are without effect.

    Two rows stand for all, so that two row gradients are one gradient of the loss.
    """
    loss = lambda w, row: (
        row * sum(power(w[i], exponent) for i, exponent in enumerate(powers)) / 2
    )

    def exact(temperature: float, gamma: float) -> ExactMean:
        w, total = np.linspace(-40, 40, 800_001), 0.0  # in one dimension each
        for exponent in powers:
            rise = w**exponent / 2 / temperature
            density = np.exp(-rise - gamma / 2 * w**2)
            total += float(np.sum(density * rise) / np.sum(density))
        return ExactMean(total, 0.0)

    name = " + ".join(
        f"{letter}^{exponent}" for letter, exponent in zip("xyz", powers, strict=False)
    )
    threshold = sum(1 / exponent for exponent in powers)
    return Coefficient(
        name, loss, jnp.zeros(len(powers)), jnp.ones(2), exact, WEAK, threshold
    )


def noisy(dimension: int = 10) -> Coefficient:
    """Least squares at its minimum, where the noise of the data stays: batches then differ in the loss there."""
    rng = np.random.default_rng(3)
    X = np.float32(rng.normal(size=(N, dimension)))
    y = np.float32(X @ rng.normal(size=dimension) + rng.normal(size=N))
    w = np.linalg.lstsq(X.astype(float), y.astype(float))[0]
    s = np.linalg.eigvalsh(X.T.astype(float) @ X / N)
    exact = lambda temperature, gamma: ExactMean(
        float(np.sum(s / (s + temperature * gamma)) / 2), 0.0
    )
    loss = lambda w, row: (row[0] @ w - row[1]) ** 2 / 2
    rows = jnp.asarray(X), jnp.asarray(y)
    return Coefficient(
        f"noise, d = {dimension}",
        loss,
        jnp.asarray(w, jnp.float32),
        rows,
        exact,
        1.0,
        dimension / 2,
    )


def linear_loss(layers: Any, row: Any) -> jax.Array:
    """Half the squared error of a linear network."""
    hidden = row[0]
    for layer in layers:
        hidden = layer @ hidden
    return jnp.sum((hidden - row[1]) ** 2) / 2


def linear_network(
    widths: Sequence[int],
    rank: int,
    seed: int,
    n: float | None = None,
    localization: float | str = "auto",
) -> Coefficient:
    """Return a linear network at a most singular minimum, without noise.

    With n, rows have the identity as their matrix of second moments, on which alone the mean loss depends: as many rows
    as inputs stand for n of them. Without, they are N normal rows.
    """
    rng = np.random.default_rng(seed)
    layers: Layers = linear_networks.most_singular(widths, rank, rng)
    whitened = np.sqrt(widths[0]) * np.eye(widths[0])
    X = np.float32(rng.normal(size=(N, widths[0])) if n is None else whitened)
    true = functools.reduce(lambda product, layer: layer @ product, layers)
    gram = X.T.astype(float) @ X / len(X)
    sweeps = max(60, min(SWEEPS, 2_000_000 // sum(layer.size for layer in layers)))

    def exact(temperature: float, gamma: float) -> ExactMean:
        rng = np.random.default_rng(seed)
        return linear_networks.exact_coefficient(
            layers, gram, temperature, gamma, sweeps, rng
        )

    params = [jnp.asarray(layer, jnp.float32) for layer in layers]
    rows = jnp.asarray(X), jnp.asarray(X @ np.float32(true.T))
    name = f"{' x '.join(map(str, widths))}, rank {rank}"
    return Coefficient(
        name,
        linear_loss,
        params,
        rows,
        exact,
        localization,
        linear_networks.threshold(widths, rank),
    )


SHAPES = (
    (5, 3, 5),
    (5, 4, 5),
    (4, 3, 8),
    (8, 3, 4),
    (3, 8, 4),
)  # of devinterp's own tests
LARGE = (
    ((50, 50, 50, 50, 50), 25),
    ((50, 200, 200, 200, 50), 20),
    ((40, 1000, 60, 40), 30),
)
LARGEST = (20, 700, 700, 700, 20), 15
NETWORK_ROWS = 1e6


def networks() -> list[tuple[tuple[int, ...], int]]:
    """Widths and ranks of twenty networks: sixteen at random, three of 10,000 weights or more, one of a million."""
    rng, drawn = np.random.default_rng(2024), []
    for _ in range(16):
        widths = tuple(
            int(w)
            for w in np.exp(rng.uniform(np.log(6), np.log(40), rng.integers(3, 7)))
        )
        drawn.append(
            (widths, int(rng.integers(max(1, min(widths) // 4), min(widths) + 1)))
        )
    return [*drawn, *LARGE, LARGEST]
