"""Three experiments of the claim on federated methods (`federated.py`): a saddle, estimators, digits.

The saddle: f(x) = x_0^4 / 4 - gamma x_0^2 / 2 + 1/2 sum_{k > 0} x_k^2. Clients add curvatures in every direction, and
slopes in all but the first; both cancel in the mean. From x_0 = 0 only noise leads away, and then |x_0| grows by
1 + step_size gamma a local step. The estimators: components are quadratics whose Hessians are +-zeta I, so that the
squared error of SLEDGE is known: it settles at zeta^2 step^2 n / (2 b^2), where what it forgets at the rate b / n a
step is what it gains. The digits: a network of one small hidden layer, split over clients by class concentration q,
from an even split to 0.85; the step size of each method and q is the one of the least final loss.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray
from jax import lax, random
from jaxtyping import Array, Float, Key

from federated_runs import Maker, methods, paths
from langevax.cli.federating import classification
from langevax.data import partitions
from langevax.federated import BVRLPSGD, FLEDGE
from langevax.gradients import SAGA, SARAH, SLEDGE, STORM, GradientEstimator
from langevax.keys import unrolled
from langevax.problems.federation import Federation
from langevax.problems.finite_sum import FiniteSum

# ---- the saddle

GAMMA, SADDLE_DIM, SADDLE_CLIENTS, SADDLE_ROWS = 0.5, 10, 20, 32
SADDLE_LOCAL_STEPS, SADDLE_BATCH, SADDLE_STEP_SIZE, SADDLE_PARTICIPANTS = 16, 4, 0.02, 5
RADII = (0.0, 1e-6, 1e-3)
OUT = 0.5 * GAMMA**0.5  # of the way to the minimum, at x_0 = sqrt(gamma)
SADDLE_ROUNDS = 400
SADDLE_METHODS = {
    "FLEDGE": lambda radius: FLEDGE(
        SADDLE_STEP_SIZE, SADDLE_LOCAL_STEPS, SADDLE_BATCH, SADDLE_PARTICIPANTS, radius=radius
    ),
    "BVR-L-PSGD": lambda radius: BVRLPSGD(
        step_size=SADDLE_STEP_SIZE, num_local_steps=SADDLE_LOCAL_STEPS, batch_size=SADDLE_BATCH, radius=radius
    ),
}
"""As functions of the radius of the noise."""


def growth_per_round() -> float:
    """log of the factor by which |x_0| grows while it is small."""
    return SADDLE_LOCAL_STEPS * float(np.log1p(SADDLE_STEP_SIZE * GAMMA))


def saddle_loss(x: Float[Array, " d"], row: tuple[Array, Array]) -> Float[Array, ""]:
    """Of one row (slopes, curvatures)."""
    slopes, curvatures = row
    bowl = x[0] ** 4 / 4 - GAMMA * x[0] ** 2 / 2 + jnp.sum(x[1:] ** 2) / 2
    return bowl + jnp.sum(slopes * x + curvatures * x**2 / 2)


def saddle_federation(seed: int, heterogeneity: float = 0.2) -> Federation:
    """Clients' Hessians differ by the heterogeneity, their gradients at 0 by 2."""
    rng = np.random.default_rng(seed)
    signs = rng.permuted(np.tile(np.repeat([1.0, -1.0], SADDLE_CLIENTS // 2)[:, None], (1, SADDLE_DIM)), axis=0)
    half = rng.normal(size=(SADDLE_CLIENTS // 2, SADDLE_DIM))
    half[:, 0] = 0
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    rows = rng.permuted(
        np.tile(np.repeat([1.0, -1.0], SADDLE_ROWS // 2)[None, :, None], (SADDLE_CLIENTS, 1, SADDLE_DIM)), axis=1
    )
    slopes = np.concatenate([half, -half])[:, None] + np.where(np.arange(SADDLE_DIM) > 0, rows, 0)
    curvatures = heterogeneity / 2 * signs[:, None] + heterogeneity / 2 * rows
    return Federation(saddle_loss, (slopes.astype(np.float32), curvatures.astype(np.float32)))


def distance(of: Federation, x: Float[Array, " d"]) -> Float[Array, ""]:
    """From the saddle, along the way out."""
    return jnp.abs(x[0])


def escape(name: str, num_seeds: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(radius, seed, round) |x_0|, and exchanges by then, (round,)."""
    start = jnp.ones(SADDLE_DIM, jnp.float32).at[0].set(0)
    keys = random.split(random.key(seed), num_seeds)
    result = paths(
        SADDLE_METHODS[name], saddle_federation(seed), start, np.array(RADII), keys, 2 * SADDLE_ROUNDS, distance
    )
    return result.seen, result.exchanges


# ---- estimators that are never refreshed

COMPONENTS, WALK_BATCH, WALK_STEP, WALK_DIM = 256, 4, 0.01, 4
PREDICTED = WALK_STEP**2 * COMPONENTS / (2 * WALK_BATCH**2)  # of the squared error of SLEDGE; zeta = 1
PARTS = 8  # of a walk
NEVER = 10**9
ESTIMATORS: dict[str, GradientEstimator] = {
    "SLEDGE": SLEDGE(WALK_BATCH, "components"),
    "SAGA": SAGA(WALK_BATCH, "components"),
    "STORM": STORM(WALK_BATCH, WALK_BATCH / COMPONENTS),
    "SARAH": SARAH(WALK_BATCH, NEVER),
}


def quadratics(seed: int) -> FiniteSum:
    """Half of the components curve up, half down, and each has a slope; the mean has no curvature."""
    rng = np.random.default_rng(seed)
    signs = rng.permutation(np.resize([-1.0, 1.0], COMPONENTS)).astype(np.float32)
    return FiniteSum(quadratic, (signs, rng.normal(size=(COMPONENTS, WALK_DIM)).astype(np.float32)))


def quadratic(x: Float[Array, " d"], row: tuple[Array, Array]) -> Float[Array, ""]:
    curvature, slope = row
    return curvature * jnp.sum(x**2) / 2 + slope @ x


def estimator_errors(name: str, num_steps: int, num_walks: int, seed: int) -> np.ndarray:
    """(walk, part): mean squared error over PREDICTED, in PARTS parts of each walk."""
    keys = random.split(random.key(seed), num_walks)
    squared = np.asarray(squared_errors(ESTIMATORS[name], quadratics(seed), keys, num_steps), np.float64)
    return squared.reshape(num_walks, PARTS, -1).mean(axis=2) / PREDICTED


@eqx.filter_jit
def squared_errors(
    estimator: GradientEstimator, problem: FiniteSum, keys: Key[Array, " walks"], num_steps: int
) -> Float[Array, "walks steps"]:
    mean_slope = jnp.mean(problem.data[1], axis=0)  # the gradient everywhere

    def walk(key: Key[Array, ""]) -> Float[Array, " steps"]:
        key = unrolled(key)

        def body(carry: Any, number: Any) -> Any:
            x, state = carry
            batch_key, walk_key = random.split(random.fold_in(key, number))
            v, state, _ = estimator.estimate(problem, x, state, batch_key, number)
            direction = random.normal(walk_key, x.shape, x.dtype)
            x = x + WALK_STEP * direction / jnp.linalg.norm(direction)
            return (x, state), jnp.sum((v - mean_slope) ** 2)

        x = jnp.zeros_like(mean_slope)
        start = x, estimator.init(problem, x)[0]
        return lax.scan(body, start, jnp.arange(num_steps, dtype=jnp.int32))[1]

    return jax.vmap(walk)(keys)


# ---- digits

CONCENTRATIONS: dict[str, tuple[float, ...]] = {"full": (0.1, 0.35, 0.6, 0.85), "small": (0.6,)}
DIGITS_METHODS: dict[str, tuple[str, ...] | None] = {"full": None, "small": ("FedAvg",)}
DIGITS_SEEDS, DIGITS_EXCHANGES = {"full": 2, "small": 1}, {"full": 100, "small": 50}
DIGITS_STEP_SIZES = {"full": 2.0 ** np.arange(2, -7, -1), "small": 2.0 ** np.arange(1, -4, -1)}
DIGITS_CLIENTS, DIGITS_LOCAL_STEPS, DIGITS_BATCH, DIGITS_PARTICIPANTS, HIDDEN = 20, 16, 4, 5, 16


class DigitsScores(NamedTuple):
    loss: Array
    accuracy: Array


class Evaluation:
    """Scores of a model: the loss over all clients' rows, and accuracy on rows held out."""

    def __init__(self, table: classification.LabelledTable):
        self.inputs, self.labels = jnp.asarray(table.test_inputs), jnp.asarray(table.test_labels)

    def __call__(self, federation: Federation, position: Any) -> DigitsScores:
        return DigitsScores(federation.value(position), classification.accuracy(position, self.inputs, self.labels))


def digits_methods(size: str) -> dict[str, Maker]:
    """Return the methods that are run."""
    return methods(DIGITS_LOCAL_STEPS, DIGITS_BATCH, DIGITS_PARTICIPANTS, DIGITS_METHODS[size])


def number_of_digits_runs(size: str) -> int:
    return len(digits_methods(size)) * len(CONCENTRATIONS[size])


def digits_runs(size: str, seed: int, done: Callable[[], object]) -> xarray.Dataset:
    """Loss and accuracy of every method at its best step size on a common grid of exchanges."""
    table, keys = classification.load_table("digits", None, seed), random.split(random.key(seed), DIGITS_SEEDS[size])
    evaluation, chosen = Evaluation(table), digits_methods(size)
    start = classification.initial_position(random.key(seed), table.inputs.shape[1], HIDDEN, table.num_classes)
    grid = np.arange(2, DIGITS_EXCHANGES[size] + 1, 2)
    shape = len(chosen), len(CONCENTRATIONS[size])
    loss, accuracy = (np.full((*shape, DIGITS_SEEDS[size], len(grid)), np.nan) for _ in range(2))
    step_size, edge = np.zeros(shape), np.zeros(shape, bool)
    for j, concentration in enumerate(CONCENTRATIONS[size]):
        parts = partitions.by_concentration(table.labels, DIGITS_CLIENTS, concentration, key=random.key(seed))
        federation = classification.federation_of(table, parts)
        for i, make in enumerate(chosen.values()):
            result = paths(make, federation, start, DIGITS_STEP_SIZES[size], keys, DIGITS_EXCHANGES[size], evaluation)
            final = result.seen.loss[:, :, -1].mean(axis=1)
            best = int(np.argmin(np.where(np.isfinite(final), final, np.inf)))
            last = np.maximum(np.searchsorted(result.exchanges, grid, side="right") - 1, 0)
            loss[i, j], accuracy[i, j] = result.seen.loss[best][:, last], result.seen.accuracy[best][:, last]
            step_size[i, j], edge[i, j] = DIGITS_STEP_SIZES[size][best], best in (0, len(DIGITS_STEP_SIZES[size]) - 1)
            done()
    by = ("learner", "concentration")
    variables = {
        "digits_loss": ((*by, "digits_seed", "spent"), loss, {"units": "mean cross-entropy of all rows"}),
        "digits_accuracy": ((*by, "digits_seed", "spent"), accuracy, {"units": "share of rows held out"}),
        "digits_step_size": (by, step_size, {"units": "1"}),
        "digits_at_edge": (by, edge, {"units": "whether"}),
    }
    coordinates = {
        "learner": list(chosen),
        "concentration": ("concentration", list(CONCENTRATIONS[size]), {"units": "share"}),
        "spent": ("spent", grid, {"units": "exchanges"}),
    }
    return xarray.Dataset(variables, coordinates)
