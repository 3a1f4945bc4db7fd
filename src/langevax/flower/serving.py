"""The server of a federated run as a Flower `ServerApp`, told what to do by the run config."""

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import Result
from jaxtyping import PyTree

from langevax.flower import wire
from langevax.flower.evaluation import Evaluate
from langevax.flower.strategy import FederatedStrategy
from langevax.flower.task import Task
from langevax.run import keep_compiled_programs
from langevax.run.checkpoint import write_atomically

DEFAULTS: dict[str, Any] = {
    "rounds": 3, "seed": 0, "num-clients": 0, "weights": "size", "deadline": 60.0, "join-seconds": 120.0,
    "patience": 3, "evaluate-every": 1, "out": "", "checkpoint": "", "resume": False,
}  # fmt: skip
"""Keys of `[tool.flwr.app.config]` that the server reads; 0 clients means as many as there are, "" nowhere."""


def server_app(task: Task) -> ServerApp:
    """The `ServerApp` of a task: `app = server_app(task)` in the module that pyproject.toml names.

    The run config says how long and with whom: see `DEFAULTS` in this file. With `out` it writes result.json,
    history.csv (one line an exchange) and model.safetensors there.
    """
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        serve(task, grid, context.run_config)

    return app


def serve(task: Task, grid: Grid, run_config: Any) -> tuple[FederatedStrategy, Result]:
    """One run over `grid`."""
    config = DEFAULTS | dict(run_config)
    keep_compiled_programs()
    strategy = FederatedStrategy(
        task.algorithm_of(run_config),
        task.start_of(run_config),
        jax.random.key(int(config["seed"])),
        num_clients=int(config["num-clients"]) or None,
        weights=str(config["weights"]),
        deadline=float(config["deadline"]),
        join_seconds=float(config["join-seconds"]),
        patience=int(config["patience"]),
        checkpoint=str(config["checkpoint"]) or None,
        resume=bool(config["resume"]),
    )
    evaluate = None if task.evaluate is None else _evaluation(task.evaluate(run_config), strategy)
    try:
        result = strategy.start(
            grid,
            num_rounds=int(config["rounds"]),
            evaluate_fn=evaluate,
            evaluate_every=int(config["evaluate-every"]),
        )
    finally:
        if config["out"] and strategy.conductor.openings:
            _written(Path(str(config["out"])), strategy)
    if config["out"]:
        _summarised(Path(str(config["out"])), strategy, result)
    return strategy, result


def _evaluation(evaluated: Callable[[PyTree], Mapping[str, float]], strategy: FederatedStrategy) -> Evaluate:
    """A task's function of a position, as Flower has it."""

    def evaluate(done: int, arrays: ArrayRecord) -> MetricRecord:
        found = evaluated(wire.unpacked(arrays, strategy.conductor.position))
        return MetricRecord({name: float(value) for name, value in found.items()})

    return evaluate


COLUMNS = ("number", "round", "exchange", "asked", "answered", "refused", "late", "away", "lost", "seconds",
           "own_seconds")  # fmt: skip


def _written(folder: Path, strategy: FederatedStrategy) -> None:
    """What there is, however the run ended."""
    from safetensors.numpy import save

    folder.mkdir(parents=True, exist_ok=True)
    leaves = jax.tree.leaves_with_path(strategy.conductor.position)
    tensors = {jax.tree_util.keystr(path) or "position": np.ascontiguousarray(leaf) for path, leaf in leaves}
    write_atomically(folder / "model.safetensors", save(tensors))
    with (folder / "history.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, *strategy.conductor.counts])
        for one in strategy.history:
            writer.writerow([*(_cell(getattr(one, name)) for name in COLUMNS), *one.counts.values()])


def _summarised(folder: Path, strategy: FederatedStrategy, result: Result) -> None:
    content: dict[str, Any] = {
        "rounds": strategy.conductor.step,
        "clients": strategy.members.partitions,
        "counts": strategy.conductor.counts,
        "loss": {done: found["loss"] for done, found in result.evaluate_metrics_clientapp.items()},
        "server": {done: dict(found.items()) for done, found in result.evaluate_metrics_serverapp.items()},
    }
    write_atomically(folder / "result.json", (json.dumps(content, indent=1) + "\n").encode())


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, dict):
        return "; ".join(f"{name}: {why}" for name, why in value.items())
    return f"{value:.4f}" if isinstance(value, float) else value
