"""From the options of `langevax fit` to encoded rows, and to the estimator that learns from them."""

from typing import Any

import polars as pl

from langevax.app.errors import BadInput
from langevax.app.fitting.columns import prepare_columns
from langevax.app.fitting.curves import MODES, prepare_curves
from langevax.app.fitting.prepared import FitData, check_names
from langevax.app.options import FitOptions
from langevax.app.tables.files import read_table
from langevax.app.tables.schema import AnySchema


def prepare(options: FitOptions) -> FitData:
    """Read and split the table of the options; raise `BadInput` where that is impossible."""
    table = read_table(options.table, encoding=options.encoding)
    _check_columns(options, table.frame)
    return (prepare_curves if options.curves else prepare_columns)(options, table)


def _check_columns(options: FitOptions, table: pl.DataFrame) -> None:
    """Raise `BadInput` where an option names no column, or two options name the same one."""
    named = {
        "--target": [options.target],
        "--exposure": [options.exposure],
        "--group": [options.group],
        "--drop": options.drop,
    }
    by_column: dict[str, str] = {}
    for option, names in named.items():
        present = [name for name in names if name is not None]
        check_names(table, option, present)
        for name in present:
            other = by_column.setdefault(name, option)
            if other != option:
                raise BadInput(
                    f"{option} {name!r} is also the column of {other}; name another, "
                    "or leave one of them out."
                )


def estimator_for(options: FitOptions, schema: AnySchema, **more: Any) -> Any:
    """Return the estimator that the options ask for, not fitted."""
    from langevax import sklearn

    more |= {"random_state": options.seed}
    if options.family is not None:
        if schema.classes:
            return sklearn.PredictiveClassifier(list(schema.classes), **more)
        family: Any = options.family.replace("-", " ")
        return sklearn.PredictiveRegressor(family, **more)
    names = ("num_particles", "temperature", "num_steps")
    chosen: dict[str, Any] = {
        name: options.changed[name] for name in names if name in options.changed
    }
    if "threshold" in options.changed:
        balanced = options.threshold == "balanced"
        chosen["threshold"] = "balanced" if balanced else float(options.threshold)
    classes = schema.task == "classification"
    kind = sklearn.MeanFieldClassifier if classes else sklearn.MeanFieldRegressor
    if not options.curves:
        return kind(**chosen | schema.parameters | more)
    chosen.setdefault("num_particles", 1000)
    network = kind(**chosen | more)
    shared: dict[str, Any] = schema.parameters | {"derivative": options.derivative}
    encoders = [
        sklearn.CurveCoefficients(num_modes=MODES, **shared),
        sklearn.RandomConvolutions(**shared),
    ]
    if classes:
        return sklearn.FunctionalMeanFieldClassifier(encoders, network)
    return sklearn.FunctionalMeanFieldRegressor(encoders, network)
