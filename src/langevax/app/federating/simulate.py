"""`langevax federated simulate`: check the options, train, report and save."""

import math
import shutil
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from langevax import checks
from langevax._typing import PyTree
from langevax.app.errors import BadInput, RunFailed, listing, nearest
from langevax.app.federating import classification
from langevax.app.federating.classification import LabelledTable
from langevax.app.federating.template import unknown_method
from langevax.app.folder import RESULT, Folder, write_json
from langevax.app.options import SimulationOptions
from langevax.app.output import Output, plain
from langevax.data import partitions
from langevax.federated import CollapseError, Federated
from langevax.federated.collapse import LossWatch
from langevax.federated.defaults import FEDERATED_METHODS
from langevax.problems.federation import Federation
from langevax.run import (
    DivergenceError,
    Result,
    Trace,
    keep_compiled_programs,
    simulate,
)
from langevax.run.options import Run

HISTORY = "history.csv"
COLUMNS = ("round", "exchanges", "vectors", "bytes", "evaluations", "loss", "accuracy")
COUNTED = COLUMNS[1:5]
PARTITIONS: dict[str, Callable[..., partitions.Parts]] = {
    "even": lambda labels, number, text, key: partitions.evenly(
        len(labels), number, key=key
    ),
    "concentration": lambda labels, number, text, key: partitions.by_concentration(
        labels, number, float(text), key=key
    ),
    "dirichlet": lambda labels, number, text, key: partitions.dirichlet(
        labels, number, float(text), key=key
    ),
    "shards": lambda labels, number, text, key: partitions.shards(
        labels, number, key=key, shards_per_client=int(text)
    ),
}
"""By name: the rows of each client, of labels, the number of clients, the text behind the colon, and a key."""


def run(options: SimulationOptions) -> None:
    """Check the options, split the table, train, report and save."""
    output = Output(options.json)
    algorithm = algorithm_of(options)
    folder = Folder(options.folder, (HISTORY, RESULT), "langevax federated simulate")
    folder.check(options.force)
    table = classification.load_table(options.data, options.target, options.seed)
    numbers = table.inputs.shape[1] + table.num_classes + 1
    try:
        checks.fits_memory("--hidden", options.hidden, 4 * numbers)
    except ValueError as error:
        raise BadInput(str(error)) from error
    keep_compiled_programs()
    federation = classification.federation_of(table, split(options, table.labels))
    try:
        with folder.writing(options.force, options.settings):
            content = _train(output, options, algorithm, table, federation, folder)
    except KeyboardInterrupt as interrupt:
        if folder.history.exists():
            interrupt.args = (f"The rounds so far are in {str(folder.history)!r}.",)
        raise
    except OSError as error:
        raise RunFailed(
            f"{error.filename or options.folder} cannot be written ({error.strerror})."
        ) from error
    output.say("History", str(options.folder / HISTORY))
    output.result(plain(content))


def _train(
    output: Output,
    options: SimulationOptions,
    algorithm: Any,
    table: LabelledTable,
    federation: Federation,
    folder: Folder,
) -> dict[str, Any]:
    """Train, print and save in a folder whose lock is held; return the result."""
    start = classification.initial_position(
        jax.random.key(options.seed),
        table.inputs.shape[1],
        options.hidden,
        table.num_classes,
    )
    counts = np.asarray(federation.counts)
    clients = getattr(algorithm, "clients_per_round", None) or len(counts)
    name = type(algorithm).__name__
    step_size = float(algorithm.step_size)
    rows = f"{len(table.labels):,} rows over {len(counts)} clients of {counts.min()} to {counts.max()}"
    held_out = f"{len(table.test_labels):,} held out"
    model = f"{options.hidden} hidden neurons"
    if not options.hidden:
        model = "softmax regression"
    output.say("Table", f"{options.data}: {rows}, {held_out}")
    output.say("Model", f"{classification.num_parameters(start):,} numbers, {model}")
    output.say("Method", f"{name}, step size {step_size:g}, {clients} clients a round")
    history = RoundHistory(folder, federation, table, start, LossWatch(algorithm))
    result = _simulated(options, algorithm, federation, start, history, output.machine)
    last = dict(zip(COLUMNS, history.rows[-1], strict=True))
    content = {
        **options.settings,
        "step_size": step_size,
        "rows_of_a_client": {"least": counts.min(), "most": counts.max()},
        **last,
        "seconds": result.seconds,
        "seconds_to_first_step": result.seconds_to_first_step,
        "folder": str(options.folder),
    }
    with folder.filling() as new:
        shutil.copy(folder.history, new / HISTORY)
        write_json(new / RESULT, plain(content))
    cost = f"{last['exchanges']:,} exchanges, {last['bytes'] / 1e6:.2f} megabytes"
    output.say(
        "Result",
        f"Accuracy {last['accuracy']:.3f} on held-out rows, loss {last['loss']:.4f}, after {cost}.",
    )
    return content


def _simulated(
    options: SimulationOptions,
    algorithm: Any,
    federation: Federation,
    start: PyTree,
    history: "RoundHistory",
    quiet: bool,
    num_records: int = 100,
) -> Result:
    """Run the rounds; raise `RunFailed` where they diverge or collapse."""
    every = math.ceil(options.rounds / num_records)
    step_size = float(algorithm.step_size)
    at = f"at --step-size {step_size:g}"
    smaller = f"pass --step-size {step_size / 4:g}"
    try:
        return simulate(
            algorithm,
            federation,
            start,
            key=jax.random.key(options.seed),
            num_steps=options.rounds,
            record_every=every,
            callbacks=[history],
            callback_every=every,
            run=Run(progress=False if quiet else "auto"),
        )
    except DivergenceError as error:
        raise RunFailed(
            f"--method {options.method} diverged in round {error.step} {at}; {smaller}."
        ) from error
    except CollapseError as error:
        raise RunFailed(
            f"--method {options.method} collapsed by round {error.round} {at}: {error.reason}; {smaller}."
        ) from error


def algorithm_of(options: SimulationOptions) -> Federated:
    """Return the method with its settings."""
    name = options.method
    number = options.clients
    selected = options.per_round
    if name not in FEDERATED_METHODS:
        raise BadInput(unknown_method(name, FEDERATED_METHODS))
    method = FEDERATED_METHODS[name]
    if selected is not None and selected > number:
        raise BadInput(
            f"--per-round {selected} is more than --clients {number}; pass at most {number}."
        )
    if not method.has("clients_per_round") and selected not in (None, number):
        raise BadInput(
            f"--per-round {selected} does not go with --method {name}, which needs all clients each round; leave it "
            "out, or take --method fledge."
        )
    if not 0 <= options.dropout < 1:
        raise BadInput(
            f"--dropout {options.dropout:g} is not a probability below 1; pass a number in [0, 1)."
        )
    step_size = method.step_size if options.step_size is None else options.step_size
    if not 0 < step_size < math.inf:
        raise BadInput(
            f"--step-size {step_size:g} must be a number above 0; pass one, or leave it out."
        )
    if name == "fledge" and selected is None:
        selected = max(1, round(math.sqrt(number)))
    rows = options.batch_size
    if not method.has("num_local_steps") and not method.has("num_local_epochs"):
        rows *= options.num_local_steps
    settings = {
        "step_size": step_size,
        "num_local_steps": options.num_local_steps,
        "batch_size": rows,
        "clients_per_round": None if selected == number else selected,
        "dropout": options.dropout,
    }
    return method.algorithm(
        **{name: value for name, value in settings.items() if method.has(name)}
    )


def split(options: SimulationOptions, labels: np.ndarray) -> partitions.Parts:
    """Return the row indices of each client."""
    kind, colon, text = options.partition.partition(":")
    option = f"--partition {options.partition!r}"
    if kind not in PARTITIONS:
        hint = nearest(kind, PARTITIONS)
        if not hint.startswith("did"):
            hint = f"choose from {listing(PARTITIONS)}."
        raise BadInput(f"{option} is not a split; {hint}")
    if (kind == "even") == bool(colon) or (colon and not text):
        raise BadInput(
            f"{option} must be even, or a name with its number, like concentration:0.6."
        )
    number = options.clients
    key = jax.random.key(options.seed)
    try:
        return PARTITIONS[kind](labels, number, text, key)
    except ValueError as error:
        why = str(error).rstrip(".")
        if "convert" in why or "literal" in why:
            why = f"{text!r} is not a number"
        raise BadInput(
            f"{option} with --clients {number} cannot be made: {why}."
        ) from error


class RoundHistory:
    """`COLUMNS` at the start and at every record, in memory and in a file that grows with the run."""

    def __init__(
        self,
        folder: Folder,
        federation: Federation,
        table: LabelledTable,
        start: PyTree,
        watch: LossWatch,
    ):
        inputs = jnp.asarray(table.test_inputs)
        labels = jnp.asarray(table.test_labels)
        self.path = folder.history
        self.watch = watch
        self.rows: list[tuple[int | float, ...]] = []
        self.evaluate = jax.jit(
            lambda x: (federation.value(x), classification.accuracy(x, inputs, labels))
        )
        self.path.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
        self.add(0, [0] * len(COUNTED), start)

    def __call__(self, trace: Trace | None, state: Any) -> None:
        """Add the records that were made since the last call."""
        assert trace is not None
        for i in range(len(self.rows) - 1, len(trace)):
            counts = [int(trace.info[name][i]) for name in COUNTED]
            position = jax.tree.map(lambda a, i=i: a[i], trace.values)
            self.add(int(trace.steps[i]), counts, position)

    def add(self, round: int, counts: list[int], position: PyTree) -> None:
        loss, accuracy = map(float, self.evaluate(position))
        self.rows.append((round, *counts, loss, accuracy))
        with self.path.open("a", encoding="utf-8") as file:
            whole = ",".join(map(str, self.rows[-1][:5]))
            file.write(f"{whole},{loss:.8g},{accuracy:.8g}\n")
        self.watch.add(round, loss)
