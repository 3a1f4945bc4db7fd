"""Claims of the papers: what every script in this folder shares.

Each script holds one claim of a paper against a measurement. `measure` returns all numbers as an xarray dataset with
units; from the dataset alone `draw` makes a figure, with the helpers of `drawing.py`, and `judge` yields each measured
number beside the predicted one (`Check`), and other numbers that a reader wants to know, as (name, number). The
docstring is also the text on the page of all claims (`papers/atlas.py`), in plain text: a title, and paragraphs that
begin with Claim, Formula, Source and Figure, each followed by a colon.
"""

import argparse
import hashlib
import inspect
import itertools
import json
import math
import platform
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, SupportsFloat, get_args

import matplotlib
import numpy as np
import xarray
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from tqdm import tqdm

import langevax
from langevax.app.report.numbers import number, with_error
from langevax.figures.theme import style
from langevax.run import keep_compiled_programs

Size = Literal["small", "full"]
"""Of a run: small takes seconds to a minute, full is what the paper's figures need."""

Variables = dict[str, tuple[tuple[str, ...], ArrayLike, dict[str, str]]]
"""Of a dataset: dimensions, values and attributes."""

Number = SupportsFloat
Measured = Number | tuple[Number, Number]
"""A number, or a number and its standard error."""
Findings = Iterator["Check | tuple[str, Measured]"]
"""Of `judge`: checks, and other numbers by name."""

RESULT, DATA, FIGURE = "result.json", "data.nc", "figure.svg"
OUT = Path("out/atlas")
SECTIONS = ("Claim", "Formula", "Source", "Figure")
ROUNDING = 1e-9  # of a tolerance: a number below it is printed as zero


def of_relation(relation: Literal["equals", "at most", "at least"]) -> Any:
    """Return a constructor of checks, of a number or of (number, standard error)."""

    def check(
        statement: str,
        source: str,
        measured: Measured,
        predicted: Number,
        tolerance: Number = 0.0,
        unit: str = "",
    ) -> "Check":
        value, error = value_and_error(measured)
        return Check(
            statement,
            source,
            value,
            float(predicted),
            float(tolerance),
            relation,
            error,
            unit,
        )

    return staticmethod(check)


@dataclass(frozen=True)
class Check:
    """A measured number beside the predicted one.

    Example:
        >>> Check.equals("the law has variance T", "Theorem 1", (1.02, 0.01), predicted=1.0, tolerance=0.05).holds
        True
    """

    statement: str
    source: str  # the theorem, equation or exact law that predicts it
    measured: float
    predicted: float
    tolerance: float  # how far `measured` may be from `predicted`, or on the wrong side of it; in their unit
    relation: Literal["equals", "at most", "at least"] = "equals"
    error: float | None = None  # standard error of `measured`, where it has one
    unit: str = ""

    @property
    def holds(self) -> bool:
        """False for NaN."""
        excess = self.measured - self.predicted
        deviation = {"equals": abs(excess), "at most": excess, "at least": -excess}[
            self.relation
        ]
        return bool(deviation <= self.tolerance)

    equals = of_relation("equals")
    at_most = of_relation("at most")
    at_least = of_relation("at least")

    @staticmethod
    def all_within(statement: str, source: str, z: ArrayLike, limit: float) -> "Check":
        """Of deviations in standard errors, the largest of which is at most `limit`."""
        return Check.at_most(
            statement, source, np.abs(z).max(), 0.0, limit, unit="standard errors"
        )


@dataclass(frozen=True)
class Verdict:
    """All checks of a claim, and measured numbers that are in none of them."""

    checks: Sequence[Check]
    numbers: Mapping[str, Measured] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        return bool(self.checks) and all(check.holds for check in self.checks)


@dataclass(frozen=True)
class Claim:
    """A claim of a paper and the functions that measure, draw and judge it."""

    file: str
    docstring: str | None
    measure: Callable[[Size, int], xarray.Dataset]
    draw: Callable[[xarray.Dataset], Figure]
    findings: Callable[[xarray.Dataset], Findings]

    @property
    def name(self) -> str:
        return Path(self.file).stem

    def run(self, size: Size = "small", seed: int = 0) -> xarray.Dataset:
        """Measure; attributes of the dataset record the request, the versions, the seconds and the time."""
        start = time.perf_counter()
        data = self.measure(size, seed)
        versions = {
            name: version(name) for name in ("jax", "jaxlib", "numpy", "xarray")
        }
        versions |= {
            "langevax": langevax.__version__,
            "python": platform.python_version(),
        }
        return data.assign_attrs(
            request=json.dumps(request(self.file, size, seed)),
            versions=json.dumps(versions),
            seconds=round(time.perf_counter() - start, 1),
            ended=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def judge(self, data: xarray.Dataset) -> Verdict:
        findings = list(self.findings(data))
        checks = [finding for finding in findings if isinstance(finding, Check)]
        return Verdict(
            checks,
            dict(finding for finding in findings if not isinstance(finding, Check)),
        )

    def figure(self, data: xarray.Dataset) -> Figure:
        """The figure in the style of this library."""
        with matplotlib.rc_context(style() | {"errorbar.capsize": 2}):  # type: ignore[arg-type]
            return self.draw(data)

    def save(self, folder: Path, data: xarray.Dataset) -> dict[str, Any]:
        """Write `data.nc`, `figure.svg` and `result.json` to `folder`, and return what `result.json` holds.

        `result.json` is removed first and moved into place last: where it exists, the other files are complete and of
        the same run. Raises ValueError where a section of the docstring is missing.
        """
        figure, verdict, about = (
            self.figure(data),
            self.judge(data),
            sections(self.docstring),
        )
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RESULT).unlink(missing_ok=True)
        data.to_netcdf(folder / DATA, engine="h5netcdf")
        with matplotlib.rc_context(
            {"svg.hashsalt": self.name}
        ):  # the same numbers give the same file
            figure.savefig(
                folder / FIGURE, bbox_inches="tight", dpi=200, metadata={"Date": None}
            )
        result = {"name": self.name, **about, "holds": verdict.holds}
        result |= {
            "checks": [
                _as_json(asdict(check) | {"holds": check.holds})
                for check in verdict.checks
            ]
        }
        result |= {
            "numbers": {
                name: value_and_error(number)
                for name, number in verdict.numbers.items()
            }
        }
        result |= {key: json.loads(data.attrs[key]) for key in ("request", "versions")}
        result |= {key: data.attrs[key] for key in ("seconds", "ended")}
        part = folder / f".{RESULT}.part"
        part.write_text(
            json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        part.replace(folder / RESULT)
        return result

    def main(self, arguments: list[str] | None = None) -> None:
        """Run from the command line: measure, save, and print the table of checks."""
        parser = argparse.ArgumentParser(
            description=(self.docstring or "").partition("\n")[0]
        )
        add_options(parser)
        options = parser.parse_args(arguments)
        keep_compiled_programs()
        folder = options.out / self.name
        result = self.save(folder, self.run(options.size, options.seed))
        print(f"Claim: {result['Claim']}\nSource: {result['Source']}\n")
        print(
            "\n".join(
                [
                    *table(result["checks"]),
                    "",
                    f"{tally(result['checks'])} checks hold.",
                    "",
                ]
            )
        )
        print("\n".join([*table_of_numbers(result["numbers"]), str(folder / FIGURE)]))


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--size",
        choices=get_args(Size),
        default="small",
        help="small: seconds to a minute (default)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of everything random (default 0)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=OUT,
        metavar="DIR",
        help=f"a folder a claim (default {OUT})",
    )


def request(file: str | Path, size: str, seed: int) -> dict[str, str | int]:
    """Return all that a result depends on. An edited script is another request."""
    digest = hashlib.sha256(Path(file).read_bytes()).hexdigest()[:12]
    return {
        "size": size,
        "seed": seed,
        "version": langevax.__version__,
        "script": digest,
    }


def sections(docstring: str | None) -> dict[str, str]:
    """Return the title of a script's docstring and its sections; raises ValueError where one is missing."""
    title, *paragraphs = inspect.cleandoc(docstring or "").split("\n\n")
    texts = {"title": " ".join(title.split())}
    for name in SECTIONS:
        matches = [
            text.removeprefix(f"{name}:")
            for text in paragraphs
            if text.startswith(f"{name}:")
        ]
        if len(matches) != 1:
            raise ValueError(
                f"the docstring has {len(matches)} paragraphs that begin with '{name}:'; write one."
            )
        texts[name] = (
            textwrap.dedent(matches[0].strip("\n"))
            if name == "Formula"
            else " ".join(matches[0].split())
        )
    return texts


def table(checks: Iterable[dict[str, Any]]) -> list[str]:
    """Lines of a Markdown table of checks: predicted, measured with its standard error, tolerance, verdict."""
    lines = [
        "| measured (what predicts it) | predicted | measured | tolerance | verdict |",
        "|---|---|---|---|---|",
    ]
    for check in checks:
        relation = "" if check["relation"] == "equals" else check["relation"] + " "
        rounding = ROUNDING * (check["tolerance"] or 0.0)
        value, error = (
            0.0 if v is not None and abs(v) < rounding else v
            for v in (check["measured"], check["error"])
        )
        measured = f"{with_error(value, error)} {check['unit']}".strip()
        cells = [
            f"{check['statement']} ({check['source']})",
            relation + number(check["predicted"]),
            measured,
        ]
        lines.append(
            _row(
                [
                    *cells,
                    number(check["tolerance"], 3),
                    "holds" if check["holds"] else "**fails**",
                ]
            )
        )
    return lines


def value_and_error(measured: Measured) -> tuple[float, float | None]:
    """Return the number as a float, and its standard error where it has one."""
    return (
        (float(measured[0]), float(measured[1]))
        if isinstance(measured, tuple)
        else (float(measured), None)
    )


def tally(checks: Sequence[dict[str, Any]]) -> str:
    """Return how many checks hold, as "k of n"."""
    return f"{sum(check['holds'] for check in checks)} of {len(checks)}"


def table_of_numbers(numbers: Mapping[str, tuple[float, float | None]]) -> list[str]:
    """Lines of a Markdown table of numbers with their standard errors, and an empty line; none without numbers."""
    rows = [_row([name, with_error(*number)]) for name, number in numbers.items()]
    return ["| also measured | |", "|---|---|", *rows, ""] if rows else []


def variables(dims: str, units: str, **arrays: ArrayLike) -> Variables:
    """Return variables of a dataset that have the same dimensions, separated by spaces, and the same units.

    Example:
        >>> variables("run step", "norm of x", distance=[[1.0, 0.5]])
        {'distance': (('run', 'step'), array([[1. , 0.5]]), {'units': 'norm of x'})}
    """
    return {
        name: (tuple(dims.split()), np.asarray(array), {"units": units})
        for name, array in arrays.items()
    }


def dataset(
    coordinates: Mapping[str, Any], *groups: Variables, **attributes: Any
) -> xarray.Dataset:
    """Return a dataset of `variables`, of coordinates as labels, or as (numbers, units), and of attributes.

    Of the variables, too, what is called like its only dimension is a coordinate.
    """
    entries = {name: entry for group in groups for name, entry in group.items()}
    for name, values in coordinates.items():
        numbers, units = (
            values
            if len(values) == 2 and isinstance(values[1], str)
            else (values, "label")
        )
        plain = isinstance(numbers, str) or isinstance(next(iter(numbers)), str)
        entries |= (
            {name: ((name,), list(values))}
            if plain
            else variables(name, units, **{name: numbers})
        )
    return xarray.Dataset(entries, attrs=attributes)


def sweep(
    function: Callable[..., Mapping[str, ArrayLike]], *values: Iterable[Any]
) -> dict[str, np.ndarray]:
    """Call a function for all combinations of values, with a progress bar, and stack what it returns by name.

    Example:
        >>> sweep(lambda a, b: {"product": a * b}, [1, 2, 3], [10, 100])["product"].shape
        (3, 2)
    """
    axes = [list(axis) for axis in values]
    results = [
        function(*chosen)
        for chosen in tqdm(
            list(itertools.product(*axes)), function.__name__, disable=None
        )
    ]
    arrays = {
        name: np.array([result[name] for result in results]) for name in results[0]
    }
    return {
        name: array.reshape(*map(len, axes), *array.shape[1:])
        for name, array in arrays.items()
    }


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _as_json(values: dict[str, Any]) -> dict[str, Any]:
    return {
        k: None if isinstance(v, float) and not math.isfinite(v) else v
        for k, v in values.items()
    }
