"""`langevax predict`: a model and a table in, predictions out."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from langevax.app.errors import BadInput
from langevax.app.evaluation import called_classes
from langevax.app.folder import MODEL, PARTS, SCHEMA
from langevax.app.options import PredictOptions
from langevax.app.output import Output
from langevax.app.tables.files import (
    check_suffix,
    csv_text,
    read_table,
    write_table,
)
from langevax.app.tables.records import Examples, sentences
from langevax.app.tables.schema import AnySchema, read_schema
from langevax.sklearn.saved import ModelError, read
from langevax.sklearn.saved_networks import load


def run(options: PredictOptions) -> None:
    """Read both, predict, write."""
    output = Output(machine=True)  # stdout is for the predictions alone
    folder = options.model.parent if options.model.name == MODEL else options.model
    _check_folder(options, folder)
    schema = read_schema(folder / SCHEMA, model_hash(folder / MODEL))
    table = read_table(options.table, encoding=options.encoding, every_row=True)
    try:
        examples = schema.examples(table.frame)
    except BadInput as error:
        where = f"TABLE {str(options.table)!r}"
        raise BadInput(str(error).replace("TABLE", where, 1)) from error
    for note in [*sentences(table.decisions), *examples.notes]:
        output.warn(note)
    with _bad_model():
        estimator = load(folder / MODEL)  # not the whole of it: JAX takes seconds
    predicted, notes = _predicted(estimator, schema, examples, options)
    for note in notes:
        output.warn(note)
    if options.out is None:
        sys.stdout.write(csv_text(predicted))
    else:
        write_table(predicted, options.out)


def _check_folder(options: PredictOptions, folder: Path) -> None:
    """Raise `BadInput` where there is no model, or predictions would replace a file that they must not."""
    where = f"MODEL {str(options.model)!r}"
    out = options.out
    if not folder.is_dir():
        raise BadInput(f"{where} is not a folder; name one made by `langevax fit`.")
    if not (folder / SCHEMA).exists():
        raise BadInput(
            f"{where} holds no fitted model ({SCHEMA} is missing); run `langevax fit` "
            "first."
        )
    if out is None:
        return
    check_suffix(out)
    if not out.exists():
        return
    for path in (options.table, *(folder / part for part in PARTS)):
        if path.exists() and out.samefile(path):
            raise BadInput(
                f"--out {str(out)!r} is the table to predict for, or a file of the "
                "model; name another file."
            )
    if not options.force:
        raise BadInput(
            f"--out {str(out)!r} exists; pass --force to replace it, or name another "
            "file."
        )


def _predicted(
    estimator: Any,
    schema: AnySchema,
    examples: Examples,
    options: PredictOptions,
) -> tuple[pl.DataFrame, list[str]]:
    """Return predictions, with intervals where these are asked for, and notes."""
    predict = estimator.predict_proba if schema.classes else estimator.predict
    threshold = getattr(estimator, "threshold_", 0.5) if schema.classes else 0.5
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            outputs = predict(examples.inputs)
        except ValueError as error:  # curves that the encoder refuses
            raise BadInput(f"TABLE {str(options.table)!r}: {error}") from error
    notes = [str(warning.message) for warning in caught]
    predicted = prediction_table(outputs, schema.classes, threshold)
    parts = [examples.names, predicted]
    if options.interval is not None:
        ends = interval_table(estimator, examples.inputs, options.interval, schema)
        notes.append(_about_intervals(estimator, options.interval))
        parts.append(ends)
    return pl.concat(parts, how="horizontal"), notes


def _about_intervals(estimator: Any, coverage: float) -> str:
    """Return what intervals and sets are, and what they cover."""
    about = f"they cover about {coverage:.3g} of new rows like those of training"
    if "posterior_share_" in vars(estimator):
        return (
            f"intervals come from the predictive law: {about} where it is right, which "
            "report.html measures."
        )
    least = max(0.0, 2 * coverage - 1)
    return (
        f"intervals come from the folds of the fit: {about}, and at least {least:.3g} "
        "of them."
    )


def load_model(file: Path, argument: str = "MODEL") -> Any:
    """Return a saved estimator; raise `BadInput` where this version cannot read it."""
    from langevax.sklearn.persistence import restored

    with _bad_model(argument):
        return restored(file, read(file))


def model_hash(file: Path) -> str:
    """Return the hash by which the schema names its model; raise `BadInput` where the file is not a model."""
    with _bad_model():
        return read(file).hash


@contextmanager
def _bad_model(argument: str = "MODEL") -> Iterator[None]:
    try:
        yield
    except ModelError as error:
        raise BadInput(f"{argument} {error}") from error


def interval_table(
    estimator: Any,
    inputs: Any,
    coverage: float,
    schema: AnySchema,
) -> pl.DataFrame:
    """Return lower and upper ends, or the set of classes as words between bars.

    Where no target of the training table is below 0, intervals end there, which loses no coverage.
    """
    classes = schema.classes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            if classes:
                sets = estimator.predict_set(inputs, coverage)
                named = [[str(classes[c]) for c in one.nonzero()[0]] for one in sets]
                return pl.DataFrame({"set": ["|".join(one) for one in named]})
            ends = estimator.predict_interval(inputs, coverage)
        except (AttributeError, ValueError) as error:
            if "coverage" in str(error):
                raise BadInput(
                    f"--interval {coverage:g} is too high for the rows of this fit; "
                    "pass a smaller share."
                ) from error
            raise BadInput(
                f"--interval {coverage:g} needs folds, and this model was fitted "
                "without; fit it again without --temperature."
            ) from error
    if getattr(schema, "never_negative", False):
        ends = np.maximum(ends, 0.0)
    return pl.DataFrame(ends, schema=["lower", "upper"])


def prediction_table(
    outputs: np.ndarray, classes: tuple[str | int, ...], threshold: float = 0.5
) -> pl.DataFrame:
    """Return predicted numbers, or the class that is answered and the probability of each class."""
    outputs = np.asarray(outputs, np.float64)
    if not classes:
        return pl.DataFrame({"prediction": outputs})
    called = [classes[i] for i in called_classes(outputs, threshold)]
    named = {f"probability_{name}": outputs[:, i] for i, name in enumerate(classes)}
    return pl.DataFrame({"prediction": called, **named})
