"""`langevax federated simulate`: check the options, train, report and save."""

import math
import shutil
from collections.abc import Collection
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from langevax import checks
from langevax._typing import PyTree
from langevax.app.errors import BadInput, RunFailed, listing, nearest
from langevax.app.federated import SimulationOptions
from langevax.app.federating import classification, figures
from langevax.app.federating.classification import LabelledTable
from langevax.app.folder import HISTORY, RESULT, Folder, write_json
from langevax.app.output import Output, plain
from langevax.data import partitions
from langevax.federated import CollapseError, Federated, MethodChoice, choose_method
from langevax.federated.collapse import LossWatch
from langevax.federated.defaults import METHODS, SERVER_STEP_SIZES
from langevax.problems.federation import Federation
from langevax.run import (
    DivergenceError,
    Trace,
    keep_compiled_programs,
    simulate,
)

AUTO = "auto"
PROBING = 2**31  # of the key of probing rounds
PARTITIONS = ("even", "concentration", "dirichlet", "shards")
FRAMES, ROWS_SHOWN = 100, 10
FILES = (HISTORY, "figure.svg", "figure.png", RESULT)
COLUMNS = ("round", "exchanges", "vectors", "bytes", "evaluations", "loss", "accuracy")
History = dict[str, np.ndarray]


def run(output: Output, options: SimulationOptions, force: bool = False) -> None:
    """Check the options, split the table, train, report and save."""
    algorithm = algorithm_of(options)
    folder = Folder(options.folder, FILES, "langevax federated simulate")
    folder.check(False, force)
    table = classification.load_table(options.data, options.target, options.seed)
    try:
        checks.fits_memory(
            "--hidden",
            options.hidden,
            4 * (table.inputs.shape[1] + table.num_classes + 1),
        )
    except ValueError as error:
        raise BadInput(str(error)) from error
    keep_compiled_programs()
    federation = classification.federation_of(table, split(options, table.labels))
    try:
        with folder.writing(
            False, force, plain(asdict(options) | {"out": str(options.folder)})
        ):
            _train(output, options, algorithm, table, federation, folder)
    except KeyboardInterrupt as interrupt:
        if folder.history.exists():
            interrupt.args = (f"The rounds so far are in {str(folder.history)!r}.",)
        raise
    except OSError as error:
        raise RunFailed(
            f"{error.filename or options.folder} cannot be written ({error.strerror})."
        ) from error


def _train(
    output: Output,
    options: SimulationOptions,
    algorithm: Federated,
    table: LabelledTable,
    federation: Federation,
    folder: Folder,
) -> None:
    """Train, report and save in a folder whose lock is held."""
    step_size = float(algorithm.step_size)  # type: ignore[attr-defined]
    counts = np.asarray(federation.counts)
    choice: MethodChoice | None = None
    start = classification.initial_position(
        jax.random.key(options.seed),
        table.inputs.shape[1],
        options.hidden,
        table.num_classes,
    )
    model = (
        f"{options.hidden} hidden neurons" if options.hidden else "softmax regression"
    )
    selected = getattr(algorithm, "clients_per_round", None) or len(counts)
    output.say(
        "Table",
        f"{options.data}: {len(table.labels):,} rows over {len(counts)} clients of {counts.min()} to {counts.max()}, "
        f"{len(table.test_labels):,} held out",
    )
    output.say("Model", f"{classification.num_parameters(start):,} numbers, {model}")
    every = max(1, math.ceil(options.rounds / FRAMES))
    try:
        if options.method == AUTO:
            choice = _choose(options, step_size, federation, start)
            start, algorithm = (
                choice.position,
                replace(choice.algorithm, dropout=options.dropout),
            )  # type: ignore[type-var]
            output.say("Choice", f"{choice.name}: {choice.reason}")
        own_step_size = float(algorithm.step_size)  # type: ignore[attr-defined]
        output.say(
            "Method",
            f"{type(algorithm).__name__}, step size {own_step_size:g}, {selected} clients a round",
        )
        before = None if choice is None else choice.counts
        history = RoundHistory(
            folder.history, federation, table, start, LossWatch(algorithm), before
        )
        result = simulate(
            algorithm,
            federation,
            start,
            key=jax.random.key(options.seed),
            num_steps=options.rounds,
            record_every=every,
            callbacks=[history],
            callback_every=every,
            progress=False if output.machine else "auto",
        )
    except DivergenceError as error:
        raise RunFailed(
            f"--method {options.method} diverged in round {error.step} at --step-size {step_size:g}; "
            f"pass --step-size {step_size / 4:g}."
        ) from error
    except CollapseError as error:
        raise RunFailed(
            f"--method {options.method} collapsed by round {error.round} at --step-size {step_size:g}: {error.reason}; "
            f"pass --step-size {step_size / 4:g}."
        ) from error
    columns = history.columns()
    content = {
        **{name: value for name, value in asdict(options).items() if name != "out"},
        **({} if choice is None else {"choice": _chosen(choice)}),
        "step_size": step_size,
        "rows_of_a_client": {"least": counts.min(), "most": counts.max()},
        **{name: values[-1] for name, values in columns.items()},
        "seconds": result.seconds,
        "seconds_to_first_step": result.seconds_to_first_step,
        "folder": str(options.folder),
    }
    content["command"] = figures.command(content)
    _save(folder, content, columns)
    _report(output, options.folder, columns)
    output.result(plain(content))


def _choose(
    options: SimulationOptions, step_size: float, federation: Federation, start: PyTree
) -> MethodChoice:
    """Choose a method by probing rounds, of FedAvg with this step size."""
    key = jax.random.fold_in(jax.random.key(options.seed), PROBING)
    return choose_method(
        *(federation, start),
        key=key,
        step_size=step_size,
        num_local_steps=options.num_local_steps,
        batch_size=options.batch_size,
        clients_per_round=None
        if options.per_round == options.clients
        else options.per_round,
    )


def _chosen(choice: MethodChoice) -> dict[str, Any]:
    """Part of result.json on a choice; a number that is not finite is null."""
    numbers = {"drift": choice.drift, "hessian_difference": choice.hessian_difference}
    finite = {
        name: value if math.isfinite(value) else None for name, value in numbers.items()
    }
    step_size: Any = choice.algorithm.step_size  # type: ignore[attr-defined]
    own = {
        "method": choice.name,
        "step_size": float(step_size),
        "reason": choice.reason,
    }
    return {**own, **finite, "probing": choice.counts}


def algorithm_of(options: SimulationOptions) -> Federated:
    """The method with its settings; for `AUTO` that of the probing rounds."""
    if options.method == AUTO:
        if options.server_optimizer != "none" or options.server_step_size is not None:
            name = (
                "--server-optimizer"
                if options.server_optimizer != "none"
                else "--server-step-size"
            )
            raise BadInput(
                f"{name} goes with a method; leave it out, or name one by --method."
            )
        if options.per_round == 1 or options.clients == 1:
            name = "--per-round" if options.per_round == 1 else "--clients"
            raise BadInput(
                f"{name} 1 does not go with --method auto, which compares clients; pass at least 2."
            )
        return algorithm_of(replace(options, method="fedavg"))
    if options.method not in METHODS:
        raise BadInput(
            f"--method {options.method!r} is not a method; {_alternatives(options.method, [*METHODS, AUTO])}"
        )
    method, number, selected = (
        METHODS[options.method],
        options.clients,
        options.per_round,
    )
    if selected is not None and selected > number:
        raise BadInput(
            f"--per-round {selected} is more than --clients {number}; pass at most {number}."
        )
    if not method.has("clients_per_round") and selected not in (None, number):
        raise BadInput(
            f"--per-round {selected} does not go with --method {options.method}, which needs all clients each round; "
            "leave it out, or take --method fledge."
        )
    if not 0 <= options.dropout < 1:
        raise BadInput(
            f"--dropout {options.dropout:g} is not a probability below 1; pass a number in [0, 1)."
        )
    optimizer = options.server_optimizer
    if optimizer not in SERVER_STEP_SIZES:
        hint = _alternatives(optimizer, SERVER_STEP_SIZES)
        raise BadInput(f"--server-optimizer {optimizer!r} is not an optimizer; {hint}")
    if optimizer != "none" and not method.has("server_optimizer"):
        raise BadInput(
            f"--server-optimizer {optimizer} does not go with --method {options.method}; leave it out, or take one of "
            f"{listing([name for name, other in METHODS.items() if other.has('server_optimizer')], len(METHODS))}."
        )
    if options.server_step_size is not None and not method.has("server_step_size"):
        raise BadInput(
            f"--server-step-size {options.server_step_size:g} does not go with --method {options.method}, whose server "
            "has no step size of its own; leave it out."
        )
    step_size = method.step_size if options.step_size is None else options.step_size
    server_step_size = (
        SERVER_STEP_SIZES[optimizer]
        if options.server_step_size is None
        else options.server_step_size
    )
    for option, size in (
        ("--step-size", step_size),
        ("--server-step-size", server_step_size),
    ):
        if not (math.isfinite(size) and size > 0):
            raise BadInput(
                f"{option} {size:g} must be a number above 0; pass one, or leave it out."
            )
    if options.method == "fledge" and selected is None:
        selected = max(1, round(math.sqrt(number)))
    local = method.has("num_local_steps") or method.has("num_local_epochs")
    settings = {
        "step_size": step_size,
        "num_local_steps": options.num_local_steps,
        "batch_size": options.batch_size
        if local
        else options.num_local_steps * options.batch_size,
        "clients_per_round": None if selected == number else selected,
        "server_step_size": server_step_size,
        "server_optimizer": None if optimizer == "none" else optimizer,
        "dropout": options.dropout,
    }
    return method.algorithm(
        **{name: value for name, value in settings.items() if method.has(name)}
    )


def split(options: SimulationOptions, labels: np.ndarray) -> partitions.Parts:
    """Row indices of each client."""
    kind, colon, text = options.partition.partition(":")
    option = f"--partition {options.partition!r}"
    if kind not in PARTITIONS:
        raise BadInput(f"{option} is not a split; {_alternatives(kind, PARTITIONS)}")
    if (kind == "even" and colon) or (kind != "even" and not text):
        raise BadInput(
            f"{option} must be even, or a name with its number, like concentration:0.6."
        )
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
        raise BadInput(
            f"{option} with --clients {number} cannot be made: {why}."
        ) from error


class RoundHistory:
    """`COLUMNS` at the start and at every record, in memory and in a file that grows with the run."""

    def __init__(
        self,
        path: Path,
        federation: Federation,
        table: LabelledTable,
        start: PyTree,
        watch: LossWatch,
        before: dict[str, int] | None,
    ):
        inputs, labels = jnp.asarray(table.test_inputs), jnp.asarray(table.test_labels)
        self.path = path
        self.watch = watch
        self.before: dict[str, int] = before or dict.fromkeys(COLUMNS[1:5], 0)
        self.rows: list[tuple[int | float, ...]] = []
        self.evaluate = jax.jit(
            lambda x: (federation.value(x), classification.accuracy(x, inputs, labels))
        )
        path.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
        self.add(0, self.before, start)

    def __call__(self, trace: Trace | None, state: Any) -> None:
        """Add the records that were made since the last call."""
        assert trace is not None
        for i in range(len(self.rows) - 1, len(trace)):
            counts = {
                name: self.before[name] + int(trace.info[name][i])
                for name in COLUMNS[1:5]
            }
            self.add(
                int(trace.steps[i]),
                counts,
                jax.tree.map(lambda a, i=i: a[i], trace.values),
            )

    def add(self, round: int, counts: dict[str, int], position: PyTree) -> None:
        loss, accuracy = map(float, self.evaluate(position))
        self.rows.append((round, *counts.values(), loss, accuracy))
        with self.path.open("a", encoding="utf-8") as file:
            file.write(
                ",".join(
                    [*map(str, self.rows[-1][:5]), f"{loss:.8g}", f"{accuracy:.8g}"]
                )
                + "\n"
            )
        self.watch.add(round, loss)

    def columns(self) -> History:
        """Return the history as arrays."""
        return {
            name: np.array(values)
            for name, values in zip(COLUMNS, zip(*self.rows, strict=True), strict=True)
        }


def _save(folder: Folder, content: dict[str, Any], history: History) -> None:
    with folder.filling() as new:
        shutil.copy(folder.history, new / HISTORY)
        chosen = f", {content['choice']['method']}" if "choice" in content else ""
        figure = figures.draw(content["method"] + chosen, history)
        for kind in ("svg", "png"):
            figure.savefig(new / f"figure.{kind}", dpi=200, bbox_inches="tight")
        write_json(new / RESULT, plain(content))


def _report(output: Output, folder: Path, history: History) -> None:
    shown = np.unique(
        np.linspace(0, len(history["round"]) - 1, ROWS_SHOWN).round().astype(int)
    )
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
    output.table(
        ("round", "exchanges", "vectors", "megabytes", "loss", "accuracy"), rows
    )
    output.blank()
    accuracy, exchanges = history["accuracy"][-1], int(history["exchanges"][-1])
    output.say(
        "Result",
        f"Accuracy {accuracy:.3f} on held-out rows after {exchanges:,} exchanges.",
    )
    output.say("Figure", str(folder / "figure.svg"))


def _alternatives(name: str, known: Collection[str]) -> str:
    hint = nearest(name, known)
    return (
        hint if hint.startswith("did") else f"choose from {listing(known, len(known))}."
    )
