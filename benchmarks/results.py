"""Files of results: a line of JSON for each fit, appended, so that a comparison can be stopped and continued."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def lines(path: Path) -> Iterator[Record]:
    """Yield the lines of a file, if there is one; a line that was cut off is ignored."""
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue


def last(path: Path, identity: Callable[[Record], Hashable]) -> list[Record]:
    """Return the last record of each fit."""
    return list({identity(record): record for record in lines(path)}.values())


def append(
    path: Path, records: Iterable[Record], budget_hours: float | None = None
) -> None:
    """Add a line for each record as soon as it is there; none after so many hours."""
    began = time.monotonic()
    with path.open("a", encoding="utf-8") as out:
        if out.tell() and not path.read_text(encoding="utf-8").endswith("\n"):
            out.write("\n")  # after a line that was cut off
        for record in records:
            out.write(json.dumps(record) + "\n")
            out.flush()
            if (
                budget_hours is not None
                and time.monotonic() - began > 3600 * budget_hours
            ):
                print(
                    "The time is used up; the same command continues.", file=sys.stderr
                )
                return


def add_options(parser: argparse.ArgumentParser, out: Path) -> None:
    """Add the options of every comparison with a file of results."""
    parser.add_argument(
        "--out", type=Path, default=out, help=f"the file of results; {out}"
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help="print the report of the file without running",
    )


def add_page_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of comparisons of hours, whose report stands in a page."""
    parser.add_argument(
        "--budget-hours", type=float, help="start nothing after so long"
    )
    parser.add_argument(
        "--write",
        type=Path,
        metavar="PAGE",
        help="put the report between the markers of a page",
    )


def show(report: str, page: Path | None, name: str) -> None:
    """Print a report, and put it between its markers in a page."""
    print(report)
    if page is not None:
        text = inserted(page.read_text(encoding="utf-8"), report, name)
        page.write_text(text, encoding="utf-8")


def inserted(page: str, report: str, name: str) -> str:
    """Return the page with the report between its two markers.

    Raises:
        ValueError: a marker is not there.

    Example:
        >>> inserted("<!-- a: begin --> old <!-- a: end -->", "new", "a").split()
        ['<!--', 'a:', 'begin', '-->', 'new', '<!--', 'a:', 'end', '-->']
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, first, rest = page.partition(begin)
    _, second, after = rest.partition(end)
    if not first or not second:
        raise ValueError(f"the page needs the lines {begin} and {end}")
    return f"{before}{begin}\n\n{report}\n\n{end}{after}"


def names_of(known: Collection[str]) -> Callable[[str], list[str]]:
    """Return what reads names that are separated by commas, each of which is known."""

    def names(text: str) -> list[str]:
        listed = text.split(",")
        if unknown := [name for name in listed if name not in known]:
            raise argparse.ArgumentTypeError(
                f"{unknown[0]!r} is not one of {', '.join(known)}"
            )
        return listed

    return names
