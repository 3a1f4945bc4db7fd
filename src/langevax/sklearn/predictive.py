"""Generalised linear models as estimators whose predictions come from a predictive law; see `langevax.predictive`."""

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal, cast

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array, column_or_1d

from langevax import checks
from langevax.sklearn.column_maps import Table
from langevax.sklearn.intervals import COVERAGE, check_coverage
from langevax.sklearn.law_estimator import (
    LogDensityScoring,
    PredictiveEstimator,
)
from langevax.sklearn.linear_families import (
    Family,
    NegativeBinomial,
    NormalNoise,
    NumberFamily,
    Ordinal,
    Poisson,
    family_of,
)
from langevax.sklearn.parameters import RandomState, count, one_of
from langevax.sklearn.table import LabelTargets, NumberTargets, refuse_words

MOST_COUNTS_OF_A_ROW = 1_000_000
"""Beyond, a likelihood is not known to a hundredth of a nat in single precision."""
FAMILIES: dict[str, type[Family]] = {
    "gaussian": NormalNoise,
    "poisson": Poisson,
    "negative binomial": NegativeBinomial,
}


@dataclass(eq=False, repr=False)
class PredictiveRegressor(LogDensityScoring, NumberTargets, PredictiveEstimator):
    """Regression of numbers or counts that predicts by the best law of its coefficients, Bayes where Bayes is right.

    A generalised linear model with weak priors is sampled, and `langevax.predictive` finds the law whose mixture scores
    new rows best. Where the model is right that is the posterior; where it is not, as a Poisson model of overdispersed
    counts, predictions and intervals are those of a law in which rows differ.

        mean = exp(intercept + x . slopes) of counts, intercept + x . slopes of numbers;       x standardised columns

    Priors: slopes of columns over their standard deviations N(0, 1 / prior_precision), as in rstanarm; the intercept at
    the mean of the columns N(c, 1 / prior_precision) with c the (log) mean of the targets. Numbers are over their
    standard deviation, and the noise is exponential of mean 1 in these units. The spread of a negative binomial, whose variance is
    mean + spread^2 mean^2, is exponential of mean 1.

    Counts that arose in different times, areas or numbers of people have an exposure, which multiplies their mean, as
    in statsmodels: a column of X, named by `exposure_column`. Slopes and intercept are then those of rates, and c is the
    logarithm of all counts over all exposure.

    What else is known of a row beforehand is an offset, a term of the linear predictor whose slope is 1: a column of X,
    named by `offset_column`, as `offset()` in R's formulas. The mean of a number, less its offset, is then modelled.

    Args:
        family: "gaussian", "poisson" or "negative binomial", the last two for counts.
        exposure_column: place of the column of X that is the exposure, and has no slope.
        columns: (k,) places of the columns of X that have slopes; None: all, (k,) then being (d,) below.
        offset_column: place of the column of X that is the offset, and has no slope.
        prior_precision: inverse variance of each slope and of the intercept; 0.16 is a standard deviation of 2.5.
        posterior_shares: of the posterior in the objective of each distribution, decreasing from 1; "auto" is 1, 0.5,
            0.2, 0.1 and 0.05, and 0 too for counts.
        num_particles, num_folds: as in `langevax.predictive`.
        random_state: int or `numpy.random.RandomState`.

    Attributes:
        law_: the `PredictiveLaw`; it is neither saved nor pickled. Its rows are those of the table in another order.
        posterior_share_: the share of Bayes that was chosen; 1 is the posterior.
        path_: the misspecification curve.
        comparison_: what Bayes loses, in nats a row; `print` it for a sentence.
        particles_, bayes_particles_: of the law and of the posterior, dicts of arrays.
        coef_, coef_sd_: means and standard deviations of the slopes over the law. Below a share of 1 the law is one of
            differences between rows; `as_bayes().coef_` has the posterior's.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(300, 2))
        >>> y = rng.poisson(np.exp(X[:, 0] + rng.normal(size=300)))  # rates differ beyond the columns
        >>> options = {"posterior_shares": (1.0, 0.1), "num_particles": 64, "num_folds": 2, "random_state": 0}
        >>> model = PredictiveRegressor("poisson", **options).fit(X[:150], y[:150])
        >>> model.score(X[150:], y[150:]) > model.as_bayes().score(X[150:], y[150:]) + 0.2
        True
        >>> low, high = model.predict_interval(X[150:], 0.9).T
        >>> bool(((low <= y[150:]) & (y[150:] <= high)).mean() > 0.84)
        True
    """

    family: Literal["gaussian", "poisson", "negative binomial"] = "gaussian"
    _: KW_ONLY
    exposure_column: int | None = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **PredictiveEstimator._parameter_constraints,
        "family": one_of(*FAMILIES),
        "exposure_column": [*count(0), None],
    }

    def predict(self, X: Table) -> np.ndarray:
        """Return (n,) means under the posterior, whatever the share; of counts with an exposure, at that of the row.

        The equations that a posterior solves are those of the mean, which it finds although the spread is wrong. The
        law has the right spread, and of counts a tail whose mean a few rows decide: that of 1,500 rows of office visits
        was 8,071 where the posterior's was 5.9 and the rows' 5.5.
        """
        X, offsets = self._inputs(X)
        family = self._family()
        means = [
            family.means(
                self.bayes_particles_, self._eta(X[block], self.bayes_particles_)
            ).mean(axis=0)
            for block in self._blocks(len(X))
        ]
        return self._in_units(np.concatenate(means), offsets)

    def predict_interval(self, X: Table, coverage: float = COVERAGE) -> np.ndarray:
        """Return (n, 2) central intervals of the predictive distribution, their ends included.

        Quantiles of four draws a particle, the same at every call; of counts they are counts.

        Args:
            X: (n, d).
            coverage: the probability of a new row's target, at least.
        """
        X, offsets = self._inputs(X)
        check_coverage(coverage)
        levels = [(1 - coverage) / 2, (1 + coverage) / 2]
        rng = np.random.default_rng(0)
        ends = []
        for block in self._blocks(len(X)):
            drawn = np.concatenate(
                [
                    self._draws(self.particles_, X[block], offsets[block], rng)
                    for _ in range(4)
                ]
            )
            ends.append(np.quantile(drawn, levels, axis=0, method="inverted_cdf").T)
        return np.concatenate(ends)

    def sample_predictive(
        self,
        X: Table,
        num_samples: int = 1000,
        random_state: RandomState = None,
    ) -> np.ndarray:
        """Return (num_samples, n) draws of the targets of rows, each row and draw with a particle of its own.

        Args:
            X: (n, d).
            num_samples: draws of each row.
            random_state: of the draws; None uses the estimator's.
        """
        X, offsets = self._inputs(X)
        checks.positive_int("num_samples", num_samples)
        rng = np.random.default_rng(self._seed(random_state))
        order = np.resize(
            rng.permutation(len(self.particles_["intercept"])), num_samples
        )
        cloud = {name: leaf[order] for name, leaf in self.particles_.items()}
        blocks = self._blocks(len(X), num_samples)
        drawn = [
            rng.permuted(self._draws(cloud, X[b], offsets[b], rng), axis=0)
            for b in blocks
        ]
        return np.concatenate(drawn, axis=1)

    def _offsets(self, X: np.ndarray) -> np.ndarray:
        offsets = super()._offsets(X)
        if self.exposure_column is None:
            return offsets
        return offsets + np.log(self._exposure(X))

    def _exposure(self, X: np.ndarray) -> np.ndarray:
        """Return the exposure of each row; raise where it is not positive."""
        exposure = X[:, self._place("exposure_column")]
        if len(wrong := np.flatnonzero(exposure <= 0)):
            raise ValueError(
                f"exposure[{wrong[0]}] is {exposure[wrong[0]]:g}, not the positive "
                "time, number or area in which a row's count arose; drop the row."
            )
        return exposure

    def _validated(self, X: Table, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        X, y = super()._validated(X, y)
        if self.exposure_column is not None:
            if self.family == "gaussian":
                raise ValueError(
                    "exposure is for counts, and family='gaussian' has none; pass "
                    "family='poisson' or 'negative binomial', or leave it out."
                )
            self._exposure(X)  # before rows are put in another order
        return X, y

    def _draws(
        self,
        cloud: dict[str, np.ndarray],
        X: np.ndarray,
        offsets: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Return a draw of each row for each particle, in units of the targets."""
        family = self._family()
        means = family.means(cloud, self._eta(X, cloud))
        if isinstance(family, Poisson):
            return family.draws(cloud, self._in_units(means, offsets), rng)
        return self._in_units(family.draws(cloud, means, rng), offsets)

    def _in_units(self, numbers: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        if isinstance(self._family(), Poisson):
            return np.exp(self.centre_ + offsets) * numbers
        return self.centre_ + offsets + self.scale_ * numbers

    def _family(self) -> NumberFamily:
        return cast(
            "NumberFamily",
            family_of(FAMILIES[self.family], float(self.prior_precision)),
        )

    def _encode(self, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        if self.family == "gaussian":
            return y
        odd = y[(y < 0) | (y != np.round(y)) | (y > MOST_COUNTS_OF_A_ROW)]
        if len(odd):
            raise ValueError(
                f"y has {odd[0]:g}, where family={self.family!r} is for counts 0, 1, "
                f"... {MOST_COUNTS_OF_A_ROW:,}; pass counts, or family='gaussian'."
            )
        return y

    def _checked_targets(self, y: ArrayLike) -> np.ndarray:
        refuse_words("y", y)
        return self._encode(
            column_or_1d(np.asarray(check_array(y, ensure_2d=False), np.float64)), None
        )


@dataclass(eq=False, repr=False)
class PredictiveClassifier(LogDensityScoring, LabelTargets, PredictiveEstimator):
    """Logistic regression, and ordinal logit of more than two classes, by the best law of the coefficients.

    As `PredictiveRegressor`, with log odds of at most class k = cut_k - x . slopes - offset. Two classes are logistic
    regression. More are in an order: that of numbers, or `order`.

    Priors: slopes of columns over their standard deviations N(0, 1 / prior_precision); the shares of the classes at the
    mean of the columns are uniform on all that sum to 1, as in rstanarm's `stan_polr`.

    Args:
        order: all labels, from the lowest class to the highest; needed for three or more words.
        columns, offset_column, prior_precision, posterior_shares, num_particles, num_folds, random_state: as
            in `PredictiveRegressor`.

    Attributes:
        classes_: the labels, in their order and that of `predict_proba`'s columns.
        law_, posterior_share_, path_, comparison_, particles_, bayes_particles_, coef_, coef_sd_: documented in
            `PredictiveRegressor`; slopes are log odds of higher classes.

    Raises:
        ValueError: one class only; three or more words without an order; labels that `order` lacks.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(200, 2))
        >>> pain = np.digitize(X[:, 0] + rng.logistic(size=200) / 2, [-0.5, 0.5])
        >>> options = {"posterior_shares": (1.0, 0.1), "num_particles": 64, "num_folds": None, "random_state": 0}
        >>> words = np.array(["none", "mild", "severe"])
        >>> model = PredictiveClassifier(order=words, **options).fit(X, words[pain])
        >>> model.classes_.tolist(), model.posterior_share_
        (['none', 'mild', 'severe'], 1.0)
    """

    order: ArrayLike | None = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **PredictiveEstimator._parameter_constraints,
        "order": ["array-like", None],
    }

    def predict_proba(self, X: Table) -> np.ndarray:
        """Return (n, C) probabilities under the predictive distribution, rows summing to one."""
        X, offsets = self._inputs(X)
        family = self._family()
        assert isinstance(family, Ordinal)

        def eta(block: slice) -> np.ndarray:
            return self._eta(X[block], cloud) + (self.centre_ + offsets[block])

        cloud = {
            name: np.asarray(leaf, np.float64) for name, leaf in self.particles_.items()
        }
        of_blocks = [
            family.probabilities(cloud, eta(block)).mean(axis=0)
            for block in self._blocks(len(X))
        ]
        return np.concatenate(of_blocks)

    def predict_log_proba(self, X: Table) -> np.ndarray:
        """Return (n, C) logarithms of `predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def predict_set(self, X: Table, coverage: float = COVERAGE) -> np.ndarray:
        """Return (n, C) booleans: the most probable classes, as many as have this probability together.

        Args:
            X: (n, d).
            coverage: the probability of a new row's label, at least, where the law is right.
        """
        probabilities = self.predict_proba(X)
        check_coverage(coverage)
        order = np.argsort(-probabilities, axis=1, kind="stable")
        ranked = np.take_along_axis(probabilities, order, axis=1)
        sets = np.empty(order.shape, bool)
        np.put_along_axis(
            sets, order, np.cumsum(ranked, axis=1) - ranked < coverage, axis=1
        )
        return sets

    def _family(self) -> Family:
        return family_of(Ordinal, float(self.prior_precision), len(self.classes_))

    def _encode(self, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        super()._encode(y, weights)
        if self.order is None:
            if len(self.classes_) > 2 and self.classes_.dtype.kind not in "biuf":
                raise ValueError(
                    f"y holds {len(self.classes_)} classes of words, whose order is "
                    "not known; pass order=[...], all of them from the lowest to the "
                    "highest; classes without an order need another classifier."
                )
        else:
            order = np.asarray(
                self.order, object if self.classes_.dtype == object else None
            )
            if (
                len(np.unique(order)) != len(order)
                or not np.isin(self.classes_, order).all()
            ):
                raise ValueError(
                    f"order must have each label of y once, {self.classes_.tolist()}, "
                    f"got {checks.shown(self.order)}."
                )
            self.classes_ = order[np.isin(order, self.classes_)]
        return self._places(y)

    def _places(self, y: np.ndarray) -> np.ndarray:
        """Return the place of each label in the order, 0 for labels of weight 0 that no row has."""
        return np.argmax(np.asarray(y)[:, None] == self.classes_, axis=1)

    def _checked_targets(self, y: ArrayLike) -> np.ndarray:
        labels = np.asarray(y)
        unknown = labels[~np.isin(labels, self.classes_)]
        if len(unknown):
            raise ValueError(
                f"y has {checks.shown(unknown[0])}, which no training row had; leave "
                "such rows out."
            )
        return self._places(labels)
