"""The tables of a file of results, as Markdown: what methods need to 90 and 95 % of the best accuracy of all."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import results
from benchmarks.results import Record

LEVELS = (0.9, 0.95)
COSTS = ("exchanges", "bytes", "evaluations")


def read(path: Path) -> list[Record]:
    """Return the last record of each (task, setting, method, seed)."""
    return results.last(path, identity)


def identity(record: Record) -> tuple[Any, ...]:
    """Return what identifies a record; a record of tuning has no setting and no seed."""
    return tuple(record.get(name) for name in ("task", "setting", "method", "seed"))


def first_cost(record: Record, level: float, cost: str) -> float:
    """Return what it had cost when the accuracy was first at the level; infinite where it never was."""
    reached = np.asarray(record["accuracy"]) >= level
    return float(record[cost][int(reached.argmax())]) if reached.any() else np.inf


def printed(records: Iterable[Record]) -> str:
    """Return a table for each task and setting."""
    runs = [record for record in records if "accuracy" in record]
    places = dict.fromkeys((run["task"], run["setting"]) for run in runs)
    return "\n\n".join(
        _table(place, [run for run in runs if (run["task"], run["setting"]) == place])
        for place in places
    )


def _table(place: tuple[str, str], runs: list[Record]) -> str:
    seeds = sorted({run["seed"] for run in runs})
    best = {
        seed: max(max(run["accuracy"]) for run in runs if run["seed"] == seed)
        for seed in seeds
    }
    of_method: dict[str, list[Record]] = {}
    for run in runs:
        of_method.setdefault(run["method"], []).append(run)
    rows = []
    for method, own in of_method.items():
        means = [
            float(
                np.mean(
                    [first_cost(run, level * best[run["seed"]], cost) for run in own]
                )
            )
            for cost in COSTS
            for level in LEVELS
        ]
        accuracy = float(np.mean([max(run["accuracy"]) for run in own]))
        rows.append(
            ((means[1], means[0], -accuracy), method, means, accuracy, len(own))
        )
    header = [
        f"**{place[0]}, {place[1]}**: best accuracy {np.mean(list(best.values())):.3f}, {len(seeds)} seeds",
        "",
        "| method | exchanges to 90 % | to 95 % | MB to 90 % | to 95 % | gradients to 90 % | to 95 % | accuracy |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines = []
    for _, method, means, accuracy, number in sorted(rows):
        scales = (1, 1, 1e6, 1e6, 1, 1)
        digits = (1, 1, 2, 2, 0, 0)
        cells = [
            "-" if np.isinf(mean) else f"{mean / scale:,.{digit}f}"
            for mean, scale, digit in zip(means, scales, digits, strict=True)
        ]
        name = (
            method
            if number == len(seeds)
            else f"{method} ({number} of {len(seeds)} seeds)"
        )
        lines.append(f"| {name} | {' | '.join(cells)} | {accuracy:.3f} |")
    return "\n".join([*header, *lines])
