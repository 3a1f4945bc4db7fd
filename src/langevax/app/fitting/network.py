"""`langevax fit` of a mean-field network: its training, its certificate, and what its page shows."""

import re
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from langevax import checks
from langevax.app.errors import BadInput, RunFailed, count
from langevax.app.evaluation import holdout
from langevax.app.evaluation.comparison import OURS, Comparison, Refit, outputs_of
from langevax.app.evaluation.holdout import Relevance
from langevax.app.fit import FitOptions
from langevax.app.fitting import console
from langevax.app.fitting.data import FitData, estimator_for
from langevax.app.fitting.kinds import ModelKind
from langevax.app.fitting.processes import ProcessGroup, check_particles
from langevax.app.folder import Folder
from langevax.app.output import Output
from langevax.app.report import summary
from langevax.app.report.contents import LawContents
from langevax.app.report.measure import NamedCurves, curves_of, motion_of
from langevax.app.report.numbers import day
from langevax.run import CheckpointError, DivergenceError
from langevax.sklearn import LinearModelWarning

FEWEST_BYTES = 12  # of a particle
FEW_GROUPS = "groups holds"
MOST_COUNTS = 100  # different ones, beyond which whole numbers are amounts


class NetworkKind(ModelKind):
    """A network trained to its certified global optimum."""

    word = "network"
    waiting = "Training: choosing the temperature, compiling"

    def __init__(self, options: FitOptions):
        super().__init__(options, OURS, how_chosen(options))

    def check(self, data: FitData, group: ProcessGroup | None) -> None:
        """Raise `BadInput` where its particles do not fit into memory, or cannot be shared."""
        try:
            checks.fits_memory(
                "--num-particles", self.options.num_particles or 0, FEWEST_BYTES
            )
        except ValueError as error:
            raise BadInput(str(error)) from error
        if group is not None:
            check_particles(
                estimator_for(self.options, data.schema), jax.device_count()
            )

    def fit(
        self,
        data: FitData,
        folder: Folder,
        resume: bool,
        anyway: bool,
        group: ProcessGroup | None,
    ) -> tuple[Any, float, tuple[str, ...]]:
        """Return the fitted estimator, the seconds it took, and its warnings as sentences."""
        split = data.split
        targets = (
            np.array(data.schema.classes)[split.train_targets]
            if split.classes
            else split.train_targets
        )
        more: dict[str, Any] = {} if group is None else {"devices": jax.device_count()}
        more |= {
            "checkpoint": folder.checkpoints,
            "resume": "anyway" if anyway else True,
        }
        model = estimator_for(self.options, data.schema, **more)
        began = time.perf_counter()
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", ConvergenceWarning)
                warnings.simplefilter("always", LinearModelWarning)
                warnings.filterwarnings(
                    "ignore", FEW_GROUPS, UserWarning
                )  # a note on the split says so
                model.fit(
                    data.take(split.train), targets, groups=split.groups_of(split.train)
                )
        except DivergenceError as error:
            folder.forget_training()
            raise RunFailed(
                f"the training diverged at step {error.step}; try a higher --temperature."
            ) from error
        except CheckpointError as error:
            message = str(error).replace(
                "pass resume='anyway'", "pass --resume --anyway"
            )
            raise (BadInput if resume else RunFailed)(message) from error
        if data.axes is None:
            model.scaling_reason_ = with_days(
                model.scaling_sentence(split.names), split.dates
            )
        seconds, cautions = time.perf_counter() - began, []
        for warning in caught:
            if issubclass(warning.category, ConvergenceWarning | LinearModelWarning):
                cautions.append(
                    caution(str(warning.message), warning.category, self.options.peers)
                )
            else:
                warnings.warn_explicit(
                    warning.message, warning.category, warning.filename, warning.lineno
                )
        return model.set_params(checkpoint=None, resume=True), seconds, tuple(cautions)

    def training(
        self, model: Any, seconds: float, data: FitData
    ) -> tuple[tuple[str, str], ...]:
        """Return how it was trained, in labels and sentences."""
        return console.training(model, seconds, data.split.grouped_by)

    def refit(self, model: Any, data: FitData) -> Refit:
        """Return how the fitted network is fitted on other rows, with the settings that it chose."""
        return refitting(model, data)

    def advice(
        self, data: FitData, comparison: Comparison, law: LawContents | None
    ) -> tuple[str, ...]:
        """Return that counts have a family of their own, and how many predictions of them are below 0."""
        observed, below = data.target.values, int(np.sum(comparison.outputs < 0))
        whole = not data.target.classes and bool(
            np.all((observed >= 0) & (observed == np.round(observed)))
        )
        few = len(np.unique(observed)) <= MOST_COUNTS
        if (
            self.options.curves
            or not whole
            or not few
            or not (below or np.min(observed) == 0)
        ):
            return ()
        if not below:
            regression = "--family poisson fits a regression with rate ratios and the law of each count"
            return (f"{data.split.target!r} looks like a count: {regression}.",)
        return (
            f"{data.split.target!r} looks like a count, and {count(below, 'prediction')} of {len(comparison.rows):,} "
            f"{'is' if below == 1 else 'are'} below 0: --family poisson fits a regression whose predictions are not.",
        )

    def certificate(self, output: Output, model: Any, search: Path) -> dict[str, Any]:
        """Return the numbers of the certificate, empty where none is wanted; leave its search in a file."""
        search.unlink(
            missing_ok=True
        )  # that of a run that was interrupted, whose result would be another one
        if not self.options.certificate:
            return {}
        with output.progress("Certificate", 100, "%") as line:
            options: dict[str, Any] = {"checkpoint": search, "progress": line.show}
            return holdout.certified(
                model.certificate(random_state=self.options.seed, **options)
            )

    def guarantee(self, model: Any, certificate: dict[str, Any], data: FitData) -> str:
        """Return what the certificate says, in a sentence."""
        return summary.optimum(
            certificate, model.temperature_, len(data.split.train), data.split.unit
        )

    def contents(
        self, model: Any, data: FitData, relevance: Relevance
    ) -> dict[str, Any]:
        """Return the particles as they move or, of curves, the functions that were learned."""
        if data.axes is None:
            network = holdout.on_columns(model)
            return {"motion": motion_of(network, data.split, relevance)}
        curves = NamedCurves(data.take(data.split.train), *data.axes)
        return {"motion": None, "curves": curves_of(model, curves, data.split)}

    def record(self, model: Any, law: LawContents | None) -> dict[str, Any]:
        """Return what its training chose."""
        return {
            "temperature": model.temperature_,
            "temperature_reason": model.temperature_reason_,
            "scaling_reason": model.scaling_reason_,
            "held_out_scores": model.held_out_scores_,
            "steps": model.n_iter_,
            "seconds_to_first_step": model.seconds_to_first_step_,
        }

    def settings(self, model: Any) -> dict[str, Any]:
        """Return the parameters of the fitted estimator, and what fitting chose."""
        return estimator_settings(model)

    def how_to_go_on(self, folder: Folder) -> str:
        """Return the message after an interruption."""
        return console.how_to_resume(self.options, folder)


def how_chosen(options: FitOptions) -> str:
    """Return how the settings of the network were chosen, in a few words."""
    if options.validation == "path":
        return "temperature and scale by 3-fold path"
    if options.temperature != "auto":
        return "temperature as given"
    closed_form = options.curves or options.validation == "none"
    return "temperature by leave-one-out" if closed_form else "temperature by 5 folds"


def caution(message: str, category: type[Warning], peers: bool) -> str:
    """Return a warning of the fit as what is wrong, then the evidence.

    Example:
        >>> caution("a linear model is better by 0.1 +- 0.01; compare with RidgeCV.", LinearModelWarning, peers=True)
        "Compare it with a linear model. It is better by 0.1 ± 0.01; 'linear' below has its scores on all rows."
        >>> caution("it drifts: try num_steps=2000, solver='psdca'.", ConvergenceWarning, peers=True)
        'The fit has not converged. It drifts: try --num-steps 2000, --solver psdca.'
    """
    if issubclass(category, ConvergenceWarning):
        typed = re.sub(
            r"\b(num_steps|solver)='?(\w+)'?",
            lambda m: f"--{m[1].replace('_', '-')} {m[2]}",
            message,
        )
        return f"The fit has not converged. {typed[0].upper()}{typed[1:]}"
    message = message.replace("a linear model", "It", 1)
    message = message.replace(
        "the rows left out", "the training rows that folds leave out"
    )
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
        sentence = piece.sub(
            lambda m, n=name: f"{n} from {day(float(m[1]))} to {day(float(m[2]))}",
            sentence,
        )
    return sentence


def refitting(model: Any, data: FitData) -> Refit:
    """Return how a fitted estimator is fitted on other rows, with the settings that it chose."""
    chosen = {
        "temperature": model.temperature_,
        "scaling": model.scaling_,
        "learn_scales": model.learned_scales_ is not None,
        "output_scale": float(model.neuron_.scale),
        "validation": None,
        "threshold": 0.5,
        "resume": False,
        "devices": None,
    }
    if data.axes is not None:
        chosen |= {"encoder": model.encoder_name_}
    parameters = model.get_params()

    def refit(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        network: Any = clone(model)
        network.set_params(
            **{name: value for name, value in chosen.items() if name in parameters}
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.filterwarnings("ignore", FEW_GROUPS, UserWarning)
            network.fit(
                data.take(train),
                data.split.targets[train],
                groups=data.split.groups_of(train),
            )
        return outputs_of(network, data.split, data.take(test))

    return refit


def estimator_settings(model: Any) -> dict[str, Any]:
    """Return the parameters of a fitted estimator, and what fitting chose."""
    settings = {
        name: value
        for name, value in model.get_params().items()
        if name not in ("checkpoint", "resume", "progress")
    }
    if not isinstance(basis := settings.get("basis", ""), str):
        settings["basis"] = (
            f"{type(basis).__name__.lower()} from {basis.domain[0]:g} to {basis.domain[1]:g}"
        )
    if isinstance(grid := settings.get("grid"), list):
        settings["grid"] = f"{len(grid):,} times from {grid[0]:g} to {grid[-1]:g}"
    return settings | {
        "temperature (fitted)": float(model.temperature_),
        "steps (done)": int(model.n_iter_),
    }
