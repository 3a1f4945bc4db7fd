"""Scaling, temperature and output scale: by leave-one-out errors of the kernel limit, then by networks on folds.

The kernel limit's errors are known in closed form, and choose the scaling of the columns and a first temperature. A
network that learns features can do worse than its limit promises, and a loss other than the squared one asks for
another temperature. Small networks are therefore trained without a fold of the rows, from hot to cold, each
temperature going on from the last one's particles; the hottest temperature whose losses on the rows left out are
within one standard error of the best is chosen, as the easiest to certify. A larger output scale brings the network
nearer to its kernel limit, which suits images.
"""

from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jaxtyping import Array, Key
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import KFold, StratifiedKFold

from langevax.keys import unrolled
from langevax.meanfield.kernel_limit import NUM_NEURONS, LeaveOneOut, excess, leave_one_out, prior_features
from langevax.problems.losses import Loss
from langevax.problems.mean_field import MeanFieldRisk
from langevax.sklearn.persistence import saved_class
from langevax.sklearn.solvers import BATCH_SHARE, SOLVERS, Schedule, algorithm
from langevax.sklearn.table import (
    FEWEST_ROWS,
    DistinctRows,
    Scaling,
    Standardiser,
    bucket,
    in_buckets,
    padded,
    subsample,
)
from langevax.sklearn.training import Network, TrainingTask

MAX_ROWS = 1000  # of the leave-one-out problem: its best penalty hardly depends on the number of rows
COMPARED_ROWS, COMPARED_NEURONS = 1000, 1000  # of each scaling
CLEARLY_BETTER = 0.97  # share of the error by which another scaling has to be better, beyond its standard error
RIDGE_PENALTIES = np.logspace(-3, 5, 17)
NEGLIGIBLE = 0.003  # share of the loss without a model, below which no comparison is worth a warning
ABSENT = -10.0  # logit of a class that a fold's rows lack
NUM_CLOUDS = 8  # of a fold's network, which predict


class LinearModelWarning(UserWarning):
    """Ridge or logistic regression predicts the rows left out better than the network, by two standard errors."""


class FoldSearch(NamedTuple):
    """Temperatures and output scales that networks on folds are trained at."""

    num_folds: int
    factors: tuple[float, ...]
    """Temperatures of a path, in units of the one it is built around, from hot to cold."""
    scales: tuple[float, ...]
    """Output scales of the paths, in units of the one passed; temperatures scale with their squares."""
    stage_steps: int
    most_particles: int | None
    """Neurons of a fold's network; None: as many as of the network."""
    most_rows: int
    """Rows that are split into folds, drawn at random where there are more."""


SEARCHES = {
    "folds": FoldSearch(5, (10.0, 3.0, 1.0, 1 / 3, 1 / 10), (1.0,), 100, 80, 4000),
    "path": FoldSearch(3, (30.0, 10.0, 3.0, 1.0, 1 / 3, 1 / 10, 1 / 30), (1.0, 3.0), 150, None, 2**31),
}
SearchName = Literal["folds", "path"]


def kernel_choice(
    rows: DistinctRows, task: TrainingTask, prior_precision: float, scalings: tuple[Scaling, ...], key: Key[Array, ""]
) -> tuple[Standardiser, LeaveOneOut, Scaling]:
    """Return the first scaling, or one of clearly smaller leave-one-out errors in the kernel limit, and the errors.

    Scalings are compared on fewer neurons than the errors returned.
    """

    def errors_of(scaling: Scaling, most_rows: int, num_neurons: int) -> tuple[Standardiser, LeaveOneOut, np.ndarray]:
        chosen = subsample(len(rows.inputs), most_rows)
        weights, standardiser = rows.weights[chosen], Standardiser.fit(rows.inputs, rows.weights, scaling)
        inputs, d = in_buckets(standardiser(rows.inputs[chosen])), rows.inputs.shape[1]
        features = prior_features(task.neuron, inputs, 1 / prior_precision, num_neurons, key=key, num_columns=d)
        features = np.asarray(features)[:, : len(chosen)]
        return standardiser, leave_one_out(features, task.regressands[chosen], weights), weights

    best = scalings[0]
    if len(scalings) > 1:
        _, least, _ = errors_of(best, COMPARED_ROWS, COMPARED_NEURONS)
        for scaling in scalings[1:]:
            _, errors, weights = errors_of(scaling, COMPARED_ROWS, COMPARED_NEURONS)
            if _clearly_better(errors, least, weights):
                best, least = scaling, errors
    standardiser, errors, _ = errors_of(best, MAX_ROWS, NUM_NEURONS)
    return standardiser, errors, best


def _clearly_better(one: LeaveOneOut, other: LeaveOneOut, weights: np.ndarray) -> bool:
    difference, error = excess(one.row_errors, other.row_errors, weights)
    return bool(difference < -error) and one.error < CLEARLY_BETTER * other.error


@saved_class
class HeldOut(NamedTuple):
    """Networks trained without a fold of the rows each."""

    clouds: np.ndarray
    """(folds, neurons, size): their neurons, of standardised columns."""
    fold: np.ndarray
    """(n,) fold that a row was left out of."""
    weights: np.ndarray
    """(n,) multiplicities of the rows."""


class Choice(NamedTuple):
    """The network with its output scale, its temperature, and the losses these were chosen by."""

    network: Network
    temperature: float
    hotter: list[float]
    """Temperatures of the path before it, through which to anneal."""
    history: dict[str, np.ndarray]
    """Over output scales and temperatures: "output_scale", "temperature", "loss" of the rows left out, and its standard
    "error"; "excess" over the least and the standard error of that, "excess_error"."""
    chosen: int
    """Place in the history."""
    held_out: HeldOut
    outputs: np.ndarray
    """(n,) or (n, C): at each row, of the network trained without it."""
    places: np.ndarray
    """(n,) of these rows among all."""
    above_linear: tuple[float, float]
    """Mean loss above that of a linear model trained on the same folds, and its standard error."""
    untrained_loss: float
    """Mean loss of outputs 0."""
    centre: int
    """Place in the history of the temperature that the kernel limit chose."""

    @property
    def losses(self) -> dict[str, float]:
        """Mean loss on the rows left out, its standard error, and that of a linear model."""
        loss, error = (float(self.history[name][self.chosen]) for name in ("loss", "error"))
        return {"loss": loss, "loss_error": error, "linear_loss": loss - self.above_linear[0]}

    def reason(self, promise: float | None) -> str:
        """Return why this temperature, given the loss that the kernel limit promised, if one is known."""
        losses = self.losses
        reason = (
            f"the hottest of {len(self.history['loss'])} whose mean loss on the rows left out of "
            f"{int(self.held_out.fold.max()) + 1} folds, {losses['loss']:.3g} +- {losses['loss_error']:.2g}, is within "
            "one standard error of the least"
        )
        there, error, temperature = (float(self.history[n][self.centre]) for n in ("loss", "error", "temperature"))
        if promise is None or there <= promise + error:
            return f"{reason}."
        return (
            f"{reason}; the kernel limit promised {promise:.3g} at T = {temperature:.3g}, where the networks of the "
            f"folds have {there:.3g}."
        )

    def warning(self) -> str | None:
        """Return what to say where a linear model is better by more than two standard errors."""
        above, error = self.above_linear
        if above <= max(2 * error, NEGLIGIBLE * self.untrained_loss) or self.untrained_loss == 0:
            return None
        return (
            f"a linear model predicts the rows left out better: the network's mean loss there is higher by {above:.3g} "
            f"+- {error:.2g}; compare with RidgeCV or LogisticRegressionCV on this table."
        )


class Annealed(NamedTuple):
    """A network trained at one temperature after the other."""

    position: Array
    """(particles, size) at the end."""
    clouds: Array
    """(temperatures, NUM_CLOUDS particles, size), of the second half of each temperature's steps."""
    outputs: Array
    """(temperatures, stored rows, ...) of the clouds, at all rows that the risk stores, its padding among them."""


def anneal(
    risk: MeanFieldRisk, temperatures: np.ndarray, schedule: Schedule, num_particles: int, key: Key[Array, ""]
) -> Annealed:
    """Train from the prior, at each temperature for `schedule.num_steps` from where the last one ended.

    `risk` has the precision of temperature 1. All is one compiled program, for all tables and temperatures of a shape.
    Other solvers restart at each temperature, and a step size passed is not trusted here: both are mfld's own.
    """
    share = 1.0 if schedule.batch_size is None else BATCH_SHARE
    relative = jnp.asarray(SOLVERS["mfld"].relative_step_size * share, jnp.float32)
    plan = schedule._replace(solver="mfld", relative_step_size=0.0, stop_at_plateau=False)
    return _annealed(risk, jnp.asarray(temperatures, jnp.float32), relative, plan, num_particles, key)


@eqx.filter_jit
def _annealed(
    risk: MeanFieldRisk,
    temperatures: Array,
    relative_step_size: Array,
    plan: Schedule,
    num_particles: int,
    key: Key[Array, ""],
) -> Annealed:
    interval = max(1, plan.num_steps // (2 * NUM_CLOUDS))
    schedule = plan._replace(relative_step_size=relative_step_size)

    def at(position: Array, temperature: Array, key: Key[Array, ""]) -> tuple[Array, tuple[Array, Array]]:
        warm = eqx.tree_at(lambda r: r.precision, risk, risk.precision * temperature)
        solver = algorithm(warm, temperature, schedule)

        def advance(step: Array, state: Any) -> Any:
            return solver.step(warm, state, random.fold_in(key, step), step)[0]

        def record(state: Any, number: Array) -> tuple[Any, Array]:
            first = plan.num_steps - (NUM_CLOUDS - number) * interval
            state = lax.fori_loop(first, first + interval, advance, state)
            return state, state.position

        state, _ = solver.init(warm, position, random.fold_in(key, plan.num_steps))
        state = lax.fori_loop(0, plan.num_steps - NUM_CLOUDS * interval, advance, state)
        state, positions = lax.scan(record, state, jnp.arange(NUM_CLOUDS, dtype=jnp.int32))
        cloud = positions.reshape(-1, positions.shape[-1])
        return state.position, (cloud, warm.outputs(cloud))

    start_key, *keys = random.split(unrolled(key), len(temperatures) + 1)
    start = risk.prior(1.0, num_particles)(start_key)
    position, (clouds, z) = lax.scan(lambda x, stage: at(x, *stage), start, (temperatures, jnp.stack(keys)))
    return Annealed(position, clouds, z)


def choose_by_validation(
    network: Network,
    around: float,
    schedule: Schedule,
    num_particles: int,
    key: Key[Array, ""],
    name: SearchName,
) -> Choice:
    """Return the hottest temperature as good as any within a standard error, of the first output scale with one.

    Args:
        network: the training problem.
        around: temperature that the paths are built around.
        schedule: of the whole network's training.
        num_particles: of the whole network.
        key: of the folds' networks.
        name: of the search.
    """
    search = SEARCHES[name]
    places = subsample(len(network.inputs), search.most_rows)
    rows = network if len(places) == len(network.inputs) else network.subset(places)
    share = float(network.weights.sum() / rows.weights.sum())  # the kernel limit's penalty n T stays as it is
    particles = min(num_particles, search.most_particles or num_particles)
    if name == "folds":
        schedule = schedule._replace(batch_size=None)
    folds = _folds(len(rows.inputs), rows.task.labels, search.num_folds)
    temperatures = around * np.outer(np.square(search.scales), search.factors)
    schedule = schedule._replace(num_steps=search.stage_steps)
    paths = [
        _left_out(rows, temperatures * share, search, fold, schedule, particles, random.fold_in(key, number))
        for number, fold in enumerate(folds)
    ]
    left_out, fold_of = np.concatenate([held for _, held in folds]), np.zeros(len(places), int)
    for number, (_, held) in enumerate(folds):
        fold_of[held] = number
    order = np.argsort(left_out)
    z = np.concatenate([outputs for outputs, _ in paths], axis=2)[:, :, order]  # (scales, temperatures, n, ...)
    losses = np.stack([[row_losses(rows, values) for values in scale] for scale in z])
    shares = rows.weights / rows.weights.sum()
    mean = losses @ shares
    best = losses.reshape(-1, len(places))[np.argmin(mean)]
    above, error = excess(losses, best, rows.weights)
    s, t = np.unravel_index(np.argmax(above <= error), above.shape)
    history = {
        "output_scale": np.repeat(search.scales, len(search.factors)) * float(network.task.neuron.scale),
        "temperature": temperatures.ravel(),
        "loss": mean.ravel(),
        "error": excess(losses, np.zeros(len(places)), rows.weights)[1].ravel(),
        "excess": above.ravel(),
        "excess_error": error.ravel(),
    }
    clouds = np.stack([clouds[s, t] for _, clouds in paths])
    linear = row_losses(rows, linear_outputs(rows, folds))
    difference, linear_error = excess(losses[s, t], linear, rows.weights)
    hotter = [float(temperature) for temperature in temperatures[s, :t]]
    return Choice(
        network=network.rescaled(search.scales[s]),
        temperature=float(temperatures[s, t]),
        hotter=hotter,
        history=history,
        chosen=int(s * len(search.factors) + t),
        held_out=HeldOut(clouds, fold_of, rows.weights),
        outputs=z[s, t],
        places=places,
        above_linear=(float(difference), float(linear_error)),
        untrained_loss=float(row_losses(rows, np.zeros_like(z[s, t])) @ shares),
        centre=search.factors.index(1.0),
    )


def _left_out(
    network: Network,
    temperatures: np.ndarray,
    search: FoldSearch,
    rows: tuple[np.ndarray, np.ndarray],
    schedule: Schedule,
    num_particles: int,
    key: Key[Array, ""],
) -> tuple[np.ndarray, np.ndarray]:
    """Return (outputs at the rows left out, neurons) of all output scales and temperatures."""
    trained, held = rows
    everywhere, clouds = [], []
    for s, scale in enumerate(search.scales):
        fold = network.rescaled(scale).subset(trained, num_rows=network.length)
        risk = fold.risk(1.0, and_at=network.inputs[held])
        annealed = anneal(risk, temperatures[s], schedule, num_particles, random.fold_in(key, s))
        everywhere.append(np.asarray(annealed.outputs)[:, len(trained) : len(network.inputs)])
        clouds.append(fold.rotated(annealed.clouds, back=True))
    return np.stack(everywhere), np.stack(clouds)


def linear_outputs(network: Network, folds: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return outputs, as a network's, of ridge or logistic regression at the rows left out of each fold."""
    inputs, targets, labels = (
        network.inputs * np.sqrt(network.inputs.shape[1]),
        network.task.targets,
        network.task.labels,
    )
    z = np.zeros((len(inputs), *network.task.neuron.output_shape), np.float32)
    for trained, held in folds:
        weights = network.weights[trained]
        if len(trained) < 2:
            z[held] = targets[trained].mean(0) if labels is None else 0.0
        elif labels is None:
            model = RidgeCV(RIDGE_PENALTIES).fit(inputs[trained], targets[trained], weights)
            z[held] = model.predict(inputs[held])
        elif len(present := np.unique(labels[trained])) == 1:
            z[held] = 0.0
        else:
            model = LogisticRegression(max_iter=200).fit(inputs[trained], labels[trained], weights)
            logits = model.decision_function(inputs[held])
            if z.ndim == 1:
                z[held] = logits
            else:
                z[held] = ABSENT
                z[np.ix_(held, present)] = np.stack([-logits, logits], 1) / 2 if logits.ndim == 1 else logits
    return z


def row_losses(network: Network, z: np.ndarray) -> np.ndarray:
    """Return (n,) losses of outputs `z`."""
    n, length = len(z), bucket(len(z), FEWEST_ROWS)
    losses = _losses(network.task.loss, padded(z, length), padded(network.task.targets, length))
    return np.asarray(losses, np.float64)[:n]


@eqx.filter_jit
def _losses(loss: Loss, z: Any, targets: Any) -> Array:
    return jax.vmap(loss)(jnp.asarray(z), jnp.asarray(targets))


def _folds(size: int, labels: np.ndarray | None, num_folds: int) -> list[tuple[np.ndarray, np.ndarray]]:
    rows = np.zeros(size)
    if labels is not None and np.min(np.bincount(labels)) >= num_folds:
        return list(StratifiedKFold(num_folds, shuffle=True, random_state=0).split(rows, labels))
    return list(KFold(min(num_folds, size), shuffle=True, random_state=0).split(rows))
