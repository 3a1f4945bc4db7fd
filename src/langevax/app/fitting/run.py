"""`langevax fit` after its options: prepare, train, evaluate, certify, report."""

import hashlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from langevax import storage
from langevax.app.evaluation import holdout
from langevax.app.evaluation.certainty import (
    Calibration,
    Coverage,
    calibration_of,
    coverage_of,
)
from langevax.app.evaluation.comparison import Comparison, Refit, compare
from langevax.app.evaluation.metrics import METRICS, value
from langevax.app.evaluation.peers import peers
from langevax.app.fitting import console
from langevax.app.fitting.data import prepare
from langevax.app.fitting.family import FamilyFit
from langevax.app.fitting.kinds import Fit
from langevax.app.fitting.network import NetworkFit
from langevax.app.folder import (
    HOLDOUT,
    MODEL,
    REPORT,
    RESULT,
    SCHEMA,
    Folder,
    write_json,
)
from langevax.app.options import FitOptions
from langevax.app.output import Output, plain
from langevax.app.predict import prediction_table
from langevax.app.report import summary
from langevax.app.report.contents import FitContents
from langevax.app.report.effects import effects_of, far_off_rows, pulls_of
from langevax.app.report.fit_page import write_fit_page
from langevax.app.tables.files import write_table
from langevax.app.tables.schema import write_schema
from langevax.run import keep_compiled_programs
from langevax.sklearn import saved


def run(options: FitOptions) -> None:
    """Fit and print the results; with --dry-run only read the table."""
    output = Output(options.json)
    folder = Folder(options.folder)
    if not options.dry_run:
        folder.check(options.force)
    data = prepare(options)
    fit = (NetworkFit if options.family is None else FamilyFit)(options, data)
    fit.check()
    if options.dry_run:
        console.print_data(output, options, data)
        read = {"target": options.target, "task": data.split.task}
        output.result(plain(read | reading_of(fit)))
        return
    identity = {"target": options.target, "table": storage.file_hash(options.table)}
    with folder.writing(options.force, options.settings | identity) as continued:
        if continued:
            output.say("Continued", f"an interrupted run, from {folder.training}")
        console.print_data(output, options, data)
        result = _fit(output, fit, folder)
    console.print_end(output, options.folder)
    output.result(result)


def _fit(output: Output, fit: Fit, folder: Folder) -> dict[str, Any]:
    """Train, evaluate and write, in a folder whose lock is held; return the result."""
    keep_compiled_programs()
    try:
        fit.train(folder)
        for caution in fit.cautions:
            output.warn(caution)
        for label, sentence in fit.training():
            output.say(label, sentence)
        outputs, contents, coverage = evaluate(output, fit)
        with output.progress("Report", 2, "part") as line, folder.filling() as new:
            contents = with_figures(fit, contents)
            line.advance("figures")
            write_fit_page(contents, new / REPORT)
            line.advance("page")
            result = plain(result_of(fit, contents, coverage))
            write_model(new, fit, outputs, result)
    except KeyboardInterrupt as interrupt:
        command = fit.options.command()
        saved = folder.checkpoints.exists()
        then = "What was saved goes on" if saved else "The fit begins again"
        interrupt.args = (f"{then} with\n  {command}",)
        raise
    return result


def evaluate(
    output: Output, fit: Fit
) -> tuple[np.ndarray, FitContents, Coverage | None]:
    """Predict and score rows that the model has not seen, fit other methods, and certify it.

    Returns:
        outputs: predicted numbers (row,), or class probabilities (row, class).
        contents: of the page, before `with_figures`.
        coverage: of intervals, or sets of classes.
    """
    data = fit.data
    split = fit.data.split
    model = fit.model
    options = fit.options
    outputs = split.outputs(model, data.take(split.test))
    refit = fit.refit()
    comparison = _compared(output, fit, outputs, refit)
    coverage, calibration, certainty = _certainty(fit, outputs, comparison)
    relevance = holdout.relevance_of(holdout.on_columns(model), split, options.seed)
    law = fit.law(refit, comparison)
    worth = summary.worth(comparison, split.target, split.classes, split.unit)
    contents = FitContents(
        table=split.table,
        target=split.target,
        summary=(*worth, *fit.advice(comparison, law)),
        comparison=comparison,
        reading=data.reading,
        certainty=certainty,
        calibration=calibration,
        optimum="",
        certificate={},
        relevance=relevance,
        classes=split.classes,
        settings={"command": options.changed, "estimator": fit.settings()},
        command=options.command(),
        predict_command=console.predict_command(options.folder),
        versions=holdout.versions(),
        unit=split.unit,
        cautions=tuple(fit.cautions),
        training=tuple(fit.training()),
        law=law,
        cooling=fit.cooling(),
    )
    console.print_worth(output, contents)
    certificate = fit.certificate(output)
    optimum = fit.guarantee(certificate)
    contents = replace(contents, certificate=certificate, optimum=optimum)
    console.print_evidence(output, contents)
    return outputs, contents, coverage


def _certainty(
    fit: Fit, outputs: np.ndarray, comparison: Comparison
) -> tuple[Coverage | None, Calibration | None, str]:
    """Return how often intervals hold, how far probabilities are right, and both in words."""
    data = fit.data
    split = fit.data.split
    coverage = coverage_of(
        fit.model, data.take(split.test), split.test_targets, split.classes
    )
    calibration = None
    if split.classes:
        calibration = calibration_of(
            comparison.observed, comparison.outputs, split.classes
        )
    metric = METRICS[split.task][0]
    held_out = metric.name, value(metric, split.test_targets, outputs), len(split.test)
    words = summary.certainty(
        coverage, calibration, split.classes, split.unit, split.dates, held_out
    )
    return coverage, calibration, words


def _compared(
    output: Output,
    fit: Fit,
    outputs: np.ndarray,
    refit: Refit,
) -> Comparison:
    """Return the scores of the model and of other methods."""
    split = fit.data.split
    options = fit.options
    with_peers = "peers" not in options.skip
    methods = peers(split.task) if with_peers else {}
    with output.progress("Comparison", 1 + len(methods), "method") as line:
        return compare(
            split,
            outputs,
            refit,
            seconds=fit.seconds,
            note=fit.how_chosen,
            name=fit.name,
            word=fit.word,
            metrics=fit.metrics(),
            random_state=options.seed,
            with_peers=with_peers,
            threshold=getattr(fit.model, "threshold_", 0.5),
            report=line.advance,
        )


def reading_of(fit: Fit) -> dict[str, Any]:
    """Return how the table was read, as result.json has it."""
    data = fit.data
    return {
        "table": str(fit.options.table),
        "classes": data.schema.classes,
        "read": data.summary,
        "columns": data.reading.columns,
        "notes": [*data.notes, *data.warnings, *data.leaks],
    }


def with_figures(fit: Fit, contents: FitContents) -> FitContents:
    """Return the contents with what takes a while to compute and is only drawn."""
    split = fit.data.split
    relevance = contents.relevance
    effects = ()
    if fit.data.axes is None:
        effects = effects_of(holdout.on_columns(fit.model), split, relevance)
    far_off = far_off_rows(
        contents.comparison,
        split.classes,
        fit.data.row_names,
        pulls_of(fit.model, fit.data),
    )
    return replace(contents, effects=effects, far_off=far_off, curves=fit.curves())


def result_of(
    fit: Fit, contents: FitContents, coverage: Coverage | None
) -> dict[str, Any]:
    """Return result.json, which --json prints."""
    comparison = contents.comparison
    split = fit.data.split
    alike = (
        "target summary certainty optimum certificate command versions cautions "
        "calibration relevance"
    )
    result = {name: getattr(contents, name) for name in alike.split()}
    result |= reading_of(fit) | fit.record()
    if contents.classes:
        result["threshold"] = comparison.threshold
    if contents.law is not None:
        result["law"] = contents.law
    counts = np.bincount(split.targets).tolist() if split.classes else ()
    return result | {
        "task": split.task,
        "class_counts": counts,
        "coverage": coverage,
        "sentence": contents.summary[0],
        "score_name": split.score_name,
        "rows_scored": len(comparison.rows),
        "folds": comparison.num_folds,
        "scores": [
            asdict(score) | {"value": score.value} for score in comparison.scores
        ],
        "settings": fit.options.settings,
        "report": str(fit.options.folder / REPORT),
    }


def write_model(
    new: Path,
    fit: Fit,
    outputs: np.ndarray,
    result: dict[str, Any],
) -> None:
    """Write the model with its schema, the held-out rows and the result."""
    data = fit.data
    split = fit.data.split
    classes = fit.data.schema.classes
    card = {
        "command": result["command"],
        "table": result["table"],
        "table_sha256": file_hash(fit.options.table),
        "score": split.score_name,
        "scores": {score["name"]: score["value"] for score in result["scores"]},
    }
    fit.model.save(new / MODEL, card=card)
    write_schema(data.schema, new / SCHEMA, saved.read(new / MODEL).hash)
    observed = split.test_targets
    if classes:
        observed = [classes[i] for i in split.test_targets]
    named = data.names[split.test.tolist()].with_columns(observed=pl.Series(observed))
    predicted = prediction_table(outputs, classes, result.get("threshold", 0.5))
    table = pl.concat([named, predicted], how="horizontal")
    write_table(table, new / HOLDOUT)
    write_json(new / RESULT, result)


def file_hash(path: Path) -> str | None:
    """Return the SHA-256 of a file; None where it has been moved meanwhile."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None
