"""Shared part of estimators that are generalised linear models with a predictive law of their coefficients.

Fit, law, scores and certificate. What is known of a row beforehand, its offset, is added to the intercept: a column of X,
and the logarithm of the exposure of counts whose rows were observed for longer or for more people.
"""

import copy
import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Any, ClassVar, Self

import jax
import numpy as np
from jax import random
from numpy.typing import ArrayLike
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from langevax import checks
from langevax._typing import PRNGKey
from langevax.log_weights import log_mean_exp
from langevax.predictive_law import (
    BayesComparison,
    LawAgreement,
    LawCertificate,
    PredictiveLaw,
    PredictivePath,
    PredictiveWarning,
    predictive,
)
from langevax.predictive_law.law import law_at
from langevax.predictive_law.models import NUM_SAMPLES, RowModel
from langevax.predictive_law.path import SNAPSHOTS, evenly_spaced
from langevax.predictive_law.predictive import SHARES, SHARES_OF_COUNTS
from langevax.problems.finite_sum import Posterior, posterior
from langevax.run.progress import ProgressOption
from langevax.run.result import named_leaves
from langevax.sampling import Samples, SamplingWarning, sample
from langevax.sklearn.linear_families import Family, NormalNoise
from langevax.sklearn.parameters import (
    Auto,
    RandomState,
    count,
    one_of,
    positive,
    seed_of,
)
from langevax.sklearn.persistence import saved_class
from langevax.sklearn.slope_errors import SlopeErrors
from langevax.sklearn.table import (
    RowEstimator,
    Standardiser,
    Table,
    bucket,
    checked_exposure,
    padded,
)
from langevax.sklearn.training import keep_few_programs, root_key

MOST_PREDICTIVE_ROWS = 100_000  # all of which every move uses

saved_class(PredictivePath)
saved_class(BayesComparison)
saved_class(LawAgreement)


def mean_score(log_densities: np.ndarray, sample_weight: ArrayLike | None) -> float:
    """Return their mean, over rows as often as their weights say."""
    return float(
        np.average(
            log_densities,
            weights=None if sample_weight is None else np.asarray(sample_weight),
        )
    )


class LogDensityScoring:
    """Tags of estimators whose score is a log density."""

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
    offset_column: int | None = None
    prior_precision: float = 0.16
    bayes_shares: Sequence[float] | Auto = "auto"
    num_particles: int = 256
    num_folds: int | None = 5
    num_replicates: int = 1
    random_state: RandomState = None

    unsaved_attributes: ClassVar[tuple[str, ...]] = ("law_", "replicates_")
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "columns": ["array-like", None],
        "offset_column": [*count(0), None],
        "prior_precision": positive(),
        "bayes_shares": ["array-like", *one_of("auto")],
        "num_particles": count(16),
        "num_folds": [*count(2), None],
        "num_replicates": count(1),
        "random_state": ["random_state"],
    }

    def _fit(
        self,
        X: Table,
        y: ArrayLike,
        sample_weight: ArrayLike | None,
        exposure: ArrayLike | None = None,
    ) -> Self:
        """Draw from the posterior, follow the path of laws from there, and choose the share of Bayes."""
        checks.not_forked()
        self._validate_params()
        (every, targets, offsets, weights) = self._copied_rows(
            X, y, sample_weight, exposure
        )
        seed = self._seed()
        self.columns_: np.ndarray = self._places_of_slopes()
        inputs = every[:, self.columns_]
        if self.num_folds is not None and len(targets) < self.num_folds:
            raise ValueError(
                f"X has {len(targets)} rows, but num_folds is {self.num_folds}; pass more rows, fewer folds, or "
                "num_folds=None."
            )
        self.standardiser_: Standardiser = self._own_deviations(inputs, weights)
        family = self._family()
        self.centre_, self.scale_ = family.units(targets, offsets, weights)
        if isinstance(family, NormalNoise):
            family.check_noise(self.standardiser_(inputs), targets - offsets)
        rows = self._rows(inputs, targets, offsets)
        keep_few_programs(type(family), len(targets), inputs.shape[1])
        target = self._posterior(rows, weights)
        key = root_key(seed)
        draws, law = self._law_of(target, inputs.shape[1], key=key)
        self.law_: PredictiveLaw = law
        self.agreement_: LawAgreement | None = self._agreement(
            target, inputs.shape[1], key=key
        )
        self.path_: PredictivePath = law.path
        self.bayes_share_: float = law.bayes_share
        self.comparison_: BayesComparison = law.compare()
        self.particles_: dict[str, np.ndarray] = dict(law.positions)
        few = SNAPSHOTS * int(self.num_particles)
        pooled = {
            name: np.concatenate(np.asarray(leaf))
            for name, leaf in draws.positions.items()
        }
        self.bayes_particles_: dict[str, np.ndarray] = {
            name: evenly_spaced(leaf, min(few, len(leaf)))
            for name, leaf in pooled.items()
        }
        return self

    def _law_of(
        self, target: Posterior, num_columns: int, *, key: PRNGKey
    ) -> tuple[Samples, PredictiveLaw]:
        """Return draws of the posterior, and the law that a path from them led to."""
        (draw_key, law_key) = random.split(key)
        family = self._family()
        shares = self.bayes_shares
        start = family.start(num_columns)
        draws = sample(
            target, start, key=draw_key, num_samples=NUM_SAMPLES, progress=False
        )
        if isinstance(shares, str):
            shares = SHARES if isinstance(family, NormalNoise) else SHARES_OF_COUNTS
        options: dict[str, Any] = {
            "num_particles": int(self.num_particles),
            "num_folds": self.num_folds,
        }
        return draws, predictive(
            target, key=law_key, draws=draws, bayes_shares=shares, **options
        )

    def _agreement(
        self, target: Posterior, num_columns: int, *, key: PRNGKey
    ) -> LawAgreement | None:
        """Return how far the laws of other seeds agree with that of this one; warn where they do not."""
        with warnings.catch_warnings():
            for kind in (
                PredictiveWarning,
                SamplingWarning,
            ):  # that of the first seed has them
                warnings.simplefilter("ignore", kind)
            keys = [
                random.fold_in(key, 1 + number)
                for number in range(1, int(self.num_replicates))
            ]  # 0, 1 are taken
            laws = [self._law_of(target, num_columns, key=of_law)[1] for of_law in keys]
        self.replicates_: list[PredictiveLaw] = laws
        if not self.replicates_:
            return None
        agreement = self.law_.agreement(self.replicates_)
        if not agreement.agree:
            warnings.warn(str(agreement), PredictiveWarning, stacklevel=4)
        return agreement

    def as_bayes(self) -> Self:
        """Return the fitted model with the posterior as its law: Bayes's predictions, and its coefficients."""
        check_is_fitted(self)
        other = copy.copy(self)
        for name in self.unsaved_attributes:
            vars(other).pop(name, None)
        other.particles_ = self.bayes_particles_
        other.bayes_share_ = 1.0
        return other

    @property
    def coef_(self) -> np.ndarray:
        """(d,) means of the slopes over the law, on the columns as they are, in units of the targets or log odds."""
        return self._slopes().mean(axis=0)

    @property
    def coef_sd_(self) -> np.ndarray:
        """(d,) standard deviations over the law: uncertainty for the posterior, differences of rows below it."""
        return self._slopes().std(axis=0)

    def certificate(
        self,
        effort: float | None = None,
        *,
        cpu_seconds: float | None = None,
        random_state: RandomState = None,
        others: Sequence[PredictiveLaw] = (),
        progress: ProgressOption = "auto",
    ) -> LawCertificate:
        """Bound the least objective at the law's share of Bayes from both sides: `print` of the result is a sentence.

        That of `PredictiveLaw.certificate`, on the training rows, with columns and numbers in units of their
        standard deviations. It says whether the law is the best one of its share, not how well it predicts new rows.

        Args:
            effort: gradients of the log likelihood of one row at one particle that may be spent, 1e9 by default.
            cpu_seconds: instead of `effort`, converted by a rate that is measured; `effort` of the result repeats it.
            random_state: of the walks; None uses the estimator's.
            others: `law_` of fits with another `random_state`, from whose particles modes are searched for as well, as
                from those of `replicates_`.
            progress: a bar, or a function of (words, share spent).

        Raises:
            AttributeError: a model that was loaded, which has no law until `attach_rows`, or that `as_bayes` returned.
            TypeError, ValueError: as in `PredictiveLaw.certificate`, which has an example.
        """
        check_is_fitted(self)
        if not hasattr(self, "law_"):
            raise AttributeError(
                "this model has no law to certify: one that was loaded or unpickled needs its training rows, "
                "model.attach_rows(X, y); one that as_bayes() returned a fit with bayes_shares=(1.0,)."
            )
        state = self.random_state if random_state is None else random_state
        key = root_key(seed_of(state))
        others = [*others, *getattr(self, "replicates_", ())]
        return self.law_.certificate(
            key=key,
            effort=effort,
            cpu_seconds=cpu_seconds,
            others=others,
            progress=progress,
        )

    def attach_rows(
        self,
        X: Table,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        exposure: ArrayLike | None = None,
    ) -> Self:
        """Return a loaded model's training rows to it, and with them `law_`, which a saved model does not hold.

        Args:
            X, y, sample_weight, exposure: as they were passed to `fit`.

        Raises:
            AttributeError: a model that `as_bayes` returned.
            ValueError: other rows than those of the fit.
        """
        check_is_fitted(self)
        path = self.path_
        if self.bayes_share_ != path.bayes_share[path.chosen]:
            raise AttributeError(
                "this is the model that as_bayes() returned, without a law; pass rows to the other one."
            )
        other = copy.copy(self)
        inputs, targets, offsets, weights = other._copied_rows(
            X, y, sample_weight, exposure
        )
        if other.data_sha256_ != self.data_sha256_:
            raise ValueError(
                "X, y, sample_weight and exposure are not the rows of this fit: their hash differs from data_sha256_; "
                "pass those that fit received, in the same order."
            )
        target = self._posterior(
            self._rows(inputs[:, self.columns_], targets, offsets), weights
        )
        start = {name: leaf[0] for name, leaf in self.particles_.items()}
        points = np.concatenate(
            [
                leaf.reshape(len(leaf), -1)
                for leaf in named_leaves(self.particles_).values()
            ],
            axis=1,
        )
        self.law_ = law_at(
            RowModel(target), start, points, path, self.comparison_.method
        )
        return self

    def _copied_rows(
        self,
        X: Table,
        y: ArrayLike,
        sample_weight: ArrayLike | None,
        exposure: ArrayLike | None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
        """Return all columns, targets, offsets and weights of the rows to train on.

        Whole weights are copies of rows, which have no weights then; others are of mean 1.
        """
        distinct = self._distinct_rows(X, y, sample_weight, exposure=exposure)
        if np.any(
            distinct.weights != np.round(distinct.weights)
        ):  # each row is left out on its own
            weights = np.asarray(sample_weight, np.float64)
            weights = weights[weights > 0]
            places = distinct.places[distinct.places >= 0]
            weights = weights / weights.mean()
        else:
            places = np.repeat(
                np.arange(len(distinct.weights)), distinct.weights.astype(int)
            )
            weights = None
        _check_number(len(places))
        every = distinct.inputs[places]
        targets = distinct.targets[places]
        return (
            every,
            targets,
            self._offsets(every, None if exposure is None else every[:, -1]),
            weights,
        )

    def _posterior(
        self, rows: dict[str, np.ndarray], weights: np.ndarray | None
    ) -> Posterior:
        family = self._family()
        return posterior(family.log_prior, family.log_likelihood, rows, weights=weights)

    def _log_density(
        self, X: Table, y: ArrayLike, exposure: ArrayLike | None = None
    ) -> np.ndarray:
        X, offsets = self._inputs(X, exposure)
        y = self._checked_targets(y)
        if len(y) != len(X):
            raise ValueError(
                f"y has {len(y)} entries, but X has {len(X)} rows; pass one for each row."
            )
        family = self._family()
        scores = []
        for block in self._blocks(len(X)):
            rows = self._rows(X[block], y[block], offsets[block])
            stored = {
                name: padded(column, bucket(len(column)))
                for name, column in rows.items()
            }
            logs = np.asarray(
                _log_likelihoods(family.log_likelihood, self.particles_, stored),
                np.float64,
            )
            scores.append(log_mean_exp(logs[:, : len(rows["x"])], 0))
        return np.concatenate(scores) - np.log(self.scale_)

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: all but laws, which hold programs and the training rows."""
        state: Any = super().__getstate__()
        return {
            name: value
            for name, value in state.items()
            if name not in self.unsaved_attributes
        }

    def _inputs(
        self, X: Table, exposure: ArrayLike | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the columns with slopes, and the offsets, of rows that the model was not fitted to."""
        columns = self._columns(X)
        passed = None if exposure is None else checked_exposure(exposure, len(columns))
        return columns[:, self.columns_], self._offsets(columns, passed)

    def _offsets(self, X: np.ndarray, exposure: np.ndarray | None) -> np.ndarray:
        """Return what is added to the intercept of each row.

        Args:
            X: all columns of the table.
            exposure: as it was passed; of counts.
        """
        if exposure is not None:
            raise ValueError(
                "exposure is for counts, and these are classes; leave it out."
            )
        return (
            np.zeros(len(X))
            if self.offset_column is None
            else np.asarray(X[:, self._place("offset_column")], float)
        )

    def _place(self, name: str) -> int:
        """Return the place of a column of X that a parameter names; raise where X has none."""
        place = getattr(self, name)
        if place >= self.n_features_in_:
            raise ValueError(
                f"{name} must be the place of a column of X, from 0 to {self.n_features_in_ - 1}, got {place}."
            )
        return place

    def _rows(
        self, X: np.ndarray, y: np.ndarray, offsets: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Return rows as the likelihood takes them."""
        return {"x": self.standardiser_(X)} | self._family().rows(
            y, self.centre_ + offsets, self.scale_
        )

    @property
    def _without_slopes(self) -> dict[str, int]:
        """Columns of X that are known of a row beforehand, by the parameter that names them."""
        names = [
            name
            for name in ("offset_column", "exposure_column")
            if getattr(self, name, None) is not None
        ]
        return {name: self._place(name) for name in names}

    def _places_of_slopes(self) -> np.ndarray:
        return places_of(self.columns, self.n_features_in_, self._without_slopes)

    def _slopes(self) -> np.ndarray:
        check_is_fitted(self)
        return self.particles_["slopes"].astype(np.float64) * (
            self.scale_ / self.standardiser_.scale
        )

    def _eta(self, X: np.ndarray, particles: dict[str, np.ndarray]) -> np.ndarray:
        """Return linear predictors, (particle, n) float64."""
        slopes = np.asarray(particles["slopes"], np.float64)
        intercept = np.asarray(particles["intercept"], np.float64)
        return intercept[:, None] + slopes @ self.standardiser_(X).T.astype(np.float64)

    def _blocks(self, size: int, num_particles: int | None = None) -> list[slice]:
        length = max(1, 2**21 // (num_particles or len(self.particles_["intercept"])))
        return [slice(start, start + length) for start in range(0, size, length)]

    def _own_deviations(
        self, inputs: np.ndarray, weights: np.ndarray | None
    ) -> Standardiser:
        """Return the map to columns of standard deviation 1; raise where a column is constant, and has no slope."""
        standardiser = Standardiser.fit(
            inputs, np.ones(len(inputs)) if weights is None else weights, "columns"
        )
        constant = np.flatnonzero(~np.isfinite(standardiser.scale))
        if len(constant):
            names = getattr(
                self,
                "feature_names_in_",
                [f"X[:, {j}]" for j in range(self.n_features_in_)],
            )
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


def places_of(
    columns: ArrayLike | None, width: int, without: Mapping[str, int]
) -> np.ndarray:
    """Return the places of the columns that have slopes; raise where they are not different columns of X.

    Args:
        columns: those that are wanted; None: all.
        width: columns of X.
        without: columns that have no slope, by the parameter that names them.
    """
    if len(set(without.values())) < len(without):
        raise ValueError(
            f"{' and '.join(without)} are both {next(iter(without.values()))}; pass two columns, or one of them."
        )
    allowed = np.delete(np.arange(width), list(without.values()))
    places = allowed if columns is None else np.asarray(columns)
    if (
        places.ndim != 1
        or not np.isin(places, allowed).all()
        or not 0 < len(np.unique(places)) == len(places)
    ):
        others = " and ".join(f"{name}={place}" for name, place in without.items())
        beside = f" other than {others}" if others else ""
        raise ValueError(
            f"columns must hold different places from 0 to {width - 1}, of columns of X{beside}, got "
            f"{checks.shown(columns)}."
        )
    return places.astype(int)


def _check_number(size: float) -> None:
    """Raise where rows are too many."""
    if size > MOST_PREDICTIVE_ROWS:
        raise ValueError(
            f"X has {size:,.0f} rows, copies included, all of which every move uses; pass at most {MOST_PREDICTIVE_ROWS:,} of "
            "them, drawn at random."
        )


@partial(jax.jit, static_argnums=0)
def _log_likelihoods(
    log_likelihood: Callable[..., jax.Array],
    cloud: dict[str, Any],
    rows: dict[str, Any],
) -> Any:
    return jax.vmap(jax.vmap(log_likelihood, (None, 0)), (0, None))(cloud, rows)
