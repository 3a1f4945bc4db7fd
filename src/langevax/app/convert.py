"""`langevax convert`: a table larger than memory to a row file."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from langevax.app.errors import BadInput, RunFailed, count
from langevax.app.fitting.prepared import check_names
from langevax.app.options import ConvertOptions
from langevax.app.output import Output
from langevax.app.tables.records import gathered, sentences
from langevax.app.tables.streaming import (
    decisions_on,
    first_rows,
    reader,
    readings_of_head,
)
from langevax.app.tables.styles import Choices
from langevax.data import Rows
from langevax.data.files import MissingCells, TableFile, matching_files
from langevax.data.tables import alone, convert_files
from langevax.data.writing import refuse_existing
from langevax.locks import LockedError


def run(options: ConvertOptions) -> None:
    """Convert, and print how the columns were read and what was written."""
    output = Output()
    out = options.out
    if out.exists() and not options.force:
        raise BadInput(
            f"--out {str(out)!r} exists; replace it with --force, or name another."
        )
    if not out.absolute().parent.is_dir():
        raise BadInput(
            f"--out {str(out)!r} could not be written, as its parent is not a folder; "
            "make it first."
        )
    try:
        rows = _convert(output, options)
    except BadInput:
        raise
    except LockedError as error:
        raise BadInput(f"--out: {error}") from error
    except (ValueError, FileNotFoundError, FileExistsError, IsADirectoryError) as error:
        problem = getattr(error, "strerror", None) or str(error)
        raise BadInput(_of_command(problem, options.table)) from error
    except OSError as error:
        raise RunFailed(error.strerror or str(error)) from error
    inputs = count(len(rows.columns["inputs"]), "input")
    size = sum(rows.numpy(name).nbytes for name in rows) / 1e6
    output.say(
        "Rows",
        f"{count(rows.num_rows, 'row')} of {inputs} and the target {options.target!r}.",
    )
    output.say(
        "Written",
        f"{out}, {size:,.1f} MB; open it with langevax.data.open_rows({str(out)!r}).",
    )


def _convert(output: Output, options: ConvertOptions) -> Rows:
    """Write the row file, and print how its columns were read."""
    out = options.out
    force = options.force
    paths = matching_files(options.table)
    with alone(refuse_existing(out, force), force):
        heads = [first_rows(path) for path in paths]
        first = heads[0].table
        check_names(first.frame, "--target", [options.target])
        check_names(first.frame, "--drop", options.drop)
        choices = Choices.parse(options.read, first.frame.columns)
        readings = readings_of_head(first, choices, options.drop)
        for note in [*sentences(first.decisions), *gathered(decisions_on(readings))]:
            output.note(note)
        cells = None if options.missing == "error" else MissingCells()
        readers = {
            name: reader(reading, cells is not None)
            for name, reading in readings.items()
        }
        if cells is not None and options.missing == "median":
            cells.medians = _medians(readers, first.frame)
        text = first.frame.select(~pl.selectors.numeric() & ~pl.selectors.boolean())
        readers = {name: readers[name] for name in text.columns if name in readers}
        files = [
            TableFile(path, head.layout, readers, cells)
            for path, head in zip(paths, heads, strict=True)
        ]
        rows = convert_files(
            files, out, options.target, None, options.drop, np.float32, force, "auto"
        )
    if cells is not None and cells.rows_left_out:
        left_out = count(cells.rows_left_out, "row")
        output.note(f"{left_out} with missing values left out.")
    if cells is not None and cells.cells_filled:
        filled = count(cells.cells_filled, "missing value")
        output.note(f"{filled} replaced by the median of the first rows.")
    return rows


def _medians(readers: Mapping[str, Any], frame: pl.DataFrame) -> dict[str, float]:
    """Return the median of each column in the first rows, 0 where it has none."""
    medians = {name: read(frame[name], 0).median() for name, read in readers.items()}
    return {
        name: median if isinstance(median, float) else 0.0
        for name, median in medians.items()
    }


def _of_command(sentence: str, tables: list[Path]) -> str:
    """Return a sentence of `convert_table` in the words of the command line."""
    if sentence.startswith(tuple(f"{table} " for table in tables)):
        return f"TABLE {sentence}"
    sentence = re.sub(r"^(?:the )?(target|drop) (?=')", r"--\1 ", sentence)
    sentence = sentence.replace("in inputs or drop", "in --drop")
    return sentence.replace("table names no", "TABLE names no")
