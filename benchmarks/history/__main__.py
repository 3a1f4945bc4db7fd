"""Ratios by release: `python -m benchmarks.history record VERSION [--page]`, and `... compare OLD NEW`.

`record` takes out/benchmarks.json, which `python -m benchmarks.beside` wrote, or the table of docs/benchmarks.md.
`compare` takes two releases, or out/benchmarks.json for the newer one, and ends with 1 where a ratio became worse.
"""

import argparse
import json
import sys
from pathlib import Path

from benchmarks.beside.case import Line
from benchmarks.history import FOLDER, of_page, of_run, read, regressions, write

ROOT = Path(__file__).parents[2]
RUN, PAGE = ROOT / "out" / "benchmarks.json", ROOT / "docs" / "benchmarks.md"


def measured(file: Path) -> tuple[list, dict]:
    """Return the ratios of a run's file, and what they were measured on."""
    record = json.loads(file.read_text(encoding="utf-8"))
    lines = [Line.of_json(line) for line in record["lines"]]
    return list(of_run(lines)), {"date": record["date"], "machine": record["machine"]}


def measured_by(name: str) -> tuple[dict, str]:
    """Return the ratios of a release, or of a run's file, and the processor that they were measured on."""
    if not name.endswith(".json"):
        file = FOLDER / f"{name}.json"
        machine = json.loads(file.read_text(encoding="utf-8")).get("machine", {})
        return read(file), machine.get("processor", "a processor that is not recorded")
    ratios, about = measured(Path(name))
    return {ratio.key: ratio for ratio in ratios}, about["machine"]["processor"]


def main(words: list[str] | None = None) -> int:
    """Do what the command line says; 1 where a ratio became worse."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.history",
        description=(__doc__ or "").partition("\n")[0],
    )
    commands = parser.add_subparsers(dest="command", required=True)
    record = commands.add_parser("record", help="write the file of a release")
    record.add_argument("version")
    record.add_argument(
        "--page", action="store_true", help="from the table of docs/benchmarks.md"
    )
    compare = commands.add_parser("compare", help="list what became worse beyond noise")
    compare.add_argument("old", help="a release")
    compare.add_argument("new", help="a release, or a file such as out/benchmarks.json")
    options = parser.parse_args(words)
    if options.command == "record":
        if options.page:
            ratios, about = (
                list(of_page(PAGE.read_text(encoding="utf-8"))),
                {"source": "docs/benchmarks.md"},
            )
        else:
            ratios, about = measured(RUN)
        print(write(options.version, ratios, about), f"has {len(ratios)} ratios")
        return 0
    (before, old_processor), (after, new_processor) = (
        measured_by(options.old),
        measured_by(options.new),
    )
    worse = list(regressions(before, after))
    print(
        "\n".join(worse)
        or f"None of {len(before.keys() & after.keys())} ratios became worse beyond noise."
    )
    if worse and old_processor != new_processor:
        print(
            f"{options.old} was measured on {old_processor}, {options.new} on {new_processor}, where peers and floors "
            "gain differently: measure both on one before a ratio is called a regression."
        )
    return int(bool(worse))


if __name__ == "__main__":
    sys.exit(main())
