"""The moving picture of a fit: the particles at up to 100 steps, and the function or decisions they make.

Axes are the inputs that matter most, quantities before indicators: a curve over them says more. The same
two inputs name the particle's coordinates that are shown.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from langevax.report.contents import Curve, Motion, Relevance, Surface
from langevax.report.curve_contents import Slope
from langevax.report.split import Split

MOST_FRAMES = 100
GRID, PLANE = 40, 45  # points of a curve, and along each side of a plane
MOST_ROWS_SHOWN = 400
MOST_ROWS_AVERAGED = 200
MOST_ACTIVATIONS = 4e8  # of a curve over all frames: a few seconds; fewer rows are averaged where there would be more


def motion_of(
    model: Any, split: Split, relevance: Relevance, fit: Callable[[np.ndarray], Slope] | None = None
) -> Motion:
    """Frames of a fitted mean-field estimator, from its `history_` and `staged_predict`.

    `fit` makes what is shown beside the particles from the numbers of the records kept; without it a curve over the
    input that matters most, or the decisions in the plane of two.
    """
    steps, particles = np.asarray(model.history_["steps"]), np.asarray(model.history_["particles"])
    kept = np.unique(np.linspace(0, len(steps) - 1, min(MOST_FRAMES, len(steps))).round().astype(int))
    frames = _Frames(model, split, kept, particles.shape[1])
    outer = particles.shape[2] - 1 - split.inputs.shape[1]
    pull, pull_label = _pull(np.tanh(particles[kept][..., :outer]) * model.neuron_.scale, split)
    x, y = _axes(split, relevance, particles[-1], pull[-1], outer)
    weights = particles[kept][..., outer:]
    return Motion(
        steps=steps[kept],
        x=weights[..., x],
        y=weights[..., y],
        pull=pull,
        x_label=f"weight of {_name(split, x)}",
        y_label=f"weight of {_name(split, y)}",
        pull_label=pull_label,
        fit=fit(kept) if fit else frames.surface(x, y) if split.classes else frames.curve(x),
    )


def _name(split: Split, place: int) -> str:
    return split.names[place] if place < len(split.names) else "the constant"


def _pull(outer: np.ndarray, split: Split) -> tuple[np.ndarray, str]:
    """What each particle adds to the output; of several outputs, to the class it tells most clearly from the others."""
    if not split.classes:
        return outer[..., 0], f"pull on {split.target}"
    if outer.shape[-1] == 1:
        return outer[..., 0], f"pull towards {split.classes[-1]}"
    contrast = outer - outer.mean(-1, keepdims=True)
    clearest = len(split.classes) - 1 if len(split.classes) == 2 else int(np.abs(contrast[-1]).mean(0).argmax())
    return contrast[..., clearest], f"pull towards {split.classes[clearest]}"


def _axes(split: Split, relevance: Relevance, cloud: np.ndarray, pull: np.ndarray, outer: int) -> tuple[int, int]:
    """The two inputs that matter most: by their column's relevance, within a column by what the particles put on it."""
    mean = dict(zip(relevance.names, relevance.mean, strict=True))
    used = np.abs(cloud[:, outer:-1] * pull[:, None]).mean(0)
    best = {}
    for column, places in split.groups.items():
        quantities = [place for place in places if place in split.quantities]
        best[column] = max(quantities or places, key=lambda place: used[place])
    order = sorted(best, key=lambda column: (best[column] in split.quantities, mean.get(column, 0.0)), reverse=True)
    first = best[order[0]]
    return first, best[order[1]] if len(order) > 1 else split.inputs.shape[1]  # a single column: against the constant


@dataclass(frozen=True)
class _Frames:
    """Predictions of the clouds kept."""

    model: Any
    split: Split
    kept: np.ndarray
    num_particles: int

    def curve(self, place: int) -> Curve:
        """The mean prediction over some rows as one input varies (a partial dependence)."""
        data = self.split.train_inputs
        affordable = int(MOST_ACTIVATIONS / (GRID * self.num_particles * len(self.kept)))
        rows = data[some(len(data), max(10, min(MOST_ROWS_AVERAGED, affordable)))]
        grid = _grid(data[:, place], GRID)
        probes = np.repeat(rows[None], GRID, 0)
        probes[:, :, place] = grid[:, None]
        probes = probes.reshape(-1, data.shape[1])
        values = [z.reshape(GRID, len(rows)).mean(1) for z in self._staged("staged_predict", probes)]
        shown = some(len(data), MOST_ROWS_SHOWN)
        return Curve(
            grid=grid,
            values=np.stack(values),
            data_x=data[shown, place],
            data_y=self.split.train_targets[shown],
            x_label=_name(self.split, place),
            y_label=self.split.target,
        )

    def surface(self, x: int, y: int) -> Surface:
        """The likeliest class, or the second one's probability, in a plane through the mean of all rows."""
        split, data = self.split, self.split.train_inputs
        data = np.column_stack([data, np.zeros(len(data))])  # a second axis where there is but one input
        grid_x, grid_y = (_grid(data[:, place], PLANE, tail=0.0) for place in (x, y))  # no row off the plane
        probes = np.tile(data.mean(0), (PLANE * PLANE, 1))
        probes[:, x], probes[:, y] = (axis.ravel() for axis in np.meshgrid(grid_x, grid_y))
        values = [
            (p[:, 1] if len(split.classes) == 2 else p.argmax(1)).reshape(PLANE, PLANE)
            for p in self._staged("staged_predict_proba", probes[:, :-1])
        ]
        shown = some(len(data), MOST_ROWS_SHOWN)
        return Surface(
            grid_x=grid_x,
            grid_y=grid_y,
            values=np.stack(values),
            classes=split.classes,
            data_x=data[shown, x],
            data_y=data[shown, y],
            data_class=split.train_targets[shown].astype(int),
            x_label=_name(split, x),
            y_label=_name(split, y),
        )

    def _staged(self, method: str, probes: np.ndarray) -> Iterator[np.ndarray]:
        wanted = set(self.kept.tolist())
        for i, values in enumerate(getattr(self.model, method)(probes)):
            if i in wanted:
                yield np.asarray(values)


def _grid(values: np.ndarray, points: int, tail: float = 0.01) -> np.ndarray:
    """Evenly over the data, without a share of them at both ends, and a little beyond."""
    low, high = np.quantile(values, [tail, 1 - tail])
    margin = 0.05 * (high - low) or 0.5
    return np.linspace(low - margin, high + margin, points)


def some(size: int, most: int) -> np.ndarray:
    """At most so many rows, the same ones every time."""
    if size <= most:
        return np.arange(size)
    return np.sort(np.random.default_rng(0).choice(size, most, replace=False))
