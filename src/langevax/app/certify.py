"""`langevax certify`: narrow the certificate of a fitted model."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langevax.app.errors import BadInput, exit_codes
from langevax.app.folder import CERTIFICATE, MODEL, RESULT, SCHEMA
from langevax.app.options import local_path

if TYPE_CHECKING:
    from langevax.app.output import Output

LAW_EFFORT = 3e9
"""Of a law, by default: ten times that of the fit."""

HELP = """Bound how low the training of a fitted model could have gone, with a larger budget than the fit had.

\b
Examples:
  langevax certify wine --cpu-seconds 300
  langevax certify wine wine.csv --effort 1e10 --json
  langevax certify visits --effort 5e9

The interval holds the least training objective of all networks of this kind, at the temperature of the fit. It says how
far training could still go, and nothing about how well the model predicts. The training rows are not in DIR: they are
read again from TABLE, by default the one of the fit, and compared with the hash that the model holds.

The search is kept in DIR/certificate.npz: the first call goes on where `langevax fit` ended, each later one where the
last call did, and what they spent adds up. It ends sooner where the interval is narrow. Interrupt it at any time: what
the file holds is not lost.

Of a regression (`langevax fit --family`) the interval holds the least objective of all laws of its coefficients at the
share of Bayes of the fit. No search is kept: each call begins anew, and prints what it found.
"""


def certify(
    model: Annotated[
        Path,
        typer.Argument(
            parser=local_path,
            metavar="DIR",
            help="The folder that `langevax fit` made.",
        ),
    ],
    table: Annotated[
        Path | None,
        typer.Argument(
            parser=local_path,
            metavar="TABLE",
            help="The table of the fit, where it has been moved.",
        ),
    ] = None,
    cpu_seconds: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="CPU seconds to spend, converted by a measured rate.",
        ),
    ] = None,
    effort: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            help="Instead: gradients of one neuron, or of one law's particle, at one row; 3e9 by default.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="INT", min=0, max=2**32 - 1, help="Of the walks.")
    ] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Forget the search in DIR and begin again.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON and nothing else.")
    ] = False,
) -> None:
    with exit_codes():
        _run(model, table, effort, cpu_seconds, seed, force, json)


def _run(
    folder: Path,
    table: Path | None,
    effort: float | None,
    cpu_seconds: float | None,
    seed: int,
    force: bool,
    machine: bool,
) -> None:
    from langevax.app.evaluation import holdout
    from langevax.app.output import Output
    from langevax.app.report import summary
    from langevax.locks import LOCK_FILE, Lock, LockedError
    from langevax.meanfield.certificate_file import read_search
    from langevax.run import CheckpointError, keep_compiled_programs
    from langevax.sklearn.law_estimator import PredictiveEstimator

    for option, value in (("--cpu-seconds", cpu_seconds), ("--effort", effort)):
        if value is not None and not 0 < value < float("inf"):
            raise BadInput(
                f"{option} {value:g} is not a positive number; pass one such as 300."
            )
    if effort is not None and cpu_seconds is not None:
        raise BadInput("--effort and --cpu-seconds are two budgets; pass one of them.")
    output = Output(machine)
    keep_compiled_programs()
    estimator, num_rows, unit = _with_rows(folder, table, output)
    if isinstance(estimator, PredictiveEstimator):
        _certify_law(
            estimator, effort, cpu_seconds, seed, force, output, num_rows, unit
        )
        return
    file, before = folder / CERTIFICATE, ""
    try:
        with (
            Lock(folder / LOCK_FILE, f"DIR {str(folder)!r}"),
            output.progress("Certificate", 100, "%") as line,
        ):
            if force:
                file.unlink(missing_ok=True)
            elif file.exists():
                spent = read_search(file)[0]
                before = f", {spent['work']:.2g} of them in {spent['seconds']:.1f} before this call"
            options: dict[str, Any] = {
                "random_state": seed,
                "checkpoint": file,
                "resume": True,
                "progress": line.show,
            }
            certificate = holdout.on_columns(estimator).certificate(
                effort, cpu_seconds=cpu_seconds, **options
            )
    except LockedError as error:
        raise BadInput(str(error)) from error
    except CheckpointError as error:
        raise BadInput(f"{error} Or pass --force to begin again.") from error
    except ValueError as error:  # a network without a certificate
        raise BadInput(f"DIR {str(folder)!r}: {error}") from error
    fields = holdout.certified(certificate)
    temperature = holdout.on_columns(estimator).temperature_
    sentence = summary.optimum(fields, temperature, num_rows, unit)
    output.say("Certificate", sentence)
    output.note(
        f"{certificate.work:.2g} neuron gradients in {certificate.cpu_seconds:.1f} CPU seconds{before}; kept in {file}."
    )
    fitted = (
        json.loads((folder / RESULT).read_text(encoding="utf-8")).get("certificate")
        or {}
    )
    if fitted and fitted["unknown_share"] < certificate.unknown_share:
        output.note(
            f"`langevax fit` reached a narrower interval, between {fitted['lower_bound']:.4g} and "
            f"{fitted['upper_bound']:.4g}, by a search of its own; pass a larger budget to go beyond it."
        )
    output.result(
        {
            **fields,
            "optimum": sentence,
            "effort": certificate.effort,
            "cpu_seconds": certificate.cpu_seconds,
        }
    )


def _certify_law(
    estimator: Any,
    effort: float | None,
    cpu_seconds: float | None,
    seed: int,
    force: bool,
    output: "Output",
    num_rows: int,
    unit: str,
) -> None:
    """Certify the law of a regression, from the beginning."""
    from langevax.app.evaluation import holdout
    from langevax.app.output import plain
    from langevax.app.report import summary

    if force:
        raise BadInput(
            "--force forgets the search of a network, and a regression keeps none; leave it out."
        )
    effort = LAW_EFFORT if effort is None and cpu_seconds is None else effort
    with output.progress("Certificate", 100, "%") as line:
        options: dict[str, Any] = {
            "cpu_seconds": cpu_seconds,
            "random_state": seed,
            "progress": line.show,
        }
        certificate = estimator.certificate(effort, **options)
    fields = holdout.certified(certificate)
    sentence = summary.law_optimum(certificate.verdict, num_rows, unit)
    output.say("Certificate", sentence)
    output.note(
        f"{certificate.work:.2g} gradients of rows in {certificate.cpu_seconds:.1f} CPU seconds."
    )
    output.result(
        plain({**fields, "optimum": sentence, "cpu_seconds": certificate.cpu_seconds})
    )


def _with_rows(
    folder: Path, table: Path | None, output: "Output"
) -> tuple[Any, int, str]:
    """Return the estimator with its training rows, their number, and what a row is called."""
    import numpy as np

    from langevax.app.fit import FitOptions
    from langevax.app.fitting.data import prepare
    from langevax.app.predict import load_model, model_hash
    from langevax.app.tables.schema import read_schema

    if not (folder / SCHEMA).exists() or not (folder / RESULT).exists():
        raise BadInput(
            f"DIR {str(folder)!r} holds no fitted model; name a folder that `langevax fit` made."
        )
    read_schema(folder / SCHEMA, model_hash(folder / MODEL))
    estimator = load_model(folder / MODEL)
    if not hasattr(estimator, "attach_rows"):
        raise BadInput(
            f"DIR {str(folder)!r} holds a {type(estimator).__name__}, of which nothing is certified."
        )
    try:
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        rows = Path(result["table"]) if table is None else table
        options = FitOptions(
            **{
                **result["settings"],
                "table": rows,
                "target": result["target"],
                "out": folder,
            }
        )
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{str(folder / RESULT)!r} is damaged ({error}); fit again."
        ) from error
    if not rows.exists():
        raise BadInput(
            f"TABLE {str(rows)!r} of the fit is not there; pass the file that holds its rows."
        )
    with output.waiting(f"Reading {rows.name}"):
        try:
            data = prepare(options)
        except BadInput as error:
            raise BadInput(
                f"TABLE {str(rows)!r} does not hold the rows of this fit: {error}"
            ) from error
    split = data.split
    targets = (
        np.array(data.schema.classes)[split.train_targets]
        if split.classes
        else split.train_targets
    )
    try:
        groups = {} if options.family else {"groups": split.groups_of(split.train)}
        estimator.attach_rows(data.take(split.train), targets, **groups)
    except ValueError as error:
        raise BadInput(
            f"TABLE {str(rows)!r} does not hold the rows of this fit, or has changed since; pass the table as it was, "
            "or fit again."
        ) from error
    return estimator, len(split.train), split.unit
