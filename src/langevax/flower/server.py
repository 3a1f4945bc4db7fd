"""The server of a federated run as a Flower `ServerApp`, configured by the run config."""

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Sequence
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
from langevax.flower.evaluation import ExchangeRecord, RoundRecord, lines_of
from langevax.flower.strategy import Evaluate, FederatedStrategy
from langevax.flower.task import Task
from langevax.run import CheckpointError, keep_compiled_programs
from langevax.run.checkpoint import write_atomically

FORMULA_STARTS = (
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "\n",
    "\uff1d",
    "\uff0b",
    "\uff0d",
    "\uff20",
)
"""What a spreadsheet takes for a formula at the beginning of a cell."""
DEFAULTS: dict[str, Any] = {
    "rounds": 3,
    "seed": 0,
    "num-clients": 0,
    "weights": "size",
    "aggregation": "mean",
    "compression": "",
    "deadline": 60.0,
    "join-seconds": 120.0,
    "patience": 3,
    "select-connected": False,
    "evaluate-every": 1,
    "best-metric": "loss",
    "best-mode": "min",
    "stop-after": 0,
    "out": "",
    "checkpoint": "",
    "resume": False,
}
"""Keys of `[tool.flwr.app.config]` that the server reads; 0 clients means as many as there are, 0 or "" else none."""


def server_app(
    task: Task, callbacks: Sequence[Callable[[RoundRecord], bool | None]] = ()
) -> ServerApp:
    """The `ServerApp` of a task: `app = server_app(task)` in the module that pyproject.toml names.

    The run config sets rounds and clients: see `DEFAULTS` in this file. With `out` it writes there, as the run goes,
    history.csv (one line an exchange) and metrics.csv (one line a metric, for the run and each client), and at its end
    result.json, model.safetensors and best.safetensors, the model with the best `best-metric`. `callbacks` are those of
    `FederatedStrategy`.
    """
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        serve(task, grid, context.run_config, callbacks)

    return app


def serve(
    task: Task,
    grid: Grid,
    run_config: Any,
    callbacks: Sequence[Callable[[RoundRecord], bool | None]] = (),
) -> tuple[FederatedStrategy, Result]:
    """Run once over `grid`."""
    config = DEFAULTS | dict(run_config)
    keep_compiled_programs()
    strategy = FederatedStrategy(
        task.algorithm_of(run_config),
        task.split_start(run_config)[0],
        key=jax.random.key(int(config["seed"])),
        num_clients=int(config["num-clients"]) or "auto",
        weights=str(config["weights"]),
        aggregation=str(config["aggregation"]),
        compression=str(config["compression"]) or None,
        deadline=float(config["deadline"]),
        join_seconds=float(config["join-seconds"]),
        patience=int(config["patience"]),
        select_connected=bool(config["select-connected"]),
        best_metric=str(config["best-metric"]),
        best_mode=config["best-mode"],
        stop_after=int(config["stop-after"]) or None,
        callbacks=callbacks,
        checkpoint=str(config["checkpoint"]) or None,
        resume=bool(config["resume"]),
    )
    evaluate = (
        None if task.evaluate is None else _evaluation(task, run_config, strategy)
    )
    folder = Path(str(config["out"])) if config["out"] else None
    tables: list[GrowingTable] = []
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        history = ExchangeHistory(
            folder / "history.csv", strategy.notes, bool(config["resume"])
        )
        metrics = MetricHistory(
            folder / "metrics.csv", strategy.notes, bool(config["resume"])
        )
        strategy.on_exchange, strategy.on_evaluation = history.add, metrics.add
        tables = [history, metrics]
    try:
        result = strategy.start(
            grid,
            num_rounds=int(config["rounds"]),
            evaluate_fn=evaluate,
            evaluate_every=int(config["evaluate-every"]),
        )
    finally:
        if folder is not None and strategy.loop.num_starts:
            _write_model(folder / "model.safetensors", strategy.loop.position)
        if folder is not None and strategy.best.position is not None:
            _write_model(folder / "best.safetensors", strategy.best.position)
    if folder is not None:
        for table in tables:
            table.finish()
        content = {
            "rounds": strategy.loop.step,
            "clients": strategy.registry.partitions,
            "counts": strategy.loop.counts,
            "loss": {
                done: own["loss"]
                for done, own in result.evaluate_metrics_clientapp.items()
                if "loss" in own
            },
            "metrics": {
                done: dict(own.items())
                for done, own in result.evaluate_metrics_clientapp.items()
            },
            "server": {
                done: dict(own.items())
                for done, own in result.evaluate_metrics_serverapp.items()
            },
            "best": {
                "metric": strategy.best.metric,
                "round": strategy.best.round,
                "value": strategy.best.value,
            },
        }
        write_atomically(
            folder / "result.json", (json.dumps(content, indent=1) + "\n").encode()
        )
    return strategy, result


def _evaluation(task: Task, run_config: Any, strategy: FederatedStrategy) -> Evaluate:
    """A task's function of a position, in Flower's form."""
    assert task.evaluate is not None
    measure = task.evaluate(run_config)

    def evaluate(done: int, arrays: ArrayRecord) -> MetricRecord:
        numbers = measure(
            task.whole(wire.unpack(arrays, strategy.loop.position), run_config)
        )
        return MetricRecord({name: float(value) for name, value in numbers.items()})

    return evaluate


def _write_model(path: Path, position: PyTree) -> None:
    """Write a model, however the run ended."""
    from safetensors.numpy import save

    leaves = jax.tree.leaves_with_path(position)
    tensors = {
        jax.tree_util.keystr(path) or "position": np.ascontiguousarray(leaf)
        for path, leaf in leaves
    }
    write_atomically(path, save(tensors))


class GrowingTable:
    """A CSV file to which lines are added as they arise; a resumed run keeps the lines of those before.

    Lines begin with a number that does not fall. Their hash is in `notes`, which the checkpoint stores.

    Raises:
        CheckpointError: lines of a resumed run that are not as they were written; without the file it begins anew.
    """

    def __init__(self, path: Path, notes: dict[str, str], resumed: bool):
        self.path = path
        self.notes = notes
        self.resumed = resumed
        self.begun: bool = False
        self._hash = sha256()

    def append(
        self, number: int, header: Iterable[str], rows: Iterable[Iterable[Any]]
    ) -> None:
        """Add lines of this number."""
        if not self.begun:
            earlier = self._earlier(number) or _line(header)
            self._hash.update(earlier.encode())
            write_atomically(self.path, earlier.encode())
            self.begun = True
        lines = "".join(_line(map(_cell, row)) for row in rows)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            file.write(lines)
        self._hash.update(lines.encode())
        self.notes[self.path.name] = self._hash.hexdigest()

    def finish(self) -> None:
        """Compare the lines of a run that had nothing left to do."""
        if not self.begun:
            self._earlier(sys.maxsize)

    def _earlier(self, number: int) -> str:
        """Return the header and the lines before a number, "" where there are none."""
        if not (self.resumed and self.path.exists()):
            return ""
        try:
            with self.path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.reader(file))
        except (ValueError, csv.Error):  # bytes that are not text
            rows = []
        lines = [
            _line(row)
            for row in rows[1:]
            if row and row[0].isdecimal() and int(row[0]) < number
        ]
        expected = self.notes.get(self.path.name)
        if not lines and expected is None:
            return ""
        text = "".join([*map(_line, rows[:1]), *lines])
        if sha256(text.encode()).hexdigest() != expected:
            raise CheckpointError(
                f"{str(self.path)!r} is not as the interrupted run wrote it. Restore it from a copy, or move it to "
                "continue without the lines of exchanges before."
            )
        return text


class ExchangeHistory(GrowingTable):
    """history.csv, one line an exchange."""

    def add(self, record: ExchangeRecord) -> None:
        """Add a line."""
        header = [*ExchangeRecord._fields[:-1], *record.counts]
        self.append(record.number, header, [[*record[:-1], *record.counts.values()]])


class MetricHistory(GrowingTable):
    """metrics.csv, one line for each metric of the run and of each client."""

    def add(self, record: RoundRecord) -> None:
        """Add the lines of an evaluation; numbers have all their digits."""
        rows = [
            (number, _text(name), client, repr(value))
            for number, name, client, value in lines_of(record)
        ]
        self.append(record.round, ("round", "metric", "client", "value"), rows)


def _line(cells: Iterable[Any]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(cells)
    return text.getvalue()


def _text(text: str) -> str:
    """Return what a client wrote, so that no spreadsheet computes it."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, dict):
        return _text("; ".join(f"{name}: {why}" for name, why in value.items()))
    return f"{value:.4f}" if isinstance(value, float) else value
