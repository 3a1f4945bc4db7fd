"""Every kind of run that can be interrupted: how it begins, how it goes on, and a digest of its result.

Each takes a folder of its own and a variant, 0 or 1, with other settings: two writers of one folder must not be mixed
up. All work is done in forked children; heavy packages are imported there.
"""

import contextlib
import csv
import hashlib
import importlib
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import langevax
from tools.torture.children import Command

STEPS, CHUNK = 60, 10
ROWS = 60
COMPILED = Path(__file__).parents[2] / ".cache" / "jax"
Work = Callable[[Path, int], str]


@dataclass(frozen=True)
class Run:
    """A kind of run."""

    name: str
    begin: Work
    """Start in a folder that holds nothing of it, and return a digest of the result."""
    resume: Work
    """Go on with what an interrupted run has left, or start where it left nothing."""
    seconds: float
    """Of one child, roughly; the quick form takes the short ones."""
    prepare: Callable[[Path], None] = lambda folder: None
    """Write what the run reads, in the process that forks."""


def digest(*trees: Any) -> str:
    """Return a hash of all arrays, texts and numbers in some trees."""
    content = hashlib.sha256()
    for path, leaf in jax.tree.leaves_with_path(trees):
        key = isinstance(leaf, jax.Array) and jnp.issubdtype(
            leaf.dtype, jax.dtypes.prng_key
        )
        array = np.asarray(jax.random.key_data(leaf) if key else leaf)
        content.update(
            f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode()
        )
        content.update(
            str(leaf).encode() if array.dtype.kind in "OU" else array.tobytes()
        )
    return content.hexdigest()


def save_often() -> None:
    """Make every chunk of a run short and save after each, and share compiled programs with other children."""
    driver: Any = importlib.import_module("langevax.run.simulate")
    driver.FIRST_CHUNK, driver.next_length = CHUNK, lambda *_: CHUNK
    COMPILED.mkdir(parents=True, exist_ok=True)
    jax.config.update(
        "jax_compilation_cache_dir",
        os.environ.get("JAX_COMPILATION_CACHE_DIR", str(COMPILED)),
    )
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def command(*words: Any) -> str:
    """Run the command line in this process; return what it prints, or raise `Command`."""
    from langevax.app.main import app

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            app([str(word) for word in words], prog_name="langevax")
        except SystemExit as end:
            if end.code:
                raise Command(int(end.code), err.getvalue()) from None
    return out.getvalue()


def squared_distance(x: Any, a: Any) -> Any:
    return jnp.sum((x - a) ** 2) / 2


def _data(rows: int = 12, columns: int = 3) -> np.ndarray:
    return np.random.default_rng(7).normal(size=(rows, columns)).astype(np.float32)


def _of_result(result: langevax.Result) -> str:
    trace = result.trace and {
        "steps": result.trace.steps,
        "values": result.trace.values,
        "info": result.trace.info,
    }
    average = result.average and result.average.mean
    return digest(
        result.position,
        result.state,
        trace,
        average,
        result.counts_by_chain,
        result.steps,
    )


def simulate(
    algorithm: Callable[[int], Any],
    problem: Callable[[], Any],
    start: Callable[[], Any],
) -> Any:
    """Return the work of a run of `langevax.simulate`."""

    def work(folder: Path, variant: int, resume: bool) -> str:
        save_often()
        run = langevax.Run(folder / "run", resume, False, checkpoint_seconds=0.0)
        options: dict[str, Any] = {
            "run": run,
            "record_every": 4,
            "key": jax.random.key(0),
            "num_steps": STEPS,
        }
        return _of_result(
            langevax.simulate(algorithm(variant), problem(), start(), **options)
        )

    return work


def _langevin(variant: int) -> Any:
    return langevax.Langevin(
        0.1 / (1 + variant), 0.5, langevax.gradients.SVRG(batch_size=3, period=5)
    )


def _sum() -> Any:
    return langevax.FiniteSum(squared_distance, _data(), precision=0.3)


def _risk() -> Any:
    inputs = _data(16)
    return langevax.MeanFieldRisk(
        langevax.neurons.Tanh(),
        langevax.losses.Squared(),
        inputs,
        np.sin(inputs[:, 0]),
        precision=0.02,
    )


def _psdca(variant: int) -> Any:
    return langevax.meanfield.PSDCA(0.05, num_inner_steps=2 + variant, period=8)


def _federation() -> Any:
    return langevax.Federation.of(squared_distance, list(_data(30).reshape(5, 6, 3)))


def _fledge(variant: int) -> Any:
    return langevax.federated.FLEDGE(
        0.05 / (1 + variant), num_local_steps=3, batch_size=2, clients_per_round=3
    )


def _log_likelihood(x: Any, a: Any) -> Any:
    return -squared_distance(x, a)


def _sample(folder: Path, variant: int, resume: bool) -> str:
    save_often()
    posterior = langevax.posterior(
        None, _log_likelihood, _data(), prior_precision=1.0 + variant
    )
    options: dict[str, Any] = {
        "num_samples": 40,
        "num_chains": 2,
        "num_warmup": 10,
    }
    options |= {
        "thinning": 1,
        "algorithm": langevax.Langevin(0.1),
        "run": langevax.Run(
            checkpoint=folder / "run",
            resume=resume,
            progress=False,
            checkpoint_seconds=0.0,
        ),
    }
    samples = langevax.sample(
        posterior, np.zeros(3, np.float32), key=jax.random.key(1), **options
    )
    return digest(samples.draws)


def _patched(module: str) -> None:
    """Let a module that calls `simulate` save after every chunk."""

    def often(*arguments: Any, run: langevax.Run, **options: Any) -> Any:
        run = replace(run, checkpoint_seconds=0.0)
        return langevax.simulate(*arguments, run=run, **options)

    importlib.import_module(module).simulate = often  # type: ignore[attr-defined]


def _estimator(folder: Path, variant: int, resume: bool) -> str:
    from langevax.sklearn import MeanFieldRegressor

    save_often()
    inputs = _data(ROWS)
    model = MeanFieldRegressor(
        num_particles=20 + 10 * variant,
        num_steps=STEPS,
        temperature=0.05,
        validation=None,
        stop=None,
        run=langevax.Run(folder / "run", resume, checkpoint_seconds=0.0),
        random_state=0,
    )
    return digest(model.fit(inputs, np.sin(inputs[:, 0])).predict(inputs))


def write_table(folder: Path) -> None:
    """Write the table that commands read."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["height", "width", "price"])
        writer.writerows(
            [f"{a:.3f}", f"{b:.3f}", f"{a - 2 * b + 0.1 * c:.3f}"]
            for a, b, c in _data(ROWS)
        )


def fit_words(folder: Path, variant: int = 0) -> list[Any]:
    """Return the command line of a short fit."""
    words = [
        "fit",
        folder / "table.csv",
        "--target",
        "price",
        "--out",
        folder / "out",
        "--skip",
        "peers",
        "--skip",
        "certificate",
    ]
    return [
        *words,
        "--num-particles",
        20 + 10 * variant,
        "--num-steps",
        STEPS,
        "--temperature",
        0.05,
    ]


def fitted_digest(folder: Path) -> str:
    """Return a digest of the predictions of a fitted folder, after `langevax check` of it."""
    command("check", folder / "out")
    return digest(command("predict", folder / "out", folder / "table.csv"))


def _fit(folder: Path, variant: int, resume: bool) -> str:
    save_often()
    if (
        resume
        and (folder / "out" / "result.json").exists()
        and not (folder / "out" / "training").exists()
    ):
        return fitted_digest(folder)  # it had ended before the signal came
    command(*fit_words(folder, variant))
    return fitted_digest(folder)


def _convert(folder: Path, variant: int, resume: bool) -> str:
    from langevax.data import open_rows

    out, target = folder / "table.rows", ("price", "width")[variant]
    command(
        "convert",
        folder / "table.csv",
        "--target",
        target,
        "--out",
        out,
        *(["--force"] if resume else []),
    )
    rows = open_rows(out)
    rows.check()
    leftovers = [
        path.name for path in folder.iterdir() if path.name.startswith(".table.rows")
    ]
    return digest({name: rows.numpy(name) for name in rows}, leftovers)


def _server(folder: Path, variant: int, resume: bool) -> str:
    from langevax.federated import FedAvg
    from langevax.flower import Task, client_app
    from langevax.flower.server import serve
    from tests.flower.local_grid import LocalGrid

    save_often()
    clients = _data(30).reshape(5, 6, 3)

    def problem(context: Any) -> Any:
        return langevax.FiniteSum(
            squared_distance, clients[context.node_config["partition-id"]]
        )

    start = np.zeros(3, np.float32)
    task = Task(
        FedAvg(
            0.05 / (1 + variant), num_local_steps=3, batch_size=2, clients_per_round=3
        ),
        start,
        problem,
    )
    config = {
        "rounds": 6,
        "evaluate-every": 0,
        "deadline": 5.0,
        "checkpoint": str(folder / "run"),
        "resume": resume,
    }
    strategy, _ = serve(
        task,
        LocalGrid(client_app(task), len(clients)),
        config | {"out": str(folder / "out")},
    )
    text = (folder / "out" / "history.jsonl").read_text()
    lines = [str(list(json.loads(line).values())[:5]) for line in text.splitlines()]
    return digest(strategy.loop.position, strategy.loop.counts, lines)


def _run(name: str, work: Any, seconds: float, prepare: Any = None) -> Run:
    begin, resume = partial(_call, work, False), partial(_call, work, True)
    return Run(
        name,
        begin,
        resume,
        seconds,
        prepare or (lambda folder: folder.mkdir(parents=True)),
    )


def _call(work: Any, resume: bool, folder: Path, variant: int) -> str:
    return work(folder, variant, resume)


def _positions(size: int, columns: int = 3) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(size, columns)).astype(np.float32)


RUNS: dict[str, Run] = {
    run.name: run
    for run in (
        _run(
            "simulate", simulate(_langevin, _sum, lambda: np.zeros(3, np.float32)), 2.0
        ),
        _run("simulate, dual", simulate(_psdca, _risk, lambda: _positions(20, 4)), 4.0),
        _run(
            "simulate, federated",
            simulate(_fledge, _federation, lambda: np.zeros(3, np.float32)),
            3.0,
        ),
        _run("sample", _sample, 4.0),
        _run("estimator", _estimator, 3.0),
        _run("fit", _fit, 8.0, write_table),
        _run("convert", _convert, 0.5, write_table),
        _run("Flower server", _server, 3.0),
    )
}


def import_packages() -> None:
    """Import what children need, without starting JAX."""
    for name in (
        "orbax.checkpoint",
        "xarray",
        "h5netcdf",
        "polars",
        "langevax.sklearn",
        "langevax.app.fitting.run",
    ):
        importlib.import_module(name)
