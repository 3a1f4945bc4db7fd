"""What a network says about its rows, held against trainings without them: `python -m benchmarks influence [OPTIONS]`.

    python -m benchmarks influence                                   # a fixed part, within two CPU hours
    python -m benchmarks influence --parts rows --tables diabetes    # one question of one table
    python -m benchmarks influence --report                          # the tables of the file, nothing run

Five of the ten tables were used for nothing while the formulas were chosen. Results are lines of `--out`, one a (part,
table): the same command goes on where it ended, and each prints the tables of all lines.
"""

import argparse
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import results
from benchmarks.influence import peers, report, trials
from benchmarks.results import Record

SEEN = ("diabetes", "breast cancer", "schools", "pima", "glass")
UNSEEN = ("carseats", "quakes", "radon", "infarction", "participation")
TEN = SEEN + UNSEEN
SIX = ("breast cancer", "iris", "wine", "pima", "infarction", "participation")

PARTS = {
    "rows": (trials.rows, TEN),
    "tenth": (trials.tenth, TEN),
    "intervals": (trials.intervals, TEN),
    "labels": (trials.labels, SIX),
    "costs": (trials.costs, ("500", "2000", "5000")),
    "peers": (peers.rows, ("diabetes", "carseats")),
}


def identity(record: Record) -> tuple[str, str]:
    """Return which result a line is."""
    return record["part"], record["table"]


def run(
    parts: Sequence[str], tables: Sequence[str], done: set[tuple[str, str]]
) -> Iterator[Record]:
    """Yield the results that are not there yet."""
    for part in parts:
        measure, names = PARTS[part]
        for name in names:
            if (tables and name not in tables) or (part, name) in done:
                continue
            print(f"{part}: {name}", file=sys.stderr, flush=True)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of fits: what they say is counted
                yield {"part": part, "table": name, **measure(name)}


def main(arguments: Sequence[str] = ()) -> None:
    """Measure what the file does not have yet, and print it."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks influence", description=__doc__
    )
    parser.add_argument("--parts", default=",".join(PARTS), help="%(default)s")
    parser.add_argument("--tables", default="", help="some only, by commas")
    results.add_options(parser, Path("out/influence.jsonl"))
    options = parser.parse_args(arguments)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    done = {identity(record) for record in results.lines(options.out)}
    if not options.report:
        tables = options.tables.split(",") if options.tables else []
        results.append(options.out, run(options.parts.split(","), tables, done))
    report.show(results.last(options.out, identity))
