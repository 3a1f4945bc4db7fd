"""`langevax fit --family`: a regression that predicts by the best law of its coefficients."""

import time
from typing import Any, NamedTuple

import numpy as np

from langevax.app.errors import BadInput
from langevax.app.evaluation.comparison import Comparison
from langevax.app.evaluation.holdout import TrainTestSplit, certified
from langevax.app.evaluation.metrics import DEVIANCE, Measured, Metric
from langevax.app.fitting.coefficients import coefficients, power, slopes_of
from langevax.app.fitting.data import estimator_for
from langevax.app.fitting.densities import RefittedLaws
from langevax.app.fitting.kinds import Fit
from langevax.app.fitting.prepared import FitData
from langevax.app.folder import Folder
from langevax.app.options import FitOptions
from langevax.app.output import Output
from langevax.app.report.contents import LawContents
from langevax.app.report.numbers import short, with_error
from langevax.app.report.summary import law_optimum, scored_rows
from langevax.predictive_law import BayesComparison, PredictiveWarning
from langevax.run.options import Run
from langevax.sampling import SamplingWarning
from langevax.sklearn.folds import FEWEST_GROUPS
from langevax.sklearn.law_estimator import MOST_PREDICTIVE_ROWS


class Words(NamedTuple):
    """Names of a family and of its coefficients."""

    name: str
    effect: str


WORDS = {
    "gaussian": Words("linear regression", "slope"),
    "poisson": Words("Poisson regression", "rate ratio"),
    "negative-binomial": Words("negative binomial regression", "rate ratio"),
    "logistic": Words("logistic regression", "odds ratio"),
    "ordinal": Words("ordinal regression", "odds ratio"),
}
LITTLE_GAIN = 0.01
"""Nats a row that make no difference."""


def caution(message: str, category: type[Warning]) -> str | None:
    """Return a warning of the fit as what is wrong, then the evidence.

    Example:
        >>> caution("the law still drifts; pass more posterior_shares between it and 1.", PredictiveWarning)
        'Doubt the law. The law still drifts.'
    """
    if not issubclass(category, PredictiveWarning | SamplingWarning):
        return None
    doubtful = "law" if issubclass(category, PredictiveWarning) else "posterior draws"
    evidence = message.partition("; pass ")[0].removesuffix(".")
    return f"Doubt the {doubtful}. {evidence[0].upper()}{evidence[1:]}."


class FamilyFit(Fit):
    """A regression of a family."""

    effort = 3e8
    """Gradients of rows that the certificate may spend, about as long as the fit; `langevax certify` spends more."""
    most_slopes = 300
    word = "regression"
    how_chosen = "share of Bayes by leave-one-out"
    caution = staticmethod(caution)

    def __init__(self, options: FitOptions, data: FitData):
        super().__init__(options, data)
        assert options.family is not None
        self.family = options.family
        self.words: Words = WORDS[options.family]
        self.name = self.words.name
        self.exposure: int | None = None
        """The input that is the exposure."""
        if options.exposure is not None:
            self.exposure = data.split.groups[options.exposure][0]

    def check(self) -> None:
        """Raise `BadInput` where rows or columns are too many, or no column varies."""
        split = self.data.split
        asked = f"--family {self.family}"
        rows = f"{len(split.train):,} training rows"
        if len(split.train) > MOST_PREDICTIVE_ROWS:
            raise BadInput(
                f"{asked} uses all rows at every move, and TABLE has {rows}, more than "
                f"{MOST_PREDICTIVE_ROWS:,}; pass a table of fewer rows, drawn at "
                "random."
            )
        slopes = slopes_of(split, split.train, self.exposure)
        if not slopes:
            raise BadInput(
                f"{asked} needs a column that varies, and none does in the {rows}."
            )
        if len(slopes) > self.most_slopes:
            raise BadInput(
                f"{asked} has a slope for each of {len(slopes):,} inputs, and at most "
                f"{self.most_slopes}; leave columns out with --drop, or leave --family "
                "out for a network, which takes them all."
            )

    def train(self, folder: Folder) -> None:
        """Fit the estimator; nothing is saved on the way."""
        data = self.data
        train = self.data.split.train
        more: dict[str, Any] = {"columns": slopes_of(data.split, train, self.exposure)}
        if self.exposure is not None:
            more["exposure_column"] = self.exposure
        self.model = estimator_for(self.options, data.schema, **more)
        began = time.perf_counter()
        try:
            with self.cautious(PredictiveWarning, SamplingWarning):
                self.model.fit(data.take(train), data.training_labels)
        except ValueError as error:
            folder.forget_training()
            raise BadInput(f"--family {self.family}: {error}") from error
        self.seconds = time.perf_counter() - began

    def training(self) -> list[tuple[str, str]]:
        """Return how it was trained, in labels and sentences."""
        model = self.model
        share = self.model.posterior_share_
        law = f"a law with a share of {share:g} of Bayes"
        if share == 1:
            law = "the posterior itself"
        lines = [
            (
                "Training",
                "the posterior was sampled, and laws with shares of Bayes from 1 to "
                f"{model.path_.posterior_share[-1]:g} followed it; {self.seconds:.1f} "
                "s, compiling included",
            ),
            (
                "Law",
                (
                    f"{law}: the largest share within one standard error of the best "
                    f"({model.comparison_.method})"
                ),
            ),
        ]
        if self.exposure is not None:
            known = f"{self.options.exposure!r} multiplies the mean of each row"
            lines.append(
                ("Exposure", f"{known}; the other methods have it as an input")
            )
        return lines

    def refit(self) -> RefittedLaws:
        """Return how it is fitted on other rows, along the path to the share that it chose."""
        return RefittedLaws(self.model, self.data)

    def metrics(self) -> tuple[Metric, ...]:
        """Return what it is measured by, beside the other methods."""
        more = (DEVIANCE,) if self.words.effect == "rate ratio" else ()
        return super().metrics() + more

    def law(self, refit: RefittedLaws, comparison: Comparison) -> LawContents:
        """Return what Bayes loses, and the coefficients."""
        path = self.model.path_
        split = self.data.split
        comparing = self.model.comparison_
        ratios = self.words.effect != "slope"
        return LawContents(
            bayes=what_bayes_loses(comparing, self.name),
            shares=path.posterior_share,
            gain=path.gain,
            gain_error=path.gain_error,
            p_eff=path.p_eff,
            chosen=path.chosen,
            about_curve=about_gains(comparing, split),
            densities=refit.measured(comparison, self.options.seed),
            effect=self.words.effect,
            is_ratio=ratios,
            response=self._response(split),
            coefficients=coefficients(self.model, self.data, ratios),
            about_coefficients=self._about_coefficients(split),
            checked=checked(self.model, split.unit),
        )

    def advice(self, comparison: Comparison, law: LawContents | None) -> list[str]:
        """Return what Bayes loses, how likely the law makes new rows, and a better family where there is one."""
        assert law is not None
        (_, _), (_, bayes), (without, base) = law.densities
        beside = [likelier(base, f"a {without}")]
        if law.chosen:
            beside.append(likelier(bayes, "Bayes"))
        where = scored_rows(comparison, self.data.split.unit)
        sentences = [law.bayes, f"On {where}: a row is {', and '.join(beside)}."]
        if law.chosen and self.family == "poisson":
            sentences.append(
                "Counts spread more than a Poisson regression says; --family "
                "negative-binomial learns their spread: compare."
            )
        return sentences

    def certificate(self, output: Output) -> dict[str, Any]:
        """Return the numbers of the law's certificate, empty where none is wanted."""
        if "certificate" in self.options.skip:
            return {}
        with output.progress("Certificate") as line:
            certificate = self.model.certificate(
                self.effort, random_state=self.options.seed, run=Run(progress=line.show)
            )
        return certified(certificate)

    def guarantee(self, certificate: dict[str, Any]) -> str:
        """Return what the certificate says, in sentences."""
        if not certificate:
            return (
                "Not certified: the distance from the best law of this share of Bayes "
                "is not known."
            )
        split = self.data.split
        return law_optimum(certificate["verdict"], len(split.train), split.unit)

    def record(self) -> dict[str, Any]:
        """Return the law."""
        return {"family": self.family, "posterior_share": self.model.posterior_share_}

    def settings(self) -> dict[str, Any]:
        """Return the parameters of the fitted estimator, and what fitting chose."""
        parameters = {
            name: value
            for name, value in self.model.get_params().items()
            if not name.endswith(("columns", "_column"))
        }
        return parameters | {
            "share of Bayes (fitted)": float(self.model.posterior_share_),
            "slopes": len(self.model.columns_),
        }

    def _response(self, split: TrainTestSplit) -> str:
        """Return what coefficients are of."""
        if self.options.exposure is not None:
            return f"{split.target!r} per unit of {self.options.exposure!r}"
        if self.family == "logistic":
            return f"{split.classes[1]!r}"
        if self.family == "ordinal":
            return f"higher classes of {split.target!r}"
        return f"{split.target!r}"

    def _about_coefficients(self, split: TrainTestSplit) -> str:
        changes = {
            "slope": "the mean rises",
            "odds ratio": "the odds are multiplied",
            "rate ratio": "the mean of the counts is multiplied",
        }
        change = changes[self.words.effect]
        if self.exposure is not None:
            change = (
                f"the mean count per unit of {self.options.exposure!r} is multiplied"
            )
        groups = split.groups_of(split.train)
        rows = "rows"
        few = ""
        if groups is not None:
            number = len(np.unique(groups))
            rows = f"{number} groups of rows by {split.grouped_by!r}"
            few = (
                " So few groups make them too narrow." if number < FEWEST_GROUPS else ""
            )
        return (
            f"By the value, {change} where the column is larger by the step, or has "
            "this word and not the one compared with, and the other columns stay as "
            f"they are. Intervals of 95 % are by the sandwich formula over {rows}: "
            f"they hold although the spread is wrong, not where the mean is.{few} What "
            "a column goes with need not be its effect."
        )


def checked(model: Any, unit: str) -> str:
    """Return how a fit was found to have converged."""
    path = model.path_
    sentence = "the posterior's chains agreed"
    if len(path.posterior_share) > 1:
        settled = int(path.is_converged.sum())
        laws = len(path.is_converged)
        which = "every law" if settled == laws else f"{settled} of {laws} laws"
        sentence += f", and the mean log density of {which} on the path settled within its noise"
    return (
        f"Checked, or warned of above, is that the fit has converged: {sentence}. "
        f"Scores and intervals on held-out {unit}s are measured, and rest on none of "
        "this."
    )


def what_bayes_loses(comparing: BayesComparison, name: str) -> str:
    """Return what Bayes loses, in a sentence that says what it is."""
    bayes = f"Bayes, the posterior of one {name} for all rows,"
    sentence = str(comparing).replace("Bayes", bayes, 1)
    if comparing.posterior_share < 1 and comparing.nats < LITTLE_GAIN:
        misspecified = "The model is misspecified."
        sentence = sentence.replace(misspecified, "That is next to nothing.")
    return sentence


def about_gains(comparing: BayesComparison, split: TrainTestSplit) -> str:
    """Return how gains were measured, and where rows may not be exchangeable."""
    about = f"Gains are over {comparing.num_rows:,} training rows ({comparing.method})."
    if split.grouped_by:
        about += f" Their errors count rows of one {split.grouped_by!r} as independent, and may be too small."
    if split.dates:
        about += (
            " Rows are taken as exchangeable: where one depends on those before it, in "
            f"the order of {split.dates[0]!r}, a law gives it heavy tails and no "
            "memory."
        )
    return about


def likelier(measured: Measured, name: str) -> str:
    """Return how much more likely than under another distribution a row is.

    Example:
        >>> likelier(Measured("log density", -2.0, 0.1, -0.7, 0.1), "Bayes")
        '2.01 times as likely as under Bayes (0.70 ± 0.10 nats)'
    """
    gain = with_error(-measured.difference, measured.difference_error)
    if measured.relation == "level":
        return f"as likely as under {name}, within error ({gain} nats)"
    if abs(measured.difference) < LITTLE_GAIN:
        return f"as likely as under {name} ({gain} nats)"
    times = short(power(-measured.difference))
    return f"{times} times as likely as under {name} ({gain} nats)"
