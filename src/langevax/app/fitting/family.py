"""`langevax fit --family`: a regression that predicts by the best law of its coefficients.

Each column of words is compared with its most frequent word, so that coefficients are those of an analyst's table; what
all words of a column share is in the level. Intervals of coefficients are of the posterior's mean by the sandwich
formula, over groups of rows where there are any: they hold although rows spread otherwise than the family says.
"""

import copy
import time
import warnings
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from sklearn.base import clone

from langevax.app.errors import BadInput
from langevax.app.evaluation.comparison import (
    Comparison,
    base_rate,
    clipped,
    outputs_of,
)
from langevax.app.evaluation.holdout import Relevance, TrainTestSplit, certified
from langevax.app.evaluation.metrics import (
    DEVIANCE,
    LOG_DENSITY,
    METRICS,
    Measured,
    Metric,
    measure,
)
from langevax.app.fit import FitOptions
from langevax.app.fitting.data import FitData, estimator_for
from langevax.app.fitting.kinds import ModelKind
from langevax.app.fitting.processes import ProcessGroup
from langevax.app.folder import Folder
from langevax.app.output import Output
from langevax.app.regressions import COUNTS
from langevax.app.report.contents import Coefficient, LawContents
from langevax.app.report.numbers import number, with_error
from langevax.app.report.summary import law_optimum, scored_rows
from langevax.predictive_law import BayesComparison, PredictiveWarning
from langevax.sampling import SamplingWarning
from langevax.sklearn.law_estimator import MOST_ROWS
from langevax.sklearn.table import weighted_moments

NAMES: dict[str, str] = {
    "gaussian": "linear regression",
    "poisson": "Poisson regression",
    "negative-binomial": "negative binomial regression",
    "logistic": "logistic regression",
    "ordinal": "ordinal regression",
}
EFFECTS: dict[str, str] = {
    "poisson": "rate ratio",
    "negative-binomial": "rate ratio",
    "logistic": "odds ratio",
    "ordinal": "odds ratio",
}
"""Of families whose coefficients are logarithms."""
EFFORT = 3e8
"""Gradients of rows that the certificate may spend, about as long as the fit takes; `langevax certify` spends more."""
MOST_SLOPES, MANY_ROWS = 300, 10_000
LITTLE = 0.01  # nats a row
FEW_GROUPS = (
    30  # below which the sandwich formula, of independent groups, has too small errors
)
NORMAL_95 = 1.96  # standard errors
LARGEST_LOGARITHM = 700.0
USUAL = 0.1, 10.0  # deviations of columns whose effects are given per unit


class FamilyKind(ModelKind):
    """A regression of a family."""

    word = "regression"
    waiting = "Training: drawing from the posterior, compiling"

    def __init__(self, options: FitOptions):
        assert options.family is not None
        self.family = options.family
        super().__init__(options, NAMES[self.family], "share of Bayes by leave-one-out")

    def check(self, data: FitData, group: ProcessGroup | None) -> None:
        """Raise `BadInput` where rows or columns are too many, or no column varies."""
        split, asked = data.split, f"--family {self.family}"
        if len(split.train) > MOST_ROWS:
            raise BadInput(
                f"{asked} uses all rows at every move, and TABLE has {len(split.train):,} training rows, more than "
                f"{MOST_ROWS:,}; pass a table of fewer rows, drawn at random, or a larger --test-size."
            )
        places = slopes_of(split, split.train, known_of(split, self.options).values())
        if not places:
            raise BadInput(
                f"{asked} needs a column that varies, and none does in the {len(split.train):,} training rows."
            )
        if len(places) > MOST_SLOPES:
            raise BadInput(
                f"{asked} has a slope for each of {len(places):,} inputs, and at most {MOST_SLOPES}; leave columns out "
                "with --drop, or leave --family out for a network, which takes them all."
            )

    def warnings(self, data: FitData) -> tuple[str, ...]:
        """Return that many rows take long."""
        number = len(data.split.train)
        if number <= MANY_ROWS:
            return ()
        return (
            f"{number:,} training rows: a regression uses all of them at every move, which takes many minutes; fit a "
            f"table of {MANY_ROWS:,} rows, drawn at random.",
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
        split, began = data.split, time.perf_counter()
        known = known_of(split, self.options)
        more: dict[str, Any] = {**known, "num_replicates": self.options.num_replicates}
        slopes = slopes_of(split, split.train, known.values())
        model = estimator_for(self.options, data.schema, columns=slopes, **more)
        try:
            with warnings.catch_warnings(record=True) as caught:
                for kind in (PredictiveWarning, SamplingWarning):
                    warnings.simplefilter("always", kind)
                model.fit(data.take(split.train), _labels(data))
        except ValueError as error:
            folder.forget_training()
            raise BadInput(f"--family {self.family}: {error}") from error
        cautions = []
        for warning in caught:
            if issubclass(warning.category, PredictiveWarning | SamplingWarning):
                cautions.append(caution(str(warning.message), warning.category))
            else:
                warnings.warn_explicit(
                    warning.message, warning.category, warning.filename, warning.lineno
                )
        return model, time.perf_counter() - began, tuple(cautions)

    def training(
        self, model: Any, seconds: float, data: FitData
    ) -> tuple[tuple[str, str], ...]:
        """Return how it was trained, in labels and sentences."""
        shares, chosen = model.path_.bayes_share, model.bayes_share_
        law = (
            "the posterior itself"
            if chosen == 1
            else f"a law with a share of {chosen:g} of Bayes"
        )
        path = f"the posterior was sampled, and laws with shares of Bayes from 1 to {shares[-1]:g} followed it"
        choice = f"{law}: the largest share within one standard error of the best ({model.comparison_.method})"
        lines = [
            ("Training", f"{path}; {seconds:.1f} s, compiling included"),
            ("Law", choice),
        ]
        if model.agreement_ is not None:
            lines.append(("Seeds", str(model.agreement_)))
        about, others = self.options, "; the other methods have it as an input"
        if about.exposure is not None:
            lines.append(
                (
                    "Exposure",
                    f"{about.exposure!r} multiplies the mean of each row{others}",
                )
            )
        if about.offset is not None:
            lines.append(
                (
                    "Offset",
                    f"{about.offset!r} is added to the {self._predictor} of each row{others}",
                )
            )
        return tuple(lines)

    @property
    def _predictor(self) -> str:
        of_classes = "log odds" if self.family in ("logistic", "ordinal") else "mean"
        return "logarithm of the mean" if self.family in COUNTS else of_classes

    def refit(self, model: Any, data: FitData) -> "RefittedLaws":
        """Return how it is fitted on other rows, along the path to the share that it chose."""
        return RefittedLaws(model, data)

    def metrics(self, split: TrainTestSplit) -> tuple[Metric, ...]:
        """Return what it is measured by, beside the other methods."""
        return METRICS[split.task] + ((DEVIANCE,) if self.family in COUNTS else ())

    def law(
        self, model: Any, data: FitData, refit: Any, comparison: Comparison
    ) -> LawContents:
        """Return what Bayes loses, and the coefficients."""
        path, split, comparing = model.path_, data.split, model.comparison_
        return LawContents(
            bayes=what_bayes_loses(comparing, self.name),
            shares=path.bayes_share,
            gain=path.gain,
            gain_error=path.gain_error,
            p_eff=path.p_eff,
            chosen=path.chosen,
            about_curve=about_gains(comparing, split),
            densities=refit.measured(comparison, self.options.seed),
            effect=EFFECTS.get(self.family, "slope"),
            is_ratio=self.family in EFFECTS,
            response=response(self.family, split, self.options.exposure),
            coefficients=coefficients(model, data, self.family in EFFECTS),
            about_coefficients=self._about_coefficients(model, split),
            checked=self._checked(model, split.unit),
        )

    def advice(
        self, data: FitData, comparison: Comparison, law: LawContents | None
    ) -> tuple[str, ...]:
        """Return what Bayes loses, how likely the law makes new rows, and a better family where there is one."""
        assert law is not None
        (_, _), (_, bayes), (without, base) = law.densities
        beside = [likelier(base, f"a {without}")]
        if law.chosen:
            beside.append(likelier(bayes, "Bayes"))
        sentences = [
            law.bayes,
            f"On {scored_rows(comparison, data.split.unit)}: a row is {', and '.join(beside)}.",
        ]
        if law.chosen and self.family == "poisson":
            sentences.append(
                "Counts spread more than a Poisson regression says; --family negative-binomial learns their spread: "
                "compare."
            )
        return tuple(sentences)

    def certificate(self, output: Output, model: Any, search: Path) -> dict[str, Any]:
        """Return the numbers of the law's certificate, empty where none is wanted; it keeps no search."""
        search.unlink(missing_ok=True)  # of a network whose fit was interrupted
        if not self.options.certificate:
            return {}
        with output.progress("Certificate", 100, "%") as line:
            return certified(
                model.certificate(
                    EFFORT, random_state=self.options.seed, progress=line.show
                )
            )

    def guarantee(self, model: Any, certificate: dict[str, Any], data: FitData) -> str:
        """Return what the certificate says, in sentences."""
        if not certificate:
            return "Not certified: the distance from the best law of this share of Bayes is not known."
        return law_optimum(
            certificate["verdict"], len(data.split.train), data.split.unit
        )

    def _checked(self, model: Any, unit: str) -> str:
        """Return how the fit was found to have converged."""
        path, checked = model.path_, "the posterior's chains agreed"
        if len(path.bayes_share) > 1:
            settled, laws = int(path.is_converged.sum()), len(path.is_converged)
            which = "every law" if settled == laws else f"{settled} of {laws} laws"
            checked += f", and the mean log density of {which} on the path settled within its noise"
        if path.chosen:
            checked += f"; the gap of the chosen one's dual is {number(path.gap[path.chosen], 2)} nats a row"
        return (
            f"Checked, or warned of above, is that the fit has converged: {checked}. Scores and intervals on held-out "
            f"{unit}s are measured, and rest on none of this."
        )

    def contents(
        self, model: Any, data: FitData, relevance: Relevance
    ) -> dict[str, Any]:
        """Return that nothing moves."""
        return {"motion": None}

    def record(self, model: Any, law: LawContents | None) -> dict[str, Any]:
        """Return the law."""
        assert law is not None
        agreement = (
            None
            if model.agreement_ is None
            else asdict(model.agreement_) | {"agree": model.agreement_.agree}
        )
        return {
            "family": self.family,
            "bayes_share": model.bayes_share_,
            "law": asdict(law),
            "agreement": agreement,
        }

    def settings(self, model: Any) -> dict[str, Any]:
        """Return the parameters of the fitted estimator, and what fitting chose."""
        places = "columns", "exposure_column", "offset_column"
        parameters = {
            name: value
            for name, value in model.get_params().items()
            if name not in places
        }
        return parameters | {
            "share of Bayes (fitted)": float(model.bayes_share_),
            "slopes": len(model.columns_),
        }

    def how_to_go_on(self, folder: Folder) -> str:
        """Return the message after an interruption."""
        folder.forget_training()
        return (
            "Nothing is saved of a regression on its way; run the same command again."
        )

    def _about_coefficients(self, model: Any, split: TrainTestSplit) -> str:
        exposure = self.options.exposure
        counts = (
            "the mean of the counts"
            if exposure is None
            else f"the mean count per unit of {exposure!r}"
        )
        change = {
            "rate ratio": f"{counts} is multiplied",
            "odds ratio": "the odds are multiplied",
        }
        effect = change.get(EFFECTS.get(self.family, ""), "the mean rises")
        groups, rows, few = split.groups_of(split.train), "rows", ""
        if groups is not None:
            number = len(np.unique(groups))
            rows = f"{number} groups of rows by {split.grouped_by!r}"
            few = " So few groups make them too narrow." if number < FEW_GROUPS else ""
        return (
            f"By the value, {effect} where the column is larger by the step, or has this word and not the one compared "
            f"with, and the other columns stay as they are. Intervals of 95 % are by the sandwich formula over {rows}: "
            f"they hold although the spread is wrong, not where the mean is.{few} What a column goes with need not be "
            "its effect."
        )


class RefittedLaws:
    """A regression on folds: fits it on other rows, and keeps the log densities of the rows that it predicts."""

    def __init__(self, model: Any, data: FitData):
        self.data = data
        shares = model.path_.bayes_share
        self.model: Any = clone(model)
        self.model.set_params(
            bayes_shares=shares[: model.path_.chosen + 1].tolist(),
            num_folds=None,
            num_replicates=1,
        )
        if data.split.classes:
            self.model.set_params(order=None)  # folds are fitted to places in the order
        self.log_densities = [self._densities(model, data.split.train, data.split.test)]

    def __call__(self, train: np.ndarray, test: np.ndarray) -> np.ndarray:
        """Return what a fit on rows `train` predicts for rows `test`."""
        split, model = self.data.split, copy.copy(self.model)
        model.set_params(columns=slopes_of(split, train, self._known.values()))
        with warnings.catch_warnings():
            for kind in (PredictiveWarning, SamplingWarning):
                warnings.simplefilter("ignore", kind)
            try:
                model.fit(self.data.take(train), split.targets[train])
            except ValueError as error:
                raise BadInput(
                    f"a fold of the rows cannot be fitted: {error} Or pass --no-peers."
                ) from error
        self.log_densities.append(self._densities(model, train, test))
        return outputs_of(model, split, self.data.take(test))

    def measured(
        self, comparison: Comparison, random_state: int
    ) -> tuple[tuple[str, Measured], ...]:
        """Return the mean log densities by the law, by Bayes and without columns, and their differences."""
        split = self.data.split
        groups = split.groups_of(comparison.rows)
        outputs = np.concatenate(self.log_densities[: comparison.num_folds], axis=1)
        measures = measure(
            LOG_DENSITY,
            comparison.observed,
            list(outputs),
            comparison.fold,
            random_state,
            groups,
        )
        return tuple(zip(("the law", "Bayes", self._without), measures, strict=True))

    @property
    def _without(self) -> str:
        if self.data.split.classes:
            return "law of the shares of classes"
        return (
            "negative binomial without columns"
            if self._are_counts
            else "normal law without columns"
        )

    @property
    def _known(self) -> dict[str, int]:
        """Inputs known of a row beforehand, by the parameter that names them."""
        places = {
            name: getattr(self.model, name, None)
            for name in ("exposure_column", "offset_column")
        }
        return {name: place for name, place in places.items() if place is not None}

    def _offsets(self, rows: np.ndarray) -> np.ndarray:
        """Return what is added to the linear predictor of each row."""
        inputs, known = self.data.split.inputs[rows], self._known
        columns = [
            np.log(inputs[:, p]) if name == "exposure_column" else inputs[:, p]
            for name, p in known.items()
        ]
        return np.sum(columns, axis=0) if columns else np.zeros(len(rows))

    @property
    def _are_counts(self) -> bool:
        return getattr(self.model, "family", "") in ("poisson", "negative binomial")

    def _densities(self, model: Any, train: np.ndarray, test: np.ndarray) -> np.ndarray:
        """Return (3, row) log densities by the law, by Bayes and without columns."""
        split, inputs, bayes = self.data.split, self.data.take(test), model.as_bayes()
        observed, known = split.targets[test], split.targets[train]
        if split.classes:
            outputs = [
                outputs_of(model, split, inputs),
                outputs_of(bayes, split, inputs),
                base_rate(split, train, len(test)),
            ]
            return np.log(
                [
                    clipped(p, len(train))[np.arange(len(test)), observed]
                    for p in outputs
                ]
            )
        offsets, new_offsets = self._offsets(train), self._offsets(test)
        if self._are_counts:
            law = density_of_counts(
                known, observed, np.exp(offsets), np.exp(new_offsets)
            )
        else:
            rest = known - offsets
            law = stats.norm.logpdf(observed - new_offsets, rest.mean(), rest.std())
        return np.stack(
            [
                model.log_density(inputs, observed),
                bayes.log_density(inputs, observed),
                law,
            ]
        )


def density_of_counts(
    known: np.ndarray,
    new: np.ndarray,
    exposures: np.ndarray | float = 1.0,
    new_exposures: np.ndarray | float = 1.0,
) -> np.ndarray:
    """Return log probabilities of new counts by the negative binomial of the moments of known ones.

    Means are in proportion to exposures. Known ones that spread no more than Poisson's have Poisson's law.

    Example:
        >>> density_of_counts(np.array([1.0, 1.0, 2.0]), np.array([0.0])).round(3).tolist()
        [-1.333]
        >>> years = np.array([1.0, 2.0, 6.0])
        >>> density_of_counts(years, np.array([0.0]), years, 2.0).round(3).tolist()
        [-2.0]
    """
    rate = known.sum() / np.sum(np.broadcast_to(exposures, known.shape))
    means, new_means = (
        np.broadcast_to(rate * exposures, known.shape),
        rate * new_exposures,
    )
    excess = np.sum((known - means) ** 2 - means)
    if excess <= 0:
        return stats.poisson.logpmf(new, new_means)
    shape = np.sum(means**2) / excess
    return stats.nbinom.logpmf(new, shape, shape / (shape + new_means))


def known_of(split: TrainTestSplit, options: FitOptions) -> dict[str, int]:
    """Return the inputs that are known of a row beforehand, by the estimator's parameters that name them."""
    named = {"exposure_column": options.exposure, "offset_column": options.offset}
    return {
        name: split.groups[column][0]
        for name, column in named.items()
        if column is not None
    }


def slopes_of(
    split: TrainTestSplit, rows: np.ndarray, known: Iterable[int] = ()
) -> list[int]:
    """Return the inputs with a slope: those that vary in these rows, but for the most frequent word of a column.

    Those that are known beforehand have none.
    """
    inputs = split.inputs[rows]
    varies = weighted_moments(inputs, np.ones(len(inputs)))[1] > 0
    compared = {
        *known,
        *(reference_of(split, inputs, places) for places in split.groups.values()),
    }
    return [
        place
        for place in range(inputs.shape[1])
        if varies[place] and place not in compared
    ]


def reference_of(
    split: TrainTestSplit, inputs: np.ndarray, places: list[int]
) -> int | None:
    """Return the input of the word that others are compared with; None of numbers, and where rare words have no input.

    Rows of such words are 0 in all inputs of the column, and are what its words are compared with.
    """
    if places[0] in split.quantities or (inputs[:, places].sum(axis=1) == 0).any():
        return None
    return places[int(inputs[:, places].sum(axis=0).argmax())]


def coefficients(model: Any, data: FitData, ratios: bool) -> tuple[Coefficient, ...]:
    """Return the posterior's slopes in the order of the table, with errors that hold although the spread is wrong."""
    split = data.split
    slopes, inputs = model.as_bayes().coef_, split.train_inputs
    errors = model.robust_coef_sd(
        data.take(split.train), _labels(data), split.groups_of(split.train)
    )
    shown = (
        (lambda x: float(np.exp(np.clip(x, -LARGEST_LOGARITHM, LARGEST_LOGARITHM))))
        if ratios
        else float
    )
    of_places = {}
    for column, places in split.groups.items():
        reference = reference_of(split, inputs, places)
        for place in places:
            if place not in model.columns_:
                continue
            i = int(np.flatnonzero(model.columns_ == place)[0])
            step, per = step_of(split, inputs, column, place, reference)
            name = split.names[place]
            slope, error = float(slopes[i]), float(errors[i])
            value, low, high = (
                shown(step * (slope + sign * NORMAL_95 * error)) for sign in (0, -1, 1)
            )
            of_places[place] = Coefficient(name, per, value, low, high, slope, error)
    return tuple(of_places.values())


def step_of(
    split: TrainTestSplit,
    inputs: np.ndarray,
    column: str,
    place: int,
    reference: int | None,
) -> tuple[float, str]:
    """Return the step of an input that its coefficient is given for, and its name."""
    if place not in split.quantities:
        if split.groups[column][0] in split.quantities:
            return 1.0, "against a value" if split.names[place].endswith(
                " missing"
            ) else "1"
        other = (
            "rare words"
            if reference is None
            else split.names[reference].removeprefix(f"{column}=")
        )
        return 1.0, f"against {other}"
    values = inputs[:, place]
    deviation, whole = float(values.std()), bool(np.all(values == np.round(values)))
    step = (
        1.0
        if USUAL[0] <= deviation < USUAL[1]
        else 10.0 ** np.floor(np.log10(deviation))
    )
    step = max(step, 1.0) if whole else step
    unit = (
        f" day{'s' * (step != 1)}"
        if column in split.dates or column in split.clocks
        else ""
    )
    return step, f"{number(step)}{unit}"


def response(family: str, split: TrainTestSplit, exposure: str | None = None) -> str:
    """Return what coefficients are of."""
    if exposure is not None:
        return f"{split.target!r} per unit of {exposure!r}"
    if family == "logistic":
        return f"{split.classes[1]!r}"
    return (
        f"higher classes of {split.target!r}"
        if family == "ordinal"
        else f"{split.target!r}"
    )


def what_bayes_loses(comparing: BayesComparison, name: str) -> str:
    """Return what Bayes loses, in a sentence that says what it is."""
    sentence = str(comparing).replace(
        "Bayes", f"Bayes, the posterior of one {name} for all rows,", 1
    )
    little = comparing.bayes_share < 1 and comparing.nats < LITTLE
    return (
        sentence.replace("The model is misspecified.", "That is next to nothing.")
        if little
        else sentence
    )


def about_gains(comparing: BayesComparison, split: TrainTestSplit) -> str:
    """Return how gains were measured, and where rows may not be exchangeable."""
    about = f"Gains are over {comparing.num_rows:,} training rows ({comparing.method})."
    if split.grouped_by:
        about += f" Their errors count rows of one {split.grouped_by!r} as independent, and may be too small."
    if split.dates:
        about += (
            f" Rows are taken as exchangeable: where one depends on those before it, in the order of "
            f"{split.dates[0]!r}, a law gives it heavy tails and no memory."
        )
    return about


def likelier(measured: Measured, name: str) -> str:
    """Return how much more likely than under another distribution a row is.

    Example:
        >>> likelier(Measured("log density", -2.0, 0.1, -0.7, 0.1), "Bayes")
        '2.01 times as likely as under Bayes (0.70 ± 0.10 nats)'
    """
    gain = with_error(-measured.difference, measured.difference_error)
    if measured.relation == "level" or abs(measured.difference) < LITTLE:
        return f"as likely as under {name}{', within error' * (measured.relation == 'level')} ({gain} nats)"
    times = number(
        np.exp(np.clip(-measured.difference, -LARGEST_LOGARITHM, LARGEST_LOGARITHM)), 3
    )
    return f"{times} times as likely as under {name} ({gain} nats)"


def caution(message: str, category: type[Warning]) -> str:
    """Return a warning of the fit as what is wrong, then the evidence.

    Example:
        >>> caution("the law still drifts; pass more bayes_shares between it and 1.", PredictiveWarning)
        'Doubt the law. The law still drifts.'
    """
    first = (
        "Doubt the law"
        if issubclass(category, PredictiveWarning)
        else "Doubt the posterior draws"
    )
    message = message.partition("; pass ")[0].removesuffix(".")
    return f"{first}. {message[0].upper()}{message[1:]}."


def _labels(data: FitData) -> np.ndarray:
    """Return the targets of the training rows, classes by their names."""
    split = data.split
    return (
        np.array(data.schema.classes)[split.train_targets]
        if split.classes
        else split.train_targets
    )
