"""Files of tables: bytes to text, text to columns of words, or Parquet as it is, and back.

Every line has as many fields as the first, which names the columns. A line of another length, as of a title, a footnote
or a second header, is refused with its number: nothing is repaired.
"""

import codecs
import csv
import gzip
import io
import re
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from pathlib import Path

import polars as pl

from langevax.app.errors import BadInput, count, listing, nearest
from langevax.app.tables.records import Decision, data_row, first_place
from langevax.storage import replacing

FORMATS = ".csv, .tsv, .csv.gz or .parquet"
SEPARATOR_NAMES = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "commas"}
"""The first that divides most lines alike is taken: commas may be those of decimals."""
MAGIC = {"gzip": b"\x1f\x8b", "parquet": b"PAR1", "zip": b"PK\x03\x04"}
FORMULA = '(^|[,;|\t\r\n])([" ]*[=+\\-@\uff1d\uff0b\uff0d\uff20])'
"""What a spreadsheet takes for a formula at the beginning of a cell, which any separator begins in some country: signs
and their full-width forms."""
ENCODINGS = ("cp1252", "cp1250", "cp1251", "cp850", "mac_roman")
"""Of Windows, of DOS and of old Macs; a message shows how each of them reads a word."""
TO_UTF8 = "export it as UTF-8, in a spreadsheet as CSV UTF-8"
FIRST_LINES = 200  # that show the separator


@dataclass(frozen=True)
class LoadedTable:
    """The columns of a file before their cells are interpreted."""

    frame: pl.DataFrame
    """Text, or the columns of a Parquet file."""
    decisions: tuple[Decision, ...] = ()
    """On the file as a whole."""
    separator: str = ","
    above: int = 0
    """Lines above the first row."""


def read_table(
    path: Path, *, encoding: str | None = None, every_row: bool = False
) -> LoadedTable:
    """Return the table in a file; raise `BadInput` where it has no rows or columns.

    Args:
        path: of the file.
        encoding: of text, as Python names it; None for UTF-8, or UTF-16 with its mark.
        every_row: whether a row without any value is refused instead of left out, since each has a prediction.

    Example:
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "t.csv"
        >>> _ = path.write_text("x;y\\n1;a\\n")
        >>> read_table(path).frame.to_dicts()
        [{'x': '1', 'y': 'a'}]
    """
    where = f"TABLE {str(path)!r}"
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise BadInput(f"{where} does not exist; {_neighbour(path)}") from None
    except OSError as error:
        raise BadInput(
            f"{where} cannot be read ({error.strerror}); name a file in {FORMATS}."
        ) from error
    if data.startswith(MAGIC["parquet"]) or path.suffix.lower() == ".parquet":
        table = LoadedTable(_from_parquet(data, where))
    else:
        table = from_text(unzipped(data, where), where, encoding)
        table = _without_blank_rows(table, where, every_row)
    if not table.frame.height:
        names = listing(table.frame.columns)
        raise BadInput(
            f"{where} has a header ({names}) but no rows; name a table with rows."
        )
    return table


def _neighbour(path: Path) -> str:
    """Return a hint at the file in the same folder that the user may have meant."""
    if not path.parent.is_dir():
        return f"there is no folder {str(path.parent)!r}."
    hint = nearest(path.name, [entry.name for entry in path.parent.iterdir()])
    return hint if hint.startswith("did") else "check the path."


def _from_parquet(data: bytes, where: str) -> pl.DataFrame:
    try:
        return pl.read_parquet(io.BytesIO(data))
    except Exception as error:
        raise BadInput(
            f"{where} is not a valid Parquet file ({_first_line(error)}); export it "
            "again."
        ) from error


def unzipped(data: bytes, where: str) -> bytes:
    """Return the bytes of text in a file that may be compressed."""
    if not data.startswith(MAGIC["gzip"]):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(
            f"{where} is a damaged gzip file ({_first_line(error)}); compress it again."
        ) from error


# Bytes to text


def decode(
    data: bytes, where: str, encoding: str | None = None
) -> tuple[str, list[Decision]]:
    """Return the text of bytes, and a decision where it is not UTF-8.

    Example:
        >>> decode("Köln".encode("cp850"), "TABLE 't.csv'", "cp850")
        ('Köln', [Decision(topic='file', sentence='The file is read as cp850.', column='')])
    """
    marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    name = "utf-16" if marked else "utf-8"
    if encoding is not None:
        name = encoding
    if b"\0" in data and not name.startswith("utf-16"):
        raise BadInput(
            f"{where} is not a table of text (it holds binary data); name a file in "
            f"{FORMATS}, or export it as UTF-8."
        )
    try:
        text = data.decode(name).removeprefix("\ufeff")
    except LookupError as error:
        raise BadInput(
            f"--encoding {name!r} is not an encoding; pass one such as {ENCODINGS[0]}."
        ) from error
    except UnicodeError as error:
        raise BadInput(
            f"{where} is not in {name}: {_readings(data, getattr(error, 'start', 0))}; "
            f"pass --encoding with the right one, or {TO_UTF8}."
        ) from error
    said = f"The file is read as {name}."
    return text, [Decision("file", said)] if name != "utf-8" else []


def _readings(data: bytes, place: int) -> str:
    """Return how encodings read the word at a place of bytes."""
    before = re.split(rb'[\s,;|"]', data[:place])[-1]
    word = before + re.split(rb'[\s,;|"]', data[place:], maxsplit=1)[0]
    words = [f"{word.decode(page, 'replace')!r} in {page}" for page in ENCODINGS]
    return f"a word is {', '.join(words)}"


# Text to columns of words


def from_text(data: bytes, where: str, encoding: str | None = None) -> LoadedTable:
    """Return the table in the bytes of a file of text."""
    if data.startswith(MAGIC["zip"]):
        raise BadInput(
            f"{where} is a spreadsheet or a zip archive; export it as CSV, or unpack "
            "it."
        )
    text, decisions = decode(data, where, encoding)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise BadInput(f"{where} is empty; name a file with a header line and rows.")
    if text.lstrip()[0] in "<{[":
        raise BadInput(
            f"{where} is a web page, XML or JSON, not a table of text; export it as "
            "CSV."
        )
    separator, width = _separator(text)
    above, header = next(_lines(text, separator, where))
    if len(header) != width:
        _refuse_line(where, separator, above, len(header), width)
    names = [" ".join(name.split()) for name in header]
    names = [name or f"column {i}" for i, name in enumerate(names, 1)]
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise BadInput(
            f"{where} has two columns named {name!r} in its first line, which must "
            "name every column; rename one of them, or delete the lines above the "
            "header."
        )
    body = "".join(islice(io.StringIO(text), above, None))
    frame = _cells(body, separator, names, above, where)
    _check_header(header, frame, where)
    return LoadedTable(frame, tuple(decisions), separator, above)


def _separator(text: str) -> tuple[str, int]:
    """Return the separator that divides most lines into the same number of fields, two at least, and this number."""
    first = "".join(islice(io.StringIO(text), FIRST_LINES))
    best = ","
    width = 1
    most = 0.0
    for separator in SEPARATOR_NAMES:
        rows = [
            row for row in csv.reader(io.StringIO(first), delimiter=separator) if row
        ]
        fields, times = Counter(map(len, rows)).most_common(1)[0]
        if fields > 1 and times / len(rows) > most:
            best = separator
            width = fields
            most = times / len(rows)
    return best, width


def _lines(
    text: str,
    separator: str,
    where: str,
    above: int = 0,
) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which a row ends and its fields, none for a blank line; refuse quotation marks left open."""
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=separator,
        skipinitialspace=True,
        strict=True,
    )
    started = 0
    blank = True
    try:
        for row in reader:
            if row or not blank or above:
                blank = False
                yield above + reader.line_num, row
            started = reader.line_num
    except csv.Error as error:
        raise BadInput(
            f"{where} has a quotation mark in line {above + started + 1:,} that does "
            f"not enclose a whole field ({error}); double it within a field, or remove "
            "it."
        ) from error


def _cells(
    body: str,
    separator: str,
    names: list[str],
    above: int,
    where: str,
) -> pl.DataFrame:
    """Return the rows below the header: by polars, or where quotation marks may join rows, by Python's strict reader."""
    schema = dict.fromkeys(names, pl.String())
    if '"' not in body and body.strip():
        with suppress(pl.exceptions.PolarsError):
            frame = pl.read_csv(
                io.BytesIO(body.encode()),
                has_header=False,
                schema=schema,
                separator=separator,
            )
            if not frame[:, -1].has_nulls():  # polars completes short rows
                return frame
    rows = []
    for line, row in _lines(body, separator, where, above):
        if row and len(row) != len(names):
            _refuse_line(where, separator, line, len(row), len(names))
        rows.append([cell or None for cell in row] or [None] * len(names))
    return pl.DataFrame(rows, schema=schema, orient="row")


def _refuse_line(
    where: str,
    separator: str,
    line: int,
    fields: int,
    width: int,
) -> None:
    name = SEPARATOR_NAMES[separator]
    raise BadInput(
        f"{where}: line {line:,} has {count(fields, 'field')} where the others have "
        f"{width}, separated by {name}; delete titles above the header and remarks "
        f"below the rows, and quote fields that contain {name}."
    )


def _check_header(header: list[str], frame: pl.DataFrame, where: str) -> None:
    """Refuse a first line that does not name the columns: it lacks a name, or is like the rows below it.

    The first name may be lacking, as programs write the numbers of rows. Names that are values in order are those of
    curves: years, positions or wavelengths.
    """
    for name, column in list(zip(header, frame, strict=True))[1:]:
        if not name.strip() and (column.str.strip_chars() != "").any():
            raise BadInput(
                f"{where}: its first line, {listing(filter(None, header))}, has no "
                f"name for {column.name}, which holds "
                f"{first_place(column, column != '')}; it must name every column, so "
                "name it or delete the lines above the header."
            )
    _check_repeated(header, frame, where)
    values = [
        name for name in frame.columns if re.fullmatch("[-+]?[0-9][-+0-9.,/: ]*", name)
    ]
    words = [name for name in frame.columns if name not in values]
    repeated = [name for name in words if (frame[name] == name).any()]
    unordered = not words and frame.width > 1 and not _in_order(values)
    if values and (repeated or unordered):
        raise BadInput(
            f"{where} seems to have no header: {(repeated or values)[0]!r} in its "
            "first line is like the values below it; add a line with the names of the "
            "columns."
        )


def _check_repeated(header: list[str], frame: pl.DataFrame, where: str) -> None:
    """Refuse rows that are the header again, as of pages or of files that were joined."""
    names = zip(header, frame.columns, strict=True)
    same = [pl.col(column).str.strip_chars() == name.strip() for name, column in names]
    again = frame.select(pl.all_horizontal(same).fill_null(False)).to_series()
    if again.any() and frame.width > 1:
        rows = ", ".join(map(data_row, again.arg_true().head(3)))
        raise BadInput(
            f"{where} repeats its header in {count(int(again.sum()), 'row')}: {rows}; "
            "delete such lines."
        )


def _in_order(values: list[str]) -> bool:
    try:
        numbers = [float(value.replace(",", ".")) for value in values]
    except ValueError:
        return False
    return all(a < b for a, b in pairwise(numbers)) or all(
        a > b for a, b in pairwise(numbers)
    )


def _without_blank_rows(table: LoadedTable, where: str, refuse: bool) -> LoadedTable:
    """Leave out rows without any value, or refuse them."""
    frame = table.frame
    filled = frame.select(
        pl.any_horizontal((pl.all().str.strip_chars() != "").fill_null(False))
    ).to_series()
    if filled.all() or frame.width == 1:
        return table
    first = data_row(int((~filled).arg_true()[0]))
    number = count(int((~filled).sum()), "row")
    if refuse:
        raise BadInput(
            f"{where} has {number} without any value, the first of them {first}; "
            "delete them."
        )
    sentence = f"{number} without any value left out, the first before {first}."
    decisions = (*table.decisions, Decision("file", sentence))
    return replace(table, frame=frame.filter(filled), decisions=decisions)


# Writing


def write_table(frame: pl.DataFrame, path: Path) -> None:
    """Write Parquet, TSV or CSV, by the suffix of the name; a temporary name is used until the file is complete."""
    check_suffix(path)
    separator = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        with replacing(path) as stream:
            if path.suffix.lower() == ".parquet":
                frame.write_parquet(stream)
            else:
                stream.write(csv_text(frame, separator).encode())
    except OSError as error:
        raise BadInput(
            f"--out {str(path)!r} cannot be written ({error.strerror}); "
            "name a file in a folder that you may write to."
        ) from error


def csv_text(frame: pl.DataFrame, separator: str = ",") -> str:
    """Return a table as text, without formulas; every file of text that is written is made here.

    Example:
        >>> csv_text(pl.DataFrame({"name": ["a;=cmd|x", "b"], "number": [1.5, None]})).splitlines()
        ['name,number', "a;'=cmd|x,1.5", 'b,']
    """
    return without_formulas(frame).write_csv(separator=separator)


def without_formulas(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the table with an apostrophe before what a spreadsheet would execute at the beginning of a cell.

    A separator within a word begins a cell where it separates cells.

    Example:
        >>> without_formulas(pl.DataFrame({"=a": ["=HYPERLINK(1)", "-1.5", "red"]})).to_dict(as_series=False)
        {"'=a": ["'=HYPERLINK(1)", '-1.5', 'red']}
    """
    words = frame.with_columns(
        column.cast(pl.String)
        for column in frame
        if isinstance(column.dtype, pl.Categorical | pl.Enum)
    )
    text = pl.col(pl.String)
    number = text.str.strip_chars().cast(pl.Float64, strict=False).is_not_null()
    safe = words.with_columns(
        pl.when(number).then(text).otherwise(text.str.replace_all(FORMULA, "$1'$2"))
    )
    return safe.rename(lambda name: re.sub(FORMULA, r"\1'\2", name))


def check_suffix(path: Path) -> None:
    """Raise `BadInput` where the suffix of a name is not that of a table."""
    if path.suffix.lower() not in (".csv", ".tsv", ".parquet"):
        raise BadInput(
            f"--out {str(path)!r} must end in .csv, .tsv or .parquet, which chooses "
            "the format."
        )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
