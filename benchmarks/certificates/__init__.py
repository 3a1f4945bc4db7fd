"""False trust, coverage, reach and costs of the certificate: `python -m benchmarks certificates [OPTIONS]`.

    python -m benchmarks certificates                                        # a fixed part, about five CPU minutes
    python -m benchmarks certificates --pairs 300 --first 2000 --tables none # problems with known optima
    python -m benchmarks certificates --pairs 0 --tables small,large,real --seeds 3

Results are lines of `--out`, one a (problem or table, seed): the same command goes on where it ended, and each prints
the tables of all lines of the file.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks import results
from benchmarks.certificates import known_optima, reach
from benchmarks.certificates.known_optima import Judged
from benchmarks.certificates.problems import FAMILIES, NEW, GridError
from benchmarks.certificates.reach import Certified

Line = Judged | Certified
PAIRS = 2 * len(FAMILIES)


def read(path: Path) -> dict[tuple[str, int], Line]:
    """Return the lines of a file by (problem or table, seed)."""
    lines: dict[tuple[str, int], Line] = {}
    for fields in results.lines(path):
        name = fields.get("table", fields.get("family"))
        lines[name, fields["seed"]] = (
            Certified(**fields) if "table" in fields else Judged(**fields)
        )
    return lines


def append(path: Path, line: Line) -> None:
    """Add a line to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    results.append(path, [asdict(line)])


def main(arguments: Sequence[str] = ()) -> None:
    """Print what intervals of known optima are worth, and which tables are certified."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks certificates", description=__doc__
    )
    pairs = f"(problem, seed) pairs, about 5 CPU seconds each ({PAIRS})"
    parser.add_argument("--pairs", type=int, default=PAIRS, help=pairs)
    parser.add_argument(
        "--first",
        type=int,
        default=3000,
        help="first seed; thresholds were chosen on those below 1000",
    )
    parser.add_argument(
        "--only", choices=["new", *FAMILIES], help="one family, or those added last"
    )
    sets = ", ".join([*reach.SETS, "or names of tables, separated by semicolons"])
    parser.add_argument("--tables", default="small", help=f"{sets} (small)")
    parser.add_argument("--seeds", type=int, default=1, help="fits of each table")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out/certificates.jsonl"),
        help="one line a result, appended",
    )
    options = parser.parse_args(arguments)
    lines = read(options.out)
    names = (
        list(NEW)
        if options.only == "new"
        else [options.only]
        if options.only
        else list(FAMILIES)
    )
    for number in range(options.pairs):
        key = names[number % len(names)], options.first + number // len(names)
        if key not in lines:
            try:
                lines[key] = known_optima.judge(*key)
            except GridError as error:  # nothing is known of this optimum
                print(f"{key[0]}, seed {key[1]}: {error}", flush=True)
            else:
                append(options.out, lines[key])
    for name in tables(options.tables):
        for seed in range(options.seeds):
            if (name, seed) not in lines:
                lines[name, seed] = reach.certified(name, seed)
                append(options.out, lines[name, seed])
    judged = [line for line in lines.values() if isinstance(line, Judged)]
    certified = [line for line in lines.values() if isinstance(line, Certified)]
    if judged:
        known_optima.report(judged)
    if certified:
        reach.report(certified)


def tables(text: str) -> list[str]:
    """Return the names of tables that `--tables` asks for: of its sets, separated by commas, or of single tables."""
    known = [name for names in reach.SETS.values() for name in names]
    names = []
    for part in text.split(";" if ";" in text or text in known else ","):
        if part not in reach.SETS and part not in known:
            raise SystemExit(
                f"--tables names {part!r}, which is neither a table nor one of {', '.join(reach.SETS)}."
            )
        names += reach.SETS.get(part, [part])
    return names


if __name__ == "__main__":
    main()
