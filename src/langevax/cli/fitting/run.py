"""What `langevax fit` does: prepare, train, compare, certify, report, put in place."""

import time
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import polars as pl

from langevax.cli.errors import BadInput, RunFailed
from langevax.cli.fitting import story
from langevax.cli.fitting.estimators import estimator_for
from langevax.cli.fitting.folder import HOLDOUT, MODEL, REPORT, RESULT, SCHEMA, Folder, write_json
from langevax.cli.fitting.party import Party, check_particles
from langevax.cli.fitting.predicting import predictions
from langevax.cli.fitting.preparation import prepare
from langevax.cli.fitting.prepared import Prepared
from langevax.cli.fitting.request import Request
from langevax.cli.fitting.stored import write_schema
from langevax.cli.fitting.story import Found
from langevax.cli.output import Output, plain
from langevax.report import measure
from langevax.report.contents import FitContents, Score
from langevax.report.curve_measure import Curves, curves_of, moving_slope
from langevax.report.encoded import on_columns
from langevax.report.fit_page import write_fit_page
from langevax.report.frames import motion_of
from langevax.report.peers import peers
from langevax.run import CheckpointError, DivergenceError, keep_compiled_programs

OURS = "mean-field network"
POINTS = 6  # of the certificate along training, fewer where they would take minutes
AFFORDABLE = 8e5  # rows times temperatures of all of them


def run(request: Request, machine: bool, resume: bool, force: bool, together: Party | None = None) -> None:
    """Fit, and tell of it; `together` with other processes, the first of which this is."""
    output, folder = Output(machine), Folder(request.out)
    with nullcontext() if together is None else together.announced():
        folder.check(resume, force)
        prepared = prepare(request)
        if together is not None:
            check_particles(estimator_for(request, prepared.schema), jax.device_count())
        folder.begin(resume, request.settings())
    story.tell_of_data(output, request, prepared)
    keep_compiled_programs()
    try:
        with output.waiting("Training: choosing the temperature, compiling"):
            model, seconds = train(request, prepared, folder, resume, together)
        story.tell_of_training(output, model, seconds)
        found = judge(output, request, prepared, model, seconds)
        story.tell_of_findings(output, prepared, found)
        with output.progress("Report", 3, "part") as line, folder.filling() as place:
            result = write(place, request, prepared, model, found, line)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(story.how_to_resume(request, folder)) from None
    except OSError as error:
        raise RunFailed(f"{error.filename or request.out} cannot be written ({error.strerror}).") from error
    story.tell_of_end(output, folder)
    output.result(result)


def follow(request: Request, resume: bool, together: Party) -> None:
    """The part of a process that is not the first: train with it, and say nothing."""
    together.wait()
    keep_compiled_programs()
    train(request, prepare(request), Folder(request.out), resume, together)


def train(
    request: Request, prepared: Prepared, folder: Folder, resume: bool, together: Party | None = None
) -> tuple[Any, float]:
    """The fitted estimator and the seconds it took."""
    split = prepared.split
    targets = np.array(prepared.schema.classes)[split.train_targets] if split.classes else split.train_targets
    shared = {} if together is None else {"devices": jax.device_count()}
    model = estimator_for(request, prepared.schema, checkpoint=folder.checkpoints, **shared)
    began = time.perf_counter()
    try:
        model.fit(prepared.take(split.train), targets)
    except DivergenceError as error:
        folder.forget_training()
        raise RunFailed(f"the training diverged at step {error.step}; try a higher --temperature.") from error
    except CheckpointError as error:
        raise (BadInput if resume else RunFailed)(str(error)) from error
    return model, time.perf_counter() - began


def judge(output: Output, request: Request, prepared: Prepared, model: Any, seconds: float) -> Found:
    """Scores on the rows held out, beside those of other methods, and the certificate along training."""
    split = prepared.split
    predicted = measure.predictions(on_columns(model), split, split.test_inputs)
    value = measure.score_of(split, split.test_targets, predicted)
    ours = Score(OURS, value, seconds, ours=True, note=story.how_chosen(request))
    others = []
    if request.peers:
        with output.progress("Other methods", len(peers(split.task)), "fit") as line:
            others = measure.peer_scores(split, request.seed, lambda name, value: line.advance(f"{name} {value:.3f}"))
    if not request.certificate:
        return Found((ours, *others), {}, measure.band_of(model, None, 0, request.seed))
    with output.progress("Certificate", 2, "look") as line:
        certificate = model.certificate(random_state=request.seed)
        line.advance(f"gap {certificate.gap:.2g}")
        points = min(POINTS, int(AFFORDABLE / (len(split.train) * certificate.temperatures)))
        band = measure.band_of(model, certificate, points, request.seed)
        line.advance()
    return Found((ours, *others), measure.certified(certificate), band)


def write(place: Path, request: Request, prepared: Prepared, model: Any, found: Found, line: Any) -> dict[str, Any]:
    """All parts of the folder; the result that --json prints."""
    split, schema = prepared.split, prepared.schema
    network = on_columns(model)
    relevance = measure.relevance_of(network, split, request.seed)
    line.advance("relevance")
    curves = None if prepared.axes is None else Curves(prepared.take(split.train), *prepared.axes)
    slope = None if curves is None else partial(moving_slope, model, curves, split)
    motion = motion_of(network, split, relevance, slope)
    line.advance("frames")
    result = plain(
        {
            "table": str(request.table),
            "target": request.target,
            "task": split.task,
            "classes": schema.classes,
            "read": prepared.read,
            "notes": prepared.notes,
            "score_name": story.score_name(split),
            "scores": [asdict(score) for score in found.scores],
            "sentence": story.sentence(split, found),
            "certificate": found.certificate,
            "band": asdict(found.band),
            "relevance": asdict(relevance),
            "temperature": model.temperature_,
            "steps": model.n_iter_,
            "seconds_to_first_step": model.seconds_to_first_step_,
            "settings": request.settings(),
            "command": request.command(),
            "versions": measure.versions(),
            "report": str(request.out / REPORT),
        }
    )
    contents = FitContents(
        table=split.table,
        target=split.target,
        task=split.task,
        sentence=story.sentence(split, found),
        score_name=story.score_name(split),
        scores=found.scores,
        certificate=found.certificate,
        band=found.band,
        motion=motion,
        relevance=relevance,
        observed=split.test_targets,
        predicted=measure.predictions(network, split, split.test_inputs),
        classes=split.classes,
        settings={"command": request.said(), "estimator": settings_of(model)},
        command=request.command(),
        versions=measure.versions(),
        curves=None if curves is None else curves_of(model, curves, split),
        unit=split.unit,
    )
    write_fit_page(contents, place / REPORT)
    line.advance("page")
    model.set_params(checkpoint=None).save(place / MODEL)
    write_schema(schema, place / SCHEMA)
    holdout(prepared, model).write_csv(place / HOLDOUT)
    write_json(place / RESULT, result)
    return result


def settings_of(model: Any) -> dict[str, Any]:
    """The estimator's parameters, those chosen by fitting among them."""
    skipped = {"checkpoint", "progress"}
    given = {name: value for name, value in model.get_params().items() if name not in skipped}
    if not isinstance(basis := given.get("basis", ""), str):
        given["basis"] = f"{type(basis).__name__.lower()} from {basis.domain[0]:g} to {basis.domain[1]:g}"
    if isinstance(grid := given.get("grid"), list):
        given["grid"] = f"{len(grid):,} times from {grid[0]:g} to {grid[-1]:g}"
    return given | {"temperature (fitted)": float(model.temperature_), "steps (done)": int(model.n_iter_)}


def holdout(prepared: Prepared, model: Any) -> pl.DataFrame:
    """The rows held out: what names them, observed, predicted."""
    split, classes = prepared.split, prepared.schema.classes
    observed = [classes[i] for i in split.test_targets] if classes else split.test_targets
    named = prepared.named[split.test.tolist()].with_columns(observed=pl.Series(observed))
    return pl.concat([named, predictions(model, classes, prepared.take(split.test))], how="horizontal")
