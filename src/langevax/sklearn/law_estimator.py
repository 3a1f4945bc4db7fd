"""Shared part of estimators that are generalised linear models with a predictive law of their coefficients.

Fit, law, scores, errors and certificate. What is known of a row beforehand, its offset, is a column of X that is added
to the intercept, as is the logarithm of the exposure of counts whose rows were observed for longer or for more people.
"""

import copy
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from numpy.typing import ArrayLike
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from langevax import checks
from langevax.log_weights import log_mean_exp
from langevax.predictive_law import (
    BayesComparison,
    LawCertificate,
    PredictiveLaw,
    PredictivePath,
    predictive,
)
from langevax.predictive_law.law import law_at
from langevax.predictive_law.law_problem import LawProblem
from langevax.predictive_law.path import SNAPSHOTS, evenly_spaced
from langevax.predictive_law.row_model import RowModel
from langevax.problems.finite_sum import Posterior, posterior
from langevax.renamed import refuse_former
from langevax.run.options import Run
from langevax.run.result import named_leaves
from langevax.sklearn.column_maps import Standardiser, Table, row_blocks
from langevax.sklearn.linear_families import Family, NormalNoise
from langevax.sklearn.parameters import (
    Auto,
    RandomState,
    count,
    one_of,
    positive,
)
from langevax.sklearn.saved import saved_class
from langevax.sklearn.slope_errors import sandwich
from langevax.sklearn.table import RowEstimator, bucket, padded
from langevax.sklearn.training import keep_few_programs, root_key

MOST_PREDICTIVE_ROWS = 100_000  # all of which every move uses

saved_class(PredictivePath)
saved_class(BayesComparison)


class LogDensityScoring:
    """Score and tags of estimators whose score is a log density."""

    log_density: Callable[..., np.ndarray]

    def score(
        self,
        X: Table,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Return the mean log predictive density or probability, in nats a row; higher is better."""
        weights = None if sample_weight is None else np.asarray(sample_weight)
        return float(np.average(self.log_density(X, y), weights=weights))

    def __sklearn_tags__(self) -> Tags:
        tags: Any = super().__sklearn_tags__()  # type: ignore[misc]
        for kind in (tags.regressor_tags, tags.classifier_tags):
            if kind is not None:
                kind.poor_score = True  # `score` is a log density
        return tags


@dataclass(eq=False, repr=False)
class PredictiveEstimator(RowEstimator):
    """A generalised linear model with a law of its coefficients; see the regressor and the classifier."""

    _: KW_ONLY
    columns: ArrayLike | None = None
    offset_column: int | None = None
    prior_precision: float = 0.16
    posterior_shares: Sequence[float] | Auto = "auto"
    num_particles: int = 256
    num_folds: int | None = None
    random_state: RandomState = None

    unsaved_attributes: ClassVar[tuple[str, ...]] = ("law_",)
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "columns": ["array-like", None],
        "offset_column": [*count(0), None],
        "prior_precision": positive(),
        "posterior_shares": ["array-like", *one_of("auto")],
        "num_particles": count(16),
        "num_folds": [*count(2), None],
        "random_state": ["random_state"],
    }

    @refuse_former
    def fit(
        self,
        X: Table,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Draw from the posterior, follow the path of laws from there, and choose the share of Bayes.

        Args:
            X: (n, d) numbers, columns that vary; NumPy, pandas or polars. All rows are used at every move.
            y: (n,) numbers, counts or labels.
            sample_weight: (n,). With whole numbers a row of weight 2 is the same row twice, to the last bit. Others are
                relative, of mean 1: leave-one-out leaves a row out with all of its weight, and errors count it once.

        Warns:
            PredictiveWarning: reasons to doubt the law.
            SamplingWarning: reasons to doubt the posterior draws.

        Raises:
            ValueError, TypeError: not numbers, NaN or infinity, constant columns, targets that the family cannot have,
                one class only, words without an order, more than 100,000 rows, fewer rows than folds, a parameter out
                of range, `columns` that X lacks, an exposure that is not positive, or of numbers that are not counts.
        """
        self._validate_params()
        every, targets, weights = self._copied_rows(X, y, sample_weight)
        offsets = self._offsets(every)
        draw_key, law_key = random.split(root_key(self._seed()))
        self.columns_: np.ndarray = places_of(
            self.columns, self.n_features_in_, self._without_slopes
        )
        inputs = every[:, self.columns_]
        self.standardiser_: Standardiser = self._own_deviations(inputs, weights)
        family = self._family()
        self.centre_, self.scale_ = family.units(targets, offsets, weights)
        is_density = isinstance(family, NormalNoise)
        if isinstance(family, NormalNoise):
            family.check_noise(self.standardiser_(inputs), targets - offsets)
        rows = self._rows(inputs, targets, offsets)
        keep_few_programs(type(family), len(targets), inputs.shape[1])
        model = RowModel(self._posterior(rows, weights), has_density_floor=is_density)
        draws = model.draw(family.start(inputs.shape[1]), key=draw_key)
        law = predictive(
            model,
            key=law_key,
            draws=draws,
            posterior_shares=self.posterior_shares,
            num_particles=int(self.num_particles),
            num_folds=self.num_folds,
        )
        self.law_: PredictiveLaw = law
        self.path_: PredictivePath = law.path
        self.posterior_share_: float = law.posterior_share
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

    def as_bayes(self) -> Self:
        """Return the fitted model with the posterior as its law: Bayes's predictions, and its coefficients."""
        check_is_fitted(self)
        other = copy.copy(self)
        for name in self.unsaved_attributes:
            vars(other).pop(name, None)
        other.particles_ = self.bayes_particles_
        other.posterior_share_ = 1.0
        return other

    @property
    def coef_(self) -> np.ndarray:
        """(d,) means of the slopes over the law, on the columns as they are, in units of the targets or log odds."""
        return self._slopes().mean(axis=0)

    @property
    def coef_sd_(self) -> np.ndarray:
        """(d,) standard deviations over the law: uncertainty for the posterior, differences of rows below it."""
        return self._slopes().std(axis=0)

    @refuse_former
    def certificate(
        self,
        effort: float | None = None,
        *,
        cpu_seconds: float | None = None,
        random_state: RandomState = None,
        run: Run = Run(),
    ) -> LawCertificate:
        """Bound the least objective at the law's share of Bayes from both sides: `print` of the result is a sentence.

        That of `PredictiveLaw.certificate`, on the training rows, with columns and numbers in units of their
        standard deviations. It says whether the law is the best one of its share, not how well it predicts new rows.

        Args:
            effort: gradients of the log likelihood of one row at one particle that may be spent, 1e9 by default.
            cpu_seconds: instead of `effort`, converted by a rate that is measured; `effort` of the result repeats it.
            random_state: of the walks; None uses the estimator's.
            run: a `langevax.Run`; it saves nothing.

        Raises:
            AttributeError: a model that was loaded, which has no law until `attach_rows`, or that `as_bayes` returned.
            TypeError, ValueError: as in `PredictiveLaw.certificate`, which has an example.
        """
        check_is_fitted(self)
        if not hasattr(self, "law_"):
            raise AttributeError(
                "this model has no distribution to certify: one that was loaded or "
                "unpickled needs its training rows, model.attach_rows(X, y); one that "
                "as_bayes() returned a fit with posterior_shares=(1.0,)."
            )
        return self.law_.certificate(
            key=root_key(self._seed(random_state)),
            effort=effort,
            cpu_seconds=cpu_seconds,
            run=run,
        )

    def attach_rows(
        self,
        X: Table,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Return a loaded model's training rows to it, and with them `law_`, which a saved model does not hold.

        Args:
            X, y, sample_weight: as they were passed to `fit`.

        Raises:
            AttributeError: a model that `as_bayes` returned.
            ValueError: other rows than those of the fit.
        """
        check_is_fitted(self)
        path = self.path_
        if self.posterior_share_ != path.posterior_share[path.chosen]:
            raise AttributeError(
                "this is the model that as_bayes() returned, without a distribution; "
                "pass rows to the other one."
            )
        other = copy.copy(self)
        every, targets, weights = other._copied_rows(X, y, sample_weight)
        self._check_same_rows(other)
        rows = self._rows(every[:, self.columns_], targets, self._offsets(every))
        model = RowModel(self._posterior(rows, weights))
        start = {name: jnp.asarray(leaf[0]) for name, leaf in self.particles_.items()}
        leaves = named_leaves(self.particles_).values()
        points = np.concatenate(
            [leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1
        )
        problem = LawProblem.of(model.finite_sum, start, len(points))
        self.law_ = law_at(model, problem, points, path, self.comparison_.method)
        return self

    def robust_coef_sd(
        self,
        X: Table,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
    ) -> np.ndarray:
        """Return (k,) standard errors of `as_bayes().coef_`, from the training rows, by `slope_errors.sandwich`.

        These are errors of the mean that the posterior finds whatever the spread of the rows: Huber's, "robust" or HC0
        in other packages. Those of the posterior itself, `as_bayes().coef_sd_`, are too small where counts spread more
        than their family says, or where rows belong together.

        Args:
            X: (n, d), the rows of the fit.
            y: (n,).
            groups: (n,) rows that belong together; None: each on its own.
            sample_weight: (n,) those of the fit, where it had some.

        Example:
            >>> import numpy as np
            >>> from langevax.sklearn import PredictiveRegressor
            >>> rng = np.random.default_rng(0)
            >>> X = rng.normal(size=(200, 1))
            >>> y = rng.poisson(np.exp(X[:, 0] + rng.normal(size=200)))  # rates differ beyond the column
            >>> options = {"posterior_shares": (1.0,), "num_particles": 64, "num_folds": None, "random_state": 0}
            >>> model = PredictiveRegressor("poisson", **options).fit(X, y)
            >>> bool(model.robust_coef_sd(X, y) > 1.5 * model.coef_sd_)
            True
        """
        inputs, offsets = self._inputs(X)
        rows = self._rows(inputs, self._checked_targets(y), offsets)
        weights = np.ones(len(inputs))
        if sample_weight is not None:
            weights = np.asarray(sample_weight, np.float64)
        if np.any(weights != np.round(weights)):
            weights = weights / weights[weights > 0].mean()
        codes = np.arange(len(inputs)) if groups is None else groups
        errors = sandwich(self._family(), self.bayes_particles_, rows, weights, codes)
        return errors["slopes"] * (self.scale_ / self.standardiser_.scale)

    def log_density(self, X: Table, y: ArrayLike) -> np.ndarray:
        """Return (n,) the log predictive density of each row, in nats; of a count or label, its log probability."""
        X, offsets = self._inputs(X)
        y = self._checked_targets(y)
        if len(y) != len(X):
            raise ValueError(
                f"y has {len(y)} entries, but X has {len(X)} rows; pass one for each "
                "row."
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

    def _copied_rows(
        self,
        X: Table,
        y: ArrayLike,
        sample_weight: ArrayLike | None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Return all columns, targets and weights of the rows to train on.

        Whole weights are copies of rows, which have no weights then; others are of mean 1.
        """
        distinct = self._training_rows(X, y, sample_weight)
        copies = distinct.weights
        if np.any(copies != np.round(copies)):  # each row is left out on its own
            weights = np.asarray(sample_weight, np.float64)
            weights = weights[weights > 0]
            places = distinct.places[distinct.places >= 0]
            weights = weights / weights.mean()
        else:
            places = np.repeat(np.arange(len(copies)), copies.astype(int))
            weights = None
        if len(places) > MOST_PREDICTIVE_ROWS:
            raise ValueError(
                f"X has {len(places):,.0f} rows, copies included, all of which every "
                f"move uses; pass at most {MOST_PREDICTIVE_ROWS:,} of them, drawn at "
                "random."
            )
        return distinct.inputs[places], distinct.targets[places], weights

    def _posterior(
        self, rows: dict[str, np.ndarray], weights: np.ndarray | None
    ) -> Posterior:
        family = self._family()
        return posterior(family.log_prior, family.log_likelihood, rows, weights=weights)

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: all but laws, which hold programs and the training rows."""
        state: Any = super().__getstate__()
        return {
            name: value
            for name, value in state.items()
            if name not in self.unsaved_attributes
        }

    def _inputs(self, X: Table) -> tuple[np.ndarray, np.ndarray]:
        """Return the columns with slopes, and the offsets, of rows that the model was not fitted to."""
        columns = self._columns(X)
        return columns[:, self.columns_], self._offsets(columns)

    def _offsets(self, X: np.ndarray) -> np.ndarray:
        """Return what is added to the intercept of each row, from all columns of the table."""
        if self.offset_column is None:
            return np.zeros(len(X))
        return np.asarray(X[:, self._place("offset_column")], float)

    def _place(self, name: str) -> int:
        """Return the place of a column of X that a parameter names; raise where X has none."""
        place = getattr(self, name)
        if place >= self.n_features_in_:
            raise ValueError(
                f"{name} must be the place of a column of X, from 0 to "
                f"{self.n_features_in_ - 1}, got {place}."
            )
        return place

    def _rows(
        self,
        X: np.ndarray,
        y: np.ndarray,
        offsets: np.ndarray,
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
        num_particles = num_particles or len(self.particles_["intercept"])
        return row_blocks(size, 2**21 // num_particles)

    def _own_deviations(
        self, inputs: np.ndarray, weights: np.ndarray | None
    ) -> Standardiser:
        """Return the map to columns of standard deviation 1; raise where a column is constant, and has no slope."""
        standardiser = Standardiser.fit(
            inputs, np.ones(len(inputs)) if weights is None else weights, "columns"
        )
        constant = np.flatnonzero(~np.isfinite(standardiser.scale))
        if len(constant):
            name = self._column_names()[self.columns_[constant[0]]]
            raise ValueError(
                f"{name} is {inputs[0, constant[0]]:g} in all rows ({len(constant)} "
                "such columns), and has no slope; leave it out."
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
            f"{' and '.join(without)} are both {next(iter(without.values()))}; pass "
            "two columns, or one of them."
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
            f"columns must hold different places from 0 to {width - 1}, of columns of "
            f"X{beside}, got {checks.shown(columns)}."
        )
    return places.astype(int)


@partial(jax.jit, static_argnums=0)
def _log_likelihoods(
    log_likelihood: Callable[..., jax.Array],
    cloud: dict[str, Any],
    rows: dict[str, Any],
) -> Any:
    return jax.vmap(jax.vmap(log_likelihood, (None, 0)), (0, None))(cloud, rows)
