"""A model that `langevax fit` wrote, with the rows of its fit, which DIR does not hold."""

from pathlib import Path
from typing import Any

from langevax.app.errors import BadInput
from langevax.app.fitting.data import prepare
from langevax.app.fitting.prepared import FitData
from langevax.app.folder import MODEL, RESULT, SCHEMA, Folder
from langevax.app.options import FitOptions
from langevax.app.predict import load_model, model_hash
from langevax.app.tables.schema import read_schema
from langevax.sklearn.law_estimator import PredictiveEstimator
from langevax.storage import read_as


def with_rows(
    folder: Path, table: Path | None, argument: str = "TABLE"
) -> tuple[Any, FitData]:
    """Return the estimator of DIR with its training rows, and what was read from the table of its fit.

    Errors call the table by its argument.

    Raises:
        BadInput: no model, or a table with other rows than those of the fit.
    """
    if not (folder / SCHEMA).exists() or not (folder / RESULT).exists():
        raise BadInput(
            f"DIR {str(folder)!r} holds no fitted model; name a folder that `langevax "
            "fit` made."
        )
    read_schema(folder / SCHEMA, model_hash(folder / MODEL))
    estimator = load_model(folder / MODEL)
    if not hasattr(estimator, "attach_rows"):
        raise BadInput(
            f"DIR {str(folder)!r} holds a {type(estimator).__name__}, of which nothing "
            "is certified or explained."
        )
    data = _read_again(folder, table, argument)
    _attach(estimator, data, table, argument)
    return estimator, data


def _read_again(folder: Path, table: Path | None, argument: str) -> FitData:
    """Return the rows of the fit, read again as it read them."""
    damaged = (
        f"{str(folder / RESULT)!r} is damaged, or was written by another version of "
        "langevax ({}); fit again."
    )
    result = Folder(folder).result()
    if not result:
        raise BadInput(damaged.replace("{}", "its content is not what was saved"))
    with read_as(BadInput, damaged):
        table = table or Path(result["table"])
        places = {"table": table, "target": result["target"], "out": folder}
        fit = FitOptions(**result["settings"] | places)
    if not table.exists():
        raise BadInput(
            f"{argument} {str(table)!r} of the fit is not there; pass the file that holds "
            "its rows."
        )
    try:
        return prepare(fit)
    except Exception as error:  # settings can be of any type
        raise BadInput(
            f"{argument} {str(table)!r} does not hold the rows of this fit: {error}"
        ) from error


def _attach(estimator: Any, data: FitData, table: Path | None, argument: str) -> None:
    """Give the estimator its training rows; raise `BadInput` where they are others."""
    split = data.split
    more = {}
    if not isinstance(estimator, PredictiveEstimator):
        more["groups"] = split.groups_of(split.train)
    try:
        estimator.attach_rows(data.take(split.train), data.training_labels, **more)
    except ValueError as error:
        raise BadInput(
            f"{argument} {str(table or split.table)!r} does not hold the rows of this fit, "
            "or has changed since; pass the table as it was, or fit again."
        ) from error
