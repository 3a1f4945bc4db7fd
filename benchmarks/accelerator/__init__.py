"""The table of an accelerator: the time of each task there beside its peers', and its share of the device.

    python -m benchmarks.accelerator                # all tasks on the device, in about ten minutes
    python -m benchmarks.accelerator --smoke        # small sizes, in about a minute of any processor
    python -m benchmarks.accelerator --only sample  # tasks whose names contain a word

Each candidate runs for about a second after it was compiled, three times; the median counts. Peers are the same task
in plain JAX (`jax_steps.py`), in PyTorch, eager and compiled (`torch_steps.py`), and in libraries that have it; a peer
that does not exist or is not installed is a line with the reason. Operations and bytes of a step are read off compiled
programs (`work.py`), and set against the device's data sheet where it is known and against a product of matrices and a
copy measured in the same run (`peaks.py`). The cost of the precision of products is measured too (`precision.py`).
Writes out/accelerator.json and .md.
"""

import argparse
import gc
import importlib.util
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax

from benchmarks.accelerator import peaks, precision
from benchmarks.accelerator.cases import tasks
from benchmarks.accelerator.task import FULL, SMOKE, TRACED_ONLY, Candidate, Task, Units
from benchmarks.accelerator.work import Work

SECONDS, REPEATS, MOST_STEPS = 1.0, 3, 10**5
LONG = 10.0  # seconds of a run from which one counts
MINUTES = 10.0
OURS = "langevax"  # candidates of ours begin with it
PEAK_SIZES = {"full": (8192, 2**28, 20), "smoke": (256, 2**18, 4)}
OUT = Path("out") / "accelerator.json"


@dataclass(frozen=True)
class Line:
    """Measurement of one candidate."""

    task: str
    unit: str
    candidate: str
    seconds: float | None
    """Of a unit; None where it did not run."""
    beside_ours: float | None
    operations: float | None
    bytes: float | None
    """Of a unit of ours."""
    precision: str
    note: str = ""


def main(options: Sequence[str] | None = None) -> int:
    """Measure, print and write the table; 1 where a candidate of ours failed."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.accelerator",
        description=__doc__.split("\n\n")[0],
        epilog="docs/accelerators.md says how to read the table. PyTorch takes part where it is installed.",
    )
    parser.add_argument(
        "--smoke",
        action="store_true",
        help=f"small sizes, to see that everything runs; {TRACED_ONLY}",
    )
    parser.add_argument(
        "--only", default="", metavar="WORD", help="tasks whose names contain this"
    )
    parser.add_argument(
        "--on-cpu", action="store_true", help="full sizes without an accelerator: hours"
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=MINUTES,
        metavar="M",
        help="after so many, candidates other than ours are left out, with a line each (default %(default)g)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=OUT,
        metavar="FILE",
        help="the JSON file; the table lies beside it",
    )
    chosen = parser.parse_args([] if options is None else options)
    ends = time.perf_counter() + 60 * chosen.minutes
    os.environ.setdefault(
        "XLA_PYTHON_CLIENT_PREALLOCATE", "false"
    )  # PyTorch shares the device
    device = jax.devices()[0]
    if device.platform == "cpu" and not (chosen.smoke or chosen.on_cpu):
        sys.exit(
            "JAX has no accelerator here; pass --smoke for small sizes, or --on-cpu for hours of full ones."
        )
    kind = "smoke" if chosen.smoke else "full"
    record = {
        "device": {
            "kind": device.device_kind,
            "platform": device.platform,
            "host": platform.processor(),
        },
        "versions": {name: version_of(name) for name in ("jax", "jaxlib", "torch")},
        "sizes": kind,
        "data_sheet": None
        if (known := peaks.of_data_sheet(device.device_kind)) is None
        else asdict(known),
        "measured": peaks.measured(*PEAK_SIZES[kind]),
        "precision": precision.measured(*precision.SIZES[kind]),
    }
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    lines: list[Line] = []
    if chosen.smoke:
        print(TRACED_ONLY)
    for task in tasks(SMOKE if chosen.smoke else FULL):
        if chosen.only in task.name:
            for line in measured(task, 0.02 if chosen.smoke else SECONDS, ends):
                print(
                    f"{line.task}: {line.candidate}: {line.note or shown(line.seconds)}",
                    flush=True,
                )
                lines.append(line)
            record["lines"] = [
                asdict(line) for line in lines
            ]  # written as it goes: what ends it early loses a task
            chosen.out.write_text(json.dumps(record, indent=1), encoding="utf-8")
            chosen.out.with_suffix(".md").write_text(markdown(record), encoding="utf-8")
    if not lines:
        names = "\n  ".join(
            task.name for task in tasks(SMOKE if chosen.smoke else FULL)
        )
        sys.exit(f"no task has {chosen.only!r} in its name; the tasks are\n  {names}")
    print(
        f"\n{markdown(record)}\nWritten to {chosen.out} and {chosen.out.with_suffix('.md')}."
    )
    return int(
        any(line.seconds is None and line.candidate.startswith(OURS) for line in lines)
    )


def version_of(name: str) -> str | None:
    """Return the version of a package, None where it is not installed."""
    if importlib.util.find_spec(name) is None:
        return None
    return importlib.import_module(name).__version__


def measured(task: Task, seconds: float, ends: float = math.inf) -> Iterator[Line]:
    """Yield a line for each candidate; one that does not run is named with the reason. From `ends` on, only ours do."""
    spent, ours = None, None
    if task.work is not None:
        try:
            spent = task.work()
        except Exception as error:  # the table goes on without it
            print(f"{task.name}: work not counted: {first_line(error)}")
    for candidate in task.candidates:
        took, note = None, left_out(candidate, ends)
        if not note:
            try:
                took = seconds_a_unit(task, candidate, seconds)
            except (
                Exception
            ) as error:  # one that is out of memory does not end the table
                note = first_line(error)
        free_memory()
        ours = took if candidate is task.candidates[0] else ours
        yield line_of(task, candidate, took, ours, spent, note)


def left_out(candidate: Candidate, ends: float = math.inf) -> str:
    """Return why a candidate does not run, "" where it does."""
    if candidate.reason:
        return candidate.reason
    if candidate.needs and importlib.util.find_spec(candidate.needs) is None:
        return f"{candidate.needs} is not installed"
    if time.perf_counter() > ends and not candidate.name.startswith(OURS):
        return "time was over: pass more --minutes, or --only this task"
    return ""


def line_of(
    task: Task,
    candidate: Candidate,
    took: float | None,
    ours: float | None,
    spent: Work | None,
    note: str,
) -> Line:
    """Return the line of what was measured."""
    beside = None if took is None or not ours else took / ours
    operations, read = (None, None) if spent is None else spent
    return Line(
        task.name,
        task.unit,
        candidate.name,
        took,
        beside,
        operations,
        read,
        candidate.precision,
        note,
    )


def seconds_a_unit(task: Task, candidate: Candidate, seconds: float) -> float:
    """Return the median over runs of about `seconds` each, after one that compiles and one that sets the steps."""
    assert candidate.make is not None
    if task.once:
        run = candidate.make(1)
        first = timed(run)
        if seconds < SECONDS:
            return first
        second = timed(run)
        return (
            second
            if second > LONG
            else statistics.median([second, *(timed(run) for _ in range(REPEATS - 1))])
        )
    steps = 2
    run = candidate.make(steps)
    run()
    while (took := timed(run)) < seconds / 8 and steps < MOST_STEPS:
        steps = min(MOST_STEPS, 8 * steps)
        run = candidate.make(steps)
        run()  # another number of steps may be another program
    steps = max(2, min(MOST_STEPS, int(steps * seconds / max(took, 1e-9))))
    run = candidate.make(steps)
    run()
    return statistics.median(timed(run) for _ in range(REPEATS)) / steps


def timed(run: Any) -> float:
    """Return the seconds of a run, or of each of its units where it says how many it did."""
    began = time.perf_counter()
    result = run()
    seconds = time.perf_counter() - began
    return seconds / result.number if isinstance(result, Units) else seconds


def free_memory() -> None:
    """Return what a candidate held to the device."""
    jax.clear_caches()
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None:
        torch._dynamo.reset()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def first_line(error: Exception) -> str:
    """Return the beginning of an error's message."""
    return (
        f"{type(error).__name__}: {(str(error) or 'no message').splitlines()[0][:100]}"
    )


def markdown(record: dict[str, Any]) -> str:
    """Return the page of a record."""
    sheet, rates = record["data_sheet"], record["measured"]
    names = {
        "float32": "float32",
        "tensorfloat32": "TF32",
        "bfloat16": "bfloat16",
        "default": "JAX's default",
    }
    page = [f"# {record['device']['kind']}, {record['sizes']} sizes", ""]
    if record["sizes"] == "smoke":
        page += [
            "Times are mostly those of starting a run and of compiling, and measure nothing.",
            TRACED_ONLY,
            "",
        ]
    page += ["| | data sheet | measured |", "|---|---|---|"]
    for name, label in names.items():
        stated = (
            "" if sheet is None or not sheet.get(name) else f"{sheet[name] / 1e12:.3g}"
        )
        page.append(
            f"| products in {label}, Tflop/s | {stated} | {rates[name] / 1e12:.3g} |"
        )
    stated = "" if sheet is None else f"{sheet['memory'] / 1e9:.4g}"
    page += [f"| memory, GB/s | {stated} | {rates['memory'] / 1e9:.4g} |", ""]
    page.append(
        "Data sheet: "
        + ("not listed for this device." if sheet is None else sheet["source"] + ".")
    )
    page += [
        "",
        "| task, and who does it | time | beside ours | Tflop/s | of product | GB/s | of copy |",
    ]
    page.append("|---|---|---|---|---|---|---|")
    task = ""
    for line in record["lines"]:
        if line["task"] != task:
            task = line["task"]
            page.append(f"| **{task}**: {line['unit']} | | | | | | |")
        page.append(row(line, rates))
    return "\n".join([*page, "", *precision.markdown(record["precision"])]) + "\n"


def row(line: dict[str, Any], rates: dict[str, float]) -> str:
    """Return a line of the table; operations and bytes are those of ours."""
    if line["seconds"] is None:
        return f"| {line['candidate']} | {line['note']} | | | | | |"
    cells = [
        shown(line["seconds"]),
        f"{line['beside_ours']:.2f} x" if line["beside_ours"] else "",
        "",
        "",
        "",
        "",
    ]
    if line["operations"] and line["candidate"].startswith(OURS):
        rate, read = (
            line["operations"] / line["seconds"],
            line["bytes"] / line["seconds"],
        )
        share, copied = rate / rates[line["precision"]], read / rates["memory"]
        cells[2:] = [
            f"{rate / 1e12:.3g}",
            f"{share:.0%}",
            f"{read / 1e9:.3g}",
            f"{copied:.0%}",
        ]
    return f"| {line['candidate']} | {' | '.join(cells)} |"


def shown(seconds: float) -> str:
    """Return a duration with its unit.

    >>> shown(0.00123), shown(12.3)
    ('1.23 ms', '12.3 s')
    """
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "us")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.2g} us"
