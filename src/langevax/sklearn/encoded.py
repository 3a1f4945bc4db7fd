"""Mean-field networks on curves and graphs: an encoder of the inputs, and a network that is fitted to its columns.

On curves the weights of a neuron are a function, and so is its input:

    h(theta, x) = R tanh(a) tanh(integral theta(t) (x - mean)(t) dt / |D| + b),    theta ~ N(0, C), C of finite trace

(Nishikawa, Suzuki, Nitanda, Wu, NeurIPS 2022). In coordinates of unit prior variance, those of `CurveCoefficients`,
this is the network on tables: the objective, its dual and the certificate are the same. Coordinates beyond the first
few carry little of the curves, so that more modes, or a finer grid, change nothing.

Where shapes shift, a weight at one time is of little use. `RandomConvolutions` then makes columns of the patterns in a
curve, wherever they occur. The same network on these columns has its own certificate.
"""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin, RegressorMixin, clone
from sklearn.utils import Tags, _safe_indexing
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.validation import _num_samples, check_is_fitted
from threadpoolctl import threadpool_limits

from langevax.sklearn.base import Automatic
from langevax.sklearn.inputs.convolutions import RandomConvolutions
from langevax.sklearn.inputs.curves import CurveCoefficients
from langevax.sklearn.inputs.graphs import GraphFeatures
from langevax.sklearn.inputs.unlike import warn_unlike
from langevax.sklearn.intervals import COVERAGE
from langevax.sklearn.mean_field import MeanFieldClassifier, MeanFieldRegressor
from langevax.sklearn.model_selection import (
    column_candidates,
    kernel_errors,
    kernel_problem,
)
from langevax.sklearn.parameters import RandomState, one_of
from langevax.sklearn.persistence import SavedEstimator
from langevax.sklearn.training import root_key
from langevax.sklearn.weight_functions import WeightFunctions

CURVES = Automatic(output_scale=3.0, scaling="global", closed_form=True)
GRAPHS = Automatic(scaling="columns", closed_form=True)
LABELS_TEMPERATURE = 0.15
"""Of the leave-one-out optimum, which is for squares and too hot for a few dozen labels."""


class Candidate(NamedTuple):
    """A fitted encoder, the network for its columns, and these columns."""

    encoder: Any
    network: Any
    columns: np.ndarray


@dataclass(eq=False, repr=False)
class EncodedEstimator(SavedEstimator):
    """An encoder, and a network fitted to its columns."""

    encoder: Any = "auto"
    estimator: Any = None
    _: KW_ONLY
    random_state: RandomState = None

    encoders: ClassVar[tuple[type, ...]]
    """Those between which "auto" chooses."""
    automatic: ClassVar[Automatic]
    network_type: ClassVar[type]
    network_settings: ClassVar[dict[str, Any]] = {}
    """Of the network where none is passed."""
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "encoder": [*one_of("auto"), HasMethods(["fit", "transform"]), list, tuple],
        "random_state": ["random_state"],
    }

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Fit the encoder, or each of several to keep the best, and the network to its columns.

        Args:
            X: n curves or graphs, in any form that the encoder accepts.
            y, sample_weight, groups: as for `MeanFieldRegressor`; the encoder sees the inputs of positive weight.
        """
        self._validate_params()
        rows = _used_rows(X, sample_weight)
        candidates = [
            self._candidate(encoder, X, y, rows) for encoder in self._encoders()
        ]
        self.encoder_errors_: tuple[float, ...] | None = None
        best = 0
        if len(candidates) > 1:
            errors = [
                leave_one_out_error(network, columns, y, sample_weight, groups)
                for _, network, columns in candidates
            ]
            self.encoder_errors_ = tuple(errors)
            best = int(np.argmin(errors))
        self.encoder_, network, columns = candidates[best]
        self.estimator_: Any = network.fit(columns, y, sample_weight, groups)
        self.data_sha256_: str = network.data_sha256_
        self.largest_norm_: float = float(self._norms(columns[rows]).max())
        return self

    def attach_rows(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Return a loaded model's training rows to it, as `MeanFieldRegressor.attach_rows` does."""
        columns = _columns(self.encoder_, X)
        self.estimator_.attach_rows(columns, y, sample_weight, groups)
        return self

    def encode(self, X: Any) -> np.ndarray:
        """Return the columns that the network sees, (n, d) float64.

        Warns:
            UnlikeTrainingWarning: of inputs whose columns are twice as far from the training mean as any training
                input's.
        """
        check_is_fitted(self)
        columns = _columns(self.encoder_, X)
        unlike = np.flatnonzero(self._norms(columns) > 2 * self.largest_norm_)
        why = "it is twice as far from their mean as any, and may be in another unit"
        warn_unlike(unlike, len(columns), why)
        return columns

    def outputs(self, X: Any) -> np.ndarray:
        """Return the network's outputs, (n,) or (n, C) float32, before they become predictions."""
        columns = self.encode(X)
        return self.estimator_.outputs(columns)

    @property
    def n_features_in_(self) -> int:
        """Columns of the training table, where the inputs were one."""
        return self.encoder_.n_features_in_

    @property
    def feature_names_in_(self) -> np.ndarray:
        """Names of these columns, where they had any."""
        return self.encoder_.feature_names_in_

    def _encoders(self) -> Sequence[Any]:
        if isinstance(self.encoder, str):
            return [kind() for kind in self.encoders]
        if isinstance(self.encoder, list | tuple):
            return self.encoder
        return [self.encoder]

    def _candidate(
        self,
        encoder: Any,
        X: Any,
        y: Any,
        rows: Any,
    ) -> Candidate:
        """Fit an encoder to some of the rows."""
        unfitted: Any = clone(encoder)
        seen = [X, y]
        if not isinstance(rows, slice):
            seen = [_safe_indexing(part, rows) for part in (X, y)]
        fitted = unfitted.fit(*seen)
        network: Any = self.network_type(**self.network_settings)
        if self.estimator is not None:
            network = clone(self.estimator)
        if self.random_state is not None:
            network.set_params(random_state=self.random_state)
        network.automatic_ = self.automatic
        return Candidate(fitted, network, _columns(fitted, X))

    def _norms(self, columns: np.ndarray) -> np.ndarray:
        return np.linalg.norm(self.estimator_.standardiser_(columns), axis=1)


def leave_one_out_error(
    network: Any,
    table: np.ndarray,
    y: Any,
    sample_weight: Any,
    groups: Any,
) -> float:
    """Return the least leave-one-out error on these columns of the kernel machine that is the network's limit."""
    rows = network._training_rows(table, y, sample_weight, groups)
    task = network._task(rows.targets, rows.weights)
    precision = float(network.prior_precision)
    scalings = network._scalings()
    problem = kernel_problem(rows, task, precision, root_key(0))
    with threadpool_limits(1, "blas"):
        columns = column_candidates(problem, scalings, (False,))[0]
        return kernel_errors(problem, columns).error


def _used_rows(X: Any, sample_weight: Any) -> Any:
    """Return the places of positive weight, or all of them where the network will refuse the weights."""
    if sample_weight is not None:
        used = np.asarray(sample_weight) > 0
        if used.shape == (_num_samples(X),) and used.any() and not used.all():
            return np.flatnonzero(used)
    return slice(None)


def _columns(encoder: Any, X: Any) -> np.ndarray:
    """Return the columns of inputs, rounded to the precision of float32, that of a network's inputs, at any scale.

    The last bits of a matrix product depend on a row's place among the others and on the processor: without rounding
    the same curve twice would be two rows.
    """
    mantissas, exponents = np.frexp(np.asarray(encoder.transform(X), np.float64))
    return np.ldexp(np.float32(mantissas).astype(np.float64), exponents)


class EncodedRegressor(RegressorMixin, EncodedEstimator):
    """Least squares by a network behind an encoder."""

    network_type: ClassVar[type] = MeanFieldRegressor
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = (
        EncodedEstimator._parameter_constraints
        | {"estimator": [MeanFieldRegressor, None]}
    )

    def predict(self, X: Any) -> np.ndarray:
        """Return (n,) or (n, C), in the units of the targets."""
        columns = self.encode(X)
        return self.estimator_.predict(columns)

    def predict_interval(self, X: Any, coverage: float = COVERAGE) -> np.ndarray:
        """Return (n, 2) lower and upper ends, or (n, C, 2), as `MeanFieldRegressor.predict_interval` does."""
        columns = self.encode(X)
        return self.estimator_.predict_interval(columns, coverage)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class EncodedClassifier(ClassifierMixin, EncodedEstimator):
    """Classes by a network behind an encoder."""

    network_type: ClassVar[type] = MeanFieldClassifier
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = (
        EncodedEstimator._parameter_constraints
        | {"estimator": [MeanFieldClassifier, None]}
    )

    @property
    def classes_(self) -> np.ndarray:
        """The labels, in the order of the columns of `predict_proba`."""
        return self.estimator_.classes_

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the network's outputs: (n,), positive for `classes_[1]`, or (n, C)."""
        return self.outputs(X)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return (n, C), rows summing to one."""
        columns = self.encode(X)
        return self.estimator_.predict_proba(columns)

    def predict(self, X: Any) -> np.ndarray:
        """Return (n,) labels."""
        columns = self.encode(X)
        return self.estimator_.predict(columns)

    def predict_set(self, X: Any, coverage: float = COVERAGE) -> np.ndarray:
        """Return (n, C) booleans, the classes of each set, as `MeanFieldClassifier.predict_set` does."""
        columns = self.encode(X)
        return self.estimator_.predict_set(columns, coverage)


class CurveEstimator(WeightFunctions, EncodedEstimator):
    """Parameters of both estimators on curves."""

    encoders: ClassVar[tuple[type, ...]] = CurveCoefficients, RandomConvolutions
    automatic: ClassVar[Automatic] = CURVES
    network_settings: ClassVar[dict[str, Any]] = {"num_particles": 1000}

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


class FunctionalMeanFieldRegressor(CurveEstimator, EncodedRegressor):
    """Least squares on curves, by a network whose weights are functions; trained to its global optimum.

    Minimises over laws q of neurons (a, theta, b), theta a function on the domain D of the curves,

        1/(2n) sum_i |E_q h(theta, x_i) - y_i|^2 + T KL(q || prior),    prior: theta ~ N(0, C), C of finite trace

    (Nishikawa, Suzuki, Nitanda, Wu, NeurIPS 2022), targets standardised, curves centred and of mean square norm 1 once
    encoded. `estimator_.certificate()` bounds the global optimum of the training, and neither grid nor number of modes
    changes it much: what there is to learn from a smooth curve is in its first modes.

    Args:
        encoder: any scikit-learn transformer of the inputs. `CurveCoefficients()` are coefficients of smooth functions,
            in which a place, a level or a curvature counts; `RandomConvolutions()` short patterns wherever they occur.
            A list keeps the one of the smallest leave-one-out error in the kernel limit; "auto" is a list of these two.
            Grid, derivatives (derivative=2 suits spectra, whose shape matters and whose level does not), channels'
            noise and missing values are settings of the encoder.
        estimator: the `MeanFieldRegressor` of the columns, with all settings of the network; None has 1,000 particles.
            What it leaves at "auto" is chosen for curves: output_scale=3, at which the few directions that matter in curves
            are learned, scaling="global", and the temperature of the leave-one-out optimum, without folds.
        random_state: of the network, where not None.

    Attributes:
        encoder_: the fitted encoder.
        encoder_errors_: leave-one-out error of each encoder tried; None where there was one.
        estimator_: the network, fitted to the columns of the encoder.

    Raises:
        ValueError, TypeError: what the encoder and `MeanFieldRegressor` refuse: a grid that does not increase, NaN,
            times outside the training domain.

    Example:
        >>> t = np.linspace(0, 1, 60)
        >>> heights, rates = np.random.default_rng(0).uniform(0.5, 1.5, size=(2, 80, 1))
        >>> X, y = heights * np.sin(4 * rates * t), (heights * rates)[:, 0]
        >>> model = FunctionalMeanFieldRegressor(CurveCoefficients(grid=t), random_state=0).fit(X[:60], y[:60])
        >>> model.score(X[60:], y[60:]) > 0.9
        True
    """


class FunctionalMeanFieldClassifier(CurveEstimator, EncodedClassifier):
    """Classes of curves, by a network whose weights are functions.

    Parameters and attributes are those of `FunctionalMeanFieldRegressor`, with a `MeanFieldClassifier` as `estimator`.
    Its temperature="auto" is 0.15 times the leave-one-out optimum, which is for squares and was too hot for labels of a
    few dozen curves; output_scale="auto" is 10.

    Example:
        >>> t = np.linspace(0, 1, 60)
        >>> phases = np.random.default_rng(0).uniform(0, 2, size=(80, 1))
        >>> X, y = np.sin(4 * t + phases), np.where(phases[:, 0] < 1, "early", "late")
        >>> model = FunctionalMeanFieldClassifier(random_state=0).fit(X[:60], y[:60])
        >>> model.score(X[60:], y[60:]) > 0.9
        True
    """

    automatic: ClassVar[Automatic] = CURVES._replace(
        output_scale=10.0, temperature_multiplier=LABELS_TEMPERATURE
    )


class GraphEstimator(EncodedEstimator):
    """Parameters of both estimators on graphs."""

    encoders: ClassVar[tuple[type, ...]] = (GraphFeatures,)
    automatic: ClassVar[Automatic] = GRAPHS

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags


class GraphMeanFieldRegressor(GraphEstimator, EncodedRegressor):
    """Least squares on graphs, such as molecules, by a network trained to its global optimum.

    Objective, certificate and figures are those of `MeanFieldRegressor`, on the columns of `GraphFeatures`, each over
    its deviation. The heat traces of a graph converge where the graph is refined.

    Args:
        encoder: any transformer of the graphs, a list of them, or "auto", which is `GraphFeatures()`; names of labels
            and numbers are its settings.
        estimator: the `MeanFieldRegressor` of the columns, with all settings of the network. What it leaves at "auto"
            is chosen for graphs: each column over its deviation, and the temperature of the leave-one-out optimum,
            without folds.
        random_state: of the network, where not None.

    Attributes:
        encoder_, encoder_errors_, estimator_: see `FunctionalMeanFieldRegressor`.

    Raises:
        ValueError, TypeError: what `GraphFeatures` and `MeanFieldRegressor` refuse: a graph without nodes, labels that
            do not fit.

    Example:
        >>> import numpy as np
        >>> rings = [[(i, (i + 1) % n) for i in range(n)] for n in range(3, 33)]
        >>> model = GraphMeanFieldRegressor(estimator=MeanFieldRegressor(num_particles=100), random_state=0)
        >>> model.fit(rings[::2], np.arange(30.0)[::2]).score(rings[1::2], np.arange(30.0)[1::2]) > 0.9
        True
    """


class GraphMeanFieldClassifier(GraphEstimator, EncodedClassifier):
    """Classes of graphs, by a network trained to its global optimum.

    Parameters and attributes are those of `GraphMeanFieldRegressor`, with a `MeanFieldClassifier` as `estimator`. Its
    temperature="auto" is 0.15 times the leave-one-out optimum, as for curves.

    Example:
        >>> rings, paths = ([[(i, (i + 1) % n) for i in range(n - cut)] for n in range(4, 24)] for cut in (0, 1))
        >>> kinds = ["ring"] * 20 + ["path"] * 20
        >>> model = GraphMeanFieldClassifier(estimator=MeanFieldClassifier(num_particles=100), random_state=0)
        >>> model.fit(rings + paths, kinds).score(rings + paths, kinds) > 0.9
        True
    """

    automatic: ClassVar[Automatic] = GRAPHS._replace(
        temperature_multiplier=LABELS_TEMPERATURE
    )
