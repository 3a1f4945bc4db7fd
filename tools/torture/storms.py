"""Runs that are killed again and again, that share a folder, or whose disk is full; each has to end as if alone."""

import random
import shutil
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tools.torture.children import WAYS, Child, Ended, Scenario
from tools.torture.counts import Counts
from tools.torture.runs import Run

FILE_SIZES = (0, 200, 2_000, 20_000)  # bytes that a full disk takes of a file
SIGNALS = {int(getattr(signal, way)) for way in WAYS}


def undisturbed(
    run: Run, folder: Path, expected: dict[int, str], changes: list[int], variants: int
) -> Scenario:
    """Run alone, in each variant; store the digests, and how many changes of files the run makes."""
    for variant in range(variants):
        own = folder / f"alone {variant}"
        run.prepare(own)
        (ended,) = yield [Child(partial(run.begin, own, variant), own)]
        if ended.answer is None:
            raise RuntimeError(
                f"{run.name} does not run: {ended.refusal or ended.raw or ended}"
            )
        expected[variant] = ended.answer
        changes.append(ended.changes)
        shutil.rmtree(own)


def storm(
    run: Run, folder: Path, kills: list[tuple[str, int]], expected: str, counts: Counts
) -> Scenario:
    """Begin, kill, resume, kill, ..., and resume until the end; each kill is (signal, number of the change)."""
    run.prepare(folder)
    name, work, saved = f"kills of {run.name}", run.begin, -1
    for number, (way, at) in enumerate(kills):
        (ended,) = yield [Child(partial(work, folder, 0), folder, way, at)]
        where = f"{way} before change {at}, kill {number + 1} of {kills}, in {folder}"
        if ended.signal not in SIGNALS and ended.answer != expected:
            outcome, sentence = verdict(ended, expected)
            counts.add(name, outcome, f"{sentence} at {where}")
            return
        if (last := saved_steps(folder)) < saved:
            counts.add(
                name, "lost", f"step {saved} was saved and step {last} is left: {where}"
            )
            return
        counts.add(name, "held")
        saved, work = last, run.resume
    (ended,) = yield [Child(partial(run.resume, folder, 0), folder)]
    outcome, sentence = verdict(ended, expected)
    counts.add(
        f"resumes of {run.name}", outcome, f"{sentence} after {kills} in {folder}"
    )
    if outcome == "held":
        shutil.rmtree(folder)


def race(run: Run, folder: Path, expected: dict[int, str], counts: Counts) -> Scenario:
    """Two processes with other settings write one folder; each ends as if alone, or is refused."""
    run.prepare(folder)
    both = yield [
        Child(partial(run.begin, folder, variant), folder) for variant in (0, 1)
    ]
    outcomes = []
    for variant, ended in enumerate(both):
        refused = bool(ended.refusal)
        outcome, sentence = (
            ("held", "") if refused else verdict(ended, expected[variant])
        )
        outcomes.append(outcome)
        counts.add(
            f"two writers of {run.name}",
            outcome,
            f"variant {variant}: {sentence} in {folder}",
        )
    if all(ended.refusal for ended in both):
        counts.add(
            f"two writers of {run.name}",
            "lost",
            f"both were refused: {both[0].refusal}",
        )
    elif outcomes == ["held", "held"]:
        shutil.rmtree(folder)


def full_disk(
    run: Run, folder: Path, size: int, expected: str, counts: Counts
) -> Scenario:
    """No file can grow beyond `size` bytes: the run ends in a sentence, or as if there was space; then there is."""
    run.prepare(folder)
    (ended,) = yield [Child(partial(run.begin, folder, 0), folder, largest_file=size)]
    outcome, sentence = ("held", "") if ended.refusal else verdict(ended, expected)
    counts.add(
        f"full disk under {run.name}",
        outcome,
        f"files of {size} bytes: {sentence} in {folder}",
    )
    (ended,) = yield [Child(partial(run.resume, folder, 0), folder)]
    outcome, sentence = verdict(ended, expected)
    counts.add(
        f"full disk under {run.name}",
        outcome,
        f"resumed after files of {size} bytes: {sentence} in {folder}",
    )
    if outcome == "held":
        shutil.rmtree(folder)


def verdict(ended: Ended, expected: str) -> tuple[str, str]:
    """Return the outcome of a run that should have its whole result, and a sentence on it."""
    if ended.raw:
        return "raw", ended.raw
    if ended.refusal:
        return "lost", ended.refusal
    if ended.answer is None:
        return "lost", f"ended by signal {ended.signal}"
    return (
        ("held", "")
        if ended.answer == expected
        else ("silent", "another result than undisturbed")
    )


def saved_steps(folder: Path) -> int:
    """Return the last step that is saved in a checkpoint below a folder; -1 where none is."""
    return max(
        (int(path.name) for path in folder.glob("run/state/*") if path.name.isdigit()),
        default=-1,
    )


def kills_of(
    changes: int, storms: int, kills: int, random_numbers: random.Random
) -> Iterator[list[tuple[str, int]]]:
    """Yield the kills of each storm: the first ones cover the run evenly, later ones are anywhere."""
    for number in range(storms):
        first = int((number + random_numbers.random()) * changes / storms)
        rest = [random_numbers.randrange(max(1, changes)) for _ in range(kills - 1)]
        ways = [WAYS[number % len(WAYS)], *(random_numbers.choice(WAYS) for _ in rest)]
        yield list(zip(ways, [first, *rest], strict=True))
