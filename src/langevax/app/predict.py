"""`langevax predict`: a model and a table in, predictions out."""

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langevax.app.errors import BadInput, count, exit_codes
from langevax.app.folder import MODEL, PARTS, SCHEMA
from langevax.app.options import local_path
from langevax.app.output import Output

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from langevax.app.tables.schema import AnySchema

HELP = """Predict with a fitted model: one line for each line of the table below its header, in order; for curves in a
long table, one row for each id, which stands beside its prediction.

\b
Examples:
  langevax predict wine new.csv
  langevax predict wine new.csv --out predicted.parquet
  langevax predict wine new.csv --interval 0.9

The columns are `prediction` and, for classes, `probability_CLASS` for each of them. Missing values are filled as in
training. Columns are read as in training (decimal commas, order of dates). Columns unknown to the model are ignored,
and unknown categories are encoded as none of its categories, with a warning on stderr that counts them. Empty lines
get an empty line. Cells that are not written as in training are refused, as is a table that lacks a column. Curves of
another level or size than all training curves are named. The table and the files of the model are never overwritten.
"""


def predict(
    model: Annotated[
        Path,
        typer.Argument(
            parser=local_path,
            metavar="MODEL",
            help="The folder that `langevax fit` made.",
        ),
    ],
    table: Annotated[
        Path,
        typer.Argument(
            parser=local_path,
            metavar="TABLE",
            help="The rows to predict for: CSV, TSV or Parquet.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            parser=local_path,
            metavar="FILE",
            help="CSV, TSV or Parquet by its suffix; by default CSV on stdout.",
        ),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Encoding of a text file, such as cp1251; by default found.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace FILE if it exists.")
    ] = False,
    interval: Annotated[
        float | None,
        typer.Option(
            metavar="COVERAGE",
            help="Write also `lower` and `upper` of an interval that covers this share of new rows, such as 0.9; for "
            "classes `set`, the classes that it may well be.",
        ),
    ] = None,
) -> None:
    with exit_codes():
        run(model, table, out, encoding, interval, force)


def run(
    model: Path,
    table: Path,
    out: Path | None,
    encoding: str | None = None,
    interval: float | None = None,
    force: bool = False,
) -> None:
    """Read both, predict, write."""
    import polars as pl

    from langevax.app.tables.files import read_table, without_formulas, write_table
    from langevax.app.tables.records import sentences
    from langevax.app.tables.schema import Schema, read_schema
    from langevax.run import keep_compiled_programs
    from langevax.sklearn import UnlikeTrainingWarning

    output = Output(machine=True)  # stdout is for the predictions alone
    folder = model.parent if model.name == MODEL else model
    if not folder.is_dir():
        raise BadInput(
            f"MODEL {str(model)!r} is not a folder; name one made by `langevax fit`."
        )
    if not (folder / SCHEMA).exists():
        raise BadInput(
            f"MODEL {str(model)!r} holds no fitted model ({SCHEMA} is missing); run `langevax fit` first."
        )
    if out is not None:
        _check_out(out, table, folder, force)
    schema = read_schema(folder / SCHEMA, model_hash(folder / MODEL))
    loaded = read_table(table, encoding=encoding, every_row=True)
    blank = blank_rows(loaded.frame)
    if not isinstance(schema, Schema):  # a curve without readings is refused by name
        blank &= False
    try:
        examples = schema.examples(loaded.frame.filter(~blank))
    except BadInput as error:
        raise BadInput(
            str(error).replace("TABLE", f"TABLE {str(table)!r}", 1)
        ) from error
    for note in [*sentences(loaded.decisions), *examples.notes]:
        output.warn(note)
    keep_compiled_programs()
    estimator = load_model(folder / MODEL)
    if not _match(estimator, schema, examples.inputs):
        raise BadInput(
            f"MODEL {str(folder)!r}: {MODEL} and {SCHEMA} are not of one fit; copy the whole folder."
        )
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UnlikeTrainingWarning
        )  # the note below names rows of the table
        try:
            outputs = (
                estimator.predict_proba if schema.classes else estimator.predict
            )(examples.inputs)
        except ValueError as error:  # curves that the encoder refuses
            raise BadInput(f"TABLE {str(table)!r}: {error}") from error
        parts = [
            examples.names,
            prediction_table(
                outputs, schema.classes, getattr(estimator, "threshold_", 0.5)
            ),
        ]
        if interval is not None:
            parts.append(
                interval_table(estimator, examples.inputs, interval, schema.classes)
            )
            output.warn(_about_intervals(estimator, interval))
    if note := _about_unlike_curves(estimator, examples.inputs, examples.names, blank):
        output.warn(note)
    predicted = pl.concat(parts, how="horizontal")
    if getattr(schema, "never_negative", False):
        predicted, notes = not_below_zero(predicted)
        for note in notes:
            output.warn(note)
    if examples.names.width == 0:
        predicted, notes = at_their_lines(predicted, blank)
        for note in notes:
            output.warn(note)
    if out is None:
        sys.stdout.write(without_formulas(predicted).write_csv())
    else:
        write_table(predicted, out)


def _about_intervals(estimator: Any, coverage: float) -> str:
    """Return what intervals and sets are, and what they cover."""
    about = f"they cover about {coverage:.3g} of new rows like those of training"
    if hasattr(estimator, "bayes_share_"):
        return f"intervals are of the predictive law: {about} where the law is right, which report.html measures."
    return f"intervals are of CV+: {about}, and at least {max(0.0, 2 * coverage - 1):.3g} of them."


def _about_unlike_curves(
    estimator: Any,
    curves: Any,
    names: "pl.DataFrame",
    blank: "pl.Series",
) -> str | None:
    """Return what to say of curves whose level or size is far from those of all training curves, by row or id."""
    from langevax.sklearn.inputs.unlike import sentence

    if not hasattr(estimator, "encoder_"):
        return None
    remarks = estimator.encoder_.unlike_training(curves)
    if not remarks:
        return None
    places = [row for row, _ in remarks]
    if names.width:
        called = [" ".join(repr(value) for value in names.row(row)) for row in places]
    else:
        lines = (~blank).arg_true()
        called = [f"the curve of row {lines[row] + 1}" for row in places]
    return sentence(remarks, called, "curve", names.height or len(curves))


def blank_rows(frame: "pl.DataFrame") -> "pl.Series":
    """Return which rows have no value; none where all are so."""
    import polars as pl

    words = frame.cast(pl.String, strict=False)
    blank = words.select(
        pl.all_horizontal((pl.all().str.strip_chars() == "").fill_null(True))
    ).to_series()
    return blank & (not blank.all())


def at_their_lines(
    predicted: "pl.DataFrame", blank: "pl.Series"
) -> tuple["pl.DataFrame", list[str]]:
    """Return predictions with an empty line for each line below the header that is blank, and notes.

    Args:
        predicted: of the rows that are not blank.
        blank: which rows of the table are.
    """
    import polars as pl

    number = int(blank.sum())
    if not number:
        return predicted, []
    places = pl.when(~blank).then((~blank).cum_sum() - 1)
    every = predicted.select(pl.all().gather(pl.select(places).to_series()))
    verb = "has" if number == 1 else "have"
    note = f"{count(number, 'empty line')} {verb} no prediction but an empty line in its place."
    return every, [note]


def _check_out(out: Path, table: Path, folder: Path, force: bool) -> None:
    """Raise `BadInput` where predictions would replace the table, a file of the model or, without `force`, any other
    file, or have no known format.
    """
    from langevax.app.tables.files import check_suffix

    check_suffix(out)
    for path, what in (
        (table, "the table to predict for"),
        *((folder / part, "a file of the model") for part in PARTS),
    ):
        if out.exists() and path.exists() and out.samefile(path):
            raise BadInput(f"--out {str(out)!r} is {what}; name another file.")
    if out.exists() and not force:
        raise BadInput(
            f"--out {str(out)!r} exists; pass --force to replace it, or name another file."
        )


def load_model(file: Path, argument: str = "MODEL") -> Any:
    """Return a saved estimator; raise `BadInput` where this version cannot read it."""
    from langevax.sklearn import ModelError, load

    try:
        return load(file)
    except ModelError as error:
        raise BadInput(f"{argument} {error}") from error


def model_hash(file: Path) -> str:
    """Return the hash by which the schema names its model; raise `BadInput` where the file is not a model."""
    from langevax.sklearn import ModelError
    from langevax.sklearn.persistence import stored_hash

    try:
        return stored_hash(file)
    except ModelError as error:
        raise BadInput(f"MODEL {error}") from error


def _match(estimator: Any, schema: "AnySchema", inputs: Any) -> bool:
    """Return whether model and schema agree on classes, curves and the number of inputs."""
    if hasattr(estimator, "classes_") != bool(schema.classes):
        return False
    if hasattr(estimator, "encoder_") != bool(schema.parameters):
        return False
    return (
        not hasattr(inputs, "shape")
        or getattr(estimator, "n_features_in_", None) == inputs.shape[1]
    )


def interval_table(
    estimator: Any, inputs: Any, coverage: float, classes: tuple[str | int, ...]
) -> "pl.DataFrame":
    """Return lower and upper ends, or the set of classes as words between bars."""
    import polars as pl

    if not 0 < coverage < 1:
        raise BadInput(
            f"--interval {coverage:g} is not a share of new rows; pass a number such as 0.9."
        )
    try:
        if classes:
            sets = estimator.predict_set(inputs, coverage)
            names = [
                "|".join(str(classes[c]) for c in chosen.nonzero()[0])
                for chosen in sets
            ]
            return pl.DataFrame({"set": names})
        lower, upper = estimator.predict_interval(inputs, coverage).T
    except (AttributeError, ValueError) as error:
        if "coverage" in str(error):
            raise BadInput(
                f"--interval {coverage:g} is too high for the rows of this fit; pass a smaller share."
            ) from error
        raise BadInput(
            f"--interval {coverage:g} needs folds, and this model was fitted without; fit it again with --validation "
            "folds."
        ) from error
    return pl.DataFrame({"lower": lower, "upper": upper})


def not_below_zero(predicted: "pl.DataFrame") -> tuple["pl.DataFrame", list[str]]:
    """Return predictions whose intervals end at 0, which loses no coverage, and notes on what would be below.

    Example:
        >>> import polars as pl
        >>> table, notes = not_below_zero(pl.DataFrame({"prediction": [-1.0, 2.0], "lower": [-3.0, 1.0]}))
        >>> table["lower"].to_list(), len(notes)
        ([0.0, 1.0], 2)
    """
    import polars as pl

    notes = []
    below = int((predicted["prediction"] < 0).sum())
    if below:
        notes.append(
            f"{count(below, 'prediction')} below 0, where no target of the training table is: read 0 there."
        )
    ends = [name for name in ("lower", "upper") if name in predicted.columns]
    if ends and (below := int((predicted["lower"] < 0).sum())):
        notes.append(
            f"{count(below, 'interval')} would begin below 0, where no target of the training table is, and begin at 0."
        )
    return predicted.with_columns(pl.col(ends).clip(0)) if ends else predicted, notes


def prediction_table(
    outputs: "np.ndarray", classes: tuple[str | int, ...], threshold: float = 0.5
) -> "pl.DataFrame":
    """Return predicted numbers, or the class that is answered and the probability of each class."""
    import numpy as np
    import polars as pl

    from langevax.app.evaluation.comparison import called_classes

    outputs = np.asarray(outputs, np.float64)
    if not classes:
        return pl.DataFrame({"prediction": outputs})
    named = {f"probability_{name}": outputs[:, i] for i, name in enumerate(classes)}
    return pl.DataFrame(
        {
            "prediction": [classes[i] for i in called_classes(outputs, threshold)],
            **named,
        }
    )
