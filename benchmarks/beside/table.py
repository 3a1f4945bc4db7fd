"""The table, in the terminal and in Markdown: a block for each task, a row for each candidate."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from benchmarks.beside.case import Line, Measurement

HEAD = ("time", "beside ours", "quartiles", "aim", "", "peak MB", "run MB")
WIDTHS: tuple[tuple[int, JustifyMethod], ...] = (
    (48, "left"),
    (9, "right"),
    (12, "right"),
    (11, "right"),
    (6, "right"),
    (6, "left"),
    (7, "right"),
    (7, "right"),
)
UNBROKEN = ("time", "ratio", "quartiles", "aim")  # columns of a page
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))


class Row(NamedTuple):
    """The words of a candidate."""

    name: str
    time: str = ""
    ratio: str = ""
    quartiles: str = ""
    aim: str = ""
    met: str = ""
    peak: str = ""
    running: str = ""
    note: str = ""


def row(line: Line, measurement: Measurement) -> Row:
    """A candidate in words."""
    results = ", ".join(
        f"{key} {value:.3g}" if abs(value) < 10 else f"{key} {figure(value)}"
        for key, value in measurement.results.items()
    )
    name = (
        ("floor: " if measurement.role == "floor" else "")
        + measurement.name
        + (f" ({results})" if results else "")
    )
    if measurement.seconds is None:
        return Row(name, note=measurement.note)
    ratio, quartiles, met = (
        line.ratio(measurement),
        line.quartiles(measurement),
        line.met(measurement),
    )
    floor = measurement.role == "floor"
    return Row(
        name=name,
        time=amount(measurement.seconds),
        ratio=""
        if ratio is None
        else f"ours {figure(ratio)} x"
        if floor
        else f"{figure(ratio)} x ours",
        quartiles=""
        if quartiles is None
        else f"{figure(quartiles[0])}-{figure(quartiles[1])}",
        aim=""
        if measurement.aim is None
        else f"{'≤' if floor else '≥'} {measurement.aim:g}",
        met={True: "met", False: "missed", None: ""}[met],
        peak="" if measurement.peak is None else megabytes(measurement.peak),
        running="" if measurement.running is None else megabytes(measurement.running),
        note=measurement.note
        or ", ".join(
            f"{part} {amount(seconds)}" for part, seconds in measurement.parts.items()
        ),
    )


def amount(seconds: float) -> str:
    """Three digits and a unit.

    Example:
        >>> amount(0.00123), amount(12.0), amount(0.0)
        ('1.23 ms', '12.0 s', '0.00 ns')
    """
    size, unit = next((pair for pair in UNITS if seconds >= pair[0]), UNITS[-1])
    return f"{figure(seconds / size)} {unit}"


def figure(value: float) -> str:
    """Three digits, and all of them before the point."""
    decimals = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:,.{decimals}f}"


def megabytes(count: float) -> str:
    """10^6 bytes."""
    return f"{count / 1e6:,.0f}" if count >= 1e6 else f"{count / 1e6:,.1f}"


def shown(lines: Iterable[Line]) -> Group:
    """For rich's console, 120 columns."""
    lines = list(lines)
    blocks: list[RenderableType] = [
        _table([(Text("task, and who does it"), *HEAD)], "bold")
    ]
    for line in lines:
        blocks.append(Text(f"\n{line.name}: {line.unit}", "bold"))
        if line.note:
            blocks.append(Text(f"  failed: {line.note}", "red"))
        for measurement in line.measurements:
            words = row(line, measurement)
            style = {"ours": "green", "floor": "cyan"}.get(measurement.role, "")
            met = Text(words.met, "green" if words.met == "met" else "bold red")
            cells = (
                words.time,
                words.ratio,
                words.quartiles,
                words.aim,
                met,
                words.peak,
                words.running,
            )
            blocks.append(_table([(Text(f"  {words.name}", style), *cells)]))
            if words.note:
                blocks.append(
                    Text(f"    {words.note}", "red" if measurement.failed else "dim")
                )
    return Group(*blocks, Text(), *(Text(text) for text in summary(lines)))


def _table(rows: list[tuple[str | Text, ...]], style: str = "") -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0), style=style)
    for width, justify in WIDTHS:
        table.add_column(width=width, justify=justify)
    for cells in rows:
        table.add_row(*cells)
    return table


def summary(lines: Iterable[Line]) -> Iterator[str]:
    """Return how many aims are met, which are not, and what is missing."""
    lines = list(lines)
    verdicts = [
        (line, measurement, line.met(measurement))
        for line in lines
        for measurement in line.measurements
    ]
    judged = [verdict for verdict in verdicts if verdict[2] is not None]
    yield f"{sum(bool(met) for *_, met in judged)} of {len(judged)} aims are met."
    for line, measurement, met in judged:
        if not met:
            words = row(line, measurement)
            yield f"  missed: {line.name}, {words.name}: {words.ratio}, aim {words.aim}"
    for note in dict.fromkeys(
        f.note for line in lines for f in line.measurements if f.note and not f.failed
    ):
        yield f"  {note}"
    for line in lines:
        if line.failed:
            yield f"  failed: {line.name}"


def markdown(lines: Iterable[Line]) -> str:
    """The same for a page."""
    head = ["task, and who does it", *HEAD[:4], "met", *HEAD[5:]]
    text = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for line in lines:
        text.append(f"| **{line.name}**: {line.unit} |" + " |" * (len(head) - 1))
        if line.note:
            text.append(f"| failed: {line.note} |" + " |" * (len(head) - 1))
        for measurement in line.measurements:
            words = row(line, measurement)
            words = words._replace(
                **{column: _unbroken(getattr(words, column)) for column in UNBROKEN}
            )
            name, *cells, note = words
            text.append(
                "| " + " | ".join([f"{name}: {note}" if note else name, *cells]) + " |"
            )
    return "\n".join(text)


def _unbroken(cell: str) -> str:
    """Kept on one line in a narrow column: a number stays with its unit."""
    return cell.replace(" ", "\N{NO-BREAK SPACE}").replace(
        "-", "\N{NON-BREAKING HYPHEN}"
    )
