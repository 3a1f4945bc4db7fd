"""`langevax fit` after its options: prepare, train, evaluate, certify, report."""

import hashlib
import re
import time
import warnings
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import polars as pl
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from langevax import checks
from langevax.cli.errors import BadInput, RunFailed
from langevax.cli.fit import FitOptions
from langevax.cli.fitting import console
from langevax.cli.fitting.data import FitData, estimator_for, prepare, with_inputs_of
from langevax.cli.fitting.processes import ProcessGroup, check_particles
from langevax.cli.fitting.reading import class_counts
from langevax.cli.folder import CERTIFICATE, HOLDOUT, MODEL, REPORT, RESULT, SCHEMA, Folder, file_digest, write_json
from langevax.cli.output import Output, ProgressLine, plain
from langevax.cli.predict import prediction_table
from langevax.cli.tables.files import without_formulas
from langevax.cli.tables.schema import write_schema
from langevax.evaluation import Task, holdout
from langevax.evaluation.certainty import Calibration, Coverage, calibration_of, coverage_of
from langevax.evaluation.comparison import Comparison, Refit, compare, outputs_of
from langevax.evaluation.holdout import Relevance
from langevax.evaluation.metrics import METRICS, value
from langevax.evaluation.peers import peers
from langevax.report import summary
from langevax.report.contents import CurveContents, FitContents
from langevax.report.effects import effects_of, far_off_rows
from langevax.report.fit_page import write_fit_page
from langevax.report.measure import NamedCurves, curves_of, motion_of, moving_slope, parts_of
from langevax.report.numbers import day
from langevax.run import CheckpointError, DivergenceError, keep_compiled_programs
from langevax.sklearn import LinearModelWarning
from langevax.sklearn.persistence import stored_hash

FEWEST_BYTES = 12  # of a particle
FEW_GROUPS = "groups holds"
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
    output, folder = Output(machine), Folder(options.out)
    with nullcontext() if group is None else group.preparing():
        folder.check(resume, force)
        data = prepare(options)
        try:
            checks.fits_memory("--num-particles", options.num_particles or 0, FEWEST_BYTES)
        except ValueError as error:
            raise BadInput(str(error)) from error
        if group is not None:
            check_particles(estimator_for(options, data.schema), jax.device_count())
        if resume and not folder.begun:
            output.warn(f"{str(options.out)!r} holds no interrupted run; the training starts from its beginning.")
        identity = {"target": options.target, "table": file_digest(options.table)}
        stack.enter_context(folder.writing(resume, force, {**options.settings, **identity}))
    console.print_data(output, options, data)
    keep_compiled_programs()
    try:
        with output.waiting("Training: choosing the temperature, compiling"):
            model, seconds, cautions = train(options, data, folder, resume, anyway, group)
            data = with_inputs_of(model, data)
        for caution in cautions:
            output.warn(caution)
        training = console.training(model, seconds, data.split.grouped_by)
        for label, sentence in training:
            output.say(label, sentence)
        evaluation = evaluate(output, options, data, model, seconds, cautions, folder.search)
        console.print_evaluation(output, evaluation.optimum, evaluation.certificate)
        with output.progress("Report", 2, "part") as line, folder.filling() as new:
            result = write(new, options, data, model, evaluation, training, line)
            if options.certificate:
                folder.search.rename(new / CERTIFICATE)
    except KeyboardInterrupt as interrupt:
        interrupt.args = (console.how_to_resume(options, folder),)
        raise
    except OSError as error:
        raise RunFailed(f"{error.filename or options.out} cannot be written ({error.strerror}).") from error
    console.print_end(output, folder)
    output.result(result)


def follow(options: FitOptions, resume: bool, anyway: bool, group: ProcessGroup) -> None:
    """Train together with process 0, and print nothing."""
    group.wait()
    keep_compiled_programs()
    train(options, prepare(options), Folder(options.out), resume, anyway, group)


def train(
    options: FitOptions,
    data: FitData,
    folder: Folder,
    resume: bool,
    anyway: bool = False,
    group: ProcessGroup | None = None,
) -> tuple[Any, float, tuple[str, ...]]:
    """Return the fitted estimator, the seconds it took, and its warnings as sentences."""
    split = data.split
    targets = np.array(data.schema.classes)[split.train_targets] if split.classes else split.train_targets
    more: dict[str, Any] = {} if group is None else {"devices": jax.device_count()}
    more |= {"checkpoint": folder.checkpoints, "resume": "anyway" if anyway else True}
    model = estimator_for(options, data.schema, **more)
    began = time.perf_counter()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            warnings.simplefilter("always", LinearModelWarning)
            warnings.filterwarnings("ignore", FEW_GROUPS, UserWarning)  # a note on the split says so
            model.fit(data.take(split.train), targets, groups=split.groups_of(split.train))
    except DivergenceError as error:
        folder.forget_training()
        raise RunFailed(f"the training diverged at step {error.step}; try a higher --temperature.") from error
    except CheckpointError as error:
        message = str(error).replace("pass resume='anyway'", "pass --resume --anyway")
        raise (BadInput if resume else RunFailed)(message) from error
    if data.axes is None:
        model.scaling_reason_ = with_days(model.scaling_sentence(split.names), split.dates)
    seconds, cautions = time.perf_counter() - began, []
    for warning in caught:
        if issubclass(warning.category, ConvergenceWarning | LinearModelWarning):
            cautions.append(caution(str(warning.message), warning.category, options.peers))
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return model, seconds, tuple(cautions)


def caution(message: str, category: type[Warning], peers: bool) -> str:
    """Return a warning of the fit as what is wrong, then the evidence.

    Example:
        >>> caution("a linear model is better by 0.1 +- 0.01; compare with RidgeCV.", LinearModelWarning, peers=True)
        "Compare it with a linear model. It is better by 0.1 ± 0.01; 'linear' below has its scores on all rows."
        >>> caution("it drifts: try num_steps=2000, solver='psdca'.", ConvergenceWarning, peers=True)
        'The fit has not converged. It drifts: try --num-steps 2000, --solver psdca.'
    """
    if issubclass(category, ConvergenceWarning):
        typed = re.sub(r"\b(num_steps|solver)='?(\w+)'?", lambda m: f"--{m[1].replace('_', '-')} {m[2]}", message)
        return f"The fit has not converged. {typed[0].upper()}{typed[1:]}"
    message = message.replace("a linear model", "It", 1)
    message = message.replace("the rows left out", "the training rows that folds leave out")
    evidence, remedy = message.replace("+-", "±").split("; ", 1)
    last = "'linear' below has its scores on all rows." if peers else remedy
    return f"Compare it with a linear model. {evidence}; {last}"


def with_days(sentence: str, dates: Sequence[str]) -> str:
    """Return a sentence on pieces of columns with dates instead of days since 1970.

    Example:
        >>> with_days("largest for sold from 18262 to 18628 (2.9)", ["sold"])
        'largest for sold from 2020-01-01 to 2021-01-01 (2.9)'
    """
    for name in dates:
        piece = re.compile(rf"\b{re.escape(name)} from ([-+.\de]+) to ([-+.\de]+)")
        sentence = piece.sub(lambda m, n=name: f"{n} from {day(float(m[1]))} to {day(float(m[2]))}", sentence)
    return sentence


def evaluate(
    output: Output,
    options: FitOptions,
    data: FitData,
    model: Any,
    seconds: float,
    cautions: tuple[str, ...],
    search: Path,
) -> FitEvaluation:
    """Predict and score rows that the network has not seen, fit other methods, and certify it."""
    split = data.split
    outputs = split.outputs(model, data.take(split.test))
    methods = peer_names(output, split.task) if options.peers else []
    with output.progress("Comparison", 1 + len(methods), "method") as line, warnings.catch_warnings():
        warnings.filterwarnings("ignore", NOT_IMPORTED, UserWarning)
        comparison = compare(
            split,
            outputs,
            refitting(model, data),
            seconds=seconds,
            note=console.how_chosen(options),
            random_state=options.seed,
            with_peers=options.peers,
            threshold=getattr(model, "threshold_", 0.5),
            report=line.advance,
        )
    at_least_zero = getattr(data.schema, "never_negative", False)
    coverage = coverage_of(model, data.take(split.test), split.test_targets, split.classes, at_least_zero)
    calibration = calibration_of(comparison.observed, comparison.outputs, split.classes) if split.classes else None
    relevance = holdout.relevance_of(holdout.on_columns(model), split, options.seed)
    columns = relevance if data.axes is None else None
    sentences = summary.worth(comparison, split.target, split.classes, split.unit, columns, data.like_ids)
    metric = METRICS[split.task][0]
    held_out = metric.name, value(metric, split.test_targets, outputs), len(split.test)
    certainty = summary.certainty(coverage, calibration, split.classes, split.unit, split.dates, held_out)
    console.print_comparison(output, comparison, sentences, certainty, split.unit)
    certificate = certify(output, options, model, search)
    optimum = summary.optimum(certificate, model.temperature_, len(split.train), split.unit)
    measured = (outputs, comparison, relevance, coverage, calibration, certificate, cautions)
    return FitEvaluation(*measured, sentences, certainty, optimum)


def peer_names(output: Output, task: Task) -> list[str]:
    """Return the other methods; print which are installed and cannot be imported."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", NOT_IMPORTED, UserWarning)
        names = list(peers(task))
    for warning in caught:
        output.warn(str(warning.message))
    return names


def certify(output: Output, options: FitOptions, model: Any, search: Path) -> dict[str, Any]:
    """Return the numbers of the certificate, empty where none is wanted; leave its search in a file."""
    search.unlink(missing_ok=True)  # that of a run that was interrupted, whose result would be another one
    if not options.certificate:
        return {}
    with output.progress("Certificate", 100, "%") as line:
        return holdout.certified(model.certificate(random_state=options.seed, checkpoint=search, progress=line.show))


def refitting(model: Any, data: FitData) -> Refit:
    """Return how a fitted estimator is fitted on other rows, with the settings that it chose."""
    chosen = {
        "temperature": model.temperature_,
        "scaling": model.scaling_,
        "learn_scales": model.learned_scales_ is not None,
        "output_scale": float(model.neuron_.scale),
        "validation": None,
        "threshold": 0.5,
        "checkpoint": None,
        "resume": False,
        "devices": None,
    }
    if data.axes is not None:
        chosen |= {"encoder": model.encoder_name_}
    parameters = model.get_params()

    def refit(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        network: Any = clone(model)
        network.set_params(**{name: value for name, value in chosen.items() if name in parameters})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.filterwarnings("ignore", FEW_GROUPS, UserWarning)
            network.fit(data.take(train), data.split.targets[train], groups=data.split.groups_of(train))
        return outputs_of(network, data.split, data.take(test))

    return refit


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
    split, comparison, certificate = data.split, evaluation.comparison, evaluation.certificate
    network, relevance = holdout.on_columns(model), evaluation.relevance
    curves = None if data.axes is None else NamedCurves(data.take(split.train), *data.axes)
    slope = None
    if curves is not None and model.encoder_name_ == "basis":
        slope = partial(moving_slope, model, curves, split)
    motion = motion_of(network, split, relevance, slope)
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
        "cautions": (*(f"Rows may belong together. {sentence}" for sentence in data.alike), *evaluation.cautions),
    }
    result = plain(
        {
            **shared,
            "sentence": evaluation.summary[0],
            "table": str(options.table),
            "classes": data.schema.classes,
            "read": data.summary,
            "columns": [asdict(column) for column in data.reading.columns],
            "notes": [*data.notes, *data.warnings, *data.leaks],
            "score_name": split.score_name,
            "rows_scored": len(comparison.rows),
            "folds": comparison.num_folds,
            "scores": [{**asdict(score), "value": score.value} for score in comparison.scores],
            "coverage": None if evaluation.coverage is None else asdict(evaluation.coverage),
            "calibration": None if evaluation.calibration is None else asdict(evaluation.calibration),
            "relevance": asdict(relevance),
            **({"threshold": comparison.threshold} if data.schema.classes else {}),
            "temperature": model.temperature_,
            "temperature_reason": model.temperature_reason_,
            "scaling_reason": model.scaling_reason_,
            "held_out_scores": model.held_out_scores_,
            "steps": model.n_iter_,
            "seconds_to_first_step": model.seconds_to_first_step_,
            "settings": options.settings,
            "report": str(options.out / REPORT),
        }
    )
    set_options = {name: value for name, value in options.settings.items() if value not in (None, [])}
    contents = FitContents(
        **shared,
        table=split.table,
        comparison=comparison,
        reading=data.reading,
        coverage=evaluation.coverage,
        calibration=evaluation.calibration,
        motion=motion,
        relevance=relevance,
        effects=effects_of(network, split, relevance) if curves is None else (),
        far_off=far_off_rows(comparison, split.classes, _named_rows(data)),
        classes=split.classes,
        predict_command=console.predict_command(options.out),
        settings={"command": set_options, "estimator": estimator_settings(model)},
        curves=None if curves is None else learned_of_curves(model, curves, data, evaluation.outputs),
        num_training=len(split.train),
        unit=split.unit,
        training=training,
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
    model.set_params(checkpoint=None, resume=True).save(new / MODEL, card=card)
    write_schema(data.schema, new / SCHEMA, stored_hash(new / MODEL))
    classes = data.schema.classes
    observed = pl.Series([classes[i] for i in split.test_targets] if classes else split.test_targets)
    named = data.names[split.test.tolist()].with_columns(observed=observed)
    holdout_table = pl.concat(
        [named, prediction_table(evaluation.outputs, classes, comparison.threshold)], how="horizontal"
    )
    without_formulas(holdout_table).write_csv(new / HOLDOUT)
    write_json(new / RESULT, result)
    return result


def _named_rows(data: FitData) -> list[str]:
    """Return the name of each row: its number with its id, or the id of a curve."""
    return [f"{first} ({', '.join(map(str, more))})" if more else str(first) for first, *more in data.names.rows()]


def learned_of_curves(model: Any, curves: NamedCurves, data: FitData, outputs: np.ndarray) -> CurveContents:
    """Return what the page shows of a fit on curves."""
    held_out = replace(curves, inputs=data.take(data.split.test))
    names = _named_rows(data)
    of_held_out = [f"row {names[i]}" if data.names.columns == ["row"] else names[i] for i in data.split.test]
    parts = parts_of(model, held_out, data.split, outputs, of_held_out)
    return replace(curves_of(model, curves, data.split), parts=parts)


def file_hash(path: Path) -> str | None:
    """Return the SHA-256 of a file; None where it has been moved meanwhile."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None


def estimator_settings(model: Any) -> dict[str, Any]:
    """Return the parameters of a fitted estimator, and what fitting chose."""
    settings = {
        name: value for name, value in model.get_params().items() if name not in ("checkpoint", "resume", "progress")
    }
    if not isinstance(basis := settings.get("basis", ""), str):
        settings["basis"] = f"{type(basis).__name__.lower()} from {basis.domain[0]:g} to {basis.domain[1]:g}"
    if isinstance(grid := settings.get("grid"), list):
        settings["grid"] = f"{len(grid):,} times from {grid[0]:g} to {grid[-1]:g}"
    return settings | {"temperature (fitted)": float(model.temperature_), "steps (done)": int(model.n_iter_)}
