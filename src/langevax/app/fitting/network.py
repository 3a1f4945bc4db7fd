"""`langevax fit` of a mean-field network: its training, its certificate, and what its page shows."""

import re
import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from langevax import checks
from langevax.app.errors import BadInput, RunFailed
from langevax.app.evaluation import holdout
from langevax.app.evaluation.comparison import OURS, Refit, outputs_of
from langevax.app.fitting.curves import with_inputs_of
from langevax.app.fitting.data import estimator_for
from langevax.app.fitting.kinds import Fit
from langevax.app.fitting.prepared import FitData
from langevax.app.folder import Folder
from langevax.app.options import FitOptions
from langevax.app.output import Output
from langevax.app.report import summary
from langevax.app.report.contents import CoolingContents, CurveContents
from langevax.app.report.measure import curves_of
from langevax.app.report.numbers import day
from langevax.run import CheckpointError, DivergenceError
from langevax.run.options import Run
from langevax.sklearn import LinearModelWarning

OF_GROUPS = "groups holds"
"""How a warning on few groups begins, which a note on the split says too."""


def caution(message: str, category: type[Warning]) -> str | None:
    """Return a warning of the fit as what is wrong, then the evidence.

    Example:
        >>> caution("a linear model is better by 0.1 +- 0.01; compare with RidgeCV.", LinearModelWarning)
        'Compare it with a linear model. It is better by 0.1 ± 0.01.'
        >>> caution("it drifts: try num_steps=2000.", ConvergenceWarning)
        'The fit has not converged. It drifts: try --num-steps 2000.'
    """
    if issubclass(category, LinearModelWarning):
        evidence = message.replace("a linear model", "It", 1).partition("; ")[0]
        evidence = evidence.replace("+-", "±")
        return f"Compare it with a linear model. {evidence}."
    if issubclass(category, ConvergenceWarning):
        typed = re.sub(r"\bnum_(steps|particles)=(\d+)", r"--num-\1 \2", message)
        return f"The fit has not converged. {typed[0].upper()}{typed[1:]}"
    return None


class NetworkFit(Fit):
    """A network trained to its certified global optimum."""

    bytes_per_particle = 12
    """At the least."""
    word = "network"
    name = OURS
    caution = staticmethod(caution)

    def __init__(self, options: FitOptions, data: FitData):
        super().__init__(options, data)
        self.how_chosen = "temperature by 5 folds"
        if options.curves:
            self.how_chosen = "temperature by leave-one-out"
        if options.temperature is not None:
            self.how_chosen = "temperature as given"

    def check(self) -> None:
        """Raise `BadInput` where its particles do not fit into memory."""
        number = self.options.num_particles or 0
        try:
            checks.fits_memory("--num-particles", number, self.bytes_per_particle)
        except ValueError as error:
            raise BadInput(str(error)) from error

    def train(self, folder: Folder) -> None:
        """Fit the estimator; a training by steps goes on from the checkpoints in the folder, a path begins again."""
        data = self.data
        train = self.data.split.train
        model = estimator_for(self.options, data.schema)
        network = getattr(model, "estimator", model)
        network.set_params(solver=network._solver_name(len(train)))
        if network.solver != "path":  # which takes seconds, and saves nothing
            network.set_params(run=Run(folder.checkpoints, resume=True))
        began = time.perf_counter()
        try:
            with self.cautious(ConvergenceWarning, LinearModelWarning):
                warnings.filterwarnings("ignore", OF_GROUPS, UserWarning)
                groups = data.split.groups_of(train)
                model.fit(data.take(train), data.training_labels, groups=groups)
        except DivergenceError as error:
            folder.forget_training()
            raise RunFailed(
                f"the training diverged at step {error.step}; try a higher "
                "--temperature."
            ) from error
        except CheckpointError as error:
            problem = str(error).partition("; pass resume=")[0].removesuffix(".")
            raise BadInput(
                f"{problem}; pass --force to start the run again."
            ) from error
        except ValueError as error:
            if data.axes is None:
                raise
            folder.forget_training()  # curves that the encoder refuses
            table = str(self.options.table)
            raise BadInput(f"TABLE {table!r}: {error}") from error
        self.seconds = time.perf_counter() - began
        self.model, self.network = model, holdout.on_columns(model)
        for one in (network, self.network):
            one.set_params(run=None)
        if data.axes is None:
            sentence = model.scaling_sentence(data.split.names)
            model.scaling_reason_ = with_days(sentence, data.split.dates)
        else:
            self.data = with_inputs_of(model, data)

    def training(self) -> list[tuple[str, str]]:
        """Return steps or path, scaling, temperature and time, in labels and sentences."""
        model = self.network
        temperature = f"{self.network.temperature_:.3g}"
        how = path_sentence if model.solver_ == "path" else steps_sentence
        lines = [("Training", f"{how(model)}; {self.seconds:.1f} s")]
        if self.data.axes is not None:
            words = inputs_sentence(self.model, self.data.split.grouped_by)
            lines.append(("Inputs", words))
        lines.append(("Scaling", model.scaling_reason_))
        if model.temperature_reason_:
            reason = f"{temperature}, {model.temperature_reason_}"
            lines.append(("Temperature", reason))
        return lines

    def refit(self) -> Refit:
        """Return how the fitted network is fitted on other rows, with the settings that it chose."""
        model = self.network
        data = self.data
        split = self.data.split
        chosen = {
            "temperature": model.temperature_,
            "scaling": model.scaling_,
            "learn_scales": model.learned_scales_ is not None,
            "output_scale": float(model.network_.task.neuron.scale),
            "linear_part": model.linear_part_ is not None,
            "solver": model.solver_,
            "validation": None,
            "threshold": 0.5,
        }
        known = model.get_params().keys() & chosen

        def refit(train: np.ndarray, test: np.ndarray) -> np.ndarray:
            network: Any = clone(model)
            network.set_params(**{name: chosen[name] for name in known})
            if data.axes is not None:
                network = type(self.model)(clone(self.model.encoder_), network)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                warnings.filterwarnings("ignore", OF_GROUPS, UserWarning)
                groups = split.groups_of(train)
                network.fit(data.take(train), split.targets[train], groups=groups)
            return outputs_of(network, split, data.take(test))

        return refit

    def certificate(self, output: Output) -> dict[str, Any]:
        """Return the numbers of the certificate, empty where none is wanted."""
        if "certificate" in self.options.skip:
            return {}
        with output.progress("Certificate") as line:
            certificate = self.network.certificate(
                random_state=self.options.seed, run=Run(progress=line.show)
            )
        return holdout.certified(certificate)

    def guarantee(self, certificate: dict[str, Any]) -> str:
        """Return what the certificate says, in a sentence."""
        split = self.data.split
        temperature = self.network.temperature_
        return summary.optimum(certificate, temperature, len(split.train), split.unit)

    def cooling(self) -> CoolingContents | None:
        """Return the losses at all temperatures tried on folds; None where it was passed, or known in closed form."""
        model = self.network
        tried = model.path_
        if tried is None:
            return None
        path: dict[str, np.ndarray] = {}
        if model.solver_ == "path":
            path = model.history_
        return CoolingContents(
            tried["temperature"],
            tried["loss"],
            tried["excess_error"],
            int(np.argmin(np.abs(tried["temperature"] - model.temperature_))),
            path.get("temperature", np.empty(0)),
            path.get("loss", np.empty(0)),
        )

    def curves(self) -> CurveContents | None:
        """Return the curves and the functions that were learned from them; None of rows."""
        data = self.data
        if data.axes is None:
            return None
        return curves_of(self.model, data.take, data.axes, data.split)

    def record(self) -> dict[str, Any]:
        """Return what its training chose."""
        model = self.network
        return {
            "temperature": model.temperature_,
            "temperature_reason": model.temperature_reason_,
            "scaling_reason": model.scaling_reason_,
            "held_out_scores": model.held_out_scores_,
            "solver": model.solver_,
            "steps": model.n_iter_,
            "seconds_to_first_step": getattr(model, "seconds_to_first_step_", None),
            "temperatures": model.path_,
        }

    def settings(self) -> dict[str, Any]:
        """Return the plain parameters of the fitted estimator, and what fitting chose."""
        parameters = self.network.get_params()
        if self.network is not self.model:
            parameters |= self.model.encoder_.get_params()
        plain = {
            name: value
            for name, value in parameters.items()
            if isinstance(value, str | int | float | None) and name != "run"
        }
        return plain | {
            "temperature (fitted)": float(self.network.temperature_),
            "solver (used)": self.network.solver_,
            "output scale (fitted)": float(self.network.network_.task.neuron.scale),
            "steps (done)": int(self.network.n_iter_),
        }


def steps_sentence(model: Any) -> str:
    """Return how a network was trained by steps at its temperature."""
    until = "until nothing drifted"
    if not model.converged_:
        until = "while its outputs still moved"
    steps = f"{int(model.n_iter_):,} steps at temperature {model.temperature_:.3g}"
    compiling = f"{model.seconds_to_first_step_:.1f} s of compiling included"
    return f"{steps}, {until}, {compiling}"


def path_sentence(model: Any) -> str:
    """Return which temperatures a network was led through."""
    temperatures = model.history_["temperature"]
    first, *_, last = (f"{value:.3g}" for value in temperatures)
    ends = f"from temperature {first} down to {last}"
    if temperatures[-1] > model.temperature_:
        ends += f" instead of {model.temperature_:.3g}"
    last_ones = f"the last {len(model.clouds_)} predict together"
    return f"a path of {len(model.history_['loss'])} networks {ends}; {last_ones}"


ENCODERS = {
    "CurveCoefficients": "smooth waves",
    "RandomConvolutions": "short patterns",
}
"""The inputs of a network on curves, in words, in the order in which encoders are tried."""


def inputs_sentence(model: Any, grouped_by: str = "") -> str:
    """Return what a network on curves learns from, and by which errors."""
    kind = ENCODERS[type(model.encoder_).__name__]
    what = "leave-one-out error"
    if grouped_by:
        what = f"error with each {grouped_by!r} left out"
    compared = ", ".join(
        f"{name} {error:.3g}"
        for name, error in zip(ENCODERS.values(), model.encoder_errors_, strict=True)
    )
    return f"{kind}, by the {what}: {compared}"


def with_days(sentence: str, dates: Sequence[str]) -> str:
    """Return a sentence on pieces of columns with dates instead of days since 1970.

    Example:
        >>> with_days("largest for sold from 18262 to 18628 (2.9)", ["sold"])
        'largest for sold from 2020-01-01 to 2021-01-01 (2.9)'
    """
    for name in dates:
        piece = re.compile(rf"\b{re.escape(name)} from ([-+.\de]+) to ([-+.\de]+)")
        for whole, low, high in set(re.findall(f"({piece.pattern})", sentence)):
            dated = f"{name} from {day(float(low))} to {day(float(high))}"
            sentence = sentence.replace(whole, dated)
    return sentence
