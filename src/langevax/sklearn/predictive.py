"""Generalised linear models as estimators whose predictions come from a predictive law; see `langevax.predictive`."""

import copy
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Any, ClassVar, Literal, Self, cast

import jax
import numpy as np
from jax import random
from numpy.typing import ArrayLike
from sklearn.utils import Tags, check_array, column_or_1d
from sklearn.utils.validation import check_is_fitted

from langevax import checks
from langevax.predictive_law import BayesComparison, PredictiveLaw, PredictivePath, predictive
from langevax.predictive_law.leave_one_out import log_mean_exp
from langevax.predictive_law.models import NUM_SAMPLES
from langevax.predictive_law.path import SNAPSHOTS, evenly_spaced
from langevax.predictive_law.predictive import SHARES, SHARES_OF_COUNTS
from langevax.problems.finite_sum import posterior
from langevax.sampling import sample
from langevax.sklearn.linear_families import (
    Family,
    NegativeBinomial,
    NormalNoise,
    NumberFamily,
    Ordinal,
    Poisson,
    family_of,
)
from langevax.sklearn.parameters import Auto, RandomState, count, one_of, positive
from langevax.sklearn.persistence import saved_class
from langevax.sklearn.slope_errors import SlopeErrors
from langevax.sklearn.table import (
    LabelTargets,
    NumberTargets,
    RowEstimator,
    Standardiser,
    Table,
    bucket,
    padded,
    refuse_missing_labels,
    refuse_words,
)
from langevax.sklearn.training import keep_few_programs, root_key

MOST_ROWS = 100_000  # all of which every move uses
LARGEST_COUNT = 10**6  # of a row, beyond which its likelihood is not known to a hundredth of a nat in single precision
NUMBERS_AT_ONCE = 2**21  # particles times rows
DRAWS = 4  # of each particle, for the ends of intervals
FAMILIES: dict[str, type[Family]] = {
    "gaussian": NormalNoise,
    "poisson": Poisson,
    "negative binomial": NegativeBinomial,
}

saved_class(PredictivePath)
saved_class(BayesComparison)


class LogScore:
    """A score that is a log density, before those of scikit-learn's mixins."""

    log_density: Callable[..., np.ndarray]

    def score(self, X: Table, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the mean log predictive density, in nats a row; higher is better."""
        return float(
            np.average(self.log_density(X, y), weights=None if sample_weight is None else np.asarray(sample_weight))
        )

    def __sklearn_tags__(self) -> Tags:
        tags: Any = super().__sklearn_tags__()  # type: ignore[misc]
        for kind in (tags.regressor_tags, tags.classifier_tags):
            if kind is not None:
                kind.poor_score = True  # `score` is a log density
        return tags


@dataclass(eq=False, repr=False)
class PredictiveEstimator(RowEstimator, SlopeErrors):
    """A generalised linear model with a law of its coefficients; see the regressor and the classifier."""

    _: KW_ONLY
    columns: ArrayLike | None = None
    prior_scale: float = 2.5
    bayes_shares: Sequence[float] | Auto = "auto"
    num_particles: int = 256
    num_folds: int | None = 5
    random_state: RandomState = None

    unsaved_attributes: ClassVar[tuple[str, ...]] = ("law_",)
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "family": one_of(*FAMILIES),
        "order": ["array-like", None],
        "columns": ["array-like", None],
        "prior_scale": positive(),
        "bayes_shares": ["array-like", *one_of("auto")],
        "num_particles": count(16),
        "num_folds": [*count(2), None],
        "random_state": ["random_state"],
    }

    def fit(self, X: Table, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Draw from the posterior, follow the path of laws from there, and choose the share of Bayes.

        Args:
            X: (n, d) numbers, columns that vary; NumPy, pandas or polars. All rows are used at every move.
            y: (n,).
            sample_weight: (n,) whole numbers; a row of weight 2 is the same row twice, to the last bit.

        Warns:
            PredictiveWarning: reasons to doubt the law.
            SamplingWarning: reasons to doubt the posterior draws.

        Raises:
            ValueError, TypeError: not numbers, NaN or infinity, constant columns, targets that the family cannot have,
                fractional weights, more than 100,000 rows, fewer rows than folds, a parameter out of range, `columns`
                that X lacks.
        """
        checks.not_forked()
        self._validate_params()
        distinct, seed = self._training_rows(X, y, sample_weight), self._seed()
        copies = _whole_weights(distinct.weights)
        self.columns_: np.ndarray = _places_of(self.columns, distinct.inputs.shape[1])
        inputs, targets = (
            np.repeat(distinct.inputs[:, self.columns_], copies, axis=0),
            np.repeat(distinct.targets, copies),
        )
        if self.num_folds is not None and len(targets) < self.num_folds:
            raise ValueError(
                f"X has {len(targets)} rows, but num_folds is {self.num_folds}; pass more rows, fewer folds, or "
                "num_folds=None."
            )
        self.standardiser_: Standardiser = self._own_deviations(inputs)
        family = self._family()
        self.centre_, self.scale_ = family.units(targets)
        if isinstance(family, NormalNoise):
            family.check_noise(self.standardiser_(inputs), targets)
        rows = {"x": self.standardiser_(inputs)} | family.rows(targets, self.centre_, self.scale_)
        keep_few_programs(type(family), len(targets), inputs.shape[1])
        draw_key, law_key = random.split(root_key(seed))
        target, start = posterior(family.log_prior, family.log_likelihood, rows), family.start(inputs.shape[1])
        draws = sample(target, start, key=draw_key, num_samples=NUM_SAMPLES, progress=False)
        shares = self.bayes_shares
        if isinstance(shares, str):
            shares = SHARES if isinstance(family, NormalNoise) else SHARES_OF_COUNTS
        options: dict[str, Any] = {"num_particles": int(self.num_particles), "num_folds": self.num_folds}
        law = predictive(target, key=law_key, draws=draws, bayes_shares=shares, **options)
        self.law_: PredictiveLaw = law
        self.path_: PredictivePath = law.path
        self.bayes_share_: float = law.bayes_share
        self.comparison_: BayesComparison = law.compare()
        self.particles_: dict[str, np.ndarray] = dict(law.positions)
        few = SNAPSHOTS * int(self.num_particles)
        pooled = {name: np.concatenate(np.asarray(leaf)) for name, leaf in draws.positions.items()}
        self.bayes_particles_: dict[str, np.ndarray] = {
            name: evenly_spaced(leaf, min(few, len(leaf))) for name, leaf in pooled.items()
        }
        return self

    def as_bayes(self) -> Self:
        """Return the fitted model with the posterior as its law: Bayes's predictions, and its coefficients."""
        check_is_fitted(self)
        other = copy.copy(self)
        vars(other).pop("law_", None)
        other.particles_, other.bayes_share_ = self.bayes_particles_, 1.0
        return other

    @property
    def coef_(self) -> np.ndarray:
        """(d,) means of the slopes over the law, on the columns as they are, in units of the targets or log odds."""
        return self._slopes().mean(axis=0)

    @property
    def coef_sd_(self) -> np.ndarray:
        """(d,) standard deviations over the law: uncertainty for the posterior, differences of rows below it."""
        return self._slopes().std(axis=0)

    def log_density(self, X: Table, y: ArrayLike) -> np.ndarray:
        """Return (n,) the log predictive density of each row, in nats; of a count or a class, log probability."""
        X, y = self._columns(X), self._checked_targets(y)
        if len(y) != len(X):
            raise ValueError(f"y has {len(y)} entries, but X has {len(X)} rows; pass one for each row.")
        family, scores = self._family(), []
        for block in self._blocks(len(X)):
            rows = {"x": self.standardiser_(X[block])} | family.rows(y[block], self.centre_, self.scale_)
            stored = {name: padded(column, bucket(len(column))) for name, column in rows.items()}
            logs = np.asarray(_log_likelihoods(family.log_likelihood, self.particles_, stored), np.float64)
            scores.append(log_mean_exp(logs[:, : len(rows["x"])]))
        return np.concatenate(scores) - np.log(self.scale_)

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: all but `law_`, which holds programs and the training rows."""
        state: Any = super().__getstate__()
        return {name: value for name, value in state.items() if name != "law_"}

    def _columns(self, X: Table) -> np.ndarray:
        return super()._columns(X)[:, self.columns_]

    def _slopes(self) -> np.ndarray:
        check_is_fitted(self)
        return self.particles_["slopes"].astype(np.float64) * (self.scale_ / self.standardiser_.scale)

    def _eta(self, X: np.ndarray, particles: dict[str, np.ndarray]) -> np.ndarray:
        """Return linear predictors, (particle, n) float64."""
        slopes, level = (np.asarray(particles[name], np.float64) for name in ("slopes", "level"))
        return level[:, None] + slopes @ self.standardiser_(X).T.astype(np.float64)

    def _blocks(self, size: int) -> list[slice]:
        length = max(1, NUMBERS_AT_ONCE // len(self.particles_["level"]))
        return [slice(start, start + length) for start in range(0, size, length)]

    def _own_deviations(self, inputs: np.ndarray) -> Standardiser:
        """Return the map to columns of deviation 1; raise where a column is constant, and has no slope."""
        standardiser = Standardiser.fit(inputs, np.ones(len(inputs)), "columns")
        constant = np.flatnonzero(~np.isfinite(standardiser.scale))
        if len(constant):
            names = getattr(self, "feature_names_in_", [f"X[:, {j}]" for j in range(self.n_features_in_)])
            raise ValueError(
                f"{names[self.columns_[constant[0]]]} is {inputs[0, constant[0]]:g} in all rows ({len(constant)} such "
                "columns), and has no slope; leave it out."
            )
        return standardiser.scaled(np.sqrt(inputs.shape[1]))

    @abstractmethod
    def _family(self) -> Family:
        """Return the family of the parameters, the same object for the same one."""

    @abstractmethod
    def _checked_targets(self, y: ArrayLike) -> np.ndarray:
        """Return targets to score as the family takes them."""


@dataclass(eq=False, repr=False)
class PredictiveRegressor(LogScore, NumberTargets, PredictiveEstimator):
    """Regression of numbers or counts that predicts by the best law of its coefficients, Bayes where Bayes is right.

    A generalised linear model with weak priors is sampled, and `langevax.predictive` finds the law whose mixture scores
    new rows best. Where the model is right that is the posterior; where it is not, as a Poisson model of overdispersed
    counts, predictions and intervals are those of a law in which rows differ.

        mean = exp(level + x . slopes) of counts,  level + x . slopes of numbers;       x standardised columns

    Priors: slopes of columns over their deviations N(0, prior_scale^2), as in rstanarm; the level at the mean of the
    columns N(c, prior_scale^2) with c the (log) mean of the targets. Numbers are over their deviation, and the noise is
    exponential of mean 1 in these units. The spread of a negative binomial, whose variance is
    mean + spread^2 mean^2, is exponential of mean 1.

    Args:
        family: "gaussian", "poisson" or "negative binomial", the last two for counts.
        columns: (k,) places of the columns of X that have slopes; None: all, (k,) then being (d,) below.
        prior_scale: of slopes and level.
        bayes_shares: decreasing from 1; "auto" is 1, 0.5, 0.2, 0.1 and 0.05, and 0 too for counts.
        num_particles, num_folds: as in `langevax.predictive`.
        random_state: int or `numpy.random.RandomState`.

    Attributes:
        law_: the `PredictiveLaw`; it is neither saved nor pickled. Its rows are those of the table in another order.
        bayes_share_: the share of Bayes that was chosen; 1 is the posterior.
        path_: the misspecification curve.
        comparison_: what Bayes loses, in nats a row; `print` it for a sentence.
        particles_, bayes_particles_: of the law and of the posterior, dicts of arrays.
        coef_, coef_sd_: means and deviations of the slopes over the law. Below a share of 1 the law is one of
            differences between rows; `as_bayes().coef_` has the posterior's.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(300, 2))
        >>> y = rng.poisson(np.exp(X[:, 0] + rng.normal(size=300)))  # rates differ beyond the columns
        >>> options = {"bayes_shares": (1.0, 0.1), "num_particles": 64, "num_folds": 2, "random_state": 0}
        >>> model = PredictiveRegressor("poisson", **options).fit(X[:150], y[:150])
        >>> model.score(X[150:], y[150:]) > model.as_bayes().score(X[150:], y[150:]) + 0.2
        True
        >>> low, high = model.predict_interval(X[150:], 0.9).T
        >>> bool(((low <= y[150:]) & (y[150:] <= high)).mean() > 0.84)
        True
    """

    family: Literal["gaussian", "poisson", "negative binomial"] = "gaussian"

    def predict(self, X: Table) -> np.ndarray:
        """Return (n,) means under the posterior, whatever the share.

        The equations that a posterior solves are those of the mean, which it finds although the spread is wrong. The
        law has the right spread, and of counts a tail whose mean a few rows decide: that of 1,500 rows of office visits
        was 8,071 where the posterior's was 5.9 and the rows' 5.5.
        """
        X, family = self._columns(X), self._family()
        means = [
            family.means(self.bayes_particles_, self._eta(X[block], self.bayes_particles_)).mean(axis=0)
            for block in self._blocks(len(X))
        ]
        return self._in_units(np.concatenate(means))

    def predict_interval(self, X: Table, coverage: float = 0.9) -> np.ndarray:
        """Return (n, 2) central intervals of the predictive distribution, their ends included.

        Quantiles of four draws a particle, the same at every call; of counts they are counts.

        Args:
            X: (n, d).
            coverage: the probability of a new row's target, at least.
        """
        X, family = self._columns(X), self._family()
        _check_coverage(coverage)
        levels, rng, ends = [(1 - coverage) / 2, (1 + coverage) / 2], np.random.default_rng(0), []
        for block in self._blocks(len(X)):
            means = family.means(self.particles_, self._eta(X[block], self.particles_))
            if is_count := isinstance(family, Poisson):
                means = self._in_units(means)
            drawn = np.concatenate([family.draws(self.particles_, means, rng) for _ in range(DRAWS)])
            quantiles = np.quantile(drawn, levels, axis=0, method="inverted_cdf").T
            ends.append(quantiles if is_count else self._in_units(quantiles))
        return np.concatenate(ends)

    def _in_units(self, numbers: np.ndarray) -> np.ndarray:
        if isinstance(self._family(), Poisson):
            return np.exp(self.centre_) * numbers
        return self.centre_ + self.scale_ * numbers

    def _family(self) -> NumberFamily:
        return cast("NumberFamily", family_of(FAMILIES[self.family], float(self.prior_scale)))

    def _encode(self, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        if self.family == "gaussian":
            return y
        odd = y[(y < 0) | (y != np.round(y)) | (y > LARGEST_COUNT)]
        if len(odd):
            raise ValueError(
                f"y has {odd[0]:g}, where family={self.family!r} is for counts 0, 1, ... {LARGEST_COUNT:,}; pass "
                "counts, or family='gaussian'."
            )
        return y

    def _checked_targets(self, y: ArrayLike) -> np.ndarray:
        refuse_words("y", y)
        return self._encode(column_or_1d(np.asarray(check_array(y, ensure_2d=False), np.float64)), None)


@dataclass(eq=False, repr=False)
class PredictiveClassifier(LogScore, LabelTargets, PredictiveEstimator):
    """Logistic regression, and ordinal logit of more than two classes, by the best law of the coefficients.

    As `PredictiveRegressor`, with log odds of at most class k = cut_k - x . slopes. Two classes are logistic
    regression. More are in an order: that of numbers, or `order`.

    Priors: slopes of columns over their deviations N(0, prior_scale^2); the shares of the classes at the mean of the
    columns are uniform on all that sum to 1, as in rstanarm's `stan_polr`.

    Args:
        order: all labels, from the lowest class to the highest; needed for three or more words.
        columns, prior_scale, bayes_shares, num_particles, num_folds, random_state: as in `PredictiveRegressor`.

    Attributes:
        classes_: the labels, in their order and that of `predict_proba`'s columns.
        law_, bayes_share_, path_, comparison_, particles_, bayes_particles_, coef_, coef_sd_: documented in
            `PredictiveRegressor`; slopes are log odds of higher classes.

    Raises:
        ValueError: one class only; three or more words without an order; labels that `order` lacks.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(200, 2))
        >>> pain = np.digitize(X[:, 0] + rng.logistic(size=200) / 2, [-0.5, 0.5])
        >>> options = {"bayes_shares": (1.0, 0.1), "num_particles": 64, "num_folds": None, "random_state": 0}
        >>> words = np.array(["none", "mild", "severe"])
        >>> model = PredictiveClassifier(order=words, **options).fit(X, words[pain])
        >>> model.classes_.tolist(), model.bayes_share_
        (['none', 'mild', 'severe'], 1.0)
    """

    order: ArrayLike | None = None

    def predict_proba(self, X: Table) -> np.ndarray:
        """Return (n, C) probabilities under the predictive distribution, rows summing to one."""
        X, family = self._columns(X), self._family()
        assert isinstance(family, Ordinal)
        cloud = {name: np.asarray(leaf, np.float64) for name, leaf in self.particles_.items()}
        of_blocks = [family.probabilities(cloud, self._eta(X[b], cloud)).mean(axis=0) for b in self._blocks(len(X))]
        return np.concatenate(of_blocks)

    def predict_log_proba(self, X: Table) -> np.ndarray:
        """Return (n, C) logarithms of `predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def predict_set(self, X: Table, coverage: float = 0.9) -> np.ndarray:
        """Return (n, C) booleans: the most probable classes, as many as have this probability together.

        Args:
            X: (n, d).
            coverage: the probability of a new row's label, at least, where the law is right.
        """
        probabilities = self.predict_proba(X)
        _check_coverage(coverage)
        order = np.argsort(-probabilities, axis=1, kind="stable")
        ranked, sets = np.take_along_axis(probabilities, order, axis=1), np.empty(order.shape, bool)
        np.put_along_axis(sets, order, np.cumsum(ranked, axis=1) - ranked < coverage, axis=1)
        return sets

    def predict(self, X: Table) -> np.ndarray:
        """Return (n,) labels: the most probable."""
        probabilities = self.predict_proba(X)  # first: raises NotFittedError
        return self.classes_[probabilities.argmax(axis=1)]

    def _family(self) -> Family:
        return family_of(Ordinal, float(self.prior_scale), len(self.classes_))

    def _encode(self, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        super()._encode(y, weights)
        if self.order is None:
            if len(self.classes_) > 2 and self.classes_.dtype.kind not in "biuf":
                raise ValueError(
                    f"y holds {len(self.classes_)} classes of words, whose order is not known; pass order=[...], all "
                    "of them from the lowest to the highest; classes without an order need another classifier."
                )
        else:
            order = np.asarray(self.order, object if self.classes_.dtype == object else None)
            if len(np.unique(order)) != len(order) or not np.isin(self.classes_, order).all():
                raise ValueError(
                    f"order must have each label of y once, {self.classes_.tolist()}, got {checks.shown(self.order)}."
                )
            self.classes_ = order[np.isin(order, self.classes_)]
        return self._places(y)

    def _places(self, y: np.ndarray) -> np.ndarray:
        """Return the place of each label in the order, 0 for labels of weight 0 that no row has."""
        return np.argmax(np.asarray(y)[:, None] == self.classes_, axis=1)

    def _checked_targets(self, y: ArrayLike) -> np.ndarray:
        refuse_missing_labels(y)
        labels = np.asarray(y)
        unknown = labels[~np.isin(labels, self.classes_)]
        if len(unknown):
            raise ValueError(f"y has {checks.shown(unknown[0])}, which no training row had; leave such rows out.")
        return self._places(labels)


def _check_coverage(coverage: float) -> None:
    if isinstance(coverage, bool) or not 0 < coverage < 1:
        raise ValueError(f"coverage must lie between 0 and 1, got {coverage}; 0.9 is usual.")


def _places_of(columns: ArrayLike | None, width: int) -> np.ndarray:
    """Return the places of the columns that have slopes; raise where they are not different columns of X."""
    places = np.arange(width) if columns is None else np.asarray(columns)
    if places.ndim != 1 or not np.isin(places, np.arange(width)).all() or not 0 < len(np.unique(places)) == len(places):
        raise ValueError(
            f"columns must hold different places from 0 to {width - 1}, of columns of X, got {checks.shown(columns)}."
        )
    return places.astype(int)


def _whole_weights(weights: np.ndarray) -> np.ndarray:
    """Return weights as numbers of copies; raise where they are not, or too many."""
    if np.any(weights != np.round(weights)):
        raise ValueError(
            "sample_weight must be whole numbers, copies of a row, as a predictive law counts every row once; leave it "
            "out, or draw rows in proportion to it."
        )
    if weights.sum() > MOST_ROWS:
        raise ValueError(
            f"X has {weights.sum():,.0f} rows, copies included, all of which every move uses; pass at most "
            f"{MOST_ROWS:,} of them, drawn at random."
        )
    return weights.astype(int)


@partial(jax.jit, static_argnums=0)
def _log_likelihoods(log_likelihood: Callable[..., jax.Array], cloud: dict[str, Any], rows: dict[str, Any]) -> Any:
    return jax.vmap(jax.vmap(log_likelihood, (None, 0)), (0, None))(cloud, rows)
