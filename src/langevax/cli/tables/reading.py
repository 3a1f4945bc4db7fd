"""Reading a table from a file, and writing one: CSV, TSV (also gzipped) and Parquet.

Text is read as text: what is a number, a date or a word is decided over whole columns in `columns.py`,
at prediction by the schema of the training, so that the same file means the same whatever its first rows.
"""

import gzip
import io
import os
import zlib
from contextlib import suppress
from pathlib import Path

import polars as pl

from langevax.cli.errors import BadInput, nearest

SUFFIXES = ".csv, .tsv, .csv.gz or .parquet"
SEPARATORS = ",;\t|"
GZIP, PARQUET, ZIP = b"\x1f\x8b", b"PAR1", b"PK\x03\x04"
CONTROLS = {chr(c) for c in range(32)} - set("\t\n\r\f")


def read_table(path: Path, argument: str = "TABLE") -> pl.DataFrame:
    """The table in a file, with at least one row and one column; raise `BadInput` where there is none.

    Example:
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "t.csv"
        >>> _ = path.write_text("x;y\\n1;a\\n")
        >>> read_table(path).to_dicts()
        [{'x': '1', 'y': 'a'}]
    """
    where = f"{argument} {str(path)!r}"
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise BadInput(f"{where} does not exist{_neighbour(path)}.") from None
    except OSError as error:
        raise BadInput(f"{where} cannot be read ({error.strerror}); name a file in {SUFFIXES}.") from error
    if not data:
        raise BadInput(f"{where} is empty; name a file with a header line and rows.")
    frame = _from_parquet(data, where) if data.startswith(PARQUET) or path.suffix == ".parquet" else None
    frame = _from_text(data, path, where) if frame is None else frame
    if frame.height == 0:
        raise BadInput(f"{where} has a header ({', '.join(frame.columns[:6])}) but no rows; name a table with rows.")
    return frame


def _neighbour(path: Path) -> str:
    """The file the user may have meant, in the same folder."""
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.is_file()]
    except OSError:
        return f"; there is no folder {str(path.parent)!r}"
    hint = nearest(path.name, names) if names else ""
    return f"; {hint.rstrip('?')}?".replace("; did", "; did") if hint.startswith("did") else "; check the path"


def _from_parquet(data: bytes, where: str) -> pl.DataFrame:
    try:
        return pl.read_parquet(io.BytesIO(data))
    except Exception as error:
        raise BadInput(f"{where} is no readable Parquet file ({_first_line(error)}); write it anew.") from error


def _from_text(data: bytes, path: Path, where: str) -> pl.DataFrame:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    if data.startswith(GZIP):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise BadInput(f"{where} is a damaged gzip file ({_first_line(error)}); compress it anew.") from error
    if data.startswith(ZIP):
        raise BadInput(f"{where} is a spreadsheet or a zip archive; export it as CSV, or unpack it.")
    text = _decode(data)
    if text is None:
        raise BadInput(f"{where} is not a table (it holds binary data); expected a file in {SUFFIXES}.")
    if not text.strip():
        raise BadInput(f"{where} is empty; name a file with a header line and rows.")
    header = text.lstrip("\r\n").split("\n", 1)[0]
    separator = "\t" if suffixes[-1:] in ([".tsv"], [".tab"]) else max(SEPARATORS, key=header.count)
    try:
        frame = pl.read_csv(io.BytesIO(text.encode()), separator=separator, infer_schema=False)
    except Exception as error:
        name = {"\t": "tabs", ",": "commas"}.get(separator, repr(separator))
        raise BadInput(f"{where} cannot be read as columns separated by {name} ({_first_line(error)}).") from error
    names = [name.strip() or f"column {i + 1}" for i, name in enumerate(frame.columns)]
    twice = [name for name in names if names.count(name) > 1 or f"{name}_duplicated_0" in names]  # polars renames
    if twice:
        raise BadInput(f"{where} has two columns named {twice[0]!r}; rename one of them.")
    return frame.rename(dict(zip(frame.columns, names, strict=True)))


def _decode(data: bytes) -> str | None:
    """UTF-8, else the Western code page that spreadsheets still write; None where it is not text."""
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return None if CONTROLS & set(text[: 1 << 20]) else text
    return None


def write_table(frame: pl.DataFrame, path: Path, argument: str = "--out") -> None:
    """Write a table, as Parquet, TSV or CSV by the name's suffix, under a temporary name until complete."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        if path.suffix == ".parquet":
            frame.write_parquet(temporary)
        else:
            frame.write_csv(temporary, separator="\t" if path.suffix == ".tsv" else ",")
        os.replace(temporary, path)
    except OSError as error:
        raise BadInput(
            f"{argument} {str(path)!r} cannot be written ({error.strerror or _first_line(error)}); "
            "name a file in a folder that you may write to."
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
