"""Measurements of a fitted estimator for its report: frames of the training, and the functions learned from curves.

The axes of a moving picture are the inputs that matter most, quantities before indicators: the same two inputs are
the coordinates in which particles are drawn.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from langevax.app.evaluation.holdout import Relevance, TrainTestSplit
from langevax.app.report.contents import (
    ChannelCurves,
    CurveContents,
    DecisionSurface,
    ExplainedCurve,
    FittedCurve,
    FunctionBand,
    LabelledCurves,
    ParticleMotion,
    SlopeFunction,
)
from langevax.app.report.numbers import number
from langevax.figures.canvas import thinned
from langevax.sklearn.inputs.curves import CurveCoefficients
from langevax.sklearn.table import subsample
from langevax.sklearn.training import slopes

MAX_FRAMES = 100
CURVE_POINTS, PLANE_POINTS = 40, 45  # of a curve, and along each side of a plane
MAX_ROWS_SHOWN = 400
MAX_ROWS_AVERAGED = 200
MAX_ACTIVATIONS = (
    4e8  # of a curve over all frames, a few seconds; fewer rows are averaged beyond
)
MAX_CURVES, MAX_TIMES = 60, 300  # in a picture, and of each of its curves
MAX_GROUPS = 6
MAX_EXPLAINED_CLASSES, MAX_EXPLAINED = 3, 6  # of curves whose parts are shown
NUM_PARTS = 20  # of a curve
MAX_SLOPES, MAX_MOVING_SLOPES = (
    500,
    100,
)  # curves whose slopes are computed, and for the moving picture
DEFAULT_TIMES = 200  # where the curves have no grid in common
HALF, CENTRAL = (0.25, 0.75), (0.05, 0.95)
NORMAL_CENTRAL = 1.645  # standard deviations of a normal distribution at CENTRAL
VALUE = "value"  # the name of the only channel of a wide table
DERIVATIVES = ("", "derivative", "second derivative")
THIRDS = ("lowest third", "middle third", "highest third")


def motion_of(
    model: Any,
    split: TrainTestSplit,
    relevance: Relevance,
    slope: Callable[[np.ndarray], SlopeFunction] | None = None,
) -> ParticleMotion:
    """Return frames of a fitted mean-field estimator, from its `history_` and staged predictions.

    Beside the particles stands the curve over the input that matters most, the decisions in the plane of two inputs,
    or `slope(frames)`.
    """
    steps, particles = (
        np.asarray(model.history_["steps"]),
        np.asarray(model.history_["particles"]),
    )
    frames = thinned(len(steps), MAX_FRAMES)
    first = model.neuron_.input_weights(0).start
    outer, outer_label = _outer(
        np.tanh(particles[frames][..., :first]) * model.neuron_.scale, split
    )
    # a network may see pieces of columns, too: they come after the columns themselves, and the constant last
    weights = particles[frames][..., [*range(first, first + split.inputs.shape[1]), -1]]
    x, y = _axes(split, relevance, weights[-1, :, :-1], outer[-1])
    if slope is not None:
        fit: FittedCurve | DecisionSurface | SlopeFunction = slope(frames)
    elif split.classes:
        fit = _surface(model, split, frames, x, y)
    else:
        fit = _curve(model, split, frames, x, particles.shape[1])
    return ParticleMotion(
        steps=steps[frames],
        x=weights[..., x],
        y=weights[..., y],
        outer=outer,
        x_label=f"weight of {_name(split, x)}",
        y_label=f"weight of {_name(split, y)}",
        outer_label=outer_label,
        fit=fit,
    )


def _name(split: TrainTestSplit, place: int) -> str:
    if place == len(split.names):
        return "the constant"
    name = split.names[place]
    return f"{name}, in days" if name in split.clocks else name


def _is_date(split: TrainTestSplit, place: int) -> bool:
    return place < len(split.names) and split.names[place] in split.dates


def _outer(outer: np.ndarray, split: TrainTestSplit) -> tuple[np.ndarray, str]:
    """Return one outer weight per particle; of several outputs, that of the class with the largest contrast."""
    if not split.classes:
        return outer[..., 0], f"outer weight on {split.target}"
    if outer.shape[-1] == 1:
        return outer[..., 0], f"outer weight towards {split.classes[-1]}"
    contrast = outer - outer.mean(-1, keepdims=True)
    largest = (
        len(split.classes) - 1
        if len(split.classes) == 2
        else int(np.abs(contrast[-1]).mean(0).argmax())
    )
    return contrast[..., largest], f"outer weight towards {split.classes[largest]}"


def _axes(
    split: TrainTestSplit, relevance: Relevance, weights: np.ndarray, outer: np.ndarray
) -> tuple[int, int]:
    """Return the two most important inputs: by relevance of their columns, then by the weights of the particles."""
    mean = dict(zip(relevance.names, relevance.mean, strict=True))
    use = np.abs(weights * outer[:, None]).mean(0)
    best = {}
    for column, places in split.groups.items():
        quantities = [place for place in places if place in split.quantities]
        best[column] = max(quantities or places, key=lambda place: use[place])
    order = sorted(
        best,
        key=lambda column: (best[column] in split.quantities, mean.get(column, 0.0)),
        reverse=True,
    )
    first = best[order[0]]
    return first, best[order[1]] if len(order) > 1 else split.inputs.shape[
        1
    ]  # a single column: against the constant


def _curve(
    model: Any,
    split: TrainTestSplit,
    frames: np.ndarray,
    place: int,
    num_particles: int,
) -> FittedCurve:
    """Return the mean prediction over a sample of rows as one input varies (a partial dependence)."""
    data = split.train_inputs
    affordable = int(MAX_ACTIVATIONS / (CURVE_POINTS * num_particles * len(frames)))
    rows = data[subsample(len(data), max(10, min(MAX_ROWS_AVERAGED, affordable)))]
    grid = _grid(data[:, place], CURVE_POINTS)
    probes = np.repeat(rows[None], CURVE_POINTS, 0)
    probes[:, :, place] = grid[:, None]
    staged = _staged(model.staged_predict(probes.reshape(-1, data.shape[1])), frames)
    shown = subsample(len(data), MAX_ROWS_SHOWN)
    return FittedCurve(
        grid=grid,
        values=np.stack(
            [values.reshape(CURVE_POINTS, len(rows)).mean(1) for values in staged]
        ),
        data_x=data[shown, place],
        data_y=split.train_targets[shown],
        x_label=_name(split, place),
        y_label=split.target,
        x_dates=_is_date(split, place),
    )


def _surface(
    model: Any, split: TrainTestSplit, frames: np.ndarray, x: int, y: int
) -> DecisionSurface:
    """Return the likeliest class, or the probability of the second, in a plane through the mean of all rows."""
    data = np.column_stack(
        [split.train_inputs, np.zeros(len(split.train))]
    )  # a second axis for a single input
    grid_x, grid_y = (
        _grid(data[:, place], PLANE_POINTS, tail=0.0) for place in (x, y)
    )  # all rows in the plane
    probes = np.tile(data.mean(0), (PLANE_POINTS**2, 1))
    probes[:, x], probes[:, y] = (axis.ravel() for axis in np.meshgrid(grid_x, grid_y))
    staged = _staged(model.staged_predict_proba(probes[:, :-1]), frames)
    values = [p[:, 1] if len(split.classes) == 2 else p.argmax(1) for p in staged]
    shown = subsample(len(data), MAX_ROWS_SHOWN)
    return DecisionSurface(
        grid_x=grid_x,
        grid_y=grid_y,
        values=np.stack(values).reshape(-1, PLANE_POINTS, PLANE_POINTS),
        classes=split.classes,
        data_x=data[shown, x],
        data_y=data[shown, y],
        data_class=split.train_targets[shown].astype(int),
        x_label=_name(split, x),
        y_label=_name(split, y),
        x_dates=_is_date(split, x),
        y_dates=_is_date(split, y),
    )


def _staged(predictions: Iterator[Any], frames: np.ndarray) -> Iterator[np.ndarray]:
    chosen = set(frames.tolist())
    return (np.asarray(values) for i, values in enumerate(predictions) if i in chosen)


def _grid(values: np.ndarray, points: int, tail: float = 0.01) -> np.ndarray:
    """Return even steps from one quantile of the data to the other, and slightly beyond."""
    low, high = np.quantile(values, [tail, 1 - tail])
    margin = 0.05 * (high - low) or 0.5
    return np.linspace(low - margin, high + margin, points)


@dataclass(frozen=True)
class NamedCurves:
    """Curves and the names of their axes."""

    inputs: Any
    """(n, G), NaN where missing, or a list of n curves, each a pair (t, x) for every channel."""
    time: str
    values: tuple[str, ...]
    """A name for each channel."""

    def take(self, rows: np.ndarray) -> Any:
        """Return these curves."""
        return (
            self.inputs[rows]
            if isinstance(self.inputs, np.ndarray)
            else [self.inputs[i] for i in rows]
        )

    def channel(
        self, row: int, c: int, grid: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (times, values) of one channel of one curve, without missing values."""
        if isinstance(self.inputs, np.ndarray):
            assert grid is not None
            present = ~np.isnan(self.inputs[row])
            return grid[present], self.inputs[row][present]
        return self.inputs[row][c]


def curves_of(model: Any, curves: NamedCurves, split: TrainTestSplit) -> CurveContents:
    """Return what an estimator learned from `curves`, its training curves in order.

    Functions of t are those of smooth functions as inputs; of patterns there are none.
    """
    grid, labels, targets = (
        grid_of(model),
        block_labels(model, curves.values),
        split.train_targets,
    )
    groups, ordered = _groups(split, targets, subsample(len(targets), MAX_CURVES))

    def sample(
        label: str, curves_of_rows: Callable[[np.ndarray], Iterable[Any]]
    ) -> ChannelCurves:
        chosen = tuple(
            LabelledCurves(name, [_thin(c) for c in curves_of_rows(rows)])
            for name, rows in groups
        )
        return ChannelCurves(label, chosen, ordered, len(targets))

    def observed(c: int, rows: np.ndarray) -> Iterable[Any]:
        return (curves.channel(i, c, model.encoder_.grid_) for i in rows)

    def encoded(c: int, rows: np.ndarray) -> Iterable[Any]:
        return (
            (grid, x) for x in _as_encoded(model, split.train_inputs[rows], grid)[c]
        )

    contents = CurveContents(
        time=curves.time,
        response=response_of(split),
        observed=tuple(
            sample(label, partial(observed, c)) for c, label in enumerate(curves.values)
        ),
        encoded=(),
    )
    if not isinstance(model.encoder_, CurveCoefficients):
        return contents
    unchanged = model.encoder_.grid_ is not None and _derivative(model) == 0
    betas = _blocks(
        model.slope_functions(curves.take(subsample(len(targets), MAX_SLOPES)), grid)
    )
    thetas, prior = (
        _blocks(model.weight_functions(grid)),
        _blocks(_prior_deviations(model, grid)),
    )
    return replace(
        contents,
        encoded=()
        if unchanged
        else tuple(
            sample(label, partial(encoded, c)) for c, label in enumerate(labels)
        ),
        slopes=tuple(
            _band(label, grid, beta) for label, beta in zip(labels, betas, strict=True)
        ),
        weights=tuple(
            _band(label, grid, theta, NORMAL_CENTRAL * np.sqrt(np.sum(units**2, 0)))
            for label, theta, units in zip(labels, thetas, prior, strict=True)
        ),
    )


def parts_of(
    model: Any,
    curves: NamedCurves,
    split: TrainTestSplit,
    outputs: np.ndarray,
    names: Sequence[Any],
) -> tuple[ExplainedCurve, ...]:
    """Return held-out curves with what each of their parts spoke for.

    Of classes the surest of each and those of the worst errors; of numbers the lowest, the middle and the highest
    prediction, and those that are furthest off.

    Args:
        model: a fitted estimator on curves.
        curves: the held-out curves, in order.
        split: their targets.
        outputs: predicted numbers (row,), or class probabilities (row, class).
        names: of the rows.
    """
    rows = _rows_to_explain(split, outputs)
    times, effects = model.part_effects(curves.take(rows), num_parts=NUM_PARTS)
    if len(split.classes) == 2:  # log odds of the second class
        effects = np.where(outputs[rows].argmax(1) == 1, 1.0, -1.0)[:, None] * effects
    return tuple(
        ExplainedCurve(
            str(names[row]),
            _outcome(split, row, outputs[row]),
            tuple(
                _thin(curves.channel(row, c, model.encoder_.grid_))
                for c in range(len(curves.values))
            ),
            times,
            effect,
        )
        for row, effect in zip(rows.tolist(), effects, strict=True)
    )


def _rows_to_explain(split: TrainTestSplit, outputs: np.ndarray) -> np.ndarray:
    observed = split.test_targets
    if split.classes:
        own = outputs[np.arange(len(outputs)), observed.astype(int)]
        right, sizes = (
            outputs.argmax(1) == observed,
            np.bincount(observed.astype(int), minlength=len(split.classes)),
        )
        shown = np.sort(np.argsort(-sizes, kind="stable")[:MAX_EXPLAINED_CLASSES])
        of_classes = [np.flatnonzero(right & (observed == c)) for c in shown]
        typical = [rows[own[rows].argmax()] for rows in of_classes if len(rows)]
        worst = np.argsort(np.where(right, np.inf, own), kind="stable")[
            : int((~right).sum())
        ]
    else:
        order = np.argsort(outputs, kind="stable")
        typical = [order[0], order[len(order) // 2], order[-1]]
        worst = np.argsort(-np.abs(outputs - observed), kind="stable")
    rows = dict.fromkeys([*map(int, typical), *map(int, worst)])
    return np.array(list(rows)[:MAX_EXPLAINED])


def _outcome(split: TrainTestSplit, row: int, output: np.ndarray) -> str:
    observed = split.test_targets[row]
    if not split.classes:
        return f"observed {number(observed)}, predicted {number(output)}"
    called = int(output.argmax())
    return f"is {split.classes[int(observed)]}, predicted {split.classes[called]} ({100 * output[called]:.3g} %)"


def moving_slope(
    model: Any, curves: NamedCurves, split: TrainTestSplit, frames: np.ndarray
) -> SlopeFunction:
    """Return the median of beta(t) in these frames of the training, of the channel that changes the output most."""
    grid, encoder, network = grid_of(model), model.encoder_, model.estimator_
    columns = split.train_inputs[subsample(len(split.train), MAX_MOVING_SLOPES)]
    inputs = network.standardiser_(columns)
    clouds = np.asarray(network.history_["particles"])[frames]
    betas = np.stack(
        [slopes(network.neuron_, cloud, inputs) for cloud in clouds]
    )  # (frame, n, C, d)
    betas = betas[:, :, np.abs(betas[-1]).sum((0, 2)).argmax()]
    parts = np.split(
        np.arange(columns.shape[1]), np.cumsum([len(s) for s in encoder.scales_])[:-1]
    )
    block = int(
        np.argmax([np.std(np.sum((betas[-1] * inputs)[:, part], 1)) for part in parts])
    )
    units = np.reshape(getattr(network, "target_scale_", 1.0), (-1, 1))
    betas = betas / network.standardiser_.scale * units
    values = np.stack(
        [
            np.median(_blocks(encoder.weight_functions(frame, grid))[block], 0)
            for frame in betas
        ]
    )
    return SlopeFunction(
        grid,
        values,
        curves.time,
        block_labels(model, curves.values)[block],
        response_of(split),
    )


def grid_of(model: Any) -> np.ndarray:
    """Return the times at which functions are drawn."""
    if (grid := model.encoder_.grid_) is None:
        left, right = model.encoder_.domain_
        return np.linspace(left, right, DEFAULT_TIMES)
    return grid[thinned(len(grid), MAX_TIMES)]


def block_labels(model: Any, values: Sequence[str]) -> list[str]:
    """Return what the network reads of each channel: the values or a derivative."""
    order = DERIVATIVES[_derivative(model)]
    if not order:
        return list(values)
    return [order if value == VALUE else f"{order} of {value}" for value in values]


def response_of(split: TrainTestSplit) -> str:
    """Return what beta(t) is the slope of."""
    if not split.classes:
        return split.target
    return (
        f"the log odds of {split.classes[1]}"
        if len(split.classes) == 2
        else "the output of the class that moves"
    )


def _derivative(model: Any) -> int:
    derivative = model.encoder_.derivative
    return derivative if isinstance(derivative, int) else derivative[0]


def _groups(
    split: TrainTestSplit, targets: np.ndarray, rows: np.ndarray
) -> tuple[list[tuple[str, np.ndarray]], bool]:
    """Return names and rows of thirds of the targets, or of the most frequent classes; whether they are thirds."""
    if split.classes:
        sizes = np.bincount(targets.astype(int), minlength=len(split.classes))
        shown = np.sort(np.argsort(-sizes, kind="stable")[:MAX_GROUPS])
        groups = [(split.classes[c], rows[targets[rows] == c]) for c in shown]
    else:
        low, high = np.quantile(targets, [1 / 3, 2 / 3])
        places = (targets > low).astype(int) + (targets > high)
        ends = {
            i: [number(end(targets[places == i]), 3) for end in (np.min, np.max)]
            for i in np.unique(places)
        }
        groups = [
            (f"{THIRDS[i]}: {' to '.join(ends[i])}", rows[places[rows] == i])
            for i in ends
        ]
    return [
        (name, members) for name, members in groups if len(members)
    ], not split.classes


def _as_encoded(model: Any, columns: np.ndarray, grid: np.ndarray) -> list[np.ndarray]:
    """Return the curves, or derivatives, that coefficients represent; encoding and decoding both scale once."""
    scales = np.concatenate(model.encoder_.scales_)
    return _blocks(model.encoder_.weight_functions(columns / scales**2, grid))


def _prior_deviations(model: Any, grid: np.ndarray) -> np.ndarray:
    """Return theta(t) of each coordinate of the weights of a neuron, at one standard deviation of the prior."""
    network = model.estimator_
    units = np.diag(1 / network.standardiser_.scale) / np.sqrt(
        float(network.prior_precision)
    )
    return model.encoder_.weight_functions(units, grid)


def _blocks(functions: np.ndarray) -> list[np.ndarray]:
    """Return (n, G) of each channel."""
    return [functions] if functions.ndim == 2 else list(np.moveaxis(functions, 1, 0))


def _band(
    label: str, grid: np.ndarray, values: np.ndarray, prior: np.ndarray | None = None
) -> FunctionBand:
    half, central = (np.quantile(values, ends, axis=0) for ends in (HALF, CENTRAL))
    return FunctionBand(label, grid, np.median(values, axis=0), half, central, prior)


def _thin(curve: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    times, values = curve
    places = thinned(len(times), MAX_TIMES)
    return np.asarray(times)[places], np.asarray(values)[places]
