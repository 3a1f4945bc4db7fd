"""Printed output of `langevax fit`, in order."""

import math
import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np

from langevax.cli.errors import count
from langevax.cli.fit import FitOptions
from langevax.cli.fitting.data import FitData
from langevax.cli.folder import REPORT, RESULT, SCHEMA, Folder
from langevax.cli.output import Output
from langevax.evaluation.holdout import Score, TrainTestSplit
from langevax.report.numbers import with_error
from langevax.sklearn.inspection import CertificatePath

MOST_NOTES = 20  # that are printed
OTHER_TASK = {"regression": "classification", "classification": "regression"}


def print_data(output: Output, options: FitOptions, data: FitData) -> None:
    """Print what was read, and how it is used."""
    summary, split, target = data.summary, data.split, data.target
    task = f"classification into {len(split.classes)} classes" if split.classes else "regression"
    override = "" if options.task or not target.numeric else f"; override with --task {OTHER_TASK[split.task]}"
    output.say("Table", f"{options.table}: {count(summary['rows'], 'row')}, {count(summary['columns'], 'column')}")
    output.say(*data.description)
    for note in data.notes[:MOST_NOTES]:
        output.note(note)
    if (more := len(data.notes) - MOST_NOTES) > 0:
        output.note(f"{count(more, 'more remark')}, all of them in {SCHEMA} and {RESULT}.")
    for leak in data.leaks:
        output.warn(leak)
    output.say("Target", f"{options.target!r}: {task}, {target.reason}{override}")
    output.say("Split", f"{count(len(split.train), split.unit)} to train on, {len(split.test):,} held out")


def print_training(output: Output, model: Any, seconds: float) -> None:
    """Print steps, temperature and time."""
    until = ", until nothing drifted" if model.converged_ else ""
    steps = count(int(model.n_iter_), "step")
    times = f"{seconds:.1f} s, including {model.seconds_to_first_step_:.1f} s of compiling"
    output.say("Training", f"{steps} at temperature {model.temperature_:.3g}{until}; {times}")
    if model.temperature_reason_:
        output.say("Temperature", f"{model.temperature_:.3g}, {model.temperature_reason_}")
        output.say("Left out", held_out(model.held_out_scores_))


def held_out(scores: dict[str, float]) -> str:
    """Return what the networks of the folds scored on the rows left out."""
    loss = with_error(scores["loss"], scores["loss_error"])
    if "r2" in scores:
        return f"R2 {scores['r2']:.3f}, RMSE {scores['rmse']:.4g} on the training rows that a fold leaves out"
    others = (
        f"{scores['linear_loss']:.3g} by logistic regression, {scores['base_loss']:.3g} by the shares of the classes"
    )
    calibration = f"calibration error {scores['calibration_error']:.2g}"
    return f"log loss {loss} on the training rows that a fold leaves out ({others}); {calibration}"


def print_evaluation(
    output: Output, data: FitData, scores: Sequence[Score], certificate: dict[str, Any], path: CertificatePath
) -> None:
    """Print the scores, and the bounds on the global optimum."""
    ranked = sorted(scores, key=lambda score: -score.value)
    output.blank()
    output.table(
        ("held out", data.split.score_name, "seconds", "settings chosen by"),
        [(score.name, f"{score.value:.3f}", f"{score.seconds:.2f}", score.note) for score in ranked],
        bold=next(i for i, score in enumerate(ranked) if score.ours),
    )
    output.blank()
    if certificate:
        output.table(("certified after", "lower bound", "gap", "std. error", ""), _path_rows(path))
        output.blank()
        output.say("Certificate", verdict(certificate))


def print_end(output: Output, folder: Folder) -> None:
    """Print where the files are."""
    output.say("Report", str(folder.path / REPORT))
    output.say("Predict with", f"langevax predict {shlex.quote(str(folder.path))} TABLE")


def how_to_resume(options: FitOptions, folder: Folder) -> str:
    """Return the message after an interruption."""
    if not folder.begun:
        return "Nothing was saved yet; run the same command again."
    return f"The training so far is saved; continue with\n  {options.command('--resume')}"


def how_chosen(options: FitOptions) -> str:
    """Return how the settings of the network were chosen, in a few words."""
    if options.validation == "path":
        return "temperature and scale by 3-fold path"
    if options.temperature != "auto":
        return "temperature as given"
    return (
        "temperature by leave-one-out" if options.curves or options.validation == "none" else "temperature by 5 folds"
    )


def verdict(certificate: dict[str, Any]) -> str:
    """Return the certificate in one sentence, with the interval of the optimum where it is trustworthy."""
    return certificate["verdict"]


def sentence(split: TrainTestSplit, scores: Sequence[Score], certificate: dict[str, Any]) -> str:
    """Return the sentence at the top of the report."""
    score = next(score.value for score in scores if score.ours)
    distance = "Not certified"
    if certificate.get("trustworthy"):
        distance = f"Objective known to {certificate['unknown_share']:.2g} of an untrained network's"
    return f"{distance}; {split.score_name} {score:.2f} on {count(len(split.test), split.unit)} held out."


def _path_rows(path: CertificatePath) -> list[tuple[str, ...]]:
    places = _places(float(np.nanmin(path.gap)))
    return [
        (f"{int(step):,} steps", *(f"{number:.{places}f}" for number in numbers), "" if sure else "not trustworthy")
        for step, *numbers, sure in zip(
            path.steps, path.lower_bound, path.gap, path.gap_error, path.trustworthy, strict=True
        )
    ]


def _places(size: float) -> int:
    """Return the decimals that show two digits of a number of this size."""
    return min(max(1 - math.floor(math.log10(size)), 2), 8) if size > 0 and math.isfinite(size) else 4
