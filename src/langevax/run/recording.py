"""Records on the host: parts as they come off the device, one trace when it is asked for."""

from typing import Any, NamedTuple

import jax
import numpy as np

from langevax.run import counters, processes
from langevax.run.result import Trace


class Part(NamedTuple):
    """Consecutive records, draws along axis 0."""

    steps: np.ndarray
    columns: dict[str, np.ndarray]
    """`value_<leaf>`, `count_<name>` (int64 totals), `metric_<name>`."""


class Recording:
    """All records of a run so far; `pending` are those that no checkpoint holds yet."""

    def __init__(self, buffer: Any, num_chains: int | None):
        record = jax.tree.map(lambda leaf: np.empty((0, *leaf.shape[1:]), leaf.dtype), buffer)
        self.structure = jax.tree.structure(record.values)
        self.empty = Part(np.empty(0, np.int64), _columns(record))
        self.num_chains = num_chains
        self.saved: list[Part] = []
        self.pending: list[Part] = []

    def take(self, buffer: Any, first: int, last: int, every: int) -> None:
        """Copy off the device what was recorded after steps first < s <= last on the grid."""
        steps = np.arange(first // every + 1, last // every + 1, dtype=np.int64) * every
        if len(steps):
            record = jax.tree.map(lambda leaf: np.array(processes.whole(leaf)[: len(steps)]), buffer)
            self.pending.append(Part(steps, _columns(record)))

    def pending_until(self, step: int) -> Part:
        """The pending parts as one, without records after `step` (an interrupt can leave some)."""
        whole = _concatenate([self.empty, *self.pending])
        kept = int(np.searchsorted(whole.steps, step, side="right"))
        return Part(whole.steps[:kept], {name: column[:kept] for name, column in whole.columns.items()})

    def mark_saved(self) -> None:
        """What was pending is in a checkpoint now."""
        self.saved, self.pending = self.saved + self.pending, []

    def trace(self) -> Trace:
        """Everything recorded, chains first."""
        whole = _concatenate([self.empty, *self.saved, *self.pending])
        self.saved, self.pending = self._merged(self.saved), self._merged(self.pending)
        chained = (lambda a: a) if self.num_chains is None else (lambda a: np.moveaxis(a, 0, 1))
        columns = {name: chained(column) for name, column in whole.columns.items()}
        leaves = [columns[f"value_{i}"] for i in range(self.structure.num_leaves)]
        info = {name.split("_", 1)[1]: a for name, a in columns.items() if not name.startswith("value_")}
        return Trace(whole.steps, jax.tree.unflatten(self.structure, leaves), info)

    def _merged(self, parts: list[Part]) -> list[Part]:
        return parts if len(parts) < 2 else [_concatenate(parts)]


def _columns(record: Any) -> dict[str, np.ndarray]:
    values = {f"value_{i}": leaf for i, leaf in enumerate(jax.tree.leaves(record.values))}
    counts = {f"count_{name}": counters.to_int64(count) for name, count in record.counts.items()}
    metrics = {f"metric_{name}": metric for name, metric in record.metrics.items()}
    return values | counts | metrics


def _concatenate(parts: list[Part]) -> Part:
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    return Part(np.concatenate([part.steps for part in parts]), columns)
