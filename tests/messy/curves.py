"""Messy tables of curves, what they must be read as, and the verdict on how they were read."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from langevax.app.errors import BadInput
from langevax.app.fitting.data import prepare
from langevax.app.options import FitOptions
from tests.messy.case import Verdict

ROWS = 12
NAN = float("nan")


@dataclass(frozen=True)
class CurveCase:
    """A table of curves."""

    name: str
    content: bytes
    times: Sequence[float] = ()
    """Of the first curve."""
    values: Sequence[float] = ()
    """Of the first curve, NaN where missing."""
    said: tuple[str, ...] = ()
    """Words among the notes."""
    refusal: tuple[str, ...] = ()
    """Words in the message of a file that must be refused."""
    options: Mapping[str, Any] = field(default_factory=lambda: {"curves": "wide"})


def judge_curves(case: CurveCase) -> tuple[Verdict, str]:
    """Return how a file was read, and what is wrong with it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "table.csv")
        path.write_bytes(case.content)
        try:
            data = prepare(FitOptions(path, "y", Path(folder, "out"), **case.options))
        except BadInput as error:
            lacking = [word for word in case.refusal if word not in str(error)]
            right = case.refusal and not lacking
            return ("refused by name" if right else "misread"), str(error)
    if case.refusal:
        return "misread", "it must be refused"
    wide = isinstance(data.inputs, np.ndarray)
    (times, values) = (data.schema.grid, data.inputs[0]) if wide else data.inputs[0][0]
    notes = " ".join(data.notes)
    for what, read, right in (
        ("times", times, case.times),
        ("values", values, case.values),
    ):
        if len(read) != len(right) or not np.allclose(
            read, right, rtol=1e-12, atol=1e-9, equal_nan=True
        ):
            return "misread", f"{what} are {list(read)}, not {list(right)}"
    lacking = [word for word in case.said if word not in notes]
    return (
        ("misread", f"{lacking} is not in {notes!r}")
        if lacking
        else ("read right", notes)
    )


def wide(
    header: str, first: str, *rows: str, separator: str = ",", end: str = ""
) -> bytes:
    """Return a table whose first rows are as stated, and others of plain numbers."""
    width = len(header.split(separator))
    mark = "," if separator == ";" else "."
    more = [
        separator.join(f"{i % 5 + j}{mark}{i % 7}" for j in range(width)) + end
        for i in range(ROWS)
    ]
    return "\n".join([header, first, *rows, *more[: ROWS - len(rows)], ""]).encode()


def long(first: Sequence[str], cells: str = "{i}.5", header: str = "id,t,x,y") -> bytes:
    """Return a table of three readings for each of several curves, those of the first one as stated."""
    rows = [
        f"c{i},{t},{cells.format(i=i % 5 + t)},{i / 2}"
        for i in range(1, ROWS)
        for t in range(3)
    ]
    return "\n".join([header, *first, *rows, ""]).encode()


IN_LONG = {"curves": "long", "id": "id", "time": "t", "value": ["x"]}
WIDE = [
    CurveCase(
        "a stray word in a curve",
        wide("0,1,2,y", "1.5,unknown,2.5,7.5"),
        (0, 1, 2),
        (1.5, NAN, 2.5),
        ("'unknown' in data row 1 counts as missing", "1 missing value interpolated"),
    ),
    CurveCase(
        "a German spreadsheet of curves",
        wide("850;852;y", "1,5;2,25;7,5", separator=";"),
        (850, 852),
        (1.5, 2.25),
        ("decimal commas: '1,5' in data row 1 is 1.5",),
    ),
    CurveCase(
        "points for thousands in one column of a German table",
        wide("850;852;y", "1.234;2,25;7,5", separator=";"),
        (850, 852),
        (1234, 2.25),
        ("'1.234' in data row 1 is 1234",),
    ),
    CurveCase(
        "letters before wavelengths, as R writes them",
        wide("X850,X852,y", "1,2,3"),
        (850, 852),
        (1, 2),
    ),
    CurveCase(
        "wavelengths with a unit, out of order",
        wide("852 nm,850.5 nm,y", "1,2,3"),
        (850.5, 852),
        (2, 1),
        ("'850.5 nm' at 850.5",),
    ),
    CurveCase(
        "wavelengths with decimal commas",
        wide("850;850,5;y", "1;2;3", separator=";"),
        (850, 850.5),
        (1, 2),
    ),
    CurveCase(
        "thousands in the names",
        wide("990;1,000;1,010;y", "1;2;3;4", separator=";"),
        refusal=("'1,000'", "--drop"),
    ),
    CurveCase(
        "days as names",
        wide("2024-01-30,2024-01-31,2024-02-02,y", "1,2,3,4"),
        (0, 0.5, 1),
        (1, 2, 3),
        ("are not numbers: times are even steps from 0 to 1",),
    ),
    CurveCase(
        "an id beside wavelengths",
        "\n".join(
            [
                "sample,850,852,y",
                *(f"S{i:03d},{i % 3}.5,2,{i / 2}" for i in range(ROWS)),
                "",
            ]
        ).encode(),
        (850, 852),
        (0.5, 2),
        ("Column 'sample' is left out", "--read sample"),
    ),
    CurveCase(
        "a group beside wavelengths",
        wide("group,850,852,y", "1,2,3,4"),
        refusal=("'group'", "--drop group"),
    ),
    CurveCase(
        "a curve of words",
        wide(
            "0,1,2,y", "a,1,2,3", "b,1,2,3", "c,1,2,3", "a,1,2,3", "b,1,2,3", "c,1,2,3"
        ),
        refusal=(
            "column '0' holds a number in 7 rows, but also 'a' in data row 1",
            "--read 0=numbers",
        ),
    ),
    CurveCase(
        "commas that group or divide in curves",
        "\n".join(
            [
                "0;1;y",
                *(f"{i + 1},23{i % 10};{i + 2},10{i % 10};{i}" for i in range(ROWS)),
                "",
            ]
        ).encode(),
        refusal=("can be read in two ways", "--read 0=decimal-comma"),
    ),
    CurveCase(
        "the same with an answer",
        "\n".join(
            [
                "0;1;y",
                *(f"{i + 1},23{i % 10};{i + 2},10{i % 10};{i}" for i in range(ROWS)),
                "",
            ]
        ).encode(),
        (0, 1),
        (1.23, 2.1),
        options={"curves": "wide", "read": ["decimal-comma"]},
    ),
]
LONG = [
    CurveCase(
        "a stray word among readings",
        long(["c0,0,1.5,7", "c0,1,unknown,7", "c0,2,2.5,7"]),
        (0, 2),
        (1.5, 2.5),
        (
            "'unknown' in data row 2 counts as missing",
            "1 row without 'x' left out",
        ),
        options=IN_LONG,
    ),
    CurveCase(
        "a stray word among times",
        long(["c0,0,1.5,7", "c0,n/a,3,7", "c0,noon,3,7", "c0,2,2.5,7"]),
        refusal=("column 't' holds a number", "'noon' in data row 3"),
        options=IN_LONG,
    ),
    CurveCase(
        "currencies among readings",
        long(['c0,0,"$1,234.50",7', "c0,1,$3,7"], "${i}.5"),
        (0, 1),
        (1234.5, 3),
        ("with '$'",),
        options=IN_LONG,
    ),
    CurveCase(
        "times as days, the day first, one of them unknown",
        "\n".join(
            [
                "id,t,x,y",
                "c0,31.01.2024,1,7",
                "c0,unknown,2,7",
                "c0,02.02.2024,3,7",
                *(
                    f"c{i},{1 + j}.03.2024,{i % 5 + j},{i}"
                    for i in range(1, ROWS)
                    for j in range(3)
                ),
                "",
            ]
        ).encode(),
        (0, 2),
        (1, 3),
        (
            "days since the first reading of each 'id'",
            "1 row without 't' left out",
        ),
        options=IN_LONG,
    ),
    CurveCase(
        "times that are days or months",
        "\n".join(
            [
                "id,t,x,y",
                *(
                    f"c{i},0{1 + j}/03/2024,{i % 5 + j},{i}"
                    for i in range(ROWS)
                    for j in range(3)
                ),
                "",
            ]
        ).encode(),
        refusal=("column 't' can be read in two ways", "--read t=day-first"),
        options=IN_LONG,
    ),
    CurveCase(
        "readings in Windows-1252 with semicolons",
        "\n".join(
            [
                "Gerät;t;Wärme;y",
                *(
                    f"Köln {i};{j};{i % 5 + j},5;{'heiß' if i % 2 else 'kühl'}"
                    for i in range(ROWS)
                    for j in range(3)
                ),
                "",
            ]
        ).encode("cp1252"),
        (0, 1, 2),
        (0.5, 1.5, 2.5),
        ("cp1252", "decimal commas"),
        options=IN_LONG | {"id": "Gerät", "value": ["Wärme"], "encoding": "cp1252"},
    ),
]
CURVES = [*WIDE, *LONG]
