"""Files with flipped bits, cut short, emptied or missing: each is read as it was written, or refused in a sentence."""

import json
import random
import shutil
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

import langevax
from tools.torture import runs
from tools.torture.children import Child, Ended, Scenario, outcome_of
from tools.torture.counts import Counts

AT_ONCE = 20  # damages that one child reads
WAYS = (
    "flip",
    "flip",
    "flip",
    "flip",
    "cut",
    "flip",
    "flip",
    "empty",
    "flip",
    "missing",
)
LOGS = WAYS[:-1]  # of files without which a run goes on


@dataclass(frozen=True)
class Files:
    """A kind of file: how it is made and read, and which files of the folder are damaged."""

    name: str
    make: Callable[[Path], Any]
    read: Callable[[Path], str]
    """Return a digest of all that is read from a folder."""
    patterns: tuple[str, ...]
    quick: bool = False
    ways: tuple[str, ...] = WAYS


def damaged(
    files: Files, base: Path, number: int, seed: int, counts: Counts
) -> Scenario:
    """Make the files, read them as they are, then read copies with `number` damages of each pattern."""
    whole = base / "whole"
    (made,) = yield [Child(partial(_make_and_read, files, whole), base)]
    if made.answer is None:
        raise RuntimeError(
            f"{files.name} cannot be made: {made.refusal or made.raw or made}"
        )
    numbers = random.Random(zlib.crc32(files.name.encode()) + seed)
    damages = [
        (
            str(path.relative_to(whole)),
            files.ways[i % len(files.ways)],
            numbers.random(),
            numbers.randrange(8),
        )
        for pattern in files.patterns
        for i, path in _repeated(
            sorted(p for p in whole.glob(pattern) if p.is_file()), number
        )
    ]
    while damages:
        report = base / "report"
        report.unlink(missing_ok=True)
        (ended,) = yield [
            Child(partial(_read_all, files, whole, damages[:AT_ONCE], report), base)
        ]
        lines = report.read_text().splitlines() if report.exists() else []
        for line, planned in zip(lines, damages, strict=False):
            _count(files, Ended(*json.loads(line)), planned, made.answer, counts)
        damages = damages[len(lines) :]
        if ended.answer is None and damages:
            crash = ended if ended.raw else Ended(raw=f"ended by {ended}")
            _count(files, crash, damages[0], made.answer, counts)
            damages = damages[1:]
    shutil.rmtree(base)


def _repeated(paths: list[Path], number: int) -> Iterator[tuple[int, Path]]:
    """Yield the paths in turn, `number` in all."""
    assert paths, "no file matches"
    yield from ((i, paths[i % len(paths)]) for i in range(number))


def _make_and_read(files: Files, whole: Path) -> str:
    runs.save_often()
    whole.mkdir(parents=True)
    files.make(whole)
    copy = Path(shutil.copytree(whole, whole.with_name("copy")))
    try:
        return files.read(copy)
    finally:
        shutil.rmtree(copy)


def _read_all(
    files: Files, whole: Path, damages: list[tuple[str, str, float, int]], report: Path
) -> bool:
    """Write a line on each damage, so that a crash leaves those before it."""
    runs.save_often()
    for name, way, place, bit in damages:
        copy = Path(
            shutil.copytree(whole, whole.with_name("copy"), dirs_exist_ok=False)
        )
        try:
            spoil(copy / name, way, place, bit)
            ended = outcome_of(partial(files.read, copy))
        finally:
            shutil.rmtree(copy)
        with report.open("a") as file:
            file.write(json.dumps(ended) + "\n")
    return True


def spoil(path: Path, way: str, place: float, bit: int) -> None:
    """Damage one file; `place` is a share of its length."""
    content = bytearray(path.read_bytes())
    position = int(place * len(content))
    if way == "missing":
        path.unlink()
    elif way == "empty":
        path.write_bytes(b"")
    elif way == "cut":
        path.write_bytes(content[:position])
    else:
        content[position] ^= 1 << bit
        path.write_bytes(content)


def _count(
    files: Files, ended: Ended, planned: Any, expected: str, counts: Counts
) -> None:
    name, way, place, bit = planned
    if ended.raw or ended.signal:
        outcome, sentence = "raw", ended.raw or f"signal {ended.signal}"
    elif ended.refusal or ended.answer == expected:
        outcome, sentence = "held", ""
    else:
        outcome, sentence = "silent", "read as something else"
    counts.add(
        f"damage to {files.name}",
        outcome,
        f"{name}, {way} at {place:.4f}, bit {bit}: {sentence}",
    )


def _make_run(name: str, folder: Path) -> None:
    run = runs.RUNS[name]
    run.prepare(folder / "files")
    run.begin(folder / "files", 0)


def _resume_run(name: str, folder: Path) -> str:
    return runs.RUNS[name].resume(folder / "files", 0)


def _make_rows(folder: Path) -> None:
    from langevax.data import write_rows

    inputs = np.random.default_rng(3).normal(size=(200, 4)).astype(np.float32)
    write_rows(
        folder / "t.rows", {"inputs": inputs, "targets": np.arange(200)}, progress=False
    )


def _read_rows(folder: Path) -> str:
    from langevax.data import open_rows

    rows = open_rows(folder / "t.rows")
    arrays = {name: rows.numpy(name) for name in rows}
    return runs.digest(arrays, rows.means, rows.standard_deviations, rows.columns)


def _make_model(folder: Path) -> None:
    from langevax.sklearn import MeanFieldRegressor

    inputs = np.random.default_rng(3).normal(size=(40, 3)).astype(np.float32)
    model = MeanFieldRegressor(
        num_particles=20,
        num_steps=20,
        temperature=0.05,
        validation=None,
        random_state=0,
    )
    model.fit(inputs, inputs[:, 0]).save(
        folder / "model.safetensors", card={"table": "t.csv"}
    )


def _read_model(folder: Path) -> str:
    from langevax.sklearn import load

    model = load(folder / "model.safetensors")
    inputs = np.random.default_rng(4).normal(size=(10, 3)).astype(np.float32)
    return runs.digest(model.predict(inputs), repr(model), str(model.card_))


def _make_fit(folder: Path) -> None:
    runs.write_table(folder)
    runs.command(*runs.fit_words(folder))


def _predict(folder: Path) -> str:
    return runs.digest(runs.command("predict", folder / "out", folder / "table.csv"))


def _check_fit(folder: Path) -> str:
    """Return a digest of all that a folder holds: `langevax check` has to refuse every other one."""
    if "no result.json" in runs.command("check", folder / "out"):
        raise runs.Command(2, "Error: result.json is missing")
    parts = sorted(path for path in (folder / "out").iterdir() if path.is_file())
    return runs.digest(
        [path.name for path in parts], [path.read_bytes().hex() for path in parts]
    )


def _make_interrupted_fit(folder: Path) -> None:
    """Begin a fit and end it by Ctrl-C, when it has saved its first states."""
    from langevax.run.checkpoint import Checkpoint

    runs.write_table(folder)
    runs._patched("langevax.sklearn.training")
    saved, save = [], Checkpoint.save

    def interrupted(checkpoint: Checkpoint, *arguments: Any) -> None:
        save(checkpoint, *arguments)
        saved.append(arguments)
        if len(saved) == 3:
            raise KeyboardInterrupt

    Checkpoint.save = interrupted  # type: ignore[method-assign]
    try:
        runs.command(*runs.fit_words(folder))
    except runs.Command:
        pass
    finally:
        Checkpoint.save = save  # type: ignore[method-assign]


def _resume_fit(folder: Path) -> str:
    runs.command(*runs.fit_words(folder))
    return _predict(folder)


def _law_model() -> tuple[Any, Any, Any]:
    rows = np.linspace(-1, 1, 20, dtype=np.float32)
    return lambda m: -(m**2) / 8, lambda m, y: -((y - m) ** 2) / 2, rows


def _make_law(folder: Path) -> None:
    draws = np.random.default_rng(1).normal(size=64).astype(np.float32) / 4.5
    law = langevax.predictive(
        *_law_model(),
        key=jax.random.key(0),
        draws=draws,
        posterior_shares=(1.0,),
        num_folds=None,
        num_particles=16,
    )
    law.save(folder / "law.safetensors")


def _read_law(folder: Path) -> str:
    start = np.float32(0)
    load = langevax.predictive_law.load
    law = load(folder / "law.safetensors", *_law_model(), start=start)
    return runs.digest(law.points, law.log_likelihoods, repr(law), law.seconds > 0)


def _solve(folder: Path) -> str:
    """Return a digest of solves, which are read where they are as they were written, and made again elsewhere."""
    from langevax.sampling.solve_cache import SolveCache

    cache = SolveCache(folder / "solves.db")
    solve = cache.over("forward_map", lambda x: np.cumsum(np.sin(x)))
    return runs.digest([solve(np.full(9, float(i))) for i in range(20)])


def _certify(folder: Path) -> str:
    return runs.digest(
        runs.command("certify", folder / "out", "--effort", "1"), _check_fit(folder)
    )


FILES = (
    Files(
        "states",
        partial(_make_run, "simulate"),
        partial(_resume_run, "simulate"),
        ("files/run/state/*/**/*",),
        True,
    ),
    Files(
        "run.json",
        partial(_make_run, "simulate"),
        partial(_resume_run, "simulate"),
        ("files/run/run.json",),
        True,
    ),
    Files(
        "records",
        partial(_make_run, "simulate"),
        partial(_resume_run, "simulate"),
        ("files/run/trace/*",),
        True,
    ),
    Files(
        "row files", _make_rows, _read_rows, ("t.rows/*.npy", "t.rows/rows.json"), True
    ),
    Files("laws", _make_law, _read_law, ("law.safetensors",), True),
    Files("solve caches", _solve, _solve, ("solves.db",), True),
    Files("certified folders", _make_fit, _certify, ("out/*",)),
    Files("models", _make_model, _read_model, ("model.safetensors",), True),
    Files("schemas", _make_fit, _predict, ("out/schema.json",)),
    Files("fitted folders", _make_fit, _check_fit, ("out/*",)),
    Files(
        "interrupted fits",
        _make_interrupted_fit,
        _resume_fit,
        ("out/training/settings.json",),
    ),
    Files(
        "server checkpoints",
        partial(_make_run, "Flower server"),
        partial(_resume_run, "Flower server"),
        ("files/run/server.safetensors",),
    ),
    Files(
        "histories of servers",
        partial(_make_run, "Flower server"),
        partial(_resume_run, "Flower server"),
        ("files/out/history.jsonl",),
        ways=LOGS,
    ),
)
