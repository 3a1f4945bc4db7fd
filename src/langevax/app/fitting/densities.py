"""Log densities of rows that a regression has not seen, beside Bayes and a distribution that knows no column."""

import copy
import warnings
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
from langevax.app.evaluation.metrics import LOG_DENSITY, Measured, measure
from langevax.app.fitting.coefficients import slopes_of
from langevax.app.fitting.prepared import FitData
from langevax.predictive_law import PredictiveWarning
from langevax.sampling import SamplingWarning


class RefittedLaws:
    """A regression on folds: fits it on other rows, and keeps the log densities of the rows that it predicts."""

    def __init__(self, model: Any, data: FitData):
        self.data = data
        self.exposure: int | None = getattr(model, "exposure_column", None)
        shares = model.path_.posterior_share[: model.path_.chosen + 1].tolist()
        self.model: Any = clone(model)
        self.model.set_params(posterior_shares=shares, num_folds=None)
        self.are_counts: bool = getattr(model, "family", "") in (
            "poisson",
            "negative binomial",
        )
        self.without = (
            "negative binomial without columns"
            if self.are_counts
            else "normal law without columns"
        )
        if data.split.classes:
            self.without = "law of the shares of classes"
            self.model.set_params(order=None)  # folds are fitted to places in the order
        self.log_densities = [self._densities(model, data.split.train, data.split.test)]

    def __call__(self, train: np.ndarray, test: np.ndarray) -> np.ndarray:
        """Return what a fit on rows `train` predicts for rows `test`."""
        split = self.data.split
        model = copy.copy(self.model)
        model.set_params(columns=slopes_of(split, train, self.exposure))
        with warnings.catch_warnings():
            for kind in (PredictiveWarning, SamplingWarning):
                warnings.simplefilter("ignore", kind)
            try:
                model.fit(self.data.take(train), split.targets[train])
            except ValueError as error:
                raise BadInput(
                    f"a fold of the rows cannot be fitted: {error} Or pass --skip "
                    "peers."
                ) from error
        self.log_densities.append(self._densities(model, train, test))
        return outputs_of(model, split, self.data.take(test))

    def measured(
        self, comparison: Comparison, random_state: int
    ) -> tuple[tuple[str, Measured], ...]:
        """Return the mean log densities by the law, by Bayes and without columns, and their differences."""
        outputs = np.concatenate(self.log_densities[: comparison.num_folds], axis=1)
        measures = measure(
            LOG_DENSITY,
            comparison.observed,
            list(outputs),
            comparison.fold,
            random_state,
            self.data.split.groups_of(comparison.rows),
        )
        return tuple(zip(("the law", "Bayes", self.without), measures, strict=True))

    def _densities(
        self,
        model: Any,
        train: np.ndarray,
        test: np.ndarray,
    ) -> np.ndarray:
        """Return (3, row) log densities by the law, by Bayes and without columns."""
        split = self.data.split
        inputs = self.data.take(test)
        bayes = model.as_bayes()
        observed = split.targets[test]
        known = split.targets[train]
        if split.classes:
            probabilities = [
                outputs_of(model, split, inputs),
                outputs_of(bayes, split, inputs),
                base_rate(split, train, len(test)),
            ]
            rows = np.arange(len(test))
            least = [clipped(p, len(train))[rows, observed] for p in probabilities]
            return np.log(least)
        if self.are_counts:
            exposures = np.ones(len(train))
            new = np.ones(len(test))
            if self.exposure is not None:
                exposures = split.inputs[train, self.exposure]
                new = split.inputs[test, self.exposure]
            base = density_of_counts(known, observed, exposures, new)
        else:
            base = stats.norm.logpdf(observed, known.mean(), known.std())
        laws = [one.log_density(inputs, observed) for one in (model, bayes)]
        return np.stack([*laws, base])


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
    exposures = np.broadcast_to(exposures, known.shape)
    rate = known.sum() / exposures.sum()
    means = rate * exposures
    new_means = rate * new_exposures
    excess = np.sum((known - means) ** 2 - means)
    if excess <= 0:
        return stats.poisson.logpmf(new, new_means)
    shape = np.sum(means**2) / excess
    return stats.nbinom.logpmf(new, shape, shape / (shape + new_means))
