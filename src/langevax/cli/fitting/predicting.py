"""What `langevax predict` does."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from langevax.cli.errors import BadInput
from langevax.cli.fitting.folder import MODEL, SCHEMA
from langevax.cli.fitting.stored import read_schema
from langevax.cli.output import Output
from langevax.cli.tables.given import AnySchema
from langevax.cli.tables.reading import read_table, write_table
from langevax.run import keep_compiled_programs


def run(model: Path, table: Path, out: Path | None) -> None:
    """Read both, predict, write."""
    output = Output(machine=True)  # stdout is for the predictions alone
    folder = model.parent if model.name == MODEL else model
    if not folder.is_dir():
        raise BadInput(f"MODEL {str(model)!r} is no folder; name one made by `langevax fit`.")
    if not (folder / SCHEMA).exists():
        raise BadInput(f"MODEL {str(model)!r} holds no fitted model ({SCHEMA} is not there); run `langevax fit` first.")
    schema = read_schema(folder / SCHEMA)
    given = schema.given(read_table(table))
    for note in given.notes:
        output.warn(note)
    keep_compiled_programs()
    estimator = load_model(folder / MODEL)
    if not _of_one_fit(estimator, schema, given.inputs):
        raise BadInput(f"MODEL {str(folder)!r}: {MODEL} and {SCHEMA} are not of one fit; copy the whole folder.")
    try:
        predicted = predictions(estimator, schema.classes, given.inputs)
    except ValueError as error:  # curves that the encoder refuses
        raise BadInput(f"TABLE {str(table)!r}: {error}") from error
    predicted = pl.concat([given.named, predicted], how="horizontal")
    if out is None:
        sys.stdout.write(predicted.write_csv())
    else:
        write_table(predicted, out)


def load_model(file: Path) -> Any:
    """A saved estimator; raise `BadInput` where there is none that this version reads."""
    from langevax.sklearn import ModelError, load

    try:
        return load(file)
    except ModelError as error:
        raise BadInput(f"MODEL {error}") from error
    except (KeyError, ValueError, TypeError, AttributeError) as error:  # a file that its reader half understands
        raise BadInput(f"MODEL {str(file)!r} is damaged ({error!r}); copy or fit it again.") from error


def _of_one_fit(estimator: Any, schema: AnySchema, inputs: Any) -> bool:
    """As far as both tell: classes, an encoder where the schema is of curves, and as many columns."""
    if hasattr(estimator, "classes_") != bool(schema.classes):
        return False
    if hasattr(estimator, "encoder_") != bool(schema.known):
        return False
    return not isinstance(inputs, np.ndarray) or getattr(estimator, "n_features_in_", None) == inputs.shape[1]


def predictions(model: Any, classes: tuple[str | int, ...], inputs: Any) -> pl.DataFrame:
    """As a table: the prediction, and each class's probability."""
    if not classes:
        return pl.DataFrame({"prediction": np.asarray(model.predict(inputs), np.float64)})
    probabilities = np.asarray(model.predict_proba(inputs), np.float64)
    named = {f"probability_{name}": probabilities[:, i] for i, name in enumerate(classes)}
    best = [classes[i] for i in probabilities.argmax(1)]
    return pl.DataFrame({"prediction": best, **named})
