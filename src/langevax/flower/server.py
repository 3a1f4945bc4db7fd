"""The server of a federated run as a Flower `ServerApp`, configured by the run config."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import Result

from langevax._typing import PyTree
from langevax.flower import wire
from langevax.flower.evaluation import (
    LOSS_METRIC,
    BestModel,
    ExchangeRecord,
    RoundRecord,
    lines_of,
)
from langevax.flower.strategy import ClientRules, Evaluate, FederatedStrategy
from langevax.flower.task import Task
from langevax.run import Run, keep_compiled_programs
from langevax.run.checkpoint import write_atomically

RUN_CONFIG: dict[str, Any] = {
    "rounds": 3,
    "seed": 0,
    "num-clients": 0,
    "weights": "size",
    "deadline": 60.0,
    "join-seconds": 120.0,
    "patience": 3,
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

    The run config sets rounds and clients: see `RUN_CONFIG` in this file. With `out` it writes there, as the run goes,
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
    config = RUN_CONFIG | dict(run_config)
    keep_compiled_programs()
    strategy = FederatedStrategy(
        task.algorithm_of(run_config),
        task.start_of(run_config),
        key=jax.random.key(int(config["seed"])),
        clients=ClientRules(
            int(config["num-clients"]) or "auto",
            str(config["weights"]),
            float(config["deadline"]),
            float(config["join-seconds"]),
            int(config["patience"]),
        ),
        best=BestModel(
            str(config["best-metric"]),
            config["best-mode"],
            int(config["stop-after"]) or None,
        ),
        callbacks=callbacks,
        run=Run(str(config["checkpoint"]) or None, bool(config["resume"])),
    )
    evaluate = None
    if task.evaluate is not None:
        evaluate = _evaluation(task.evaluate(run_config), strategy)
    rounds = int(config["rounds"])
    every = int(config["evaluate-every"])
    if not config["out"]:
        result = strategy.start(
            grid, num_rounds=rounds, evaluate_fn=evaluate, evaluate_every=every
        )
        return strategy, result
    folder = Path(str(config["out"]))
    folder.mkdir(parents=True, exist_ok=True)
    history = GrowingTable(folder / "history.csv", bool(config["resume"]))
    metrics = GrowingTable(folder / "metrics.csv", bool(config["resume"]))
    strategy.on_exchange = partial(_add_exchange, history)
    strategy.on_evaluation = partial(_add_evaluation, metrics)
    try:
        result = strategy.start(
            grid, num_rounds=rounds, evaluate_fn=evaluate, evaluate_every=every
        )
    finally:
        if strategy.loop.num_starts:
            _write_model(folder / "model.safetensors", strategy.loop.position)
        if strategy.best.position is not None:
            _write_model(folder / "best.safetensors", strategy.best.position)
    content = json.dumps(_summary(strategy, result), indent=1) + "\n"
    write_atomically(folder / "result.json", content.encode())
    return strategy, result


def _summary(strategy: FederatedStrategy, result: Result) -> dict[str, Any]:
    """Return the content of result.json."""
    by_clients = result.evaluate_metrics_clientapp
    by_server = result.evaluate_metrics_serverapp
    best = strategy.best
    return {
        "rounds": strategy.loop.step,
        "clients": strategy.registry.partitions,
        "counts": strategy.loop.counts,
        "loss": {
            n: own[LOSS_METRIC] for n, own in by_clients.items() if LOSS_METRIC in own
        },
        "metrics": {n: dict(own.items()) for n, own in by_clients.items()},
        "server": {n: dict(own.items()) for n, own in by_server.items()},
        "best": {"metric": best.metric, "round": best.round, "value": best.value},
    }


def _evaluation(
    measure: Callable[[PyTree], Mapping[str, float]], strategy: FederatedStrategy
) -> Evaluate:
    """A task's function of a position, in Flower's form."""

    def evaluate(done: int, arrays: ArrayRecord) -> MetricRecord:
        numbers = measure(wire.unpack(arrays, strategy.loop.position))
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
    """A CSV file to which lines are added as they arise; a resumed run keeps the lines before its first.

    Lines begin with a number that does not fall.
    """

    def __init__(self, path: Path, resumed: bool):
        self.path = path
        self.resumed = resumed
        self.begun: bool = False

    def append(
        self,
        number: int,
        header: Iterable[str],
        rows: Iterable[Iterable[Any]],
    ) -> None:
        """Add lines of this number."""
        if not self.begun:
            lines = [*self._earlier(number)] or [header]
            write_atomically(self.path, "".join(map(_line, lines)).encode())
            self.begun = True
        with self.path.open("a", newline="", encoding="utf-8") as file:
            file.writelines(map(_line, rows))

    def _earlier(self, number: int) -> list[list[str]]:
        """Return the header and the lines before a number, none where there is no file."""
        if not (self.resumed and self.path.exists()):
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file)) or [[]]
        return [header, *(r for r in rows if r[0].isdecimal() and int(r[0]) < number)]


def _add_exchange(table: GrowingTable, record: ExchangeRecord) -> None:
    """Add a line to history.csv."""
    header = [*ExchangeRecord._fields[:-1], *record.counts]
    cells = [*record[:-1], *record.counts.values()]
    table.append(record.number, header, [map(_cell, cells)])


def _add_evaluation(table: GrowingTable, record: RoundRecord) -> None:
    """Add the lines of an evaluation to metrics.csv; numbers have all their digits."""
    rows = [
        (number, _text(name), client, repr(value))
        for number, name, client, value in lines_of(record)
    ]
    table.append(record.round, ("round", "metric", "client", "value"), rows)


def _line(cells: Iterable[Any]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(cells)
    return text.getvalue()


def _text(text: str) -> str:
    """Return what a client wrote, so that no spreadsheet computes it as a formula."""
    return (
        f"'{text}" if text[:1] in tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20") else text
    )


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, dict):
        return _text("; ".join(f"{name}: {why}" for name, why in value.items()))
    return f"{value:.4f}" if isinstance(value, float) else value
