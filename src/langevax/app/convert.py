"""`langevax convert`: a table larger than memory to a row file."""

import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from langevax.app.errors import BadInput, RunFailed, count, exit_codes, nearest
from langevax.app.options import local_path

if TYPE_CHECKING:
    from langevax.app.output import Output
    from langevax.data import Rows

HELP = """Convert a table of numbers to a row file, from which training reads rows without loading the file into memory.

\b
Examples:
  langevax convert clicks.parquet --target clicked --out clicks.rows
  langevax convert 'clicks/*.parquet' --target clicked --out clicks.rows --drop user --drop day
  langevax convert january.csv.gz february.csv.gz --target delay --out flights.rows

TABLE is CSV, TSV (also gzipped) or Parquet, with a header; several
tables are concatenated. Memory stays at a few hundred MB for any number of rows. Text is read as by `langevax fit`, by
the first rows of the file: encoding, separator, decimal commas, currencies, dates (as days since 1970), and yes and no
(as 1 and 0). Each decision is printed, and a cell further down that is written otherwise is an error that names column
and row. So are other words; and missing values, unless --missing says what to do about them.

\b
Then in Python (FiniteSum, posterior, MeanFieldRisk; `langevax fit` reads tables, not row files):
  rows = langevax.data.open_rows("clicks.rows")
  problem = langevax.FiniteSum(loss, (rows["inputs"], rows["targets"]))

Exit codes: 0 success, 1 the disk is full or failed, 2 wrong usage or bad input, 130 interrupted; on failure, no file
is left.
"""


def convert(
    table: Annotated[
        list[Path],
        typer.Argument(
            parser=local_path,
            metavar="TABLE...",
            help="One or more files, or a quoted pattern.",
        ),
    ],
    target: Annotated[
        str,
        typer.Option(
            metavar="COLUMN", help="The column to learn; integers stay integers."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            parser=local_path,
            metavar="NAME.rows",
            help="The row file to write, a folder.",
        ),
    ],
    drop: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="A column to leave out; repeat for more."),
    ] = None,
    read: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=KIND", help="How to read a column, as in `langevax fit`."
        ),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Encoding of a text file, such as cp1251; by default found.",
        ),
    ] = None,
    missing: Annotated[
        Literal["error", "drop", "median"],
        typer.Option(
            metavar="error|drop|median",
            help="Rows with missing values: an error, left out, or filled by the medians of the first rows (but rows "
            "without a target are left out).",
        ),
    ] = "error",
    double: Annotated[
        bool,
        typer.Option(
            "--double", help="Store 64 bits where the table has them, not 32."
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the row file NAME.rows.")
    ] = False,
) -> None:
    with exit_codes():
        from langevax.app.output import Output
        from langevax.locks import LockedError

        if out.exists() and not force:
            raise BadInput(
                f"--out {str(out)!r} exists; replace it with --force, or name another."
            )
        if not out.absolute().parent.is_dir():
            raise BadInput(
                f"--out {str(out)!r} could not be written, as its parent is not a folder; make it first."
            )
        output = Output()
        try:
            rows = _convert(
                output,
                table,
                target,
                out,
                drop or [],
                read or [],
                encoding,
                missing,
                double,
                force,
            )
        except BadInput:
            raise
        except (
            ValueError,
            FileNotFoundError,
            FileExistsError,
            IsADirectoryError,
        ) as error:
            raise BadInput(
                _of_command(getattr(error, "strerror", None) or str(error), table)
            ) from error
        except LockedError as error:
            raise BadInput(f"--out: {error}") from error
        except OSError as error:
            raise RunFailed(error.strerror or str(error)) from error
        inputs = rows.columns["inputs"]
        size = sum(rows.numpy(name).nbytes for name in rows) / 1e6
        output.say(
            "Rows",
            f"{count(rows.num_rows, 'row')} of {count(len(inputs), 'input')} and the target {target!r}.",
        )
        output.say(
            "Written",
            f"{out}, {size:,.1f} MB; open it with langevax.data.open_rows({str(out)!r}).",
        )


def _convert(
    output: "Output",
    table: list[Path],
    target: str,
    out: Path,
    drop: list[str],
    read: list[str],
    encoding: str | None,
    missing: str,
    double: bool,
    force: bool,
) -> "Rows":
    """Write the row file, and print how its columns were read."""
    import numpy as np
    import polars as pl

    from langevax.app.tables.curves import gathered
    from langevax.app.tables.records import sentences
    from langevax.app.tables.streaming import (
        decisions_on,
        first_rows,
        reader,
        readings_of_head,
    )
    from langevax.app.tables.styles import Choices
    from langevax.data.files import MissingCells, TableFile, matching_files
    from langevax.data.tables import alone, convert_files
    from langevax.data.writing import refuse_existing

    paths = matching_files(table)
    with (
        alone(refuse_existing(out, force), force),
        _beside(out) as folder,
    ):
        heads = [first_rows(path, folder, encoding) for path in paths]
        first = heads[0].table
        for option, names in (("--target", [target]), ("--drop", drop)):
            for name in names:
                if name not in first.frame.columns:
                    hint = nearest(name, first.frame.columns)
                    raise BadInput(
                        f"{option} {name!r} is not a column of the table; {hint}"
                    )
        readings = readings_of_head(
            first, Choices.parse(read, first.frame.columns), drop
        )
        for note in [*sentences(first.decisions), *gathered(decisions_on(readings))]:
            output.note(note)
        cells = None if missing == "error" else MissingCells()
        readers = {
            name: reader(reading, cells is not None)
            for name, reading in readings.items()
        }
        if cells is not None and missing == "median":
            medians = {
                name: read(first.frame[name], 0).median()
                for name, read in readers.items()
            }
            cells.medians = {
                name: median if isinstance(median, float) else 0.0
                for name, median in medians.items()
            }
        typed = {
            column.name
            for column in first.frame
            if column.dtype.is_numeric() or column.dtype == pl.Boolean
        }
        readers = {name: read for name, read in readers.items() if name not in typed}
        files = [
            TableFile(path, head.layout, readers, cells)
            for path, head in zip(paths, heads, strict=True)
        ]
        dtype = None if double else np.float32
        rows = convert_files(files, out, target, None, drop, dtype, force, "auto")
    if cells is not None and cells.rows_left_out:
        output.note(
            f"{count(cells.rows_left_out, 'row')} with missing values left out."
        )
    if cells is not None and cells.cells_filled:
        output.note(
            f"{count(cells.cells_filled, 'missing value')} replaced by the median of the first rows."
        )
    return rows


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """Yield a folder beside the row file for text that is written anew; `alone` deletes that of a killed conversion."""
    folder = out.with_name(f".{out.name}.{secrets.token_hex(6)}.text")
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _of_command(sentence: str, tables: list[Path]) -> str:
    """Return a sentence of `convert_table` in the words of the command line."""
    for name in map(str, tables):
        if sentence.startswith(f"{name} "):
            return f"TABLE {sentence}"
    sentence = re.sub(r"^(?:the )?(target|drop) (?=')", r"--\1 ", sentence)
    return sentence.replace("in inputs or drop", "in --drop").replace(
        "table names no", "TABLE names no"
    )
