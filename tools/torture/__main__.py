"""Kill, corrupt and misuse what langevax saves, and count what came of it: `make torture`.

    python -m tools.torture            every kind of run and of file, at most 15 minutes on two cores
    python -m tools.torture --quick    a few of each, in a minute
    python -m tools.torture --only fit --only damage

The command prints tried / held / lost / silent / raw for each kind, and fails unless everything held. Files of runs
that did not hold are left in the folder that it names.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

from tools.torture import damage, storms
from tools.torture.children import Scenario, run_all
from tools.torture.corpus import add_corpus
from tools.torture.counts import Counts
from tools.torture.runs import RUNS, Run, import_packages

QUICK = ("simulate", "convert")
QUICK_STORMS, QUICK_KILLS, QUICK_DAMAGES = 3, 2, 6
SECONDS = 50.0  # of one core, for the kills of one kind of run
KILLS = 3  # in one storm
DAMAGES = 40  # of one kind of file


def main() -> int:
    """Run what is asked for; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.torture", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--quick", action="store_true", help="a few of each, in a minute"
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        help="kinds whose names contain this; repeat for more",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="of the moments of kills and the places of damage",
    )
    parser.add_argument("--jobs", type=int, default=2, help="scenarios at a time")
    options = parser.parse_args()
    began, counts = time.monotonic(), Counts()
    base = Path(tempfile.mkdtemp(prefix="langevax-torture-"))
    import_packages()
    run_all(scenarios(options, base, counts), options.jobs)
    if not options.quick and selected("corpus", options.only):
        add_corpus(counts)
    print(counts.table())
    print(f"{time.monotonic() - began:.0f} seconds, seed {options.seed}")
    for fault in counts.faults:
        print(fault, file=sys.stderr)
    if counts.whole:
        shutil.rmtree(base)
        return 0
    print(f"The files are in {str(base)!r}.", file=sys.stderr)
    return 1


def selected(name: str, only: list[str]) -> bool:
    """Return whether a kind is asked for."""
    return not only or any(part in name for part in only)


def scenarios(
    options: argparse.Namespace, base: Path, counts: Counts
) -> Iterator[Scenario]:
    """Yield scenarios for each kind of run, and for each kind of file."""
    for run in RUNS.values():
        if selected(run.name, options.only) and (
            not options.quick or run.name in QUICK or options.only
        ):
            yield of_run(run, base / run.name.replace(" ", "-"), options, counts)
    for files in damage.FILES:
        if selected(f"damage to {files.name}", options.only) and (
            files.quick or not options.quick or options.only
        ):
            number = QUICK_DAMAGES if options.quick else DAMAGES
            yield damage.damaged(
                files,
                base / f"damaged-{files.name.replace(' ', '-')}",
                number,
                options.seed,
                counts,
            )


def of_run(
    run: Run, folder: Path, options: argparse.Namespace, counts: Counts
) -> Scenario:
    """Run alone, then in storms, in a race, and with a full disk."""
    expected: dict[int, str] = {}
    changes: list[int] = []
    yield from storms.undisturbed(run, folder, expected, changes, variants=2)
    numbers = random.Random(zlib.crc32(run.name.encode()) + options.seed)
    kills = QUICK_KILLS if options.quick else KILLS
    number = (
        QUICK_STORMS
        if options.quick
        else max(3, int(SECONDS / run.seconds / (kills + 1)))
    )
    for i, planned in enumerate(storms.kills_of(changes[0], number, kills, numbers)):
        yield from storms.storm(
            run, folder / f"storm-{i}", planned, expected[0], counts
        )
    for i in range(1 if options.quick else 5):
        yield from storms.race(run, folder / f"race-{i}", expected, counts)
    for size in storms.FILE_SIZES[1:2] if options.quick else storms.FILE_SIZES:
        yield from storms.full_disk(
            run, folder / f"full-{size}", size, expected[0], counts
        )


if __name__ == "__main__":
    os.chdir(Path(__file__).parents[2])
    sys.exit(main())
