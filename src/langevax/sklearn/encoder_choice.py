"""An encoder before a mean-field estimator, and the choice between several of them by leave-one-out errors."""

from abc import abstractmethod
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Array, Key
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from langevax.meanfield.kernel_limit import LeaveOneOut
from langevax.sklearn.base import MeanFieldEstimator
from langevax.sklearn.inputs.span import SpanColumns
from langevax.sklearn.learned_scales import PreparedColumns
from langevax.sklearn.model_selection import (
    MAX_ROWS,
    SearchName,
    clearly_better,
    kernel_choice,
)
from langevax.sklearn.parameters import Auto
from langevax.sklearn.solvers import Schedule
from langevax.sklearn.table import DistinctRows, Scaling, Standardiser, subsample
from langevax.sklearn.training import Network, TrainingTask, root_key

NARROW = 64  # columns up to which the default solver is dual ascent: each of its moves draws a normal for every weight
FEW_DIRECTIONS = (
    128  # of features, or twice as many, unless all of them have clearly smaller errors
)


@dataclass(eq=False, repr=False)
class EncodedEstimator(MeanFieldEstimator):
    """Mixed in before a mean-field estimator, whose columns become those of `encoder_`.

    The encoder learns from the training inputs alone. A warm start leaves it as it is, since the particles are weights
    of its columns.
    """

    solver: str = "psdca"
    validation: SearchName | Auto | None = field(default=None, kw_only=True)

    @abstractmethod
    def _make_encoder(self) -> Any:
        """Return the transformer, not fitted."""

    def _fit_encoder(self, X: Any) -> np.ndarray:
        """Fit `encoder_` to the training inputs; return their columns."""
        self.encoder_: Any = self._make_encoder()
        return self.encoder_.fit_transform(X)

    def _validated(self, X: Any, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        columns = (
            self.encoder_.transform(X) if self._continues() else self._fit_encoder(X)
        )
        columns, y = super()._validated(_rounded(columns), y)
        for name in (
            "n_features_in_",
            "feature_names_in_",
        ):  # of the user's columns, not of the encoder's
            if hasattr(self.encoder_, name):
                setattr(self, name, getattr(self.encoder_, name))
            elif hasattr(self, name):
                delattr(self, name)
        return columns, y

    def _linear_option(self, continued: bool) -> bool | Auto:
        return False  # columns of an encoder are many, and its kernel limit has a linear part

    def _continues(self) -> bool:
        """Return whether a fit goes on from the last one's particles."""
        return self.warm_start and hasattr(self, "particles_")

    def _columns(self, X: Any, **options: Any) -> np.ndarray:
        check_is_fitted(self)
        return _rounded(self.encoder_.transform(X, **options))

    def _column_names(self) -> list[str]:
        return [str(name) for name in self.encoder_.get_feature_names_out()]


def _rounded(columns: np.ndarray) -> np.ndarray:
    """Round to the precision of float32, that of a network's inputs, at any scale.

    The last bits of a matrix product depend on a row's place among the others and on the processor: without rounding
    the same curve twice would be two rows.
    """
    mantissas, exponents = np.frexp(np.asarray(columns, np.float64))
    return np.ldexp(np.rint(mantissas * 2.0**24), exponents - 24)


@dataclass(eq=False, repr=False)
class ChosenEncoder(EncodedEstimator):
    """An estimator with several encoders, of which all but the first are features in their span."""

    _: KW_ONLY
    encoder: Any = "auto"

    encoder_names: ClassVar[tuple[str, ...]] = ()
    """Encoders between which "auto" chooses; the first is not of features in their span."""
    scaling: ClassVar[Scaling] = "columns"  # pyright: ignore[reportIncompatibleVariableOverride]

    @abstractmethod
    def _make_encoder(self) -> Any:
        """Return the first of the encoders, not fitted."""

    @abstractmethod
    def _make_shapes(self, name: str) -> Any:
        """Return the encoder of this name, one of features in their span, not fitted."""

    def _fit_encoder(self, X: Any) -> np.ndarray:
        name, sample_weight = self._candidate
        if name == self.encoder_names[0]:
            return super()._fit_encoder(X)
        self.encoder_ = self._make_shapes(name)
        return self.encoder_.fit_transform(
            X, None if sample_weight is None else np.asarray(sample_weight) > 0
        )

    def _training_rows(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None,
        groups: ArrayLike | None = None,
    ) -> DistinctRows:
        """Return the rows of the encoder asked for, or of that of the least leave-one-out error in the kernel limit."""
        if self._continues():
            return super()._training_rows(X, y, sample_weight, groups)
        candidates: dict[str, tuple[DistinctRows, dict[str, Any]]] = {}
        self.encoder_errors_: dict[str, float] | None = (
            None if self.encoder != "auto" else {}
        )
        for name in self.encoder_names if self.encoder == "auto" else (self.encoder,):
            self._candidate = name, sample_weight
            rows, errors = self._fewest_directions(
                super()._training_rows(X, y, sample_weight, groups)
            )
            candidates[name] = (
                rows,
                {"encoder_": self.encoder_, "data_sha256_": self.data_sha256_},
            )
            if self.encoder_errors_ is not None:
                self.encoder_errors_[name] = (errors or self._kernel_errors(rows)).error
        del self._candidate
        errors_by_name = self.encoder_errors_ or dict.fromkeys(candidates, 0.0)
        rows, chosen = candidates[
            min(candidates, key=lambda name: errors_by_name[name])
        ]
        vars(self).update(chosen)
        return rows

    def _kernel_errors(self, rows: DistinctRows) -> LeaveOneOut:
        """Return the leave-one-out errors of the kernel limit on these columns."""
        task = self._task(rows.targets, rows.weights)
        with threadpool_limits(1, "blas"):
            (prepared,) = kernel_choice(
                rows,
                task,
                float(self.prior_precision),
                (self.scaling,),
                False,
                root_key(0),
            )
        assert prepared.leave_one_out is not None
        return prepared.leave_one_out

    def _fewest_directions(
        self, rows: DistinctRows
    ) -> tuple[DistinctRows, LeaveOneOut | None]:
        """Return the rows in few directions, unless all of them have clearly smaller errors, and these errors."""
        encoder = self.encoder_
        if (
            not isinstance(encoder, SpanColumns)
            or encoder.num_directions <= FEW_DIRECTIONS
        ):
            return rows, None
        errors = self._kernel_errors(rows)
        places = subsample(len(rows.weights), MAX_ROWS)
        groups = None if rows.groups is None else rows.groups[places]
        for few in (FEW_DIRECTIONS, 2 * FEW_DIRECTIONS):
            if few >= encoder.num_directions:
                break
            first = np.append(np.arange(few), encoder.num_directions)
            narrow = replace(rows, inputs=np.ascontiguousarray(rows.inputs[:, first]))
            of_narrow = self._kernel_errors(narrow)
            if not clearly_better(errors, of_narrow, rows.weights[places], groups):
                self.encoder_ = encoder.narrowed(few)
                return narrow, of_narrow
        return rows, errors

    @property
    def encoder_name_(self) -> str:
        """The encoder of the fit, such as "convolutions"."""
        check_is_fitted(self)
        return (
            self.encoder_.kind
            if isinstance(self.encoder_, SpanColumns)
            else self.encoder_names[0]
        )

    def _prepared(
        self,
        rows: DistinctRows,
        task: TrainingTask,
        continued: bool,
        key: Key[Array, ""],
    ) -> list[PreparedColumns]:
        candidates = super()._prepared(rows, task, continued, key)
        if not isinstance(self.encoder_, SpanColumns):
            return candidates

        def with_last_column(
            standardiser: Standardiser,
        ) -> Standardiser:  # 0 in training, of the same unit
            return replace(
                standardiser,
                scale=np.append(standardiser.scale[:-1], np.min(standardiser.scale)),
            )

        return [
            columns._replace(standardiser=with_last_column(columns.standardiser))
            for columns in candidates
        ]

    def _schedule(self, network: Network) -> Schedule:
        schedule = super()._schedule(network)
        if isinstance(self.num_steps, str) and isinstance(
            self.encoder_, SpanColumns
        ):  # whose directions vary alike
            steps = round(schedule.num_steps / self.automatic.num_steps_multiplier)
            schedule = schedule._replace(num_steps=max(1, steps))
        return schedule
