"""What a run gives back: the end of it, what was recorded on the way, what it cost, how it ended."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import PyTree

from langevax.run import processes

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True)
class Trace:
    """Records on the grid. Arrays are (draw, ...), or (chain, draw, ...) where the run has chains."""

    steps: np.ndarray
    """(draw,) steps done when each record was taken."""
    values: PyTree
    """What `record` returned, stacked."""
    info: dict[str, np.ndarray]
    """Counts: totals so far, int64. Metrics: means since the last record."""

    def __len__(self) -> int:
        return len(self.steps)


@dataclass(frozen=True)
class Average:
    """Mean and variance (over `count` looks, divided by count) of what `average` returned, per chain."""

    mean: PyTree
    variance: PyTree
    count: int

    @classmethod
    def of(cls, looks: Any, mean: PyTree, squares: PyTree) -> "Average":
        """From running moments: how many looks, their mean, and the sum of squared deviations."""
        count = int(looks)
        variance = jax.tree.map(lambda s: processes.whole(s) / max(count, 1), squares)
        return cls(jax.tree.map(processes.whole, mean), variance, count)


@dataclass(frozen=True)
class Result:
    """The end of a run, and its record.

    `position` is (chain, ...) where the run has chains. `positions` are the records, (chain, draw, ...)
    or (draw, ...). Every count is an attribute too: `result.evaluations` is the total over chains of
    component gradients.
    """

    position: PyTree
    state: Any
    trace: Trace | None
    average: Average | None
    counts_by_chain: dict[str, np.ndarray]
    metrics: dict[str, float]
    """Means over chains of each metric since the last record, or over the run where nothing is recorded."""
    steps: int
    num_chains: int | None
    seconds: float
    outcome: str
    """One sentence: how the run ended."""
    phases: tuple[int, ...] = field(default=())
    """Steps at which a phase ended, where several were joined by `then`."""
    seconds_to_first_step: float = 0.0
    """What of `seconds` went by before the first step could begin: placing, tracing, and compiling or loading programs
    from JAX's persistent cache."""

    @property
    def counts(self) -> dict[str, int]:
        """Totals over the chains."""
        return {name: int(np.sum(count)) for name, count in self.counts_by_chain.items()}

    @property
    def positions(self) -> PyTree:
        """What was recorded, the positions unless `record` was given."""
        if self.trace is None:
            raise ValueError("nothing was recorded; pass record_every=k to simulate to keep every k-th position.")
        return self.trace.values

    def __getattr__(self, name: str) -> Any:
        counts = self.__dict__.get("counts_by_chain", {})
        if name in counts:
            return int(np.sum(counts[name]))
        known = ", ".join(counts) or "none"
        raise AttributeError(f"this result has no attribute or count {name!r}; its counts are: {known}.")

    def map(self, function: Callable[[PyTree], PyTree]) -> "Result":
        """The same end with `function(position)` for every chain: the start of another phase."""
        apply = function if self.num_chains is None else jax.vmap(function)
        return _replace(self, position=apply(self.position))

    def then(self, following: "Result") -> "Result":
        """One record of two phases, `following` having started from this result.

        Steps, counts, seconds and records go on; the end, metrics and average are those of the last phase, the seconds
        to the first step those of the first.
        """
        if self.num_chains != following.num_chains:
            raise ValueError(f"phases have {self.num_chains} and {following.num_chains} chains; they must agree.")
        first, second = self.counts_by_chain, following.counts_by_chain
        return _replace(
            following,
            trace=_join(self, following),
            counts_by_chain={name: first.get(name, 0) + second.get(name, 0) for name in first | second},
            steps=self.steps + following.steps,
            seconds=self.seconds + following.seconds,
            phases=(*(self.phases or (self.steps,)), self.steps + following.steps),
            seconds_to_first_step=self.seconds_to_first_step,
        )

    def to_datatree(self) -> "xarray.DataTree":
        """The records in ArviZ's layout: groups `posterior` and `sample_stats`, dims (chain, draw, ...)."""
        import xarray

        if self.trace is None:
            raise ValueError("nothing was recorded; pass record_every=k to simulate to keep every k-th position.")
        steps = {"step": ("draw", self.trace.steps)}
        chained = (lambda a: a[None]) if self.num_chains is None else (lambda a: a)

        def dataset(arrays: dict[str, np.ndarray]) -> "xarray.Dataset":
            variables = {}
            for name, array in arrays.items():
                array = chained(np.asarray(array))
                dims = ["chain", "draw", *(f"{name}_dim_{i}" for i in range(array.ndim - 2))]
                variables[name] = (dims, array)
            coordinates = {"chain": np.arange(self.num_chains or 1), "draw": np.arange(len(self.trace or ())), **steps}
            return xarray.Dataset(variables, coordinates)

        attributes = {"outcome": self.outcome, "seconds": self.seconds, "steps": self.steps, **self.counts}
        attributes["seconds_to_first_step"] = self.seconds_to_first_step
        tree = xarray.DataTree.from_dict(
            {"posterior": dataset(named_leaves(self.trace.values)), "sample_stats": dataset(self.trace.info)}
        )
        tree.attrs.update(attributes)
        return tree


def named_leaves(tree: PyTree) -> dict[str, Any]:
    """Leaves by name: dict keys and field names joined by `_`; a lone array is `position`."""
    leaves = jax.tree.leaves_with_path(tree)
    names = [jax.tree_util.keystr(path, simple=True, separator="_") or "position" for path, _ in leaves]
    return dict(zip(names, (leaf for _, leaf in leaves), strict=True))


def _replace(result: Result, **changes: Any) -> Result:
    values = {name: getattr(result, name) for name in Result.__dataclass_fields__}
    return Result(**(values | changes))


def _join(first: Result, second: Result) -> Trace | None:
    one, two = first.trace, second.trace
    if one is None or two is None:
        return one or two
    axis = 0 if first.num_chains is None else 1

    def info(name: str) -> np.ndarray:
        before, after = one.info[name], two.info[name]
        if name in first.counts_by_chain:  # totals go on from the first phase's end
            after = after + np.expand_dims(first.counts_by_chain[name], axis)
        return np.concatenate([before, after], axis)

    return Trace(
        np.concatenate([one.steps, two.steps + first.steps]),
        jax.tree.map(lambda a, b: np.concatenate([a, b], axis), one.values, two.values),
        {name: info(name) for name in one.info if name in two.info},
    )
