"""Problems, methods and exact laws of the claim on dual methods (`dual_methods.py`).

Three problems (a plane, ten dimensions, a table), all methods with their budgets, runs that keep their duals, and the
duals of the same methods where inner loops reach their laws, reading the same rows.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, xlogy
from sklearn.datasets import load_breast_cancer

from grid_laws import GridRisk, tensor_grid
from langevax import gradients
from langevax.algorithm import Algorithm, State
from langevax.gradients import batches
from langevax.meanfield import MFLD, PDA, PSDCA, FictitiousPlay
from langevax.problems import losses, neurons
from langevax.problems.mean_field import MeanFieldRisk
from langevax.run import simulate
from mean_field_paths import coordinate_ascent, dual_averaging, fictitious_play_rounds

LOSSES = ("squared", "logistic")
TEMPERATURE = 0.02
PLANE_SIZE, PLANE_RIDGE, CLOUD_RIDGE = 20, 0.05, 0.02
RATE = 0.1
"""Share of the mixture that a round of fictitious play replaces."""

CONVEXITY = {"squared": 1.0, "logistic": 4.0}
"""Of the conjugates: 1 / sup loss''."""


def _logistic_coordinate(z: float, g: float, y: float, c: float) -> float:
    """u + c s(u) + y v = 0, v = z + c g, by bisection; g' = -y s(u)."""
    v = y * (z + c * g)
    return -y * float(expit(brentq(lambda u: u + c * expit(u) + v, -v - c - 1, -v + 1, xtol=1e-14)))  # type: ignore[arg-type]


COORDINATES: dict[str, Callable[[float, float, float, float], float]] = {
    "squared": lambda z, g, y, c: (z + c * g - y) / (1 + c),
    "logistic": _logistic_coordinate,
}
"""argmax_u -loss*(u) + z u - (c / 2) (u - g)^2, independent of the library, so that a wrong step there shows."""


def plane_rows(loss: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (n, 1) on an even grid and a wave that takes several neurons, or its sign."""
    x = np.linspace(-2, 2, PLANE_SIZE)
    wave = 0.8 * np.cos(2 * x)
    return x[:, None], wave if loss == "squared" else np.sign(wave)


def plane_grid(loss: str) -> GridRisk:
    """The same problem with laws as densities on a grid of (w, b), in float64."""
    x, y = plane_rows(loss)
    half = 9 * np.sqrt(TEMPERATURE / (2 * PLANE_RIDGE))
    points, weights = tensor_grid(np.linspace(-half, half, 65), 2)
    functions: dict[str, Any] = {
        "squared": (lambda z, y: (z - y) ** 2 / 2, lambda z, y: z - y, lambda g, y: g**2 / 2 + g * y),
        "logistic": (
            lambda z, y: np.logaddexp(0, -y * z),
            lambda z, y: -y * expit(-y * z),
            lambda g, y: xlogy(-y * g, -y * g) + xlogy(1 + y * g, 1 + y * g),
        ),
    }
    values = np.tanh(x * points[:, 0] + points[:, 1])
    return GridRisk(points, values, y, PLANE_RIDGE, TEMPERATURE, *functions[loss], weights=weights)


def risk_of(loss: str, x: np.ndarray, y: np.ndarray, ridge: float) -> MeanFieldRisk:
    """h = tanh(<w, x> + b)."""
    kind = getattr(losses, loss)
    return MeanFieldRisk(neurons.Tanh(), kind, x.astype(np.float32), y.astype(np.float32), np.float32(2 * ridge))


class Learner(NamedTuple):
    """A method, how many steps and records, and which dual it is judged by."""

    algorithm: Algorithm
    steps: int
    averaged: bool
    """Whether it is judged by the mean over the last half; PDA has an average in its state."""


class Run(NamedTuple):
    """Duals of one method over several runs."""

    iterations: np.ndarray
    evaluations: np.ndarray
    last: np.ndarray
    """(run, record, n)."""
    average: np.ndarray
    """(run, record, n): over the last half of the steps so far; PDA's own average."""


def dual_of(problem: MeanFieldRisk, state: State) -> jax.Array:
    """Return the dual in the state, or loss' at the outputs where the method has none."""
    dual: jax.Array | None = getattr(state, "dual", None)
    return problem.dual(state.position) if dual is None else dual


def run(
    learner: Learner,
    risk: MeanFieldRisk,
    num_particles: int,
    steps_recorded: np.ndarray,
    *,
    key: jax.Array,
    num_chains: int | None,
) -> Run:
    """Duals after each of `steps_recorded` steps, with every step recorded on the way."""
    end = simulate(
        learner.algorithm,
        risk,
        risk.prior(TEMPERATURE, num_particles),
        key=key,
        num_steps=int(steps_recorded[-1]),
        num_chains=num_chains,
        record=dual_of,
        record_every=1,
    )
    assert end.trace is not None
    duals = np.asarray(end.trace.values, float).reshape(num_chains or 1, int(steps_recorded[-1]), -1)
    evaluations = np.asarray(end.trace.info["evaluations"]).reshape(num_chains or 1, -1).mean(0)
    last = duals[:, steps_recorded - 1]
    average = (
        np.stack([duals[:, t // 2 : t].mean(axis=1) for t in steps_recorded], axis=1) if learner.averaged else last
    )
    return Run(steps_recorded, evaluations[steps_recorded - 1], last, average)


def rows_of(learner: Learner, risk: MeanFieldRisk, steps: int, key: jax.Array, num_chains: int) -> np.ndarray:
    """(run, step, batch): the rows that `run` reads with this key, from the documented keys of a run."""
    algorithm: Any = learner.algorithm

    def at(step: Any) -> Any:
        keys = jax.random.split(jax.random.fold_in(key, step), num_chains)
        if isinstance(algorithm, PSDCA):
            of_row = jax.vmap(lambda k: jax.random.randint(jax.random.split(k)[1], (1,), 0, risk.size, jnp.int32))
        else:
            of_row = jax.vmap(lambda k: batches.draw(jax.random.split(k)[0], risk, algorithm.batch_size, False)[0])
        return of_row(keys)

    return np.asarray(jax.vmap(at)(jnp.arange(steps))).transpose(1, 0, 2)


def exact_duals(
    learner: Learner, grid: GridRisk, loss: str, rows: np.ndarray | None, steps_recorded: np.ndarray
) -> np.ndarray:
    """(run, record, n): the duals of the method whose inner loops reach their laws, reading the same rows."""
    algorithm, steps, n = learner.algorithm, int(steps_recorded[-1]), len(grid.targets)
    if isinstance(algorithm, FictitiousPlay):
        return fictitious_play_rounds(grid, grid.prior(), RATE, steps).dual[None, steps_recorded]
    if isinstance(algorithm, PDA):
        rows = np.tile(np.arange(n), (1, steps, 1)) if rows is None else rows
        return np.stack([dual_averaging(grid, chosen).average[steps_recorded - 1] for chosen in rows])
    assert rows is not None
    paths = [coordinate_ascent(grid, COORDINATES[loss], chosen[:, 0], bound=1.0).dual for chosen in rows]
    return np.stack([path[steps_recorded] for path in paths])


def learners(n: int, step: float, inner_step: float, budget: dict[str, int]) -> dict[str, Learner]:
    """All methods; those without a budget are left out. `inner_step` is that of loops whose dual is frozen."""
    root = max(2, round(np.sqrt(n)))
    t = TEMPERATURE
    methods: dict[str, tuple[Algorithm, bool]] = {
        "MFLD": (MFLD(step, t), True),
        "SVRG-MFLD": (MFLD(step, t, gradients.SVRG(batch_size=root, period=root)), True),
        "PDA, 10 inner": (PDA(inner_step, t, num_inner_steps=10), False),
        "PDA, 1 inner": (PDA(inner_step, t, num_inner_steps=1), False),
        "online PDA, 10 inner": (PDA(inner_step, t, num_inner_steps=10, batch_size=1), False),
        "online PDA, 1 inner": (PDA(inner_step, t, num_inner_steps=1, batch_size=1), False),
        "P-SDCA": (PSDCA(t), True),
        "fictitious play": (FictitiousPlay(inner_step, t, rate=RATE), True),
    }
    return {name: Learner(methods[name][0], steps, methods[name][1]) for name, steps in budget.items()}


def cloud_problem(seed: int) -> tuple[MeanFieldRisk, str]:
    """100 rows of 9 columns, particles of 10 coordinates, a wave along one direction; squared loss."""
    random = np.random.default_rng([seed, 1])
    x = random.standard_normal((100, 9))
    return risk_of("squared", x / 3, 0.8 * np.cos(x[:, 0] + x[:, 1]), CLOUD_RIDGE), "10-d, squared"


def table_problem(seed: int) -> tuple[MeanFieldRisk, str]:
    """The breast cancer table of scikit-learn, columns standardised and over sqrt(d), logistic loss."""
    table: Any = load_breast_cancer()
    x = (table.data - table.data.mean(0)) / table.data.std(0) / np.sqrt(table.data.shape[1])
    return risk_of("logistic", x, 2.0 * table.target - 1, CLOUD_RIDGE), "breast cancer, logistic"
