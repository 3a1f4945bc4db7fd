"""Messy tables of numbers, what `langevax convert` must write for them, and the verdict."""

import gzip
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from langevax.app.main import app
from langevax.data import open_rows
from tests.messy.case import Verdict


@dataclass(frozen=True)
class ConvertCase:
    """A table whose target is `y`."""

    name: str
    content: bytes
    inputs: Sequence[Sequence[float]] = ()
    targets: Sequence[float] = ()
    said: tuple[str, ...] = ()
    """Words that are printed."""
    refusal: tuple[str, ...] = ()
    """Words in the message of a file that must be refused."""
    options: tuple[str, ...] = ()


def judge_converted(case: ConvertCase) -> tuple[Verdict, str]:
    """Return how a file was converted, and what is wrong with it."""
    with tempfile.TemporaryDirectory() as folder:
        table, out = Path(folder, "table.csv"), Path(folder, "table.rows")
        table.write_bytes(case.content)
        command = [
            "convert",
            str(table),
            "--target",
            "y",
            "--out",
            str(out),
            *case.options,
        ]
        answer = CliRunner().invoke(app, command, catch_exceptions=False)
        printed = " ".join((answer.stdout + answer.stderr).split())
        if answer.exit_code:
            lacking = [word for word in case.refusal if word not in printed]
            return (
                "refused by name"
                if case.refusal and not lacking and not out.exists()
                else "misread"
            ), printed
        if case.refusal:
            return "misread", "it must be refused"
        rows = open_rows(out)
        inputs, targets = rows.numpy("inputs"), rows.numpy("targets")
        for what, read, right in (
            ("inputs", inputs, case.inputs),
            ("targets", targets, case.targets),
        ):
            if not np.array_equal(read, np.asarray(right, read.dtype)):
                return "misread", f"{what} are {read.tolist()}"
        lacking = [word for word in case.said if word not in printed]
        return (
            ("misread", f"{lacking} is not in {printed!r}")
            if lacking
            else ("read right", printed)
        )


def lines(*rows: str) -> str:
    """Return rows of a file."""
    return "\n".join(rows) + "\n"


GERMAN = lines("Größe;y", "1.234,5;1", "2,25;0", "3,5;1")
CONVERTED = [
    ConvertCase(
        "a German spreadsheet",
        GERMAN.encode(),
        [[1234.5], [2.25], [3.5]],
        [1, 0, 1],
        ("decimal commas: '1.234,5' in data row 1 is 1234.5",),
    ),
    ConvertCase(
        "the same, compressed",
        gzip.compress(GERMAN.encode()),
        [[1234.5], [2.25], [3.5]],
        [1, 0, 1],
    ),
    *(
        ConvertCase(f"the same in {name}", content, refusal=("not UTF-8", "export"))
        for name, content in (
            ("Windows-1252", GERMAN.encode("cp1252")),
            ("UTF-16", GERMAN.encode("utf-16")),
        )
    ),
    ConvertCase(
        "line ends of old Macs",
        lines("x,y", "1.5,2", "3,4").replace("\n", "\r").encode(),
        refusal=("line ends", "export"),
    ),
    ConvertCase(
        "dollars, percent and yes",
        lines(
            "price,rate,sold,y", '"$1,234.50",12.5%,yes,1.5', "$3,5%,no,2.5"
        ).encode(),
        [[1234.5, 12.5, 1], [3, 5, 0]],
        [1.5, 2.5],
        ("'$': '$1,234.50'", "'yes' is 1 and 'no' is 0"),
    ),
    ConvertCase(
        "days, the day first",
        lines("day,y", "31/01/1970,1", "02/01/1970,2", "02/02/1970,2").encode(),
        [[30], [1], [32]],
        [1, 2, 2],
        ("the day first", "days since 1970"),
    ),
    ConvertCase(
        "days or months",
        lines("day,y", "01/02/1970,1", "02/03/1970,2").encode(),
        refusal=("--read day=day-first",),
    ),
    ConvertCase(
        "days or months, with an answer",
        lines("day,y", "01/02/1970,1", "02/03/1970,2").encode(),
        [[31], [60]],
        [1, 2],
        options=("--read", "day-first"),
    ),
    ConvertCase(
        "a title above the header",
        lines("Sales of 2024", "x|y", "1.5|2", "2.5|3", "3.5|4").encode(),
        refusal=("line 1 has 1 field where the others have 2",),
    ),
    ConvertCase(
        "a word among numbers",
        lines("x,y", *(f"{i}.5,{i}" for i in range(9)), "unknown,3").encode(),
        refusal=("column 'x' is missing in data row 10 ('unknown')", "--missing drop"),
    ),
    ConvertCase(
        "the same, left out",
        lines("x,y", *(f"{i}.5,{i}" for i in range(9)), "unknown,3").encode(),
        [[i + 0.5] for i in range(9)],
        list(range(9)),
        (
            "'unknown' in data row 10 counts as missing",
            "1 row with missing values left out",
        ),
        options=("--missing", "drop"),
    ),
    ConvertCase(
        "a total among the rows",
        lines("kg,y", "1.5,2", "2.5,3", "Total,5", "3,4").encode(),
        refusal=("'Total'", "--read kg=numbers"),
    ),
    ConvertCase(
        "a target of yes and no",
        lines("x,y", "1.5,Yes", "2.5,no", "3.5,YES").encode(),
        [[1.5], [2.5], [3.5]],
        [1, 0, 1],
    ),
    ConvertCase(
        "two columns of one name",
        lines("x,x,y", "1,2,3", "4,5,6").encode(),
        refusal=("two columns named 'x'",),
    ),
    ConvertCase(
        "a row that is too long",
        lines("x,y", "1,2", "3,4,5").encode(),
        refusal=("line 3",),
    ),
    ConvertCase(
        "a column of words",
        lines("city,y", "Bonn,2", "Ulm,4", "Bonn,5").encode(),
        refusal=("'city' holds words",),
    ),
    ConvertCase(
        "numbers beyond 2^53",
        lines("x,y", "9007199254740993,2", "1,4").encode(),
        refusal=("9,007,199,254,740,993",),
        options=("--read", "x=numbers"),
    ),
    ConvertCase(
        "targets beyond 2^53",
        lines("x,y", "1,9007199254740993", "2,4").encode(),
        refusal=("9007199254740993", "does not fit int32"),
        options=("--read", "y=numbers"),
    ),
]
