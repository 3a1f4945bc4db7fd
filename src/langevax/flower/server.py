"""The server of a federated run as a Flower `ServerApp`, configured by the run config."""

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import Result

from langevax._typing import PyTree
from langevax.flower import wire
from langevax.flower.strategy import Evaluate, ExchangeRecord, FederatedStrategy
from langevax.flower.task import Task
from langevax.run import CheckpointError, keep_compiled_programs
from langevax.run.checkpoint import write_atomically

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet takes for a formula at the beginning of a cell."""
DEFAULTS: dict[str, Any] = {
    "rounds": 3,
    "seed": 0,
    "num-clients": 0,
    "weights": "size",
    "aggregation": "mean",
    "deadline": 60.0,
    "join-seconds": 120.0,
    "patience": 3,
    "evaluate-every": 1,
    "out": "",
    "checkpoint": "",
    "resume": False,
}
"""Keys of `[tool.flwr.app.config]` that the server reads; 0 clients means as many as there are, "" none."""


def server_app(task: Task) -> ServerApp:
    """The `ServerApp` of a task: `app = server_app(task)` in the module that pyproject.toml names.

    The run config sets rounds and clients: see `DEFAULTS` in this file. With `out` it writes result.json, history.csv
    (one line an exchange, as it ends) and model.safetensors there.
    """
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        serve(task, grid, context.run_config)

    return app


def serve(task: Task, grid: Grid, run_config: Any) -> tuple[FederatedStrategy, Result]:
    """Run once over `grid`."""
    config = DEFAULTS | dict(run_config)
    keep_compiled_programs()
    strategy = FederatedStrategy(
        task.algorithm_of(run_config),
        task.start_of(run_config),
        key=jax.random.key(int(config["seed"])),
        num_clients=int(config["num-clients"]) or "auto",
        weights=str(config["weights"]),
        aggregation=str(config["aggregation"]),
        deadline=float(config["deadline"]),
        join_seconds=float(config["join-seconds"]),
        patience=int(config["patience"]),
        checkpoint=str(config["checkpoint"]) or None,
        resume=bool(config["resume"]),
    )
    evaluate = None if task.evaluate is None else _evaluation(task.evaluate(run_config), strategy)
    folder = Path(str(config["out"])) if config["out"] else None
    history = None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        history = ExchangeHistory(folder / "history.csv", strategy.notes, bool(config["resume"]))
        strategy.on_exchange = history.add
    try:
        result = strategy.start(
            grid,
            num_rounds=int(config["rounds"]),
            evaluate_fn=evaluate,
            evaluate_every=int(config["evaluate-every"]),
        )
    finally:
        if folder is not None and strategy.loop.num_starts:
            _write_model(folder, strategy)
    if folder is not None and history is not None:
        history.finish()
        content = {
            "rounds": strategy.loop.step,
            "clients": strategy.registry.partitions,
            "counts": strategy.loop.counts,
            "loss": {done: metrics["loss"] for done, metrics in result.evaluate_metrics_clientapp.items()},
            "server": {done: dict(metrics.items()) for done, metrics in result.evaluate_metrics_serverapp.items()},
        }
        write_atomically(folder / "result.json", (json.dumps(content, indent=1) + "\n").encode())
    return strategy, result


def _evaluation(measure: Callable[[PyTree], Mapping[str, float]], strategy: FederatedStrategy) -> Evaluate:
    """A task's function of a position, in Flower's form."""

    def evaluate(done: int, arrays: ArrayRecord) -> MetricRecord:
        numbers = measure(wire.unpack(arrays, strategy.loop.position))
        return MetricRecord({name: float(value) for name, value in numbers.items()})

    return evaluate


def _write_model(folder: Path, strategy: FederatedStrategy) -> None:
    """Write the model, however the run ended."""
    from safetensors.numpy import save

    leaves = jax.tree.leaves_with_path(strategy.loop.position)
    tensors = {jax.tree_util.keystr(path) or "position": np.ascontiguousarray(leaf) for path, leaf in leaves}
    write_atomically(folder / "model.safetensors", save(tensors))


class ExchangeHistory:
    """history.csv, to which each exchange adds a line as it ends; a resumed run keeps the lines of those before.

    Their hash is in `notes`, which the checkpoint stores.

    Raises:
        CheckpointError: lines of a resumed run that are not as they were written; without the file it begins anew.
    """

    def __init__(self, path: Path, notes: dict[str, str], resumed: bool):
        self.path = path
        self.notes = notes
        self.resumed = resumed
        self.begun: bool = False
        self._hash = sha256()

    def add(self, record: ExchangeRecord) -> None:
        """Add a line."""
        if not self.begun:
            earlier = self._earlier(record.number)
            self._hash.update("".join(earlier).encode())
            write_atomically(self.path, "".join([self._header(record), *earlier]).encode())
            self.begun = True
        line = _line([*map(_cell, record[:-1]), *record.counts.values()])
        with self.path.open("a", newline="", encoding="utf-8") as file:
            file.write(line)
        self._hash.update(line.encode())
        self.notes[self.path.name] = self._hash.hexdigest()

    def finish(self) -> None:
        """Compare the lines of a run that had nothing left to do."""
        if not self.begun:
            self._earlier(sys.maxsize)

    @staticmethod
    def _header(record: ExchangeRecord) -> str:
        return _line([*ExchangeRecord._fields[:-1], *record.counts])

    def _earlier(self, number: int) -> list[str]:
        if not (self.resumed and self.path.exists()):
            return []
        try:
            with self.path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.reader(file))[1:]
        except (ValueError, csv.Error):  # bytes that are not text
            rows = []
        lines = [_line(row) for row in rows if row and row[0].isdecimal() and int(row[0]) < number]
        if sha256("".join(lines).encode()).hexdigest() != self.notes.get(self.path.name, sha256().hexdigest()):
            raise CheckpointError(
                f"{str(self.path)!r} is not as the interrupted run wrote it. Restore it from a copy, or move it to "
                "continue without the lines of exchanges before."
            )
        return lines


def _line(cells: Iterable[Any]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(cells)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, dict):
        text = "; ".join(f"{name}: {why}" for name, why in value.items())
        return f"'{text}" if text.startswith(FORMULA_STARTS) else text
    return f"{value:.4f}" if isinstance(value, float) else value
