"""What `langevax fit` tells, in the order in which it happens."""

import math
import shlex
from dataclasses import dataclass
from typing import Any

import numpy as np

from langevax.cli.errors import count
from langevax.cli.fitting.folder import REPORT, Folder
from langevax.cli.fitting.prepared import Prepared
from langevax.cli.fitting.request import Request
from langevax.cli.output import Output
from langevax.report.contents import Band, Score
from langevax.report.numbers import with_error
from langevax.report.split import Split

OTHER_TASK = {"regression": "classification", "classification": "regression"}


@dataclass(frozen=True)
class Found:
    """What was measured of a fitted model."""

    scores: tuple[Score, ...]
    certificate: dict[str, Any]
    band: Band


def tell_of_data(output: Output, request: Request, prepared: Prepared) -> None:
    """What was read, and what was made of it."""
    read, split, target = prepared.read, prepared.split, prepared.target
    what = f"classification into {len(split.classes)} classes" if split.classes else "regression"
    overrides = "" if request.task or not target.numeric else f"; --task {OTHER_TASK[split.task]} overrides"
    output.say("Table", f"{request.table}: {count(read['rows'], 'row')}, {count(read['columns'], 'column')}")
    output.say(*prepared.told)
    for note in prepared.notes:
        output.note(note)
    output.say("Target", f"{request.target!r}: {what}, {target.reason}{overrides}")
    output.say("Split", f"{count(len(split.train), split.unit)} to train on, {len(split.test):,} held out")


def tell_of_training(output: Output, model: Any, seconds: float) -> None:
    """How long, how hot."""
    until = ", until nothing drifted any more" if model.converged_ else ""
    steps = count(int(model.n_iter_), "step")
    took = f"{seconds:.1f} s, of which {model.seconds_to_first_step_:.1f} compiling"
    output.say("Training", f"{steps} at temperature {model.temperature_:.3g}{until}; {took}")


def tell_of_findings(output: Output, prepared: Prepared, found: Found) -> None:
    """Scores, and the distance from the optimum."""
    scores = sorted(found.scores, key=lambda score: -score.value)
    output.blank()
    output.table(
        ("held out", score_name(prepared.split), "seconds", "settings chosen by"),
        [(score.name, f"{score.value:.3f}", f"{score.seconds:.2f}", score.note) for score in scores],
        bold=next(i for i, score in enumerate(scores) if score.ours),
    )
    output.blank()
    if found.certificate:
        output.table(("certified after", "lower bound", "gap", "std. error", ""), _band(found.band))
        output.blank()
        output.say("Certificate", verdict(found.certificate))


def tell_of_end(output: Output, folder: Folder) -> None:
    """Where everything is."""
    output.say("Report", str(folder.path / REPORT))
    output.say("Predict with", f"langevax predict {shlex.quote(str(folder.path))} TABLE")


def how_to_resume(request: Request, folder: Folder) -> str:
    """After an interruption."""
    if not folder.begun:
        return "Nothing was saved yet; run the same command again."
    return f"What was trained is saved; go on with\n  {request.command('--resume')}"


def score_name(split: Split) -> str:
    """In the report and in the result."""
    return "accuracy" if split.classes else "R2"


def how_chosen(request: Request) -> str:
    """How our own settings came about, in a few words."""
    if request.validation == "path":
        return "temperature and scale by 3-fold path"
    return "temperature by leave-one-out" if request.temperature == "auto" else "temperature as given"


def verdict(certificate: dict[str, Any]) -> str:
    """The certificate in one sentence, with the interval where it is to be trusted."""
    if not certificate["trustworthy"]:
        return certificate["verdict"]
    places = _places(certificate["gap"])
    low, high = (f"{certificate[end]:.{places}f}" for end in ("lower_bound", "upper_bound"))
    gap = with_error(certificate["gap"], certificate["standard_error"])
    return f"Within {gap} of the global optimum, which lies between {low} and {high}."


def sentence(split: Split, found: Found) -> str:
    """The one sentence on top of the report."""
    score = next(score.value for score in found.scores if score.ours)
    certificate, distance = found.certificate, "Not certified"
    if certificate.get("trustworthy"):
        gap = with_error(certificate["gap"], certificate["standard_error"])
        distance = f"Within {gap} of the global optimum"
    return f"{distance}; {score_name(split)} {score:.2f} on {count(len(split.test), split.unit)} held out."


def _band(band: Band) -> list[tuple[str, ...]]:
    """A row per certificate along training."""
    places = _places(float(np.nanmin(band.gap_error)))
    return [
        (
            f"{int(step):,} steps",
            *(f"{value:.{places}f}" for value in (band.lower_bound[i], band.gap[i], band.gap_error[i])),
            "" if band.trustworthy[i] else "not to be trusted",
        )
        for i, step in enumerate(band.steps)
    ]


def _places(size: float) -> int:
    """Decimals that show a number of this size to two digits."""
    return min(max(1 - math.floor(math.log10(size)), 2), 8) if size > 0 and math.isfinite(size) else 4
