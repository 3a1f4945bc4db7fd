"""Scaling, temperature and output scale: by leave-one-out errors of the kernel limit, then by networks on folds.

The kernel limit's errors are known in closed form, and choose the scaling of the columns and a first temperature. A
network that learns features can do worse than its limit promises, and a loss other than the squared one asks for
another temperature. Small networks are therefore trained without a fold of the rows, from hot to cold, each
temperature going on from the last one's particles; the hottest temperature whose losses on the rows left out are
within a part (`SLACK`) of a standard error of the best is chosen, as the easiest to certify. Where that is the hottest
one tried, or outputs of 0 are as good, the path is continued to temperatures at which the network predicts a constant.
The same networks judge scalings between which the limit does not decide, and whether outputs get a linear part. A
larger output scale is nearer to the limit: images.
"""

import dataclasses
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jaxtyping import Array

from langevax._typing import PRNGKey
from langevax.keys import unrolled
from langevax.meanfield.kernel_limit import NUM_NEURONS, LeaveOneOut, excess
from langevax.problems.mean_field import MeanFieldRisk
from langevax.sklearn.baselines import LinearPart, base_rate, linear_outputs, row_losses
from langevax.sklearn.fold_choice import FEWEST_COMPARED, SLACK, Choice, HeldOut
from langevax.sklearn.folds import folds_of
from langevax.sklearn.learned_scales import (
    COMPARED_NEURONS,
    KernelProblem,
    LearnedScales,
    PreparedColumns,
    held_out_errors,
    learned_scales,
)
from langevax.sklearn.parameters import Auto
from langevax.sklearn.solvers import BATCH_SHARE, SOLVERS, Schedule, algorithm
from langevax.sklearn.table import (
    DistinctRows,
    Scaling,
    Standardiser,
    subsample,
)
from langevax.sklearn.training import Network, TrainingTask

NUM_CLOUDS = 8
"""Of a fold's network, which predict."""
CLEAR = 2.0
"""Standard errors by which learned scales have to be better to be taken without networks."""
SCALES_FOLDS = 5


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
    "path": FoldSearch(
        3, (30.0, 10.0, 3.0, 1.0, 1 / 3, 1 / 10, 1 / 30), (1.0, 3.0), 150, None, 2**31
    ),
}
SearchName = Literal["folds", "path"]


def kernel_choice(
    rows: DistinctRows,
    task: TrainingTask,
    prior_precision: float,
    scalings: tuple[Scaling, ...],
    learn_scales: bool | Auto,
    key: PRNGKey,
) -> list[PreparedColumns]:
    """Return scaling and learned scales of small errors in the kernel limit, and others that may be as good.

    The first scaling is taken unless another one is clearly better by leave-one-out errors. Those of learned scales are
    too small, since the row left out had its part in them. Of the scalings with learned scales the one of least errors
    is therefore compared on folds that learn their own scales. The better one comes first, and the columns as they are
    are left out where they are worse by two standard errors; pieces with learned scales, which networks use better than
    kernel machines do, are added where they are nearly as good. `learn_scales=True` takes learned scales as they are.
    All are compared on fewer rows and neurons than the errors returned. Of less than `FEWEST_COMPARED` rows only the
    first scaling is tried.
    """
    if len(rows.inputs) < FEWEST_COMPARED:
        scalings = scalings[:1]
        learn_scales = learn_scales is True
    of_rows = rows.inputs, task.regressands, rows.weights, rows.copies
    problem = KernelProblem(task.neuron, prior_precision, *of_rows, key, rows.groups)

    def under(standardiser: Standardiser, most_rows: int) -> KernelProblem:
        chosen = problem.rows(subsample(len(rows.inputs), most_rows))
        return chosen._replace(inputs=standardiser(chosen.inputs))

    plain: dict[Scaling, Standardiser] = {
        scaling: Standardiser.fit(rows.inputs, rows.weights, scaling)
        for scaling in scalings
    }
    if len(scalings) > 1 and len(plain["pieces"].mean) == rows.inputs.shape[1]:
        del plain["pieces"]  # no column has any
    best = next(iter(plain))
    chosen: list[tuple[Scaling, list[float]]] = []
    if len(scalings) > 1 or learn_scales:
        compared: dict[Scaling, KernelProblem] = {
            scaling: under(plain[scaling], 600) for scaling in plain
        }
        errors: dict[Scaling, LeaveOneOut] = {
            scaling: compared[scaling].leave_one_out(COMPARED_NEURONS)
            for scaling in plain
        }
        for scaling in plain:
            if clearly_better(
                errors[scaling],
                errors[best],
                compared[best].weights,
                compared[best].groups,
            ):
                best = scaling
        if learn_scales:
            chosen = _with_learned_scales(
                compared, errors, best, always=learn_scales is True
            )

    def prepared(scaling: Scaling, penalties: list[float]) -> PreparedColumns:
        standardiser = plain[scaling]
        learned = None
        if penalties:
            everywhere = problem._replace(inputs=standardiser(rows.inputs))
            learned = LearnedScales(learned_scales(everywhere, penalties), penalties)
            standardiser = standardiser.scaled(learned.scales)
        errors = under(standardiser, 1000).leave_one_out(NUM_NEURONS)
        return PreparedColumns(standardiser, scaling, learned, errors)

    return [prepared(*pair) for pair in chosen or [(best, [])]]


def _with_learned_scales(
    problems: dict[Scaling, KernelProblem],
    errors: dict[Scaling, LeaveOneOut],
    best: Scaling,
    *,
    always: bool,
) -> list[tuple[Scaling, list[float]]]:
    """Return scalings with the penalties at which their scales are learned, or none for columns as they are."""
    learned: dict[Scaling, tuple[list[float], LeaveOneOut]] = {}
    for scaling, problem in problems.items():
        penalties = []
        after = errors[scaling]
        for _ in range(2):
            penalties.append(after.best_alpha)
            after = problem.with_columns_times(
                learned_scales(problem, penalties)
            ).leave_one_out(COMPARED_NEURONS)
        learned[scaling] = penalties, after
    scaling = min(learned, key=lambda name: learned[name][1].error)
    penalties, after = learned[scaling]
    if always:
        return [(scaling, penalties)]
    with_scales = problems[scaling].spread(SCALES_FOLDS)
    without = problems[best].spread(SCALES_FOLDS)
    theirs = held_out_errors(with_scales, penalties, after.best_alpha, SCALES_FOLDS)
    ours = held_out_errors(without, [], errors[best].best_alpha, SCALES_FOLDS)
    difference, error = excess(theirs, ours, without.weights, without.groups)
    candidates = [(scaling, penalties), (best, [])]
    if difference >= 0:
        candidates.reverse()
    elif difference < -CLEAR * error:
        candidates.pop()
    if (
        scaling != "pieces"
        and "pieces" in learned
        and learned["pieces"][1].error < 1.15 * after.error
    ):
        candidates.append(("pieces", learned["pieces"][0]))
    return candidates


def clearly_better(
    one: LeaveOneOut,
    other: LeaveOneOut,
    weights: np.ndarray,
    groups: np.ndarray | None = None,
    share: float = 0.97,
) -> bool:
    """Return whether errors on the same rows are smaller by one standard error, and below a share of the others."""
    difference, error = excess(one.row_errors, other.row_errors, weights, groups)
    return bool(difference < -error) and one.error < share * other.error


class Annealed(NamedTuple):
    """A network trained at one temperature after the other."""

    position: Array
    """(particles, size) at the end."""
    clouds: Array
    """(temperatures, NUM_CLOUDS particles, size), of the second half of each temperature's steps."""
    outputs: Array
    """(temperatures, stored rows, ...) of the clouds, at all rows that the risk stores."""


def annealed_clouds(
    risk: MeanFieldRisk,
    temperatures: np.ndarray,
    schedule: Schedule,
    num_particles: int,
    key: PRNGKey,
) -> Annealed:
    """Train from the prior, at each temperature for `schedule.num_steps` from where the last one ended.

    `risk` has the precision of temperature 1. All is one compiled program, for all tables and temperatures of a shape.
    Other solvers restart at each temperature, and a step size passed is not trusted here: both are mfld's own.
    """
    share = 1.0 if schedule.batch_size is None else BATCH_SHARE
    relative = jnp.asarray(SOLVERS["mfld"].relative_step_size * share, jnp.float32)
    plan = schedule._replace(solver="mfld", relative_step_size=0.0)
    return _annealed(
        risk, jnp.asarray(temperatures, jnp.float32), relative, plan, num_particles, key
    )


@eqx.filter_jit
def _annealed(
    risk: MeanFieldRisk,
    temperatures: Array,
    relative_step_size: Array,
    plan: Schedule,
    num_particles: int,
    key: PRNGKey,
) -> Annealed:
    interval = max(1, plan.num_steps // (2 * NUM_CLOUDS))
    schedule = plan._replace(relative_step_size=relative_step_size)

    def at(
        position: Array, temperature: Array, key: PRNGKey
    ) -> tuple[Array, tuple[Array, Array]]:
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
        state, positions = lax.scan(
            record, state, jnp.arange(NUM_CLOUDS, dtype=jnp.int32)
        )
        cloud = positions.reshape(-1, positions.shape[-1])
        return state.position, (cloud, warm.outputs(cloud))

    start_key, *keys = random.split(unrolled(key), len(temperatures) + 1)
    start = risk.prior(1.0, num_particles, antithetic=True)(start_key)
    position, (clouds, z) = lax.scan(
        lambda x, stage: at(x, *stage), start, (temperatures, jnp.stack(keys))
    )
    return Annealed(position, clouds, z)


def choose_by_validation(
    network: Network,
    around: float,
    schedule: Schedule,
    num_particles: int,
    key: PRNGKey,
    name: SearchName,
    learned: LearnedScales | None = None,
    plain: np.ndarray | None = None,
    copies: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    line_of: Standardiser | None = None,
) -> Choice:
    """Return the hottest temperature as good as any, within `SLACK` errors, of the first output scale with one.

    Args:
        network: the training problem.
        around: temperature that the paths are built around.
        schedule: of the whole network's training.
        num_particles: of the whole network.
        key: of the folds' networks.
        name: of the search.
        learned: scales of the columns, which the networks of the folds learn from their own rows.
        plain: (n, columns) of the linear model; None: those of the network.
        copies: (n,) equal rows that each stands for, which different folds leave out; None: one.
        groups: (n,) of rows that one fold leaves out together, copies too; None: each row on its own.
        line_of: what made `plain`, of whose columns outputs have a linear part, which each fold fits to its own rows;
            None: outputs are the network's.
    """
    search = SEARCHES[name]
    places = subsample(len(network.inputs), search.most_rows)
    parts = np.ones(len(places), int)
    if copies is not None and groups is None:
        parts = np.minimum(copies[places], search.num_folds).astype(int)
    places = np.repeat(places, parts)
    rows = (
        network
        if np.array_equal(places, np.arange(len(network.inputs)))
        else network.subset(places)
    )
    rows = dataclasses.replace(rows, weights=rows.weights / np.repeat(parts, parts))
    share = float(
        network.weights.sum() / rows.weights.sum()
    )  # the kernel limit's penalty n T stays as it is
    particles = min(num_particles, search.most_particles or num_particles)
    if name == "folds":
        schedule = schedule._replace(batch_size=None)
    together = None if groups is None else groups[places]
    folds = folds_of(
        len(places),
        search.num_folds,
        rows.task.labels,
        np.repeat(parts, parts),
        together,
    )
    squares = np.square(search.scales)
    scale = float(network.task.neuron.scale)
    temperatures = around * np.outer(squares, search.factors)
    schedule = schedule._replace(num_steps=search.stage_steps)
    fold_of = np.zeros(len(places), int)
    for number, (_, held) in enumerate(folds):
        fold_of[held] = number
    plain = (network.inputs if plain is None else plain)[places]
    lines: list[LinearPart] = []
    if line_of is not None:
        lines = [
            LinearPart.fit(line_of, plain[t], rows.task.targets[t], rows.weights[t])
            for t, _ in folds
        ]
    order = np.argsort(np.concatenate([held for _, held in folds]))

    def at(temperatures: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return outputs (scales, temperatures, n, ...), neurons (folds, scales, ...) and losses of rows left out."""
        paths = [
            _left_out(
                rows,
                temperatures * share,
                search,
                fold,
                schedule,
                particles,
                learned,
                random.fold_in(key, k),
                lines[k].of_columns(plain) if lines else None,
            )
            for k, fold in enumerate(folds)
        ]
        z = np.concatenate([outputs for outputs, _ in paths], axis=2)[:, :, order]
        losses = np.stack(
            [[row_losses(rows, values) for values in scale] for scale in z]
        )
        return z, np.stack([clouds for _, clouds in paths]), losses

    z, clouds, losses = at(temperatures)
    offsets = (
        None
        if rows.task.labels is not None
        else np.stack([_mean_target(rows, trained) for trained, _ in folds])
    )
    constant = np.zeros_like(z[0, 0]) if offsets is None else offsets[fold_of]
    untrained = row_losses(rows, constant)
    end = 10 * scale**2
    with_untrained = np.concatenate(
        [losses, np.tile(untrained, (len(losses), 1, 1))], axis=1
    )
    good = np.less_equal(*_above_least(with_untrained, rows.weights, together))
    if (good[:, 0].any() or good[0, -1]) and temperatures[0, 0] < end:
        further = np.outer(
            squares,
            np.geomspace(end, temperatures[0, 0], len(search.factors), endpoint=False),
        )
        temperatures = np.concatenate([further, temperatures], axis=1)
        hot = at(further)
        z, losses = (
            np.concatenate(pair, axis=1) for pair in ((hot[0], z), (hot[2], losses))
        )
        clouds = np.concatenate([hot[1], clouds], axis=2)
    shares = rows.weights / rows.weights.sum()
    above, error = _above_least(losses, rows.weights, together)
    slack = SLACK["numbers" if rows.task.labels is None else "classes"]
    base_loss = float(row_losses(rows, base_rate(rows)) @ shares)
    mean = losses @ shares
    beyond = above - slack * error
    if (
        rows.task.labels is not None
    ):  # the hottest classifier does not tend to the shares of the classes
        beyond = np.maximum(beyond, mean - max(base_loss, mean.min()))
    s, t = (
        int(place) for place in np.unravel_index(np.argmax(beyond <= 0), beyond.shape)
    )
    history = {
        "output_scale": np.repeat(search.scales, temperatures.shape[1]) * scale,
        "temperature": temperatures.ravel(),
        "loss": (losses @ shares).ravel(),
        "error": excess(losses, np.zeros(len(places)), rows.weights, together)[
            1
        ].ravel(),
        "excess": above.ravel(),
        "excess_error": error.ravel(),
    }
    linear = row_losses(rows, linear_outputs(rows, plain, folds))
    difference, linear_error = excess(losses[s, t], linear, rows.weights, together)
    hotter = [float(temperature) for temperature in temperatures[s, :t]]
    return Choice(
        network=network.rescaled(search.scales[s]),
        temperature=float(temperatures[s, t]),
        hotter=hotter,
        history=history,
        chosen=s * temperatures.shape[1] + t,
        held_out=HeldOut(
            clouds[:, s, t], fold_of, rows.weights, offsets, lines or None
        ),
        outputs=z[s, t],
        row_losses=losses[s, t],
        places=places,
        above_linear=(float(difference), float(linear_error)),
        untrained_loss=float(untrained @ shares),
        base_loss=base_loss,
        slack=slack,
        centre=temperatures.shape[1] - len(search.factors) + search.factors.index(1.0),
        groups=together,
    )


def _above_least(
    losses: np.ndarray, weights: np.ndarray, groups: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return by how much mean losses of (scales, temperatures, n) are above the least of them, with standard errors.

    Losses of outputs that differ by rounding are alike, whatever their paired error.
    """
    least = losses.reshape(-1, losses.shape[-1])[np.argmin(losses @ weights)]
    above, error = excess(losses, least, weights, groups)
    return above, np.maximum(error, 1e-6 * (weights @ least) / weights.sum())


def _left_out(
    network: Network,
    temperatures: np.ndarray,
    search: FoldSearch,
    rows: tuple[np.ndarray, np.ndarray],
    schedule: Schedule,
    num_particles: int,
    learned: LearnedScales | None,
    key: PRNGKey,
    line: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return (outputs at the rows left out, neurons) of all output scales and temperatures.

    Targets of a regression are centred by the rows that train: their mean over all rows would know those left out. They
    are residuals of the outputs (n, ...) of a `line`, if one is passed, which the outputs returned have in them.
    """
    trained, held = rows
    everywhere = []
    clouds = []
    added = np.zeros(1, np.float32)
    if network.task.labels is None:
        task = network.task
        offset = _mean_target(network, trained)
        task = (
            task._replace(targets=task.targets - offset)
            if line is None
            else task.without(line)
        )
        network = dataclasses.replace(network, task=task)
        added = offset if line is None else line[held]
    scales = np.ones(network.inputs.shape[1])
    if learned is not None:
        problem = KernelProblem(
            network.task.neuron,
            network.prior_precision,
            network.inputs[trained] / learned.scales.astype(network.inputs.dtype),
            network.task.regressands[trained],
            network.weights[trained],
            np.ones(len(trained)),
            key,
        )
        scales = learned_scales(problem, learned.penalties) / learned.scales
        network = network.with_columns_times(scales)
    weights = network.task.neuron.input_weights(network.inputs.shape[1])
    for s, scale in enumerate(search.scales):
        fold = network.rescaled(scale).subset(trained, num_rows=network.length)
        risk = fold.risk(1.0, and_at=network.inputs[held])
        annealed = annealed_clouds(
            risk, temperatures[s], schedule, num_particles, random.fold_in(key, s)
        )
        everywhere.append(
            np.asarray(annealed.outputs)[:, len(trained) : len(network.inputs)]
        )
        neurons = fold.rotated(annealed.clouds, back=True)
        neurons[..., weights] *= scales.astype(neurons.dtype)
        clouds.append(neurons)
    return np.stack(everywhere) + added, np.stack(clouds)


def _mean_target(network: Network, trained: np.ndarray) -> np.ndarray:
    """Return the mean target () or (C,) of the rows that train a fold, float32."""
    return np.average(
        network.task.targets[trained], axis=0, weights=network.weights[trained]
    ).astype(np.float32)
