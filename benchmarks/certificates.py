"""False trust, coverage, reach and costs of the certificate: `python -m benchmarks certificates`.

    python -m benchmarks certificates --pairs 300          # (problem, seed) pairs with known optima
    python -m benchmarks certificates --reach --seeds 3    # tables at the estimators' defaults

Optima are known by quadrature (one and two weights, waves and needles), where output weights are integrated out as well
(TanhTanh, one column), or in closed form (linear neurons, squared loss, 5 to 60 columns). Each line names the problem,
so that `--only` repeats it. An interval is *false* where it is trusted and excludes the optimum although the search
found the well; where no descent ended in the needle it is *missed*, and counted apart with the well's mass.
"""

import argparse
import json
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import expit, xlogy

from langevax import losses, neurons
from langevax.meanfield import Certificate, certify
from langevax.problems.mean_field import MeanFieldRisk
from papers.grid_laws import GridRisk, tensor_grid

AXIS = np.linspace(-9, 9, 12001)
PLANE = np.linspace(-7, 7, 281)
EFFORT = 1e9


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


class Line(Bounded):
    """<theta, x>: with the squared loss everything is Gaussian. The bound is that of the outputs met."""

    def __call__(self, particle: Array, x: Array) -> Array:
        return jnp.dot(particle, x)


class Problem(NamedTuple):
    """A risk whose optimum is known."""

    risk: MeanFieldRisk
    temperature: float
    optimum: float
    needle: tuple[float, float] | None = None
    """Centre and width of a mode that searches may miss."""
    mass: float = float("nan")
    """That of the needle at the optimum."""


def squared(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (z - y) ** 2 / 2


def squared_conjugate(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    return g**2 / 2 + g * y


def logistic(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, -y * z)


def logistic_conjugate(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    share = np.clip(-y * g, 0, 1)
    return xlogy(share, share) + xlogy(1 - share, 1 - share)


LOSSES: dict[str, tuple[Callable[..., np.ndarray], ...]] = {
    "squared": (squared, lambda z, y: z - y, squared_conjugate),
    "logistic": (logistic, lambda z, y: -y * expit(-y * z), logistic_conjugate),
}


def on_grid(
    neuron: neurons.Neuron,
    loss: str,
    x: np.ndarray,
    y: np.ndarray,
    temperature: float,
    points: np.ndarray,
    weights: np.ndarray | None = None,
) -> tuple[MeanFieldRisk, GridRisk, np.ndarray, float]:
    """Return the risk with prior N(0, I), the same on a grid, the optimal dual, and the least objective."""
    inputs = np.float32(x.reshape(len(x), -1))
    risk = MeanFieldRisk(neuron, getattr(losses, loss), inputs, np.float32(y), precision=np.float32(temperature))
    with jax.enable_x64():
        wide = jnp.asarray(points.reshape(len(points), -1), jnp.float64)
        values = np.asarray(jax.vmap(jax.vmap(neuron, (None, 0)), (0, None))(wide, jnp.asarray(inputs, jnp.float64))).T
    grid = GridRisk(points, values, np.float64(np.float32(y)), temperature / 2, temperature, *LOSSES[loss], weights)
    dual = grid.optimal_dual()
    size = 1 if points.ndim == 1 else points.shape[1]
    return risk, grid, dual, grid.dual_objective(dual) + temperature * size / 2 * np.log(2 * np.pi)


def labels(y: np.ndarray, share: float) -> np.ndarray:
    """Return -1 and +1, a share of them +1."""
    return np.where(y > np.quantile(y, 1 - share), 1.0, -1.0)


def one_weight(kind: str, seed: int) -> Problem:
    """Return a problem of one column and one weight: tanh, a wave or a needle."""
    rng = np.random.default_rng(seed)
    n, temperature = int(rng.integers(10, 40)), float(10 ** rng.uniform(-3, -1))
    x, loss = 1.5 * rng.normal(size=n), str(rng.choice(list(LOSSES)))
    needle = None
    if kind == "tanh":
        neuron, y = Tanh(float(rng.choice([3.0, 10.0]))), np.tanh(2 * x) + 0.5 * np.sin(3 * x)
    elif kind == "wave":
        neuron = Wave(float(rng.choice([1.0, 5.0])), float(rng.choice([2.0, 5.0, 8.0])))
        y = np.sin(4 * x) + x / 3
    else:
        needle = float(rng.uniform(1.5, 6)), float(rng.choice([0.03, 0.1, 0.3]))
        neuron, y = Needle(11.0, *needle), 1.5 * np.cos(2 * x) + 0.3 * np.tanh(x)
    y = y + 0.2 * rng.normal(size=n)
    if rng.uniform() < 0.2:
        y[0] += 8  # an outlier
    y = labels(y, float(rng.choice([0.5, 0.2]))) if loss == "logistic" else y
    risk, grid, dual, optimum = on_grid(neuron, loss, x, y, temperature, AXIS)
    mass = float("nan")
    if needle is not None:
        near = np.abs(AXIS - needle[0]) < 4 * needle[1]
        mass = float((grid.measure * grid.gibbs(dual))[near].sum())
    return Problem(risk, temperature, optimum, needle, mass)


def two_weights(seed: int) -> Problem:
    """Return a problem of two columns, one of them at times the copy of the other."""
    rng = np.random.default_rng(seed)
    n, temperature = int(rng.integers(3, 30)), float(10 ** rng.uniform(-2.5, -1))
    x, loss = rng.normal(size=(n, 2)), str(rng.choice(list(LOSSES)))
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
    risk = MeanFieldRisk(neuron, losses.squared, inputs, np.float32(y), precision=precision)
    values = scale * np.tanh(points[:, 0]) * np.tanh(inputs.astype(float) * points[:, 1])
    grid = GridRisk(
        points, values, np.float64(np.float32(y)), temperature / 2, temperature, *LOSSES["squared"], weights
    )
    return Problem(risk, temperature, grid.dual_objective(grid.optimal_dual()) + temperature * np.log(2 * np.pi))


def gaussian(seed: int) -> Problem:
    """Return ridge regression of 5 to 60 columns in disguise: P* = y (I + K)^-1 y / (2 n), K = X X^T / (n T)."""
    rng = np.random.default_rng(seed)
    d, temperature = int(rng.choice([5, 15, 30, 60])), float(10 ** rng.uniform(-2, -0.5))
    n = int(rng.integers(max(4, d // 2), 2 * d + 10))
    x = np.float32(rng.normal(size=(n, d)) / np.sqrt(d))
    y = np.float32(x @ rng.normal(size=d) + 0.3 * rng.normal(size=n))
    risk = MeanFieldRisk(Line(3.0), losses.squared, x, y, precision=np.float32(temperature))
    # q* = N(m, I) with the least mean |X m - y|^2 / (2 n) + T |m|^2 / 2
    kernel = x.astype(float) @ x.T.astype(float) / (n * temperature)
    return Problem(risk, temperature, float(y.astype(float) @ np.linalg.solve(np.eye(n) + kernel, y) / (2 * n)))


FAMILIES: dict[str, Callable[[int], Problem]] = {
    "tanh": lambda seed: one_weight("tanh", seed),
    "wave": lambda seed: one_weight("wave", seed),
    "needle": lambda seed: one_weight("needle", seed),
    "two columns": two_weights,
    "output weight": output_weight,
    "gaussian": gaussian,
}


@dataclass(frozen=True)
class Judged:
    """One certificate of a problem whose optimum is known."""

    family: str
    seed: int
    optimum: float
    lower: float
    upper: float
    share: float
    trusted: bool
    mass: float
    seconds: float

    @property
    def below(self) -> bool:
        """The lower end holds."""
        return self.lower <= self.optimum

    @property
    def above(self) -> bool:
        """The upper end holds."""
        return self.optimum <= self.upper


def judge(family: str, seed: int) -> Judged:
    """Certify one problem."""
    problem = FAMILIES[family](seed)
    certificate = certify(problem.risk, problem.temperature, key=jax.random.key(seed), effort=EFFORT)
    ends = certificate.lower_bound, certificate.upper_bound, certificate.unknown_share
    trusted, seconds = certificate.trustworthy, certificate.cpu_seconds
    return Judged(family, seed, problem.optimum, *ends, trusted, problem.mass, seconds)


def known_optima(pairs: int, first: int, only: str | None, out: Path) -> None:
    """Certify `pairs` problems, in turn from each family, and print what the intervals were worth."""
    names = [only] if only else list(FAMILIES)
    lines = []
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a") as file:
        for number in range(pairs):
            line = judge(names[number % len(names)], first + number // len(names))
            lines.append(line)
            file.write(json.dumps(asdict(line)) + "\n")
            file.flush()
            if line.trusted and not (line.below and line.above):
                print(f"  excluded: {line}")
    heads = "pairs", "trusted", "excluded", "lower holds", "upper holds", "share", "CPU s"
    widths = 6, 9, 10, 13, 13, 8, 7
    print(f"\n{'family':<15}" + "".join(f"{head:>{width}}" for head, width in zip(heads, widths, strict=True)))
    groups = defaultdict(list)
    for line in lines:
        groups[line.family].append(line)
    for name, group in [*groups.items(), ("all", lines)]:
        trusted = [line for line in group if line.trusted]
        excluded = sum(not (line.below and line.above) for line in trusted)
        shares, seconds = np.median([line.share for line in group]), np.median([line.seconds for line in group])
        held = [f"{np.mean([getattr(line, end) for line in group]):.1%}" for end in ("below", "above")]
        print(
            f"{name:<15}{len(group):>6}{len(trusted):>9}{excluded:>10}{held[0]:>13}{held[1]:>13}{shares:>8.3f}{seconds:>7.1f}"
        )


def reach_cases() -> Iterator[tuple[str, Callable[[int], tuple[float, Certificate]]]]:
    """Yield names of tables, and what fits and certifies them from a seed."""
    from sklearn import datasets

    from langevax.sklearn import MeanFieldClassifier, MeanFieldRegressor

    def of(estimator: Any, X: np.ndarray, y: np.ndarray, **options: Any) -> Callable[[int], tuple[float, Certificate]]:
        def run(seed: int) -> tuple[float, Certificate]:
            began = time.process_time()
            model = estimator(random_state=seed, **options).fit(X, y)
            return time.process_time() - began, model.certificate()

        return run

    X, y = datasets.load_diabetes(return_X_y=True)
    yield "diabetes", of(MeanFieldRegressor, X, y)
    colder = MeanFieldRegressor(random_state=0).fit(X, y).temperature_ / 10
    yield "diabetes T/10", of(MeanFieldRegressor, X, y, temperature=colder)
    yield "breast cancer", of(MeanFieldClassifier, *datasets.load_breast_cancer(return_X_y=True))
    yield "wine", of(MeanFieldClassifier, *datasets.load_wine(return_X_y=True))
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 15))
    yield "100 x 15 smooth", of(MeanFieldRegressor, X, np.tanh(X[:, 0]) + X[:, 1] / 2 + 0.1 * rng.normal(size=100))
    X = np.sign(rng.normal(size=(500, 12)))
    yield "3-parity", of(MeanFieldRegressor, X, X[:, 0] * X[:, 1] * X[:, 2])
    yield "Friedman-1", of(MeanFieldRegressor, *datasets.make_friedman1(1000, 8, noise=1.0, random_state=0))
    yield "digits", of(MeanFieldClassifier, *datasets.load_digits(return_X_y=True))


def reach(seeds: int, only: str | None) -> None:
    """Print whether tables are certified at the estimators' defaults, and at what cost."""
    print(f"{'table':<18}{'seed':>5}{'fit s':>8}{'CPU s':>8}{'share':>8}   verdict")
    for name, run in reach_cases():
        if only not in (None, name):
            continue
        for seed in range(seeds):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fit, certificate = run(seed)
            costs = f"{fit:>8.1f}{certificate.cpu_seconds:>8.1f}{certificate.unknown_share:>8.3f}"
            print(f"{name:<18}{seed:>5}{costs}   {certificate.verdict}", flush=True)


def main(arguments: Sequence[str] = ()) -> None:
    """Print false trust and coverage, or with --reach the tables that are certified."""
    parser = argparse.ArgumentParser("python -m benchmarks certificates", description=__doc__)
    parser.add_argument("--pairs", type=int, default=60, help="(problem, seed) pairs, about 5 CPU seconds each")
    parser.add_argument("--first", type=int, default=0, help="first seed; thresholds were chosen on those below 1000")
    parser.add_argument("--only", help="one family, or with --reach one table")
    parser.add_argument("--reach", action="store_true", help="tables at the estimators' defaults instead")
    parser.add_argument("--seeds", type=int, default=1, help="fits of each table with --reach")
    parser.add_argument("--out", type=Path, default=Path("out/certificates.jsonl"), help="one line a pair, appended")
    options = parser.parse_args(arguments)
    if options.reach:
        reach(options.seeds, options.only)
    else:
        known_optima(options.pairs, options.first, options.only, options.out)


if __name__ == "__main__":
    main()
