"""`langevax convert`: a table larger than memory to a row file."""

import re
from pathlib import Path
from typing import Annotated

import typer

from langevax.cli.errors import BadInput, RunFailed, count, exit_codes
from langevax.cli.options import local_path

HELP = """Convert a table of numbers to a row file, from which training reads rows without loading the file into memory.

\b
Examples:
  langevax convert clicks.parquet --target clicked --out clicks.rows
  langevax convert 'clicks/*.parquet' --target clicked --out clicks.rows --drop user --drop day
  langevax convert january.csv.gz february.csv.gz --target delay --out flights.rows

TABLE is CSV, TSV (also gzipped) or Parquet, with a header; several
tables are concatenated. Memory stays at a few hundred MB for any number of rows. Every column must hold numbers and
no missing values: a word, a date or a missing value is an error that names column and row.

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
        typer.Argument(parser=local_path, metavar="TABLE...", help="One or more files, or a quoted pattern."),
    ],
    target: Annotated[str, typer.Option(metavar="COLUMN", help="The column to learn; integers stay integers.")],
    out: Annotated[Path, typer.Option(parser=local_path, metavar="NAME.rows", help="The row file to write, a folder.")],
    drop: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="A column to leave out; repeat for more.")
    ] = None,
    double: Annotated[bool, typer.Option("--double", help="Store 64 bits where the table has them, not 32.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the row file NAME.rows.")] = False,
) -> None:
    with exit_codes():
        import numpy as np

        from langevax.cli.output import Output
        from langevax.data import convert_table
        from langevax.locks import LockedError

        if out.exists() and not force:
            raise BadInput(f"--out {str(out)!r} exists; replace it with --force, or name another.")
        if not out.absolute().parent.is_dir():
            raise BadInput(f"--out {str(out)!r} could not be written, as its parent is not a folder; make it first.")
        try:
            rows = convert_table(
                table,
                out,
                target=target,
                drop=drop or (),
                dtype=None if double else np.float32,
                overwrite=force,
            )
        except (ValueError, FileNotFoundError, FileExistsError, IsADirectoryError) as error:
            raise BadInput(_of_command(getattr(error, "strerror", None) or str(error), table)) from error
        except LockedError as error:
            raise BadInput(f"--out: {error}") from error
        except OSError as error:
            raise RunFailed(error.strerror or str(error)) from error
        inputs = rows.columns["inputs"]
        size = sum(rows.numpy(name).nbytes for name in rows) / 1e6
        output = Output()
        output.say("Rows", f"{count(rows.num_rows, 'row')} of {count(len(inputs), 'input')} and the target {target!r}.")
        output.say("Written", f"{out}, {size:,.1f} MB; open it with langevax.data.open_rows({str(out)!r}).")


def _of_command(sentence: str, tables: list[Path]) -> str:
    """Return a sentence of `convert_table` in the words of the command line."""
    for name in map(str, tables):
        if sentence.startswith(f"{name} "):
            return f"TABLE {sentence}"
    sentence = re.sub(r"^(?:the )?(target|drop) (?=')", r"--\1 ", sentence)
    return sentence.replace("in inputs or drop", "in --drop").replace("table names no", "TABLE names no")
