"""Results of a run: where it ended, its records, its costs and its outcome."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike

from langevax import checks
from langevax._typing import PyTree
from langevax.run import processes
from langevax.run.program import Record, RunningMoments

if TYPE_CHECKING:
    import xarray

DRIFT_RATIO = 2.0
"""Largest ratio of movement between stretches of time to movement within them that is put down to noise."""


@dataclass(frozen=True, repr=False)
class Trace:
    """Records on the grid. Arrays are (draw, ...), or (chain, draw, ...) if the run has chains."""

    steps: np.ndarray
    """(draw,) steps done when each record was taken."""
    values: PyTree
    """What `record` returned, stacked."""
    info: dict[str, np.ndarray]
    """Counts: totals so far, int64. Metrics: means since the last record."""

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        last = f" up to step {self.steps[-1]}" if len(self) else ""
        return (
            f"Trace({len(self)} records{last}; info: {', '.join(self.info) or 'none'})"
        )


@dataclass(frozen=True)
class Average:
    """Mean and variance (over `count` evaluations, divided by count) of what `average` returned, per chain."""

    mean: PyTree
    variance: PyTree
    count: int

    @classmethod
    def of(cls, moments: RunningMoments) -> "Average":
        """Return the average of running moments."""
        count = int(moments.num_terms)
        variance = jax.tree.map(
            lambda s: processes.gather(s) / max(count, 1), moments.squares
        )
        return cls(jax.tree.map(processes.gather, moments.mean), variance, count)


@dataclass(frozen=True, repr=False)
class Result:
    """The end of a run, and its records.

    `position` is (chain, ...) if the run has chains. `positions` are the records, (chain, draw, ...) or (draw, ...).
    Every count is an attribute too: `result.evaluations` is the number of component gradients, summed over chains.
    """

    position: PyTree
    """Last position."""
    state: Any
    """Last state of the algorithm."""
    trace: Trace | None
    """The records; None if nothing was recorded."""
    average: Average | None
    """Mean and variance of what `average` returned; None if there was no `average`."""
    counts_by_chain: dict[str, np.ndarray]
    """Counts of each chain, int64."""
    metrics: dict[str, float]
    """Means over chains of each metric since the last record, or over the run if nothing is recorded."""
    steps: int
    """Steps done."""
    num_chains: int | None
    """Number of chains; None for a run without a chain axis."""
    seconds: float
    """Duration of the run, compilation included."""
    outcome: str
    """One sentence: how the run ended."""
    phases: tuple[int, ...] = ()
    """Steps at which a phase ended, if several were joined by `then`."""
    seconds_to_first_step: float = 0.0
    """Part of `seconds` before the first step: placing arrays, tracing, and compiling or loading programs from JAX's
    persistent cache."""

    @property
    def counts(self) -> dict[str, int]:
        """Totals over the chains."""
        return {
            name: int(np.sum(count)) for name, count in self.counts_by_chain.items()
        }

    @property
    def positions(self) -> PyTree:
        """The records: positions unless `record` was passed."""
        return self._recorded().values

    def __getattr__(self, name: str) -> Any:
        counts = self.__dict__.get("counts_by_chain", {})
        if name in counts:
            return int(np.sum(counts[name]))
        known = ", ".join(counts) or "none"
        raise AttributeError(
            f"this result has no attribute or count {name!r}; its counts are: {known}."
        )

    def __repr__(self) -> str:
        shapes = ", ".join(
            f"{name} {np.shape(leaf)}"
            for name, leaf in named_leaves(self.position).items()
        )
        chains = (
            "no chain axis" if self.num_chains is None else f"{self.num_chains} chains"
        )
        numbers = [f"{name}={count}" for name, count in self.counts.items()]
        numbers += [f"{name}={metric:.4g}" for name, metric in self.metrics.items()]
        return (
            f"Result({self.outcome} {shapes}; {chains}; "
            f"{0 if self.trace is None else len(self.trace)} records; "
            f"{', '.join([*numbers, f'seconds={self.seconds:.3g}'])})"
        )

    def map(self, function: Callable[[PyTree], PyTree]) -> "Result":
        """Return this result with `function(position)` for every chain: the start of another phase."""
        apply = function if self.num_chains is None else jax.vmap(function)
        return replace(self, position=apply(self.position))

    def then(self, following: "Result") -> "Result":
        """Join two phases into one result, `following` having started from this one.

        Steps, counts, seconds and records accumulate; position, metrics and average are those of the last phase, the
        seconds to the first step those of the first.
        """
        if self.num_chains != following.num_chains:
            raise ValueError(
                f"phases have {self.num_chains} and {following.num_chains} chains; "
                "they must agree."
            )
        first = self.counts_by_chain
        second = following.counts_by_chain
        return replace(
            following,
            trace=_join(self, following),
            counts_by_chain={
                name: np.asarray(first.get(name, 0) + second.get(name, 0))
                for name in first | second
            },
            steps=self.steps + following.steps,
            seconds=self.seconds + following.seconds,
            phases=(*(self.phases or (self.steps,)), self.steps + following.steps),
            seconds_to_first_step=self.seconds_to_first_step,
        )

    def to_datatree(self) -> "xarray.DataTree":
        """Return the records in ArviZ's layout: groups `posterior` and `sample_stats`, dims (chain, draw, ...).

        ArviZ 1.x takes the tree; for ArviZ 0.x pass it through `arviz.InferenceData.from_datatree`.
        """
        tree_type = datatree_type()
        trace = self._recorded()

        def dataset(arrays: dict[str, np.ndarray]) -> "xarray.Dataset":
            if self.num_chains is None:
                arrays = {
                    name: np.asarray(array)[None] for name, array in arrays.items()
                }
            by_draws = draws_dataset(arrays, self.num_chains or 1, len(trace))
            return by_draws.assign_coords(step=("draw", trace.steps))

        groups = {
            "posterior": dataset(named_leaves(trace.values)),
            "sample_stats": dataset(trace.info),
        }
        tree = tree_type.from_dict(groups)
        tree.attrs.update(
            outcome=self.outcome, seconds=self.seconds, steps=self.steps, **self.counts
        )
        tree.attrs["seconds_to_first_step"] = self.seconds_to_first_step
        return tree

    def _recorded(self) -> Trace:
        if self.trace is None:
            raise ValueError(
                "nothing was recorded; pass record_every=k to simulate to keep every "
                "k-th position."
            )
        return self.trace


class DivergenceError(ArithmeticError):
    """The position became non-finite.

    Attributes:
        step: steps done when it was first non-finite.
        state: the algorithm's state one step earlier, the last finite one.
        suggested_step_size: a step size to try, or None if the algorithm has none.
        result: the run up to there, with all records.
    """

    def __init__(
        self,
        step: int,
        state: Any,
        step_size: float | None,
        result: Result,
    ):
        self.step = step
        self.state = state
        self.suggested_step_size: float | None = (
            None if step_size is None else step_size / 10
        )
        self.result = result
        advice = (
            f"try step_size={self.suggested_step_size:.3g}"
            if self.suggested_step_size is not None
            else "scale the step-size schedule down, for example by 10"
        )
        super().__init__(
            f"the position became non-finite at step {step}; {advice}. The last finite "
            "state and all records up to there are in .state and .result of this "
            "error; saved checkpoints are unchanged."
        )


class Records(NamedTuple):
    """Consecutive records on the host, draws along axis 0."""

    steps: np.ndarray
    columns: dict[str, np.ndarray]
    """`value_<leaf>`, `count_<name>` (int64 totals), `metric_<name>`."""


class Recording:
    """All records of a run so far; `pending` are those that no checkpoint holds yet."""

    def __init__(self, buffer: Any, num_chains: int | None):
        record = jax.tree.map(
            lambda leaf: np.empty((0, *leaf.shape[1:]), leaf.dtype), buffer
        )
        self.structure: Any = jax.tree.structure(record.values)
        self.empty: Records = Records(np.empty(0, np.int64), _columns(record))
        self.num_chains = num_chains
        self.saved: list[Records] = []
        self.pending: list[Records] = []

    def copy_from(
        self,
        buffer: Any,
        first: int,
        last: int,
        every: int,
    ) -> None:
        """Copy from the device the records of steps first < s <= last on the grid."""
        numbers = np.arange(first // every + 1, last // every + 1, dtype=np.int64)
        steps = numbers * every
        if len(steps):
            record = jax.tree.map(
                lambda leaf: np.array(processes.gather(leaf)[: len(steps)]), buffer
            )
            self.pending.append(Records(steps, _columns(record)))

    def pending_until(self, step: int) -> Records:
        """Return the pending records as one, without those after `step` (an interrupt can leave some)."""
        pending = _concatenate([self.empty, *self.pending])
        length = int(np.searchsorted(pending.steps, step, side="right"))
        return Records(
            pending.steps[:length],
            {name: column[:length] for name, column in pending.columns.items()},
        )

    def mark_saved(self) -> None:
        """Note that a checkpoint holds the pending records."""
        self.saved = self.saved + self.pending
        self.pending = []

    def trace(self) -> Trace:
        """Return all records, chains first."""
        records = _concatenate([self.empty, *self.saved, *self.pending])
        self.saved = _merged(self.saved)
        self.pending = _merged(self.pending)
        chains_first = (
            (lambda a: a)
            if self.num_chains is None
            else (lambda a: np.moveaxis(a, 0, 1))
        )
        columns = {
            name: chains_first(column) for name, column in records.columns.items()
        }
        leaves = [columns[f"value_{i}"] for i in range(self.structure.num_leaves)]
        info = {
            name.split("_", 1)[1]: a
            for name, a in columns.items()
            if not name.startswith("value_")
        }
        return Trace(records.steps, jax.tree.unflatten(self.structure, leaves), info)


def datatree_type() -> "type[xarray.DataTree]":
    """Return `xarray.DataTree`; raise ImportError where xarray is not installed."""
    with checks.needs("xarray", "to_datatree"):
        from xarray import DataTree
    return DataTree


def draws_dataset(
    arrays: Mapping[str, ArrayLike],
    num_chains: int,
    num_draws: int,
    axes: Mapping[str, Sequence[str | None]] = MappingProxyType({}),
    labels: Mapping[str, Any] = MappingProxyType({}),
) -> "xarray.Dataset":
    """Return arrays (chain, draw, ...) as a dataset in ArviZ's layout; further axes are numbered, or have names."""
    import xarray

    places = {"chain": np.arange(num_chains), "draw": np.arange(num_draws)}
    variables = {}
    for name, array in arrays.items():
        numbers = range(np.ndim(array) - 2)
        known = axes.get(name, ())[: len(numbers)]
        others = [
            f"{name}_dim_{i}" if axis in (None, "chain", "draw") else axis
            for i, axis in zip_longest(numbers, known)
        ]
        variables[name] = (["chain", "draw", *others], np.asarray(array))
        places |= {axis: np.asarray(labels[axis]) for axis in others if axis in labels}
    return xarray.Dataset(variables, places)


def named_leaves(tree: PyTree) -> dict[str, Any]:
    """Return leaves by name: dict keys and field names joined by `_`; a lone array is `position`."""
    leaves = jax.tree.leaves_with_path(tree)
    names = [
        jax.tree_util.keystr(path, simple=True, separator="_") or "position"
        for path, _ in leaves
    ]
    return dict(zip(names, (leaf for _, leaf in leaves), strict=True))


def is_stationary(records: np.ndarray, min_records: int) -> bool:
    """Return whether `records`, (record, ...), have stopped drifting; never with fewer than `min_records`.

    The records of the last half are cut into four stretches with means g_1, ..., g_4. Noise alone makes

        |g_3 + g_4 - g_1 - g_2|^2 / 4    and    (|g_1 - g_2|^2 + |g_3 - g_4|^2) / 4

    equal on average; a steady drift makes the first eight times the second. The noise of the records is measured along
    with the drift, so that the rule has no scale to tune.

    Example:
        >>> still, drifting = np.random.default_rng(0).normal(size=(2, 100, 50))
        >>> is_stationary(still, 50), is_stationary(drifting + 0.1 * np.arange(100)[:, None], 50)
        (True, False)
        >>> is_stationary(still, 101)
        False
    """
    if len(records) < min_records:
        return False
    half = np.asarray(records[len(records) // 2 :])
    stretches = np.split(half[: len(half) // 4 * 4], 4)
    first, second, third, fourth = (stretch.mean(0) for stretch in stretches)
    between = np.sum((third + fourth - first - second) ** 2)
    within = np.sum((first - second) ** 2) + np.sum((third - fourth) ** 2)
    return bool(between <= DRIFT_RATIO * within)


def _columns(record: Record) -> dict[str, np.ndarray]:
    values = {
        f"value_{i}": leaf for i, leaf in enumerate(jax.tree.leaves(record.values))
    }
    counts = {
        f"count_{name}": count.to_int64() for name, count in record.counts.items()
    }
    metrics = {
        f"metric_{name}": np.asarray(metric) for name, metric in record.metrics.items()
    }
    return values | counts | metrics


def _concatenate(records: list[Records]) -> Records:
    columns = {
        name: np.concatenate([part.columns[name] for part in records])
        for name in records[0].columns
    }
    return Records(np.concatenate([part.steps for part in records]), columns)


def _merged(records: list[Records]) -> list[Records]:
    return records if len(records) < 2 else [_concatenate(records)]


def _join(first: Result, second: Result) -> Trace | None:
    before = first.trace
    after = second.trace
    if before is None or after is None:
        return after if before is None else before
    axis = 0 if first.num_chains is None else 1

    def info(name: str) -> np.ndarray:
        early = before.info[name]
        late = after.info[name]
        if (
            name in first.counts_by_chain
        ):  # totals continue from the end of the first phase
            late = late + np.expand_dims(first.counts_by_chain[name], axis)
        return np.concatenate([early, late], axis)

    return Trace(
        np.concatenate([before.steps, after.steps + first.steps]),
        jax.tree.map(
            lambda a, b: np.concatenate([a, b], axis), before.values, after.values
        ),
        {name: info(name) for name in before.info if name in after.info},
    )
