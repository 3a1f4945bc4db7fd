"""What `langevax predict` does."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from langevax.cli.compilation import keep_compiled_programs
from langevax.cli.encoder import Encoder
from langevax.cli.errors import BadInput, listing
from langevax.cli.folder import MODEL, SCHEMA
from langevax.cli.output import Output
from langevax.cli.schema import Schema
from langevax.cli.tables import read_table, write_table


def run(model: Path, table: Path, out: Path | None) -> None:
    """Read both, predict, write."""
    output = Output(machine=True)  # stdout is for the predictions alone
    folder = model.parent if model.name == MODEL else model
    if not folder.is_dir():
        raise BadInput(f"MODEL {str(model)!r} is no folder; name one made by `langevax fit`.")
    if not (folder / SCHEMA).exists():
        raise BadInput(f"MODEL {str(model)!r} holds no fitted model ({SCHEMA} is not there); run `langevax fit` first.")
    schema = Schema.read(folder / SCHEMA)
    frame = read_table(table)
    known = {column.name for column in schema.columns} | {schema.target}
    extra = [name for name in frame.columns if name not in known]
    converted, notes = schema.convert(frame)
    if extra:
        notes.insert(0, f"Ignored, unknown to the model: {listing(extra)}.")
    for note in notes:
        output.warn(note)
    keep_compiled_programs()
    estimator, inputs = load_model(folder / MODEL), Encoder(schema)(converted)
    if estimator.n_features_in_ != inputs.shape[1] or hasattr(estimator, "classes_") != bool(schema.classes):
        raise BadInput(f"MODEL {str(folder)!r}: {MODEL} and {SCHEMA} are not of one fit; copy the whole folder.")
    predicted = predictions(estimator, schema, inputs)
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


def predictions(model: Any, schema: Schema, inputs: np.ndarray) -> pl.DataFrame:
    """As a table: the prediction, and each class's probability."""
    if not schema.classes:
        return pl.DataFrame({"prediction": np.asarray(model.predict(inputs), np.float64)})
    probabilities = np.asarray(model.predict_proba(inputs), np.float64)
    named = {f"probability_{name}": probabilities[:, i] for i, name in enumerate(schema.classes)}
    best = [schema.classes[i] for i in probabilities.argmax(1)]
    return pl.DataFrame({"prediction": best, **named})
