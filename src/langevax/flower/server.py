"""The server of a federated run as a Flower `ServerApp`, configured by the run config."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
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
)
from langevax.flower.strategy import ClientRules, Evaluate, FederatedStrategy
from langevax.flower.task import Task
from langevax.run import Run, keep_compiled_programs
from langevax.storage import parsed, write_atomically

RUN_CONFIG: dict[str, Any] = {
    "rounds": 3,
    "seed": 0,
    "num-clients": 0,
    "weights": ClientRules.weights,
    "deadline": ClientRules.deadline,
    "join-seconds": ClientRules.join_seconds,
    "patience": ClientRules.patience,
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
    history.jsonl (one line an exchange) and metrics.jsonl (one line an evaluation, with the metrics of the run and of
    each client), and at its end result.json, model.safetensors and best.safetensors, the model with the best
    `best-metric`. `callbacks` are those of `FederatedStrategy`.
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
    resumed = bool(config["resume"])
    strategy.on_exchange = RecordLog(folder / "history.jsonl", resumed).add
    strategy.on_evaluation = RecordLog(folder / "metrics.jsonl", resumed).add
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


class RecordLog:
    """A file of JSON lines, one a record, that grows with the run; a resumed run keeps the lines before its first.

    Records begin with a number that does not fall.
    """

    def __init__(self, path: Path, resumed: bool):
        self.path = path
        self.resumed = resumed
        self.begun: bool = False

    def add(self, record: ExchangeRecord | RoundRecord) -> None:
        """Add the line of a record, without the position."""
        fields = record._asdict()
        fields.pop("position", None)
        if not self.begun:
            earlier = "".join(self._earlier(record[0]))
            write_atomically(self.path, earlier.encode())
            self.begun = True
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(fields) + "\n")

    def _earlier(self, number: int) -> Iterator[str]:
        """Yield the lines before a number; one that was cut when its server died has no end."""
        if self.resumed and self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines(True):
                with suppress(ValueError, TypeError, AttributeError, StopIteration):
                    if next(iter(parsed(line).values())) < number:
                        yield line
