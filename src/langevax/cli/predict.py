"""`langevax predict`: a model and a table in, predictions out."""

from pathlib import Path
from typing import Annotated

import typer

from langevax.cli.errors import exit_codes

HELP = """Predict with a fitted model: one row out for each row of the table, in its order; of curves in a long table,
for each id, which stands beside its prediction.

\b
Examples:
  langevax predict wine new.csv
  langevax predict wine new.csv --out predicted.parquet

The columns are `prediction` and, for classes, `probability_CLASS` for each of them. Missing values are
filled as in training; columns that the model does not know are ignored and categories that it does not
know are treated as none of the known ones, both said on stderr. A missing column is an error.
"""


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The folder that `langevax fit` made.")],
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="The rows to predict for: CSV, TSV or Parquet.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="CSV, TSV or Parquet by its suffix; by default CSV on stdout."),
    ] = None,
) -> None:
    with exit_codes():
        from langevax.cli.fitting.predicting import run

        run(model, table, out)
