"""Ratios of the table beside peers, release by release, and what became worse between two of them.

Ratios within one run compare neighbours in time on one machine, so that they can be compared between releases where
times cannot. A file of this folder, VERSION.json, has those of one release: task, candidate, ratio, quartiles.
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.beside.case import Line

FOLDER = Path(__file__).parent
SLACK = 1.05
"""A ratio that is worse by less is not reported, even where quartiles are apart: two machines differ by as much."""

TASK = re.compile(r"\*\*(.+?)\*\*: .*")
RATIO = re.compile(r"(ours )?([\d.,]+) x( ours)?")
RESULTS = re.compile(r" \([^()]*\)$|: .*$")
"""What belongs to one run alone, behind a candidate's name: scores, and seconds of parts."""


class Ratio(NamedTuple):
    """A candidate beside langevax: a peer's time over ours, or ours over that of a floor."""

    task: str
    candidate: str
    role: str
    ratio: float
    low: float
    high: float
    """First and third quartile over turns."""

    @property
    def key(self) -> tuple[str, str, str]:
        """The name by which two releases are compared."""
        return self[:3]

    def is_worse(self, before: "Ratio") -> bool:
        """Return whether it is worse than before by more than the quartiles of both and `SLACK` explain."""
        if self.role == "floor":
            return self.low > before.high and self.ratio > SLACK * before.ratio
        return self.high < before.low and self.ratio < before.ratio / SLACK


def of_page(text: str) -> Iterator[Ratio]:
    """Yield the ratios of the first table of docs/benchmarks.md."""
    task = ""
    section = text.partition("## Beside peers and floors")[2].partition("\n## ")[0]
    for line in section.splitlines():
        cells = [
            cell.strip()
            for cell in re.split(
                r"(?<!\\)\|", line.replace("\u2011", "-").replace("\u00a0", " ")
            )[1:-1]
        ]
        if len(cells) < 4:
            continue
        if match := TASK.fullmatch(cells[0]):
            task = match[1]
        elif (ratio := RATIO.fullmatch(cells[2])) and "-" in cells[3]:
            role = "floor" if cells[0].startswith("floor: ") else "peer"
            low, _, high = cells[3].partition("-")
            name = RESULTS.sub("", cells[0].removeprefix("floor: "))
            yield Ratio(
                task,
                name,
                role,
                *(float(number.replace(",", "")) for number in (ratio[2], low, high)),
            )


def of_run(lines: Iterable[Line]) -> Iterator[Ratio]:
    """Yield the ratios of a run of `python -m benchmarks.beside`."""
    for line in lines:
        for measurement in line.measurements:
            ratio, quartiles = line.ratio(measurement), line.quartiles(measurement)
            if ratio is not None and quartiles is not None:
                name = RESULTS.sub("", measurement.name)
                yield Ratio(line.name, name, measurement.role, ratio, *quartiles)


def write(
    version: str, ratios: Iterable[Ratio], about: dict[str, Any], folder: Path = FOLDER
) -> Path:
    """Write the file of a release; an existing one is refused, since history does not change."""
    file = folder / f"{version}.json"
    if file.exists():
        raise FileExistsError(
            f"{file} exists; the ratios of a release are measured once."
        )
    record = {
        "version": version,
        **about,
        "ratios": [ratio._asdict() for ratio in ratios],
    }
    if not record["ratios"]:
        raise ValueError(
            "nothing was measured; pass a run or a page with ratios and quartiles."
        )
    file.write_text(
        json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    return file


def read(file: Path) -> dict[tuple[str, str, str], Ratio]:
    """Return the ratios of a release by task, candidate and role."""
    ratios = [
        Ratio(**record)
        for record in json.loads(file.read_text(encoding="utf-8"))["ratios"]
    ]
    return {ratio.key: ratio for ratio in ratios}


def regressions(before: dict, after: dict) -> Iterator[str]:
    """Yield a line for each ratio that became worse beyond noise, and for each that is missing."""
    for key, old in before.items():
        new = after.get(key)
        label = f"{old.task}, {old.candidate}"
        if new is None:
            yield f"{label}: no longer measured"
        elif new.is_worse(old):
            ranges = [
                f"{ratio.ratio:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"
                for ratio in (old, new)
            ]
            yield f"{label}: {' became '.join(ranges)}, {'ours / floor' if old.role == 'floor' else 'peer / ours'}"
