"""From the words of `langevax federated simulate` to a run, its table and its folder."""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from langevax.cli.errors import BadInput, RunFailed, listing, nearest
from langevax.cli.folder import make
from langevax.cli.output import Output, plain

STEP_SIZES = {
    "minibatch-sgd": 1.0, "fedavg": 0.5, "scaffold": 0.5, "mimesgd": 0.25, "minibatch-sarah": 1.0, "bvr-l-sgd": 0.0625,
    "fledge": 0.0625,
}  # fmt: skip
"""By method: powers of two that did well on digits split by concentration, K = 16."""
ALL_CLIENTS = ("minibatch-sarah", "bvr-l-sgd")
PARTITIONS = ("even", "concentration", "dirichlet", "shards")
FRAMES, ROWS_SHOWN = 100, 10
COLUMNS = ("round", "exchanges", "vectors", "bytes", "evaluations", "loss", "accuracy")


class Wanted(NamedTuple):
    """What was asked for."""

    method: str
    data: str
    target: str | None
    partition: str
    clients: int
    per_round: int | None
    rounds: int
    local_steps: int
    batch_size: int
    step_size: float | None
    hidden: int
    dropout: float
    out: Path
    seed: int


def run(output: Output, wanted: Wanted) -> None:
    """Check, split, train, tell and save."""
    algorithm, step_size = algorithm_of(wanted)
    from langevax.cli.federating.tables import table_of

    table = table_of(wanted.data, wanted.target, wanted.seed)
    make(wanted.out)
    from langevax.run import keep_compiled_programs

    keep_compiled_programs()
    import jax

    from langevax.run import DivergenceError, simulate
    from langevax.studies.federated import classes

    federation = classes.federation(table, parts_of(wanted, table.labels))
    counts = np.asarray(federation.counts)
    start = classes.start(jax.random.key(wanted.seed), table.inputs.shape[1], wanted.hidden, table.number)
    output.say("Table", f"{wanted.data}: {len(table.labels):,} rows over {len(counts)} clients of {counts.min()} to "
               f"{counts.max()}, {len(table.test_labels):,} held out")  # fmt: skip
    output.say("Model", f"{classes.size_of(start):,} numbers, "
               f"{f'{wanted.hidden} hidden neurons' if wanted.hidden else 'softmax regression'}")  # fmt: skip
    asked = getattr(algorithm, "clients_per_round", None) or len(counts)
    output.say("Method", f"{type(algorithm).__name__}, step size {step_size:g}, {asked} clients a round")
    try:
        result = simulate(
            algorithm, federation, start, key=jax.random.key(wanted.seed), num_steps=wanted.rounds,
            record_every=max(1, math.ceil(wanted.rounds / FRAMES)), progress=False if output.machine else None,
        )  # fmt: skip
    except DivergenceError as error:
        raise RunFailed(
            f"--method {wanted.method} diverged in round {error.step} at --step-size {step_size:g}; "
            f"pass --step-size {step_size / 4:g}."
        ) from error
    history = history_of(federation, table, start, result)
    content = _content(wanted, step_size, len(counts), counts, history, result)
    _save(wanted.out, content, history, federation, result, step_size)
    _tell(output, wanted, history)
    output.result(plain(content))


def algorithm_of(wanted: Wanted) -> tuple[Any, float]:
    """The algorithm, and its step size."""
    from langevax import federated

    if wanted.method not in STEP_SIZES:
        raise BadInput(f"--method {wanted.method!r} is no method; {_choice(wanted.method, STEP_SIZES)}")
    if wanted.per_round is not None and wanted.per_round > wanted.clients:
        raise BadInput(
            f"--per-round {wanted.per_round} is more than --clients {wanted.clients}; pass at most {wanted.clients}."
        )
    if wanted.method in ALL_CLIENTS and wanted.per_round not in (None, wanted.clients):
        raise BadInput(
            f"--per-round {wanted.per_round} does not go with --method {wanted.method}, which needs all clients each "
            "round; leave it out, or take --method fledge."
        )
    if not 0 <= wanted.dropout < 1:
        raise BadInput(f"--dropout {wanted.dropout:g} is no probability below 1; pass a number in [0, 1).")
    h = STEP_SIZES[wanted.method] if wanted.step_size is None else wanted.step_size
    if not (math.isfinite(h) and h > 0):
        raise BadInput(f"--step-size {h:g} must be a number above 0; pass one, or leave it out.")
    p = None if wanted.per_round == wanted.clients else wanted.per_round
    if wanted.method == "fledge" and wanted.per_round is None:
        p = max(1, round(math.sqrt(wanted.clients)))
    common: dict[str, Any] = {"step_size": h, "dropout": wanted.dropout}
    local: dict[str, Any] = common | {"local_steps": wanted.local_steps, "batch_size": wanted.batch_size}
    at_once: dict[str, Any] = common | {"batch_size": wanted.local_steps * wanted.batch_size}
    made = {
        "minibatch-sgd": lambda: federated.MinibatchSGD(**at_once, clients_per_round=p),
        "fedavg": lambda: federated.FedAvg(**local, clients_per_round=p),
        "scaffold": lambda: federated.Scaffold(**local, clients_per_round=p),
        "mimesgd": lambda: federated.MimeSGD(**local, clients_per_round=p),
        "minibatch-sarah": lambda: federated.MinibatchSARAH(**at_once),
        "bvr-l-sgd": lambda: federated.BVRLSGD(**local),
        "fledge": lambda: federated.FLEDGE(**local, clients_per_round=p),
    }
    return made[wanted.method](), h


def parts_of(wanted: Wanted, labels: np.ndarray) -> list[np.ndarray]:
    """Row indices of each client."""
    from langevax.data import partitions

    kind, _, given = wanted.partition.partition(":")
    said = f"--partition {wanted.partition!r}"
    if kind not in PARTITIONS:
        raise BadInput(f"{said} is no split; {_choice(kind, PARTITIONS)}")
    if (kind == "even") == bool(given):
        raise BadInput(f"{said} must be even, or a name with its number, like concentration:0.6.")
    try:
        number = float(given) if given else 0.0
        if kind == "even":
            return partitions.evenly(len(labels), wanted.clients, seed=wanted.seed)
        if kind == "concentration":
            return partitions.by_concentration(labels, wanted.clients, number, seed=wanted.seed)
        if kind == "dirichlet":
            return partitions.dirichlet(labels, wanted.clients, number, seed=wanted.seed)
        return partitions.shards(labels, wanted.clients, seed=wanted.seed, shards_per_client=int(given))
    except ValueError as error:
        why = f"{given!r} is no number" if "convert" in str(error) or "literal" in str(error) else str(error)
        raise BadInput(f"{said} with --clients {wanted.clients} cannot be made: {why.rstrip('.')}.") from error


def history_of(federation: Any, table: Any, start: Any, result: Any) -> dict[str, np.ndarray]:
    """COLUMNS at the start and at every record."""
    import jax
    import jax.numpy as jnp

    from langevax.studies.federated import classes

    inputs, labels = jnp.asarray(table.test_inputs), jnp.asarray(table.test_labels)

    @jax.jit
    def seen(positions: Any) -> Any:
        return jax.lax.map(lambda x: (federation.value(x), classes.accuracy(x, inputs, labels)), positions)

    loss, accuracy = (np.asarray(a) for a in seen(with_start(start, result)))
    spent = {name: np.insert(result.trace.info[name], 0, 0) for name in COLUMNS[1:5]}
    return {"round": np.insert(result.trace.steps, 0, 0), **spent, "loss": loss, "accuracy": accuracy}


def with_start(start: Any, result: Any) -> Any:
    """Positions, the start first."""
    import jax
    import jax.numpy as jnp

    return jax.tree.map(lambda a, b: jnp.concatenate([a[None], jnp.asarray(b)]), start, result.positions)


def _content(
    wanted: Wanted, step_size: float, clients: int, counts: np.ndarray, history: dict[str, np.ndarray], result: Any
) -> dict[str, Any]:
    asked = {name: value for name, value in wanted._asdict().items() if name != "out"}
    end = {name: values[-1] for name, values in history.items()}
    rows = {"least": counts.min(), "most": counts.max()}
    return {**asked, "step_size": step_size, "rows_of_a_client": rows, **end, "seconds": result.seconds,
            "seconds_to_first_step": result.seconds_to_first_step, "folder": str(wanted.out)}  # fmt: skip


def _save(
    folder: Path, content: dict[str, Any], history: dict[str, np.ndarray], federation: Any, result: Any, step: float
) -> None:
    from langevax.cli.federating import pictures

    lines = [",".join(COLUMNS)]
    lines += [",".join(f"{history[name][i]:.8g}" if name in COLUMNS[5:] else str(history[name][i]) for name in COLUMNS)
              for i in range(len(history["round"]))]  # fmt: skip
    (folder / "history.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    figure = pictures.figure(content["method"], history)
    for kind in ("svg", "png"):
        figure.savefig(folder / f"figure.{kind}", dpi=200, bbox_inches="tight")
    pictures.write_animation(folder / "animation.html", content, history, federation, result, step)
    text = json.dumps(plain(content), indent=1, ensure_ascii=False)
    (folder / "result.json").write_text(text + "\n", encoding="utf-8")


def _tell(output: Output, wanted: Wanted, history: dict[str, np.ndarray]) -> None:
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
    output.say("Found", f"Accuracy {history['accuracy'][-1]:.3f} on rows held out after "
               f"{int(history['exchanges'][-1]):,} exchanges.")  # fmt: skip
    output.say("Figure", str(wanted.out / "figure.svg"))
    output.say("Animation", str(wanted.out / "animation.html"))


def _choice(name: str, known: Any) -> str:
    hint = nearest(name, known)
    return hint if hint.startswith("did") else f"there are {listing(known, len(known))}."
