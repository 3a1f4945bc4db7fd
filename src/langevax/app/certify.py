"""`langevax certify`: narrow the certificate of a fitted model."""

from pathlib import Path
from typing import Any

from langevax.app.errors import BadInput
from langevax.app.evaluation import holdout
from langevax.app.fitting.data import prepare
from langevax.app.fitting.family import FamilyFit
from langevax.app.fitting.prepared import FitData
from langevax.app.folder import MODEL, RESULT, SCHEMA, Folder
from langevax.app.options import CertifyOptions, FitOptions
from langevax.app.output import Output, plain
from langevax.app.predict import load_model, model_hash
from langevax.app.report import summary
from langevax.app.tables.schema import read_schema
from langevax.run import keep_compiled_programs
from langevax.run.options import Run
from langevax.sklearn.law_estimator import PredictiveEstimator
from langevax.storage import read_as


def run(options: CertifyOptions) -> None:
    """Search with another budget, and print what the certificate says."""
    output = Output(options.json)
    keep_compiled_programs()
    folder = options.model
    estimator = _model(folder)
    data = _rows(options, _result(folder))
    _attach(estimator, data, options)
    split = data.split
    effort = options.effort
    is_law = isinstance(estimator, PredictiveEstimator)
    if is_law and options.cpu_seconds is None:
        effort = effort or 10 * FamilyFit.effort
    try:
        with output.progress("Certificate") as line:
            certificate = estimator.certificate(
                effort,
                cpu_seconds=options.cpu_seconds,
                random_state=0,
                run=Run(progress=line.show),
            )
    except ValueError as error:  # a network without a certificate
        raise BadInput(f"DIR {str(folder)!r}: {error}") from error
    if is_law:
        sentence = summary.law_optimum(
            certificate.verdict, len(split.train), split.unit
        )
    else:
        sentence = summary.optimum(
            holdout.certified(certificate),
            holdout.on_columns(estimator).temperature_,
            len(split.train),
            split.unit,
        )
    unit = "gradients of rows" if is_law else "neuron gradients"
    output.say("Certificate", sentence)
    output.note(
        f"{certificate.work:.2g} {unit} in {certificate.cpu_seconds:.1f} CPU seconds."
    )
    content = holdout.certified(certificate) | {
        "optimum": sentence,
        "effort": certificate.effort,
        "cpu_seconds": certificate.cpu_seconds,
    }
    output.result(plain(content))


def _model(folder: Path) -> Any:
    """Return the fitted estimator of a folder; raise `BadInput` where there is none to certify."""
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
            "is certified."
        )
    return estimator


def _result(folder: Path) -> dict[str, Any]:
    """Return the results of the fit."""
    result = Folder(folder).result()
    if not result:
        raise BadInput(
            _damaged(folder).replace("{}", "its content is not what was saved")
        )
    return result


def _damaged(folder: Path) -> str:
    file = str(folder / RESULT)
    return (
        f"{file!r} is damaged, or was written by another version of langevax ({{}}); "
        "fit again."
    )


def _rows(options: CertifyOptions, result: dict[str, Any]) -> FitData:
    """Return the rows of the fit, read again as it read them."""
    with read_as(BadInput, _damaged(options.model)):
        table = options.table or Path(result["table"])
        places = {"table": table, "target": result["target"], "out": options.model}
        fit = FitOptions(**result["settings"] | places)
    if not table.exists():
        raise BadInput(
            f"TABLE {str(table)!r} of the fit is not there; pass the file that holds "
            "its rows."
        )
    try:
        return prepare(fit)
    except Exception as error:  # settings can be of any type
        raise BadInput(
            f"TABLE {str(table)!r} does not hold the rows of this fit: {error}"
        ) from error


def _attach(estimator: Any, data: FitData, options: CertifyOptions) -> None:
    """Give the estimator its training rows; raise `BadInput` where they are others."""
    split = data.split
    more = {}
    if not isinstance(estimator, PredictiveEstimator):
        more["groups"] = split.groups_of(split.train)
    try:
        estimator.attach_rows(data.take(split.train), data.training_labels, **more)
    except ValueError as error:
        table = str(options.table or split.table)
        raise BadInput(
            f"TABLE {table!r} does not hold the rows of this fit, or has changed "
            "since; pass the table as it was, or fit again."
        ) from error
