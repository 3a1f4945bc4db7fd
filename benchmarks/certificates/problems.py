"""Problems whose least objective is known by quadrature or in closed form.

One, two and three weights by quadrature: tanh, waves, needles, steps, output weights that are integrated out; three
losses, outliers, imbalance, weights and copies of rows. Classes whose laws are products by a concave maximisation on
grids. Linear neurons with the squared loss, of 5 to 60 columns, in closed form.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.optimize import minimize
from scipy.special import expit, logsumexp, softmax, xlogy

from langevax import losses, neurons
from langevax.problems.mean_field import MeanFieldRisk
from papers.grid_laws import GridRisk, quadrature_weights, tensor_grid

AXIS = np.linspace(-30, 30, 40_001)
PLANE = np.linspace(-9, 9, 361)
SPACE, SPACE_ROWS = np.linspace(-6, 6, 73), 12
BORDER, NEGLIGIBLE = 0.95, 1e-6
"""Share of the largest coordinate of a grid from which on it ends, and the mass of the optimum that may be there."""
EFFORT = 1e9
MIXED = ("squared", "logistic")  # losses of the families that take either
ROWS = 30  # of the families that share their compiled walks
CLASSES = 3
NARROW = np.linspace(-8, 8, 1601)  # of one of the weights of a product
GAP = 1e-7  # between P and D at the optimum of classes, a share of the loss


class GridError(ValueError):
    """A grid holds too little of an optimum for its value to be known."""


class Bounded(neurons.Neuron):
    """A neuron of one weight a column, with a bound that is stated."""

    bound_: float

    def slope_bounds(self, second_moments: Float[Array, " d"]) -> Float[Array, " d"]:
        return self.bound_**2 * second_moments

    def particle_size(self, num_features: int) -> int:
        return num_features

    @property
    def output_shape(self) -> tuple[int, ...]:
        return ()

    @property
    def bound(self) -> float:
        return self.bound_


class Tanh(Bounded):
    """R tanh <theta, x>."""

    def __call__(self, particle: Array, x: Array) -> Array:
        return self.bound_ * jnp.tanh(jnp.dot(particle, x))


class Wave(Bounded):
    """R sin(k theta x)."""

    frequency: float = 5.0

    def __call__(self, particle: Array, x: Array) -> Array:
        return self.bound_ * jnp.sin(self.frequency * jnp.dot(particle, x))


class Needle(Bounded):
    """3 tanh(theta x) + 8 exp(-(theta - centre)^2 / (2 width^2)) cos 2 x: a narrow mode off the prior's mass."""

    centre: float = 3.0
    width: float = 0.1

    def __call__(self, particle: Array, x: Array) -> Array:
        near = jnp.exp(-(((particle[0] - self.centre) / self.width) ** 2) / 2)
        return 3 * jnp.tanh(particle[0] * x[0]) + 8 * near * jnp.cos(2 * x[0])


class Bumps(Bounded):
    """3 tanh(theta x) + 8 sum_j exp(-(theta - c_j)^2 / (2 w_j^2)) cos((2 + j) x): modes off the prior's mass."""

    centres: Float[Array, " bumps"]
    widths: Float[Array, " bumps"]

    def __call__(self, particle: Array, x: Array) -> Array:
        near = jnp.exp(-(((particle[0] - self.centres) / self.widths) ** 2) / 2)
        waves = jnp.cos((2 + jnp.arange(len(self.centres), dtype=x.dtype)) * x[0])
        return 3 * jnp.tanh(particle[0] * x[0]) + 8 * jnp.sum(near * waves)


class Steep(Bounded):
    """R tanh(6 theta x), nearly a step."""

    def __call__(self, particle: Array, x: Array) -> Array:
        return self.bound_ * jnp.tanh(6 * particle[0] * x[0])


class TanhEach(Bounded):
    """R tanh(theta_c x) for each of three outputs: the law of any dual is a product."""

    @property
    def output_shape(self) -> tuple[int, ...]:
        return (CLASSES,)

    def particle_size(self, num_features: int) -> int:
        return CLASSES

    def __call__(self, particle: Array, x: Array) -> Array:
        return self.bound_ * jnp.tanh(particle * x[0])


class Line(Bounded):
    """<theta, x>: with the squared loss everything is Gaussian. The bound is that of the outputs met."""

    def __call__(self, particle: Array, x: Array) -> Array:
        return jnp.dot(particle, x)


class Problem(NamedTuple):
    """A risk whose optimum is known."""

    risk: MeanFieldRisk
    temperature: float
    optimum: float
    needles: tuple[tuple[float, float], ...] = ()
    """Centres and widths of modes that searches may miss."""
    mass: float = float("nan")
    """That of the needles at the optimum."""


def squared(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (z - y) ** 2 / 2


def squared_conjugate(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    return g**2 / 2 + g * y


def logistic(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, -y * z)


def logistic_conjugate(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    share = np.clip(-y * g, 0, 1)
    return xlogy(share, share) + xlogy(1 - share, 1 - share)


def hinge(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    short = np.clip(1 - y * z, 0, 1)
    return short * (1 - y * z - short / 2)


def hinge_conjugate(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    share = np.clip(-y * g, 0, 1)
    return share**2 / 2 - share


LOSSES: dict[str, tuple[Callable[..., np.ndarray], ...]] = {
    "squared": (squared, lambda z, y: z - y, squared_conjugate),
    "logistic": (logistic, lambda z, y: -y * expit(-y * z), logistic_conjugate),
    "smoothed_hinge": (
        hinge,
        lambda z, y: -y * np.clip(1 - y * z, 0, 1),
        hinge_conjugate,
    ),
}


def on_grid(
    neuron: neurons.Neuron,
    loss: str,
    x: np.ndarray,
    y: np.ndarray,
    temperature: float,
    points: np.ndarray,
    weights: np.ndarray | None = None,
    times: np.ndarray | None = None,
) -> tuple[MeanFieldRisk, GridRisk, np.ndarray, float]:
    """Return the risk with prior N(0, I), the same on a grid, the optimal dual, and the least objective.

    Rows count as often as `times` says: the risk has them as weights, the grid as copies.
    """
    inputs, precision = np.float32(x.reshape(len(x), -1)), np.float32(temperature)
    counted: dict[str, Any] = {} if times is None else {"weights": np.float32(times)}
    risk = MeanFieldRisk(
        neuron,
        getattr(losses, loss),
        inputs,
        np.float32(y),
        precision=precision,
        **counted,
    )
    if times is not None:
        inputs, y = np.repeat(inputs, times, axis=0), np.repeat(y, times)
    with jax.enable_x64():
        wide = jnp.asarray(points.reshape(len(points), -1), jnp.float64)
        values = np.asarray(
            jax.vmap(jax.vmap(neuron, (None, 0)), (0, None))(
                wide, jnp.asarray(inputs, jnp.float64)
            )
        ).T
    grid = GridRisk(
        points,
        values,
        np.float64(np.float32(y)),
        temperature / 2,
        temperature,
        *LOSSES[loss],
        weights,
    )
    dual = grid.optimal_dual()
    outside = np.abs(points) > BORDER * np.abs(points).max()
    beyond = float(
        (grid.measure * grid.gibbs(dual))[
            outside if points.ndim == 1 else outside.any(axis=1)
        ].sum()
    )
    if beyond > NEGLIGIBLE:
        raise GridError(
            f"the optimum has {beyond:.1g} of its mass at the border of the grid; make the grid larger."
        )
    size = 1 if points.ndim == 1 else points.shape[1]
    return (
        risk,
        grid,
        dual,
        grid.dual_objective(dual) + temperature * size / 2 * np.log(2 * np.pi),
    )


def labels(y: np.ndarray, share: float) -> np.ndarray:
    """Return -1 and +1, a share of them +1."""
    return np.where(y > np.quantile(y, 1 - share), 1.0, -1.0)


def one_weight(kind: str, seed: int) -> Problem:
    """Return a problem of one column and one weight: tanh, a wave or a needle."""
    rng = np.random.default_rng(seed)
    n, temperature = int(rng.integers(10, 40)), float(10 ** rng.uniform(-3, -1))
    x, loss = 1.5 * rng.normal(size=n), str(rng.choice(MIXED))
    needles = ()
    if kind == "tanh":
        neuron, y = (
            Tanh(float(rng.choice([3.0, 10.0]))),
            np.tanh(2 * x) + 0.5 * np.sin(3 * x),
        )
    elif kind == "wave":
        neuron = Wave(float(rng.choice([1.0, 5.0])), float(rng.choice([2.0, 5.0, 8.0])))
        y = np.sin(4 * x) + x / 3
    else:
        needles = ((float(rng.uniform(1.5, 6)), float(rng.choice([0.03, 0.1, 0.3]))),)
        neuron, y = Needle(11.0, *needles[0]), 1.5 * np.cos(2 * x) + 0.3 * np.tanh(x)
    y = y + 0.2 * rng.normal(size=n)
    if rng.uniform() < 0.2:
        y[0] += 8  # an outlier
    y = labels(y, float(rng.choice([0.5, 0.2]))) if loss == "logistic" else y
    risk, grid, dual, optimum = on_grid(neuron, loss, x, y, temperature, AXIS)
    return Problem(risk, temperature, optimum, needles, mass_of(needles, grid, dual))


def mass_of(
    needles: tuple[tuple[float, float], ...], grid: GridRisk, dual: np.ndarray
) -> float:
    """Return the mass of the needles at a dual; NaN where there is none."""
    near = [np.abs(AXIS - centre) < 4 * width for centre, width in needles]
    return (
        float((grid.measure * grid.gibbs(dual))[np.any(near, axis=0)].sum())
        if near
        else float("nan")
    )


def bumps(
    seed: int, count: int, widths: tuple[float, float], distances: tuple[float, float]
) -> Problem:
    """Return a regression of one column with modes on alternate sides of the prior's."""
    rng = np.random.default_rng(seed)
    x, temperature = 1.5 * rng.normal(size=ROWS), float(10 ** rng.uniform(-3, -1))
    centres = rng.uniform(*distances, size=count) * (-1.0) ** np.arange(count)
    spreads = 10 ** rng.uniform(*np.log10(widths), size=count)
    neuron = Bumps(
        3 + 8.0 * count,
        jnp.asarray(centres, jnp.float32),
        jnp.asarray(spreads, jnp.float32),
    )
    y = (
        np.sum(1.5 * np.cos((2 + np.arange(count)) * x[:, None]), axis=1)
        + 0.3 * np.tanh(x)
        + 0.2 * rng.normal(size=ROWS)
    )
    risk, grid, dual, optimum = on_grid(neuron, "squared", x, y, temperature, AXIS)
    needles = tuple(zip(centres.tolist(), spreads.tolist(), strict=True))
    return Problem(risk, temperature, optimum, needles, mass_of(needles, grid, dual))


def steep(seed: int) -> Problem:
    """Return a regression or two classes of one column by neurons that are nearly steps."""
    rng = np.random.default_rng(seed)
    x, temperature, loss = (
        1.5 * rng.normal(size=ROWS),
        float(10 ** rng.uniform(-3, -1)),
        str(rng.choice(MIXED)),
    )
    y = np.sign(x - 0.4) + np.sin(3 * x) + 0.3 * rng.normal(size=ROWS)
    y = labels(y, 0.5) if loss == "logistic" else y
    risk, _, _, optimum = on_grid(Steep(3.0), loss, x, y, temperature, AXIS)
    return Problem(risk, temperature, optimum)


def noise(seed: int) -> Problem:
    """Return a regression of one column on targets that it does not explain."""
    rng = np.random.default_rng(seed)
    x, temperature = 1.5 * rng.normal(size=ROWS), float(10 ** rng.uniform(-4, -1))
    risk, _, _, optimum = on_grid(
        Tanh(3.0), "squared", x, rng.normal(size=ROWS), temperature, AXIS
    )
    return Problem(risk, temperature, optimum)


def copied(seed: int) -> Problem:
    """Return two classes of one column, five distinct rows six times each, some with both labels."""
    rng = np.random.default_rng(seed)
    x, temperature = (
        np.repeat(1.5 * rng.normal(size=5), ROWS // 5),
        float(10 ** rng.uniform(-3, -1.3)),
    )
    y = np.where(np.tanh(2 * x) + 0.7 * rng.normal(size=ROWS) > 0, 1.0, -1.0)
    risk, _, _, optimum = on_grid(Tanh(3.0), "logistic", x, y, temperature, AXIS)
    return Problem(risk, temperature, optimum)


def classes(seed: int, loss: str, share: float) -> Problem:
    """Return a problem of two classes of one column, a share of the rows in the second."""
    rng = np.random.default_rng(seed)
    x, temperature = 1.5 * rng.normal(size=ROWS), float(10 ** rng.uniform(-3, -1.3))
    y = labels(
        np.tanh(2 * x) + 0.5 * np.sin(3 * x) + 0.4 * rng.normal(size=ROWS), share
    )
    risk, _, _, optimum = on_grid(Tanh(3.0), loss, x, y, temperature, AXIS)
    return Problem(risk, temperature, optimum)


def weighted(seed: int) -> Problem:
    """Return a problem of one column whose rows count 0 to 3 times."""
    rng = np.random.default_rng(seed)
    x, temperature = 1.5 * rng.normal(size=ROWS), float(10 ** rng.uniform(-3, -1))
    times = rng.integers(0, 4, size=ROWS)
    y = np.tanh(2 * x) + 0.5 * np.sin(3 * x) + 0.2 * rng.normal(size=ROWS)
    risk, _, _, optimum = on_grid(
        Tanh(3.0), "squared", x, y, temperature, AXIS, times=times
    )
    return Problem(risk, temperature, optimum)


def outliers(seed: int) -> Problem:
    """Return a regression of one column with three targets some ten deviations off."""
    rng = np.random.default_rng(seed)
    x, temperature = 1.5 * rng.normal(size=ROWS), float(10 ** rng.uniform(-3, -1))
    y = np.tanh(2 * x) + 0.2 * rng.normal(size=ROWS)
    y[:3] += rng.choice([-1, 1], size=3) * rng.uniform(5, 15, size=3)
    risk, _, _, optimum = on_grid(Tanh(3.0), "squared", x, y, temperature, AXIS)
    return Problem(risk, temperature, optimum)


def two_weights(seed: int) -> Problem:
    """Return a problem of two columns, one of them at times the copy of the other."""
    rng = np.random.default_rng(seed)
    n, temperature = int(rng.integers(3, 30)), float(10 ** rng.uniform(-2.5, -1))
    x, loss = rng.normal(size=(n, 2)), str(rng.choice(MIXED))
    if rng.uniform() < 0.25:
        x[:, 1] = x[:, 0]
    y = np.tanh(x[:, 0]) * x[:, 1] + 0.2 * rng.normal(size=n)
    y = labels(y, 0.5) if loss == "logistic" else y
    points, weights = tensor_grid(PLANE, 2)
    risk, _, _, optimum = on_grid(Tanh(3.0), loss, x, y, temperature, points, weights)
    return Problem(risk, temperature, optimum)


def output_weight(seed: int) -> Problem:
    """Return a problem of TanhTanh without input weights but one: (a, w) by quadrature, the bias held at 0."""
    rng = np.random.default_rng(seed)
    n, temperature = int(rng.integers(8, 30)), float(10 ** rng.uniform(-3, -1))
    x, scale = rng.normal(size=n), float(rng.choice([3.0, 10.0]))
    y = np.sin(2 * x) + 0.1 * rng.normal(size=n)
    points, weights = tensor_grid(PLANE, 2)
    neuron = neurons.TanhTanh(scale)
    inputs = np.float32(x[:, None])
    # a bias of deviation 1e-3: what it moves is far below the errors
    precision = np.float32(temperature * np.array([1.0, 1.0, 1e6]))
    risk = MeanFieldRisk(
        neuron, losses.squared, inputs, np.float32(y), precision=precision
    )
    values = (
        scale * np.tanh(points[:, 0]) * np.tanh(inputs.astype(float) * points[:, 1])
    )
    grid = GridRisk(
        points,
        values,
        np.float64(np.float32(y)),
        temperature / 2,
        temperature,
        *LOSSES["squared"],
        weights,
    )
    return Problem(
        risk,
        temperature,
        grid.dual_objective(grid.optimal_dual()) + temperature * np.log(2 * np.pi),
    )


def bias(seed: int) -> Problem:
    """Return a problem of TanhTanh of one column: (a, w, b) by quadrature."""
    rng = np.random.default_rng(seed)
    x, temperature = (
        1.5 * rng.normal(size=SPACE_ROWS),
        float(10 ** rng.uniform(-1.7, -0.7)),
    )
    y = np.tanh(2 * (x - 0.5)) + 0.5 * x + 0.2 * rng.normal(size=SPACE_ROWS)
    points, weights = tensor_grid(SPACE, 3)
    neuron, inputs = neurons.TanhTanh(3.0), np.float32(x[:, None])
    risk = MeanFieldRisk(
        neuron, losses.squared, inputs, np.float32(y), precision=np.float32(temperature)
    )
    values = (
        3
        * np.tanh(points[:, 0])
        * np.tanh(inputs.astype(float) * points[:, 1] + points[:, 2])
    )
    grid = GridRisk(
        points,
        values,
        np.float64(np.float32(y)),
        temperature / 2,
        temperature,
        *LOSSES["squared"],
        weights,
    )
    return Problem(
        risk,
        temperature,
        grid.dual_objective(grid.optimal_dual())
        + 1.5 * temperature * np.log(2 * np.pi),
    )


Moments = Callable[[np.ndarray], tuple[float, np.ndarray]]
"""log Z, relative to the prior, and the outputs (n, C) of the law with a = -R W g / (n T)."""


def each_tanh(
    x: np.ndarray, scale: float, sums: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return the moments of R tanh(theta_c x), whose weights are independent."""
    features = np.tanh(np.outer(x, NARROW))
    logs = (
        sums.T @ features
        + np.log(quadrature_weights(NARROW))
        - NARROW**2 / 2
        - np.log(2 * np.pi) / 2
    )
    log_partition = logsumexp(logs, axis=1)
    return float(log_partition.sum()), scale * features @ np.exp(
        logs - log_partition[:, None]
    ).T


def shared_tanh(
    x: np.ndarray, scale: float, sums: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return the moments of R tanh(a_c) tanh(w x): given w, the weights a_c are independent."""
    features, outer = np.tanh(np.outer(x, NARROW)), np.linspace(-9, 9, 181)
    factors = np.tanh(outer)
    prior = -(outer**2) / 2
    prior -= logsumexp(prior)
    logs = (sums.T @ features)[:, :, None] * factors + prior
    kappa = logsumexp(logs, axis=2)
    slopes = np.exp(logs - kappa[:, :, None]) @ factors
    over_w = (
        kappa.sum(0)
        + np.log(quadrature_weights(NARROW))
        - NARROW**2 / 2
        - np.log(2 * np.pi) / 2
    )
    log_partition = logsumexp(over_w)
    return float(log_partition), scale * (
        features * np.exp(over_w - log_partition)
    ) @ slopes.T


def softmax_optimum(
    moments: Moments, targets: np.ndarray, scale: float, temperature: float
) -> float:
    """Return the least objective of classes by ascent of D in logits u of the dual g = softmax(u) - e_y.

    Raises:
        RuntimeError: P and D of its end are apart.
    """
    n, one_hot = len(targets), np.eye(CLASSES)[targets]

    def bounds(logits: np.ndarray) -> tuple[float, np.ndarray, float]:
        shares = softmax(logits.reshape(n, -1), axis=1)
        log_partition, z = moments(-scale * (shares - one_hot) / (n * temperature))
        entropy = float(
            xlogy(shares, shares).sum()
        )  # the conjugate of softmax at shares - e_y
        slope = (np.log(np.maximum(shares, 1e-300)) - z) / n
        slope = shares * (slope - np.sum(shares * slope, axis=1, keepdims=True))
        gap = float(
            np.mean(logsumexp(z, axis=1) - np.sum(shares * z, axis=1)) + entropy / n
        )
        return entropy / n + temperature * log_partition, slope.reshape(-1), gap

    start = 0.1 * one_hot.reshape(-1)
    options: dict[str, Any] = {
        "maxiter": 20_000,
        "maxfun": 50_000,
        "ftol": 0.0,
        "gtol": 1e-10,
        "maxcor": 50,
    }
    end = minimize(
        lambda u: bounds(u)[:2], start, jac=True, method="L-BFGS-B", options=options
    )
    value, _, gap = bounds(end.x)
    if gap > GAP:
        raise RuntimeError(
            f"P and D of the optimum are {gap:.1e} apart; raise the temperature of the family."
        )
    return -value


def many_classes(
    seed: int, moments: Callable[..., tuple[float, np.ndarray]]
) -> Problem:
    """Return three classes of one column, by neurons with a weight for each or with output weights for each."""
    rng = np.random.default_rng(seed)
    x, temperature = (
        np.float32(1.5 * rng.normal(size=ROWS)),
        float(10 ** rng.uniform(-2.5, -1)),
    )
    targets = np.digitize(x + 0.7 * rng.normal(size=ROWS), [-0.6, 0.8])
    if moments is each_tanh:
        neuron, precision = TanhEach(3.0), np.float32(temperature)
    else:  # a bias of deviation 1e-3, as above
        neuron = neurons.TanhTanh(3.0, CLASSES)
        precision = np.float32(temperature * np.array([1.0] * (CLASSES + 1) + [1e6]))
    risk = MeanFieldRisk(
        neuron,
        losses.softmax,
        x[:, None],
        targets.astype(np.int32),
        precision=precision,
    )
    optimum = softmax_optimum(
        partial(moments, x.astype(float), 3.0), targets, 3.0, temperature
    )
    return Problem(risk, temperature, optimum)


def three_outputs(seed: int) -> Problem:
    """Return a regression of three outputs by neurons with a weight for each: the sum of three problems."""
    rng = np.random.default_rng(seed)
    x, temperature = 1.5 * rng.normal(size=ROWS), float(10 ** rng.uniform(-3, -1))
    parts = [np.tanh(2 * x), np.sin(2 * x), x / 2]
    y = np.stack(parts, axis=1) + 0.2 * rng.normal(size=(ROWS, CLASSES))
    optimum = sum(
        on_grid(Tanh(3.0), "squared", x, column, temperature, AXIS)[3] for column in y.T
    )
    inputs, precision = np.float32(x[:, None]), np.float32(temperature)
    risk = MeanFieldRisk(
        TanhEach(3.0), losses.squared, inputs, np.float32(y), precision=precision
    )
    return Problem(risk, temperature, optimum)


def ridge(seed: int) -> Problem:
    """Return ridge regression of 15 columns whose rows count 0 to 3 times: the least of a quadratic form."""
    rng = np.random.default_rng(seed)
    d, temperature = 15, float(10 ** rng.uniform(-2.5, -0.5))
    x = np.float32(rng.normal(size=(ROWS, d)) / np.sqrt(d))
    y = np.float32(x @ rng.normal(size=d) + 0.3 * rng.normal(size=ROWS))
    times = np.float32(rng.integers(0, 4, size=ROWS))
    risk = MeanFieldRisk(
        Line(3.0),
        losses.squared,
        x,
        y,
        precision=np.float32(temperature),
        weights=times,
    )
    wide, targets, shares = (
        x.astype(float),
        y.astype(float),
        times / times.sum(dtype=float),
    )
    mean = np.linalg.solve(
        wide.T @ (shares[:, None] * wide) + temperature * np.eye(d),
        wide.T @ (shares * targets),
    )
    optimum = shares @ (wide @ mean - targets) ** 2 / 2 + temperature * mean @ mean / 2
    return Problem(risk, temperature, float(optimum))


def gaussian(seed: int, fewer: bool = False) -> Problem:
    """Return ridge regression of 5 to 60 columns in disguise: P* = y (I + K)^-1 y / (2 n), K = X X^T / (n T).

    With `fewer`, 10 rows of 15 columns, each of which is there twice.
    """
    rng = np.random.default_rng(seed)
    d, temperature = (
        int(rng.choice([5, 15, 30, 60])),
        float(10 ** rng.uniform(-2, -0.5)),
    )
    d = 30 if fewer else d
    n = 10 if fewer else int(rng.integers(max(4, d // 2), 2 * d + 10))
    x = np.float32(rng.normal(size=(n, d)) / np.sqrt(d))
    x = np.tile(x[:, : d // 2], 2) if fewer else x
    y = np.float32(x @ rng.normal(size=x.shape[1]) + 0.3 * rng.normal(size=n))
    risk = MeanFieldRisk(
        Line(3.0), losses.squared, x, y, precision=np.float32(temperature)
    )
    # q* = N(m, I) with the least mean |X m - y|^2 / (2 n) + T |m|^2 / 2
    kernel = x.astype(float) @ x.T.astype(float) / (n * temperature)
    return Problem(
        risk,
        temperature,
        float(y.astype(float) @ np.linalg.solve(np.eye(n) + kernel, y) / (2 * n)),
    )


FAMILIES: dict[str, Callable[[int], Problem]] = {
    "tanh": lambda seed: one_weight("tanh", seed),
    "wave": lambda seed: one_weight("wave", seed),
    "needle": lambda seed: one_weight("needle", seed),
    "two columns": two_weights,
    "output weight": output_weight,
    "gaussian": gaussian,
    "hinge": lambda seed: classes(seed, "smoothed_hinge", 0.5),
    "one in ten": lambda seed: classes(seed, "logistic", 0.1),
    "row weights": weighted,
    "outliers": outliers,
    "n < d, copies": lambda seed: gaussian(seed, fewer=True),
    "two needles": lambda seed: bumps(seed, 2, (0.03, 0.3), (1.5, 5)),
    "broad wells": lambda seed: bumps(seed, 3, (0.4, 1), (2, 4.5)),
    "steps": steep,
    "noise": noise,
    "copied rows": copied,
    "bias": bias,
    "three classes": lambda seed: many_classes(seed, each_tanh),
    "classes, output weights": lambda seed: many_classes(seed, shared_tanh),
    "three outputs": three_outputs,
    "ridge, weights": ridge,
}
"""The first eleven are older than the thresholds of trust, the others were added after these were fixed."""
NEW = tuple(FAMILIES)[11:]
