"""Files of tables: bytes to columns of text, or Parquet as it is, and back.

Encoding, separator and header are found from the file, and each decision that is not plain is recorded. Rows that are
shorter than the header are completed by missing values; rows that are longer are refused with their line.
"""

import csv
import gzip
import io
import os
import re
import sys
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from pathlib import Path

import polars as pl

from langevax.app.errors import BadInput, count, nearest
from langevax.app.tables.decoding import SUFFIXES, decode
from langevax.app.tables.layout import (
    header_row,
    refuse_missing_header,
    with_blank_rows,
    without_other_rows,
    without_remarks,
    without_rules,
    without_second_header,
)
from langevax.app.tables.records import Decision, data_row

SEPARATORS = "\t;|,"
"""The first that divides all rows alike is taken: commas may be those of decimals, the others hardly are."""
SEPARATOR_NAMES = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars"}
GZIP, PARQUET, ZIP = b"\x1f\x8b", b"PAR1", b"PK\x03\x04"
STATEMENT = re.compile(
    r"\s*(?:--\s.*\bdump\b|insert\s+into\b|create\s+table\b|drop\s+table\b)",
    re.IGNORECASE,
)
SPARSE = re.compile(r"(?:[-+]?[0-9.]+(?:\s+[0-9]+:[-+0-9.eE]+)+\s*\n){2}")
"""Lines of LIBSVM."""
WEKA = re.compile(r"\s*(?:%.*\n\s*)*@relation\b", re.IGNORECASE)
INVISIBLE = re.compile("[\u200b\u200e\u200f\u2060\ufeff]")
DOCUMENT = re.compile(
    r"\s*(?:<(?:!doctype|html|\?xml|table)\b|<\?xml|[\[{]\s*[\[{\"])", re.IGNORECASE
)
FORMULA = "^[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
"""What a spreadsheet takes for a formula at the beginning of a cell: signs, their full-width forms, and blanks."""
FIRST_ROWS = 200  # in which separator and header are searched for
FIRST_LETTERS = 200_000  # of them, in which the separator is searched for
ROWS_WITH_NAMES = 3  # at least, where the header lacks the name of the first column


@dataclass(frozen=True)
class LoadedTable:
    """The columns of a file before their cells are interpreted."""

    frame: pl.DataFrame
    """Text, or the columns of a Parquet file."""
    decisions: tuple[Decision, ...] = ()
    """On the file as a whole."""
    separator: str = ","
    encoding: str = "utf-8"
    above: int = 0
    """Lines above the first row."""
    rewritten: bool = False
    """Whether the lines of the file are not those that were divided into columns."""
    totals: pl.DataFrame | None = None
    """Rows of totals, which are left out and may show how numbers are written."""
    left_out: tuple[int, ...] = ()
    """Rows below the header, counted from 0, that are not in `frame`, where every row counts."""


def read_table(
    path: Path,
    argument: str = "TABLE",
    encoding: str | None = None,
    *,
    every_row: bool = False,
) -> LoadedTable:
    """Return the table in a file; raise `BadInput` where it has no rows or columns.

    Args:
        path: of the file.
        argument: what messages call it.
        encoding: of text; None where it is to be found.
        every_row: whether rows without any value stay, so that there is a prediction for each.

    Example:
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "t.csv"
        >>> _ = path.write_text("x;y\\n1;a\\n")
        >>> read_table(path).frame.to_dicts()
        [{'x': '1', 'y': 'a'}]
    """
    where = f"{argument} {str(path)!r}"
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise BadInput(f"{where} does not exist{_neighbour(path)}.") from None
    except OSError as error:
        raise BadInput(
            f"{where} cannot be read ({error.strerror}); name a file in {SUFFIXES}."
        ) from error
    if not data:
        raise BadInput(f"{where} is empty; name a file with a header line and rows.")
    if data.startswith(PARQUET) or path.suffix.lower() == ".parquet":
        table = LoadedTable(_from_parquet(data, where))
    else:
        table = from_text(data, path, where, encoding, every_row)
    if table.frame.height == 0:
        names = ", ".join(table.frame.columns[:6])
        raise BadInput(
            f"{where} has a header ({names}) but no rows; name a table with rows."
        )
    return table


def _neighbour(path: Path) -> str:
    """Return a hint at the file in the same folder that the user may have meant."""
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.is_file()]
    except OSError:
        return f"; there is no folder {str(path.parent)!r}"
    hint = nearest(path.name, names) if names else ""
    return (
        f"; {hint.rstrip('?')}?".replace("; did", "; did")
        if hint.startswith("did")
        else "; check the path"
    )


def _from_parquet(data: bytes, where: str) -> pl.DataFrame:
    try:
        return pl.read_parquet(io.BytesIO(data))
    except Exception as error:
        raise BadInput(
            f"{where} is not a valid Parquet file ({_first_line(error)}); export it again."
        ) from error


def from_text(
    data: bytes, path: Path, where: str, encoding: str | None, every_row: bool
) -> LoadedTable:
    """Return the table in the bytes of a file of text, also gzipped."""
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    if data.startswith(GZIP):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise BadInput(
                f"{where} is a damaged gzip file ({_first_line(error)}); compress it again."
            ) from error
    if data.startswith(ZIP):
        raise BadInput(
            f"{where} is a spreadsheet or a zip archive; export it as CSV, or unpack it."
        )
    text, encoding, decisions = decode(
        data.removesuffix(b"\x1a"), where, encoding
    )  # which ended files of DOS
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if document := DOCUMENT.match(text):
        kind = (
            "a web page or XML" if document.group().strip().startswith("<") else "JSON"
        )
        raise BadInput(f"{where} is {kind}, not a table of text; export it as CSV.")
    for pattern, kind in (
        (STATEMENT, "statements of SQL"),
        (WEKA, "a file of Weka"),
        (SPARSE, "a file of LIBSVM"),
    ):
        if pattern.match(text):
            raise BadInput(f"{where} is {kind}, not a table of text; export it as CSV.")
    if not text.isascii():
        text = INVISIBLE.sub("", text)
    plain, text = text, without_rules(text, decisions)
    rewritten = plain is not text
    if '="' in text:  # formulas by which spreadsheets keep leading zeros
        text = re.sub(
            r'(?m)(^|[,;\t|])(?:="([^"\n]*)"|"=""([^"\n]*)""")(?=$|[,;\t|])',
            r'\1"\2\3"',
            text,
        )
    if not text.strip():
        raise BadInput(f"{where} is empty; name a file with a header line and rows.")
    declared = re.match(
        r"\s*\"?sep=(.)\"?[ ;,\t]*\n", text, re.IGNORECASE
    )  # as Excel reads it
    tabs = "\t" if suffixes[-1:] in ([".tsv"], [".tab"]) else None
    skipped = declared.group().count("\n") if declared else 0
    text = text[declared.end() :] if declared else text
    separator = declared.group(1) if declared else tabs or _separator(text)
    if separator.isspace() and separator != "\t":
        if '"' in text:
            copy = io.StringIO()
            csv.writer(
                copy, "excel-tab", lineterminator="\n", quoting=csv.QUOTE_ALL
            ).writerows(row for _, row in _rows(text, separator))
            text = copy.getvalue()
        else:
            text = re.sub(r"(?m)^[ \t]+|[ \t]+$", "", text)
            text = re.sub(r"[ \t]+" if separator == " " else r" {2,}", "\t", text)
        separator, rewritten = "\t", True
        decisions.append(Decision("file", "Columns are separated by spaces."))
    table = _from_separated(
        text, separator, skipped, where, decisions, every_row, spaced=rewritten
    )
    separator = " " if rewritten else separator
    return replace(table, separator=separator, encoding=encoding, rewritten=rewritten)


def _rows(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which a row ends and its fields, without blank lines."""
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=separator,
        skipinitialspace=separator != "\t",
    )
    for row in reader:
        if row:
            yield reader.line_num, row


def _separator(text: str) -> str:
    """Return the separator that divides most of the first rows into the same number of fields, two at least."""
    lines = islice((line for line in io.StringIO(text) if line.strip()), FIRST_ROWS)
    first, letters = list[str](), 0
    for line in lines:
        first.append(line)
        letters += len(line)
        if letters > FIRST_LETTERS and len(first) > 2:
            break
    head = "".join(first)
    best, share_of_best = ",", 0.0
    for separator in SEPARATORS:
        widths = Counter(len(row) for _, row in _rows(head, separator))
        width, rows = max(widths.items(), key=lambda item: (item[1], item[0]))
        if width > 1 and rows / widths.total() > share_of_best + 1e-9:
            best, share_of_best = separator, rows / widths.total()
    if not share_of_best and '"' in head and _quoted_by_spaces(head):
        return " "
    if not share_of_best and '"' not in head:
        widths = Counter(
            len(line.split()) for line in head.splitlines() if line.strip()
        )
        if max(widths) > 1 and (
            len(widths) == 1
            or _rows_are_named([line.split() for line in head.splitlines()])
        ):
            return " "
        widths = Counter(
            len(re.split(" {2,}", line.strip()))
            for line in head.splitlines()
            if line.strip()
        )
        if len(widths) == 1 and max(widths) > 1:
            return "  "
    return best


def _quoted_by_spaces(head: str) -> bool:
    """Return whether single spaces divide all lines alike, outside of quotation marks, as R writes tables."""
    rows = [row for _, row in _rows(head, " ")]
    widths = {len(row) for row in rows}
    return max(widths) > 1 and (len(widths) == 1 or _rows_are_named(rows))


def _rows_are_named(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether each line has a field more than the first one, and begins with a name of its own."""
    rows = [row for row in rows if row]
    names = [row[0] for row in rows[1:]]
    wider = {len(row) for row in rows[1:]} == {len(rows[0]) + 1}
    return wider and len(names) >= ROWS_WITH_NAMES and len(set(names)) == len(names)


# Rows and columns


def _from_separated(
    text: str,
    separator: str,
    skipped: int,
    where: str,
    decisions: list[Decision],
    every_row: bool,
    spaced: bool,
) -> LoadedTable:
    """Read text with a separator; `spaced` where spaces separated its columns."""
    head = list(islice(_rows(text, separator), FIRST_ROWS))
    first = header_row([row for _, row in head], decisions)
    line, header = head[first]
    refuse_missing_header(
        header,
        [row for _, row in head[first + 1 :]],
        f"{where} seems to have no header",
        line + skipped,
    )
    names = header
    body = "".join(islice(io.StringIO(text), line, None))
    widths = Counter(len(row) for _, row in head[first + 1 :])
    if (
        widths
        and set(widths) == {len(header) + 1}
        and len(head) - first > ROWS_WITH_NAMES
    ):
        if not any(row[-1].strip() for _, row in head[first + 1 :]):
            names = [*header, ""]
        elif (spaced or _quoted(text, line, body)) and len(
            {row[0] for _, row in head[first + 1 :]}
        ) == widths.total():
            names = ["row name", *header]
            decisions.append(
                Decision(
                    "file",
                    "The header lacks the name of the first column, called 'row name'.",
                )
            )
    body = without_remarks(body, separator, len(names), decisions)
    body = with_blank_rows(body, separator, len(names)) if every_row else body
    frame = _by_polars(body, separator, len(names))
    if frame is None or (
        frame[:, -1].null_count() and not _regular(body, separator, frame)
    ):
        frame = _by_lines(body, separator, len(names), line + skipped, where, decisions)
    _refuse_open_quotes(frame, body, separator, line + skipped, where)
    frame, names = without_second_header(frame, names, decisions)
    frame, totals, left_out = without_other_rows(frame, names, decisions, every_row)
    named = dict(zip(frame.columns, _names(names, decisions), strict=True))
    return LoadedTable(
        frame.rename(named),
        tuple(decisions),
        separator,
        above=line + skipped,
        totals=totals.rename(named),
        left_out=tuple(left_out),
    )


def _refuse_open_quotes(
    frame: pl.DataFrame, body: str, separator: str, above: int, where: str
) -> None:
    """Refuse quotation marks within quoted fields that join rows, such as "20" LCD" with one that stands for inches."""
    if '"' not in body or frame.width < 2:
        return
    joined = rf"{re.escape(separator)}[^\n]*\n"
    if not any(column.str.contains(joined).any() for column in frame):
        return
    within = re.compile(
        rf'(?:^|{re.escape(separator)})"[^"\n]*" *[^"\n{re.escape(separator)} ]',
        re.MULTILINE,
    )
    if match := within.search(body):
        line = above + body.count("\n", 0, match.end()) + 1
        problem = f"line {line:,} has a quotation mark within quotation marks, which ends the field; double it"
        _refuse_rows(where, separator, problem)


def _quoted(text: str, line: int, body: str) -> bool:
    """Return whether header and rows start with a quotation mark, so that a comma more is not one within a number."""
    header = next(islice(io.StringIO(text), line - 1, None), "")
    return header.lstrip().startswith('"') and body.lstrip().startswith('"')


def _by_polars(body: str, separator: str, width: int) -> pl.DataFrame | None:
    """Return the rows, those that are too short completed by missing values, or None where polars cannot read them."""
    if re.search(rf"{re.escape(separator)} +\"", body):
        return None
    if width > 1 and '"' not in body:
        body = re.sub(r"\n(?: *\n)+", "\n", "\n" + body)[1:]
    if not body.strip("\n"):
        return None
    schema: dict[str, type[pl.DataType]] = {str(i): pl.String for i in range(width)}
    try:
        return pl.read_csv(
            io.BytesIO(body.encode()),
            has_header=False,
            schema=schema,
            separator=separator,
        )
    except pl.exceptions.PolarsError:
        return None


def _regular(body: str, separator: str, frame: pl.DataFrame) -> bool:
    """Return whether all rows have the width of a frame; polars completes short rows silently."""
    widths = Counter(len(row) for _, row in _rows(body, separator))
    return frame.width == 1 or widths == {frame.width: frame.height}


def _by_lines(
    body: str,
    separator: str,
    width: int,
    above: int,
    where: str,
    decisions: list[Decision],
) -> pl.DataFrame:
    """Read row by row, which tells rows of another length and their lines."""
    rows: list[list[str | None]] = []
    short: list[tuple[int, int, int]] = []
    line = last = 0
    try:
        for line, fields in _rows(body, separator):
            row: list[str | None] = [field or None for field in fields]
            while len(row) > width and not (row[-1] or "").strip():
                row.pop()
            if len(row) > width:
                problem = f"{data_row(len(rows))} in line {above + line} has {len(row)} fields, the header {width}"
                _refuse_rows(where, separator, problem)
            if len(row) < width and not (len(row) == 1 and row[0] is None):
                short.append((len(rows), line, len(row)))
            rows.append(row + [None] * (width - len(row)))
            if (
                line - last > 1
                and body.count('"') % 2
                and last + 1 < line
                and line >= body.count("\n")
            ):
                _refuse_rows(
                    where,
                    separator,
                    f"a quotation mark opened in line {above + last + 1} is never closed",
                )
            last = line
    except csv.Error as error:
        _refuse_rows(where, separator, f"line {above + line + 1}: {error}")
    for (row_a, line_a, size_a), (row_b, line_b, size_b) in pairwise(short):
        if row_b == row_a + 1 and size_a + size_b == width + 1:
            _refuse_rows(
                where,
                separator,
                f"lines {above + line_a} and {above + line_b} seem to be one row broken in two",
            )
    if short:
        index, line, size = short[0]
        verb = "is" if len(short) == 1 else "are"
        first = f"the first in line {above + line} ({data_row(index)}, {size} of {width} fields)"
        sentence = f"{count(len(short), 'row')} {verb} shorter than the header, {first}: the rest counts as missing."
        decisions.append(Decision("file", sentence))
    columns = zip(*rows, strict=True) if rows else [()] * width
    return pl.DataFrame(
        [pl.Series(str(i), column, dtype=pl.String) for i, column in enumerate(columns)]
    )


def _refuse_rows(where: str, separator: str, problem: str) -> None:
    kind = SEPARATOR_NAMES.get(separator, repr(separator))
    raise BadInput(
        f"{where} cannot be read as columns separated by {kind} ({problem}); correct it, or quote fields that contain "
        f"{kind} or line ends."
    )


def _names(header: Iterable[str], decisions: list[Decision]) -> list[str]:
    """Return distinct names: empty ones are numbered, repeated ones counted."""
    names, used = [], Counter[str]()
    header = [
        " ".join(name.split()) or f"column {i + 1}" for i, name in enumerate(header)
    ]
    present = set(header)
    for name in header:
        used[name] += 1
        new = name
        while used[name] > 1 and new in present:
            new = f"{name} ({used[name]})"
            used[name] += new in present
        present.add(new)
        names.append(new)
        if new != name:
            decisions.append(
                Decision(
                    "file",
                    f"Another column is named {name!r} and is called {new!r}.",
                    new,
                )
            )
    return names


# Writing


def write_table(frame: pl.DataFrame, path: Path, argument: str = "--out") -> None:
    """Write Parquet, TSV or CSV, by the suffix of the name; a temporary name is used until the file is complete."""
    check_suffix(path, argument)
    temporary = path.with_name(f".{path.name}.part")
    try:
        if path.suffix.lower() == ".parquet":
            frame.write_parquet(temporary)
        else:
            without_formulas(frame).write_csv(
                temporary, separator="\t" if path.suffix.lower() == ".tsv" else ","
            )
        os.replace(temporary, path)
    except OSError as error:
        raise BadInput(
            f"{argument} {str(path)!r} cannot be written ({error.strerror or _first_line(error)}); "
            "name a file in a folder that you may write to."
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def without_formulas(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the table with an apostrophe before words and names that a spreadsheet would execute.

    Example:
        >>> without_formulas(pl.DataFrame({"=a": ["=HYPERLINK(1)", "-1.5", "red"]})).to_dict(as_series=False)
        {"'=a": ["'=HYPERLINK(1)", '-1.5', 'red']}
    """
    columns = [
        column.to_frame().select(
            pl.when(
                column.str.contains(FORMULA)
                & column.str.strip_chars().cast(pl.Float64, strict=False).is_null()
            )
            .then("'" + column)
            .otherwise(column)
            .alias(column.name)
        )[column.name]
        if column.dtype == pl.String
        else column
        for column in map(_as_text, frame)
    ]
    return pl.DataFrame(
        {f"'{c.name}" if re.match(FORMULA, c.name) else c.name: c for c in columns}
    )


def _as_text(column: pl.Series) -> pl.Series:
    """Return categories as the text by which CSV has them, other columns as they are."""
    return (
        column.cast(pl.String)
        if isinstance(column.dtype, pl.Categorical | pl.Enum)
        else column
    )


def check_suffix(path: Path, argument: str = "--out") -> None:
    """Raise `BadInput` where the suffix of a name is not that of a table."""
    if path.suffix.lower() not in (".csv", ".tsv", ".parquet"):
        raise BadInput(
            f"{argument} {str(path)!r} must end in .csv, .tsv or .parquet, which chooses the format."
        )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
