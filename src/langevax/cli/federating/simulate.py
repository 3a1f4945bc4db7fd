"""`langevax federated simulate`: check the options, train, report and save."""

import math
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from langevax._typing import PyTree
from langevax.cli.errors import BadInput, RunFailed, listing, nearest
from langevax.cli.federated import SimulationOptions
from langevax.cli.federating import classification
from langevax.cli.federating.classification import LabelledTable
from langevax.cli.folder import make, write_json
from langevax.cli.output import Output, plain
from langevax.data import partitions
from langevax.federated import Federated
from langevax.federated.defaults import METHODS
from langevax.problems.federation import Federation
from langevax.run import DivergenceError, Result, keep_compiled_programs, simulate

PARTITIONS = ("even", "concentration", "dirichlet", "shards")
FRAMES, ROWS_SHOWN = 100, 10
COLUMNS = ("round", "exchanges", "vectors", "bytes", "evaluations", "loss", "accuracy")
History = dict[str, np.ndarray]


def run(output: Output, options: SimulationOptions) -> None:
    """Check the options, split the table, train, report and save."""
    algorithm = algorithm_of(options)
    step_size = float(algorithm.step_size)  # type: ignore[attr-defined]
    table = classification.load_table(options.data, options.target, options.seed)
    make(options.folder)
    keep_compiled_programs()
    federation = classification.federation_of(table, split(options, table.labels))
    counts = np.asarray(federation.counts)
    start = classification.initial_position(
        jax.random.key(options.seed), table.inputs.shape[1], options.hidden, table.num_classes
    )
    model = f"{options.hidden} hidden neurons" if options.hidden else "softmax regression"
    selected = getattr(algorithm, "clients_per_round", None) or len(counts)
    output.say(
        "Table",
        f"{options.data}: {len(table.labels):,} rows over {len(counts)} clients of {counts.min()} to {counts.max()}, "
        f"{len(table.test_labels):,} held out",
    )
    output.say("Model", f"{classification.num_parameters(start):,} numbers, {model}")
    output.say("Method", f"{type(algorithm).__name__}, step size {step_size:g}, {selected} clients a round")
    try:
        result = simulate(
            algorithm,
            federation,
            start,
            key=jax.random.key(options.seed),
            num_steps=options.rounds,
            record_every=max(1, math.ceil(options.rounds / FRAMES)),
            progress=False if output.machine else "auto",
        )
    except DivergenceError as error:
        raise RunFailed(
            f"--method {options.method} diverged in round {error.step} at --step-size {step_size:g}; "
            f"pass --step-size {step_size / 4:g}."
        ) from error
    history = history_of(federation, table, start, result)
    content = {
        **{name: value for name, value in asdict(options).items() if name != "out"},
        "step_size": step_size,
        "rows_of_a_client": {"least": counts.min(), "most": counts.max()},
        **{name: values[-1] for name, values in history.items()},
        "seconds": result.seconds,
        "seconds_to_first_step": result.seconds_to_first_step,
        "folder": str(options.folder),
    }
    _save(options.folder, content, history, federation, result)
    _report(output, options.folder, history)
    output.result(plain(content))


def algorithm_of(options: SimulationOptions) -> Federated:
    """The method with its settings."""
    if options.method not in METHODS:
        raise BadInput(f"--method {options.method!r} is not a method; {_alternatives(options.method, METHODS)}")
    method, number, selected = METHODS[options.method], options.clients, options.per_round
    if selected is not None and selected > number:
        raise BadInput(f"--per-round {selected} is more than --clients {number}; pass at most {number}.")
    if not method.has("clients_per_round") and selected not in (None, number):
        raise BadInput(
            f"--per-round {selected} does not go with --method {options.method}, which needs all clients each round; "
            "leave it out, or take --method fledge."
        )
    if not 0 <= options.dropout < 1:
        raise BadInput(f"--dropout {options.dropout:g} is not a probability below 1; pass a number in [0, 1).")
    step_size = method.step_size if options.step_size is None else options.step_size
    if not (math.isfinite(step_size) and step_size > 0):
        raise BadInput(f"--step-size {step_size:g} must be a number above 0; pass one, or leave it out.")
    if options.method == "fledge" and selected is None:
        selected = max(1, round(math.sqrt(number)))
    local = method.has("num_local_steps")
    settings = {
        "step_size": step_size,
        "num_local_steps": options.num_local_steps,
        "batch_size": options.batch_size if local else options.num_local_steps * options.batch_size,
        "clients_per_round": None if selected == number else selected,
        "dropout": options.dropout,
    }
    return method.algorithm(**{name: value for name, value in settings.items() if method.has(name)})


def split(options: SimulationOptions, labels: np.ndarray) -> partitions.Parts:
    """Row indices of each client."""
    kind, _, text = options.partition.partition(":")
    option = f"--partition {options.partition!r}"
    if kind not in PARTITIONS:
        raise BadInput(f"{option} is not a split; {_alternatives(kind, PARTITIONS)}")
    if (kind == "even") == bool(text):
        raise BadInput(f"{option} must be even, or a name with its number, like concentration:0.6.")
    number, key = options.clients, jax.random.key(options.seed)
    try:
        if kind == "even":
            return partitions.evenly(len(labels), number, key=key)
        if kind == "concentration":
            return partitions.by_concentration(labels, number, float(text), key=key)
        if kind == "dirichlet":
            return partitions.dirichlet(labels, number, float(text), key=key)
        return partitions.shards(labels, number, key=key, shards_per_client=int(text))
    except ValueError as error:
        invalid = "convert" in str(error) or "literal" in str(error)
        why = f"{text!r} is not a number" if invalid else str(error).rstrip(".")
        raise BadInput(f"{option} with --clients {number} cannot be made: {why}.") from error


def history_of(federation: Federation, table: LabelledTable, start: PyTree, result: Result) -> History:
    """`COLUMNS` at the start and at every record."""
    inputs, labels = jnp.asarray(table.test_inputs), jnp.asarray(table.test_labels)

    @jax.jit
    def evaluate(positions: PyTree) -> tuple[jax.Array, jax.Array]:
        def one(x: PyTree) -> tuple[jax.Array, jax.Array]:
            return federation.value(x), classification.accuracy(x, inputs, labels)

        return jax.lax.map(one, positions)

    positions = jax.tree.map(lambda a, b: jnp.concatenate([a[None], jnp.asarray(b)]), start, result.positions)
    loss, accuracy = (np.asarray(a) for a in evaluate(positions))
    assert result.trace is not None
    counts = {name: np.insert(result.trace.info[name], 0, 0) for name in COLUMNS[1:5]}
    return {"round": np.insert(result.trace.steps, 0, 0), **counts, "loss": loss, "accuracy": accuracy}


def _save(folder: Path, content: dict[str, Any], history: History, federation: Federation, result: Result) -> None:
    from langevax.cli.federating import figures

    columns = [[f"{v:.8g}" if name in COLUMNS[5:] else str(v) for v in history[name]] for name in COLUMNS]
    lines = [",".join(row) for row in [COLUMNS, *zip(*columns, strict=True)]]
    (folder / "history.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    figure = figures.draw(content["method"], history)
    for kind in ("svg", "png"):
        figure.savefig(folder / f"figure.{kind}", dpi=200, bbox_inches="tight")
    figures.write_animation(folder / "animation.html", content, federation, result)
    write_json(folder / "result.json", plain(content))


def _report(output: Output, folder: Path, history: History) -> None:
    shown = np.unique(np.linspace(0, len(history["round"]) - 1, ROWS_SHOWN).round().astype(int))
    rows = [
        (
            *(f"{int(history[name][i]):,}" for name in COLUMNS[:3]),
            f"{history['bytes'][i] / 1e6:.2f}",
            f"{history['loss'][i]:.4f}",
            f"{history['accuracy'][i]:.3f}",
        )
        for i in shown
    ]
    output.blank()
    output.table(("round", "exchanges", "vectors", "megabytes", "loss", "accuracy"), rows)
    output.blank()
    accuracy, exchanges = history["accuracy"][-1], int(history["exchanges"][-1])
    output.say("Result", f"Accuracy {accuracy:.3f} on held-out rows after {exchanges:,} exchanges.")
    output.say("Figure", str(folder / "figure.svg"))
    output.say("Animation", str(folder / "animation.html"))


def _alternatives(name: str, known: Collection[str]) -> str:
    hint = nearest(name, known)
    return hint if hint.startswith("did") else f"choose from {listing(known, len(known))}."
