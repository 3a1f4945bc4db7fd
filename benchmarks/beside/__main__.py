"""Measure and print the table: `python -m benchmarks.beside [--quick] [WORD ...]`."""

import argparse
import json
import os
import platform
import sys
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console

import langevax
from benchmarks.beside.case import FILES, Case, Line, chosen
from benchmarks.beside.children import measured
from benchmarks.beside.measure import load
from benchmarks.beside.table import markdown, shown

OUT, WIDTH = Path("out/benchmarks.json"), 120
BUSY = 0.5  # load for each core from which on times are not to be quoted


def parsed(words: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.beside", description=__doc__
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="WORD",
        help="only tasks with one of these words in their name",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a tenth of the steps, three turns, no memory",
    )
    parser.add_argument("--no-memory", action="store_true", help="times alone")
    parser.add_argument("--list", action="store_true", help="print the tasks' names")
    parser.add_argument(
        "--show", action="store_true", help="print what OUT holds, without measuring"
    )
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    parser.add_argument("--out", type=Path, default=OUT, help=f"the JSON file, {OUT}")
    return parser.parse_args(words)


def main(words: list[str] | None = None, files: tuple[str, ...] = FILES) -> int:
    """Do what the command line says; 1 where a line failed."""
    options = parsed(words)
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    if options.show:
        return printed(console, read(options.out), options.markdown)
    try:
        cases = chosen(options.words, files)
    except ValueError as error:
        sys.exit(str(error))
    if options.list:
        console.print("\n".join(case.name for case in cases), markup=False)
        return 0
    return printed(console, run(cases, options, console), options.markdown)


def run(cases: list[Case], options: argparse.Namespace, console: Console) -> list[Line]:
    """Measure line after line; what there is so far is in the file at any time."""
    about = machine() | {"quick": options.quick}
    if about["load"] > BUSY * about["cores"]:
        words = f"load {about['load']:.1f} on {about['cores']} cores: times are not to be quoted"
        console.print(f"The machine is busy ({words}).", style="red")
    how = {"share": 0.1, "most": 3} if options.quick else {}
    lines: list[Line] = []
    began = time.monotonic()
    for number, case in enumerate(cases, 1):
        label = f"{number} of {len(cases)}, {case.name}"
        with console.status(label) as status:

            def tell(text: str, label: str = label, status=status) -> None:
                status.update(f"{label}: {text}")

            lines.append(
                measured(
                    case,
                    **how,
                    with_memory=not (options.quick or options.no_memory),
                    tell=tell,
                )  # pyright: ignore
            )
        fate = "failed" if lines[-1].failed else "done"
        console.print(
            f"{label}: {fate} in {lines[-1].spent:.0f} s", style="dim", markup=False
        )
        write(options.out, lines, about | {"seconds": time.monotonic() - began})
    return lines


def printed(console: Console, lines: list[Line], as_markdown: bool) -> int:
    """The table; 1 where a line failed."""
    if as_markdown:
        print(markdown(lines))
    else:
        console.print(shown(lines))
    return int(any(line.failed for line in lines))


def write(file: Path, lines: list[Line], about: dict) -> None:
    """Write the lines, and what they were measured on."""
    file.parent.mkdir(parents=True, exist_ok=True)
    record = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": about}
    record["lines"] = [line.as_json() for line in lines]
    file.write_text(json.dumps(record, indent=1) + "\n")


def read(file: Path) -> list[Line]:
    """Lines of a file that `write` wrote."""
    if not file.exists():
        sys.exit(f"there is no {file}; `python -m benchmarks.beside` measures it")
    return [Line.of_json(line) for line in json.loads(file.read_text())["lines"]]


PACKAGES = (
    "jax",
    "jaxlib",
    "numpy",
    "torch",
    "blackjax",
    "posteriors",
    "numpyro",
    "scikit-learn",
    "flwr",
)


def machine() -> dict[str, Any]:
    """The processor, its cores that this process may use, the load, and versions."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1,
        "load": load(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {"langevax": langevax.__version__}
        | {name: version(name) for name in PACKAGES},
    }


def processor() -> str:
    """Its name, as the system has it."""
    file = Path("/proc/cpuinfo")
    text = file.read_text() if file.exists() else ""
    names = [
        line.split(":", 1)[1].strip()
        for line in text.splitlines()
        if line.startswith("model name")
    ]
    return names[0] if names else platform.processor() or "unknown"


def version(package: str) -> str | None:
    """Of an installed package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main())
