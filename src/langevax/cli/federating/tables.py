"""The tables of `langevax federated simulate`: scikit-learn's by name, or a file with a column of classes."""

from pathlib import Path

import numpy as np

from langevax.cli.errors import BadInput, listing
from langevax.cli.fit import FitOptions
from langevax.cli.fitting.data import prepare
from langevax.studies.federated import classes
from langevax.studies.federated.classes import TABLES, Classes


def table_of(data: str, target: str | None, seed: int) -> Classes:
    """Rows to train on and rows held out; columns of a file as `langevax fit` reads them, standardised.

    Raises:
        BadInput: a name that is none and no file either, a file without --target, and what `langevax fit` refuses.
    """
    if data in TABLES:
        if target is not None:
            raise BadInput(f"--target {target!r} goes with a file; --data {data} has its classes, leave it out.")
        return classes.table(data, seed)
    if not Path(data).suffix and not Path(data).exists():
        raise BadInput(f"--data {data!r} is no file, and none of the tables known: {listing(TABLES)}.")
    if target is None:
        raise BadInput(f"--data {data!r} is a file; name its column of classes by --target.")
    split = prepare(FitOptions(Path(data), target, Path(), task="classification", seed=seed)).split
    centre, scale = split.train_inputs.mean(axis=0), split.train_inputs.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    train, test = (((part - centre) / scale).astype(np.float32) for part in (split.train_inputs, split.test_inputs))
    return Classes(train, split.train_targets.astype(np.int32), test, split.test_targets.astype(np.int32))
