"""Output of commands: sentences, aligned tables, one progress line per long task.

Sentences go to stdout, warnings and progress to stderr. With `--json` only the result goes to stdout.
A terminal gets bold and faint letters, a pipe or a file plain text without wrapping.
"""

import json
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text
from rich.theme import Theme


class Output:
    """The terminal, pipe or file that a command writes to."""

    indent = 13
    """Of sentences beside their labels."""
    max_width = 100
    """Of a sentence."""

    def __init__(self, machine: bool = False):
        self.machine = machine
        style = Theme({"label": "bold", "faint": "dim"})
        self.stdout: Console = Console(
            theme=style, highlight=False, soft_wrap=not sys.stdout.isatty()
        )
        self.stderr: Console = Console(
            theme=style, highlight=False, soft_wrap=not sys.stderr.isatty(), stderr=True
        )

    def say(
        self,
        label: str,
        sentence: str = "",
        style: str = "",
    ) -> None:
        """Print a label in a column of its own and a sentence beside it."""
        if self.machine:
            return
        _beside(self.stdout, label, sentence, style)

    def note(self, sentence: str) -> None:
        """Print a remark on the data or the run."""
        self.say("", sentence, "faint")

    def warn(self, sentence: str) -> None:
        """Print a warning on stderr."""
        _beside(self.stderr, "Warning", sentence)

    def blank(self) -> None:
        """Print an empty line."""
        if not self.machine:
            self.stdout.print()

    def table(
        self,
        header: Sequence[str],
        rows: Sequence[Sequence[str]],
        bold: int | None = None,
    ) -> None:
        """Print words to the left and numbers aligned on the decimal point; row `bold` stands out."""
        if self.machine:
            return
        for i, line in enumerate(aligned(header, rows)):
            style = (
                "faint"
                if i == 0
                else "label"
                if bold is not None and i == bold + 1
                else ""
            )
            self.stdout.print(
                Text(" " * self.indent + line, style=style), soft_wrap=True
            )

    def result(self, content: dict[str, Any]) -> None:
        """Write the result as JSON, the only output on stdout with `--json`."""
        if self.machine:
            sys.stdout.write(
                json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
                + "\n"
            )

    def progress(
        self,
        what: str,
        total: int = 100,
        unit: str = "%",
    ) -> "ProgressLine":
        """Return a progress line on a terminal's stderr, shown while a block runs."""
        return ProgressLine(what, total, unit)


class ProgressLine:
    """Task, bar, done/total, rate, time left, and one number that shows how well it goes."""

    def __init__(
        self,
        what: str,
        total: int,
        unit: str,
    ):
        self.bar: Any = None
        if sys.stderr.isatty():
            from tqdm.auto import tqdm

            self.bar = tqdm(
                desc=what,
                total=total,
                unit=unit,
                miniters=1,
                dynamic_ncols=True,
                leave=False,
            )

    def __enter__(self) -> "ProgressLine":
        return self

    def advance(self, number: str = "") -> None:
        """Count one more as done."""
        if self.bar is not None:
            if number:
                self.bar.set_postfix_str(number, refresh=False)
            self.bar.update(1)

    def show(self, words: str, share: float) -> None:
        """Show what is being done, and the share that is done."""
        if self.bar is not None:
            self.bar.set_postfix_str(words, refresh=False)
            self.bar.update(int(self.bar.total * share) - self.bar.n)

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()


def _beside(
    console: Console,
    label: str,
    sentence: str,
    style: str = "",
) -> None:
    lines = [Text(sentence, style=style)]
    if not console.soft_wrap:
        lines = lines[0].wrap(
            console, max(20, min(console.width, Output.max_width) - Output.indent)
        )
    for i, line in enumerate(lines):
        line.rstrip()
        console.print(
            Text.assemble((f"{'' if i else label:<{Output.indent}}", "label"), line)
        )


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table: words to the left, numbers aligned on their decimal points.

    Example:
        >>> for line in aligned(("", "R2", "seconds"), (("ours", "0.51", "12.5"), ("linear", "-0.487", "0.02"))):
        ...     print(line)
                R2      seconds
        ours     0.51   12.5
        linear  -0.487   0.02
    """
    columns = [_at_decimal_point([row[i] for row in rows]) for i in range(len(header))]
    widths = [
        max(len(cell) for cell in [name, *cells])
        for name, cells in zip(header, columns, strict=True)
    ]
    lines = [header, *zip(*columns, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    ]


def _at_decimal_point(cells: Sequence[str]) -> list[str]:
    if not all(re.fullmatch(r"-?[\d,]+(\.\d*)?|nan|-?inf|", cell) for cell in cells):
        return list(cells)
    whole = max(len(cell.partition(".")[0]) for cell in cells)
    return [" " * (whole - len(cell.partition(".")[0])) + cell for cell in cells]


def plain(value: Any) -> Any:
    """Return values that JSON can store: dataclasses as objects, arrays as lists, numbers that are not finite as None.

    Example:
        >>> plain({"a": np.array([1.5, np.inf]), "b": (np.int64(2),)})
        {'a': [1.5, None], 'b': [2]}
    """
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
