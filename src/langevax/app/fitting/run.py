"""`langevax fit` after its options: prepare, train, evaluate, certify, report."""

import hashlib
import warnings
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from langevax.app.errors import RunFailed
from langevax.app.evaluation import Task, holdout
from langevax.app.evaluation.certainty import (
    Calibration,
    Coverage,
    calibration_of,
    coverage_of,
)
from langevax.app.evaluation.comparison import Comparison, compare
from langevax.app.evaluation.holdout import Relevance
from langevax.app.evaluation.metrics import METRICS, value
from langevax.app.evaluation.peers import peers
from langevax.app.fit import FitOptions
from langevax.app.fitting import console
from langevax.app.fitting.data import FitData, prepare, with_inputs_of
from langevax.app.fitting.family import FamilyKind
from langevax.app.fitting.kinds import ModelKind
from langevax.app.fitting.network import NetworkKind
from langevax.app.fitting.processes import ProcessGroup
from langevax.app.fitting.reading import class_counts
from langevax.app.folder import (
    CERTIFICATE,
    HOLDOUT,
    MODEL,
    REPORT,
    RESULT,
    SCHEMA,
    Folder,
    file_digest,
    write_json,
)
from langevax.app.output import Output, ProgressLine, plain
from langevax.app.predict import prediction_table
from langevax.app.report import summary
from langevax.app.report.contents import FitContents, LawContents
from langevax.app.report.effects import effects_of, far_off_rows
from langevax.app.report.fit_page import write_fit_page
from langevax.app.tables.files import without_formulas
from langevax.app.tables.schema import write_schema
from langevax.run import keep_compiled_programs
from langevax.sklearn.persistence import stored_hash

NOT_IMPORTED = ".* is installed and cannot be imported"


@dataclass(frozen=True)
class FitEvaluation:
    """A fitted model on the held-out rows, and its certificate."""

    outputs: np.ndarray
    """Predicted numbers (row,), or class probabilities (row, class)."""
    comparison: Comparison
    relevance: Relevance
    coverage: Coverage | None
    calibration: Calibration | None
    law: LawContents | None
    certificate: dict[str, Any]
    cautions: tuple[str, ...]
    """Warnings of the fit: it has not converged, or a linear model is better on the rows left out."""
    summary: tuple[str, ...]
    """What the fit is worth; the terminal and the page print the same sentences."""
    certainty: str
    optimum: str


def run(
    options: FitOptions,
    machine: bool,
    resume: bool,
    force: bool,
    anyway: bool = False,
    group: ProcessGroup | None = None,
) -> None:
    """Fit and print the results; of a process group, this is process 0."""
    with ExitStack() as stack:
        _run(stack, options, machine, resume, force, anyway, group)


def read_only(options: FitOptions, machine: bool) -> None:
    """Print how the table is read, split and used, and write nothing."""
    output, kind, data = Output(machine), kind_of(options), prepare(options)
    kind.check(data, None)
    console.print_data(output, options, data)
    for sentence in kind.warnings(data):
        output.warn(sentence)
    output.result(
        plain(
            {
                "target": options.target,
                "task": data.split.task,
                **reading_of(options, data),
            }
        )
    )


def _run(
    stack: ExitStack,
    options: FitOptions,
    machine: bool,
    resume: bool,
    force: bool,
    anyway: bool,
    group: ProcessGroup | None,
) -> None:
    """Run; `stack` releases the lock of the folder."""
    output, folder, kind = Output(machine), Folder(options.out), kind_of(options)
    with nullcontext() if group is None else group.preparing():
        folder.check(resume, force)
        data = prepare(options)
        kind.check(data, group)
        if resume and not folder.begun:
            output.warn(
                f"{str(options.out)!r} holds no interrupted run; the training starts from its beginning."
            )
        identity = {"target": options.target, "table": file_digest(options.table)}
        stack.enter_context(
            folder.writing(resume, force, {**options.settings, **identity})
        )
    console.print_data(output, options, data)
    for sentence in kind.warnings(data):
        output.warn(sentence)
    keep_compiled_programs()
    try:
        with output.waiting(kind.waiting):
            model, seconds, cautions = train(
                options, data, folder, resume, anyway, group
            )
            data = with_inputs_of(model, data)
        for caution in cautions:
            output.warn(caution)
        training = kind.training(model, seconds, data)
        for label, sentence in training:
            output.say(label, sentence)
        evaluation = evaluate(
            output, options, data, model, seconds, cautions, folder.search
        )
        console.print_evaluation(
            output, evaluation.optimum, evaluation.certificate, evaluation.law
        )
        with output.progress("Report", 2, "part") as line, folder.filling() as new:
            result = write(new, options, data, model, evaluation, training, line)
            if folder.search.exists():
                folder.search.rename(new / CERTIFICATE)
    except KeyboardInterrupt as interrupt:
        interrupt.args = (kind.how_to_go_on(folder),)
        raise
    except OSError as error:
        raise RunFailed(
            f"{error.filename or options.out} cannot be written ({error.strerror})."
        ) from error
    console.print_end(output, folder)
    output.result(result)


def follow(
    options: FitOptions, resume: bool, anyway: bool, group: ProcessGroup
) -> None:
    """Train together with process 0, and print nothing."""
    group.wait()
    keep_compiled_programs()
    train(options, prepare(options), Folder(options.out), resume, anyway, group)


def kind_of(options: FitOptions) -> ModelKind:
    """Return the kind of model that the options ask for."""
    return NetworkKind(options) if options.family is None else FamilyKind(options)


def train(
    options: FitOptions,
    data: FitData,
    folder: Folder,
    resume: bool,
    anyway: bool = False,
    group: ProcessGroup | None = None,
) -> tuple[Any, float, tuple[str, ...]]:
    """Return the fitted estimator, the seconds it took, and its warnings as sentences."""
    return kind_of(options).fit(data, folder, resume, anyway, group)


def evaluate(
    output: Output,
    options: FitOptions,
    data: FitData,
    model: Any,
    seconds: float,
    cautions: tuple[str, ...],
    search: Path,
) -> FitEvaluation:
    """Predict and score rows that the model has not seen, fit other methods, and certify it."""
    split, kind = data.split, kind_of(options)
    outputs, refit = (
        split.outputs(model, data.take(split.test)),
        kind.refit(model, data),
    )
    methods = peer_names(output, split.task) if options.peers else []
    with (
        output.progress("Comparison", 1 + len(methods), "method") as line,
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", NOT_IMPORTED, UserWarning)
        comparison = compare(
            split,
            outputs,
            refit,
            seconds=seconds,
            note=kind.how_chosen,
            name=kind.name,
            word=kind.word,
            metrics=kind.metrics(split),
            random_state=options.seed,
            with_peers=options.peers,
            threshold=getattr(model, "threshold_", 0.5),
            report=line.advance,
        )
    at_least_zero = getattr(data.schema, "never_negative", False)
    coverage = coverage_of(
        model, data.take(split.test), split.test_targets, split.classes, at_least_zero
    )
    calibration = (
        calibration_of(comparison.observed, comparison.outputs, split.classes)
        if split.classes
        else None
    )
    relevance = holdout.relevance_of(holdout.on_columns(model), split, options.seed)
    columns = relevance if data.axes is None else None
    sentences = summary.worth(
        comparison, split.target, split.classes, split.unit, columns
    )
    law = kind.law(model, data, refit, comparison)
    sentences += kind.advice(data, comparison, law)
    metric = METRICS[split.task][0]
    held_out = metric.name, value(metric, split.test_targets, outputs), len(split.test)
    certainty = summary.certainty(
        coverage, calibration, split.classes, split.unit, split.dates, held_out
    )
    console.print_comparison(output, comparison, sentences, certainty, split.unit)
    if law is not None:
        console.print_law(output, law)
    certificate = kind.certificate(output, model, search)
    optimum = kind.guarantee(model, certificate, data)
    measured = (
        outputs,
        comparison,
        relevance,
        coverage,
        calibration,
        law,
        certificate,
        cautions,
    )
    return FitEvaluation(*measured, sentences, certainty, optimum)


def peer_names(output: Output, task: Task) -> list[str]:
    """Return the other methods; print which are installed and cannot be imported."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", NOT_IMPORTED, UserWarning)
        names = list(peers(task))
    for warning in caught:
        output.warn(str(warning.message))
    return names


def reading_of(options: FitOptions, data: FitData) -> dict[str, Any]:
    """Return how the table was read, as result.json has it."""
    return {
        "table": str(options.table),
        "classes": data.schema.classes,
        "read": data.summary,
        "columns": [asdict(column) for column in data.reading.columns],
        "notes": [*data.notes, *data.warnings, *data.leaks],
    }


def write(
    new: Path,
    options: FitOptions,
    data: FitData,
    model: Any,
    evaluation: FitEvaluation,
    training: tuple[tuple[str, str], ...],
    line: ProgressLine,
) -> dict[str, Any]:
    """Write all parts of the folder; return the result that --json prints."""
    split, comparison, certificate, law = (
        data.split,
        evaluation.comparison,
        evaluation.certificate,
        evaluation.law,
    )
    kind, network, relevance = (
        kind_of(options),
        holdout.on_columns(model),
        evaluation.relevance,
    )
    of_kind = kind.contents(model, data, relevance, evaluation.outputs)
    line.advance("frames")
    shared: dict[str, Any] = {
        "target": split.target,
        "task": split.task,
        "summary": evaluation.summary,
        "certainty": evaluation.certainty,
        "optimum": evaluation.optimum,
        "class_counts": class_counts(data.target),
        "certificate": certificate,
        "command": options.command(),
        "versions": holdout.versions(),
        "cautions": evaluation.cautions,
    }
    result = plain(
        {
            **shared,
            "sentence": evaluation.summary[0],
            **reading_of(options, data),
            "score_name": split.score_name,
            "rows_scored": len(comparison.rows),
            "folds": comparison.num_folds,
            "scores": [
                {**asdict(score), "value": score.value} for score in comparison.scores
            ],
            "coverage": None
            if evaluation.coverage is None
            else asdict(evaluation.coverage),
            "calibration": None
            if evaluation.calibration is None
            else asdict(evaluation.calibration),
            "relevance": asdict(relevance),
            **({"threshold": comparison.threshold} if data.schema.classes else {}),
            **kind.record(model, law),
            "settings": options.settings,
            "report": str(options.out / REPORT),
        }
    )
    set_options = {
        name: value
        for name, value in options.settings.items()
        if value not in (None, [])
    }
    contents = FitContents(
        **shared,
        table=split.table,
        comparison=comparison,
        reading=data.reading,
        coverage=evaluation.coverage,
        calibration=evaluation.calibration,
        relevance=relevance,
        effects=effects_of(network, split, relevance) if data.axes is None else (),
        far_off=far_off_rows(comparison, split.classes, data.row_names),
        classes=split.classes,
        predict_command=console.predict_command(options.out),
        settings={"command": set_options, "estimator": kind.settings(model)},
        law=law,
        num_training=len(split.train),
        unit=split.unit,
        training=training,
        **of_kind,
    )
    write_fit_page(contents, new / REPORT)
    line.advance("page")
    card = {
        "command": shared["command"],
        "table": str(options.table),
        "table_sha256": file_hash(options.table),
        "score": split.score_name,
        "scores": {score.name: score.value for score in comparison.scores},
    }
    model.save(new / MODEL, card=card)
    write_schema(data.schema, new / SCHEMA, stored_hash(new / MODEL))
    classes = data.schema.classes
    observed = pl.Series(
        [classes[i] for i in split.test_targets] if classes else split.test_targets
    )
    named = data.names[split.test.tolist()].with_columns(observed=observed)
    holdout_table = pl.concat(
        [named, prediction_table(evaluation.outputs, classes, comparison.threshold)],
        how="horizontal",
    )
    without_formulas(holdout_table).write_csv(new / HOLDOUT)
    write_json(new / RESULT, result)
    return result


def file_hash(path: Path) -> str | None:
    """Return the SHA-256 of a file; None where it has been moved meanwhile."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None
