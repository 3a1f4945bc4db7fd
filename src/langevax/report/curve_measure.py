"""Measure a fitted estimator on curves: what it was shown, what it looks at, and how that came about."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from langevax.report.curve_contents import CurveContents, Functions, Group, Sample, Slope
from langevax.report.frames import some
from langevax.report.numbers import number
from langevax.report.split import Split
from langevax.sklearn.training import slopes

MOST_CURVES, MOST_POINTS = 60, 300  # of a picture, and of each of its curves
MOST_GROUPS = 6
MOST_SLOPES, MOST_MOVING = 500, 100  # curves whose slopes are taken, and of the moving picture
BETWEEN = 200  # times, where the curves have no grid in common
HALF, MOST = (0.25, 0.75), (0.05, 0.95)
NINE_TENTHS = 1.645  # deviations of a normal law
VALUE = "value"  # of curves that have no better name
ORDERS = ("", "derivative", "second derivative")
THIRDS = ("lowest third", "middle third", "highest third")


@dataclass(frozen=True)
class Curves:
    """Training curves and what their axes are called."""

    inputs: Any
    """(n, G), NaN where missing, or a list of n curves, each a pair (t, x) for every channel."""
    time: str
    values: tuple[str, ...]
    """A name for each channel."""

    def take(self, rows: np.ndarray) -> Any:
        return self.inputs[rows] if isinstance(self.inputs, np.ndarray) else [self.inputs[i] for i in rows]

    def channel(self, row: int, c: int, grid: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """(times, values) that are there."""
        if isinstance(self.inputs, np.ndarray):
            assert grid is not None
            there = ~np.isnan(self.inputs[row])
            return grid[there], self.inputs[row][there]
        return self.inputs[row][c]


def curves_of(model: Any, curves: Curves, split: Split) -> CurveContents:
    """Pictures of a fitted estimator on curves; `curves` are those of the rows that it was trained on, in order."""
    grid, labels, targets = grid_of(model), block_labels(model, curves.values), split.train_targets
    rows = some(len(targets), MOST_CURVES)
    groups, ordered = _groups(split, targets, rows)
    given = [
        [(name, [curves.channel(i, c, model.encoder_.grid_) for i in members]) for name, members in groups]
        for c in range(len(curves.values))
    ]
    shown = [_as_seen(model, split.train_inputs[members], grid) for _, members in groups]
    seen = [
        [(name, [(grid, x) for x in part[b]]) for (name, _), part in zip(groups, shown, strict=True)]
        for b in range(len(labels))
    ]
    as_given = model.encoder_.grid_ is not None and _order(model) == 0

    def sample(label: str, parts: list[tuple[str, list[Any]]]) -> Sample:
        return Sample(
            label, tuple(Group(name, [_thin(c) for c in part]) for name, part in parts), ordered, len(targets)
        )

    betas = _blocks(model.slope_functions(curves.take(some(len(targets), MOST_SLOPES)), grid))
    thetas, prior = _blocks(model.weight_functions(grid)), _blocks(_prior_deviations(model, grid))
    return CurveContents(
        time=curves.time,
        answer=answer_of(split),
        given=tuple(map(sample, curves.values, given)),
        seen=() if as_given else tuple(map(sample, labels, seen)),
        slopes=tuple(_functions(label, grid, beta) for label, beta in zip(labels, betas, strict=True)),
        weights=tuple(
            _functions(label, grid, theta, NINE_TENTHS * np.sqrt(np.sum(units**2, 0)))
            for label, theta, units in zip(labels, thetas, prior, strict=True)
        ),
    )


def moving_slope(model: Any, curves: Curves, split: Split, kept: np.ndarray) -> Slope:
    """The median of beta(t) at the steps `kept` of the training, of the channel that moves the output most."""
    grid, encoder, scale = grid_of(model), model.encoder_, model.standardiser_.scale
    columns = split.train_inputs[some(len(split.train), MOST_MOVING)]
    inputs, clouds = model.standardiser_(columns), np.asarray(model.history_["particles"])[kept]
    found = np.stack([slopes(model.neuron_, cloud, inputs) for cloud in clouds])  # (frame, n, C, d)
    found = found[:, :, np.abs(found[-1]).sum((0, 2)).argmax()]
    parts = np.split(np.arange(columns.shape[1]), np.cumsum([len(s) for s in encoder.scales_])[:-1])
    block = int(np.argmax([np.std(np.sum((found[-1] * inputs)[:, part], 1)) for part in parts]))
    found = found / scale * np.reshape(getattr(model, "target_scale_", 1.0), (-1, 1))
    values = np.stack([np.median(_blocks(encoder.weight_functions(frame, grid))[block], 0) for frame in found])
    return Slope(grid, values, curves.time, block_labels(model, curves.values)[block], answer_of(split))


def grid_of(model: Any) -> np.ndarray:
    """Times at which functions are drawn."""
    if (grid := model.encoder_.grid_) is None:
        left, right = model.encoder_.domain_
        return np.linspace(left, right, BETWEEN)
    return grid[np.unique(np.linspace(0, len(grid) - 1, min(len(grid), MOST_POINTS)).round().astype(int))]


def block_labels(model: Any, values: Sequence[str]) -> list[str]:
    """What the network sees of each channel."""
    order = _order(model)
    if order == 0:
        return list(values)
    return [ORDERS[order] if value == VALUE else f"{ORDERS[order]} of {value}" for value in values]


def answer_of(split: Split) -> str:
    """What beta(t) is the slope of."""
    if not split.classes:
        return split.target
    return f"the log odds of {split.classes[1]}" if len(split.classes) == 2 else "the output of the class that moves"


def _order(model: Any) -> int:
    given = model.encoder_.derivative
    return given if isinstance(given, int) else given[0]


def _groups(split: Split, targets: np.ndarray, rows: np.ndarray) -> tuple[list[tuple[str, np.ndarray]], bool]:
    """Rows by thirds of the targets, or by the most frequent classes; whether they are ordered."""
    if split.classes:
        sizes = np.bincount(targets.astype(int), minlength=len(split.classes))
        shown = np.sort(np.argsort(-sizes, kind="stable")[:MOST_GROUPS])
        groups = [(split.classes[c], rows[targets[rows] == c]) for c in shown]
        return [(name, members) for name, members in groups if len(members)], False
    low, high = np.quantile(targets, [1 / 3, 2 / 3])
    places = (targets > low).astype(int) + (targets > high)
    groups = []
    for i, third in enumerate(THIRDS):
        if len(members := rows[places[rows] == i]):
            ends = (number(f(targets[places == i]), 3) for f in (np.min, np.max))
            groups.append((f"{third}: {' to '.join(ends)}", members))
    return groups, True


def _as_seen(model: Any, columns: np.ndarray, grid: np.ndarray) -> list[np.ndarray]:
    """The curves, or their derivatives, that these coefficients stand for: both ways they are scaled once."""
    scales = np.concatenate(model.encoder_.scales_)
    return _blocks(model.encoder_.weight_functions(columns / scales**2, grid))


def _prior_deviations(model: Any, grid: np.ndarray) -> np.ndarray:
    """theta(t) of each coordinate of a neuron's weights, at one deviation of the prior."""
    units = np.diag(1 / model.standardiser_.scale) / np.sqrt(float(model.prior_precision))
    return model.encoder_.weight_functions(units, grid)


def _blocks(functions: np.ndarray) -> list[np.ndarray]:
    """(n, G) of each channel."""
    return [functions] if functions.ndim == 2 else list(np.moveaxis(functions, 1, 0))


def _functions(label: str, grid: np.ndarray, values: np.ndarray, prior: np.ndarray | None = None) -> Functions:
    half, most = (np.quantile(values, ends, axis=0) for ends in (HALF, MOST))
    return Functions(label, grid, np.median(values, axis=0), half, most, prior)


def _thin(curve: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    times, values = curve
    kept = np.unique(np.linspace(0, len(times) - 1, min(len(times), MOST_POINTS)).round().astype(int))
    return np.asarray(times)[kept], np.asarray(values)[kept]
