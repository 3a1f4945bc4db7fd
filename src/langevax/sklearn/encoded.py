"""Mean-field networks on curves and graphs: an encoder, fitted and saved with the network, makes the columns.

On curves the weights of a neuron are a function, and so is its input:

    h(theta, x) = R tanh(a) tanh(integral theta(t) (x - mean)(t) dt / |D| + b),    theta ~ N(0, C), C of finite trace

(Nishikawa, Suzuki, Nitanda, Wu, NeurIPS 2022). In coordinates of unit prior variance, those of `CurveCoefficients`,
this is the network on tables: the objective, its dual and the certificate are the same. Coordinates beyond the first
few carry little of the curves, so that more modes, or a finer grid, change nothing.

Where shapes shift, a weight at one time is of little use. `CurveShapes` then makes columns of the patterns in a curve,
wherever they occur, or of the order of events. The same network on these columns has its own certificate.
"""

from dataclasses import KW_ONLY, dataclass, fields, replace
from typing import Any, ClassVar, Literal, get_args, overload

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import Tags

from langevax.meanfield.certificate import DEFAULT_EFFORT
from langevax.sklearn.base import Automatic
from langevax.sklearn.encoder_choice import NARROW, ChosenEncoder
from langevax.sklearn.inputs.curve_values import AnyCurves, Missing
from langevax.sklearn.inputs.curves import BasisName, CurveCoefficients
from langevax.sklearn.inputs.graph_shapes import GraphShapes
from langevax.sklearn.inputs.graph_values import AnyGraphs
from langevax.sklearn.inputs.graphs import GraphFeatures
from langevax.sklearn.inputs.shapes import CurveShapes
from langevax.sklearn.inputs.span import SpanColumns
from langevax.sklearn.intervals import probabilities
from langevax.sklearn.mean_field import MeanFieldClassifier, MeanFieldRegressor
from langevax.sklearn.parameters import Auto, one_of
from langevax.sklearn.solvers import SOLVERS
from langevax.sklearn.table import DistinctRows, Scaling
from langevax.sklearn.training import Network, TrainingTask
from langevax.sklearn.weight_functions import WeightFunctions
from langevax.spaces.basis import Basis

EncoderName = Literal["basis", "convolutions", "signatures", "shapelets"]
GraphEncoderName = Literal["patterns", "convolutions"]
AUTOMATIC = (
    "basis",
    "convolutions",
)  # with shapelets as a third it predicted worse; signatures were never chosen
LITTLE = 1e-4  # share of the variance of smooth functions whose directions are not seen, where there are many
NUM_STEPS_MULTIPLIER = 3.0  # directions in which curves vary little are learned late
LABELS_TEMPERATURE = 0.15  # of the leave-one-out optimum, which is for squares and too hot for a few dozen labels


@dataclass(eq=False, repr=False)
class CurveEstimator(WeightFunctions, ChosenEncoder):
    """Parameters of both estimators on curves."""

    solver: str = "auto"
    _: KW_ONLY
    encoder: EncoderName | Auto = "auto"
    basis: BasisName | Basis = "cosine"
    num_modes: int = 32
    grid: ArrayLike | None = None
    derivative: int | tuple[int, ...] = 0
    decay: float = 2.0
    whiten: bool = False
    channels: int = 1
    smoothing: float | Auto | None = "auto"
    missing: Missing = "error"
    num_particles: int = 1000

    scaling: ClassVar[Scaling] = "global"  # pyright: ignore[reportIncompatibleVariableOverride]
    learn_scales: ClassVar[bool] = False  # pyright: ignore[reportIncompatibleVariableOverride]
    encoder_names: ClassVar[tuple[str, ...]] = AUTOMATIC

    def outputs(self, X: AnyCurves, grid: ArrayLike | None = None) -> np.ndarray:
        """Return the network's outputs, (n,) or (n, C) float32.

        Args:
            X: curves in any of the forms that `fit` accepts.
            grid: (G,) times of a table's columns, if not those of the training table.
        """
        return self._outputs(self._columns(X, grid=grid))

    def _make_encoder(self) -> CurveCoefficients:
        names = [
            field.name for field in fields(CurveCoefficients) if field.name != "centre"
        ]
        return CurveCoefficients(
            **{name: getattr(self, name) for name in names}, centre=False
        )

    def _make_shapes(self, name: str) -> CurveShapes:
        return CurveShapes(self._make_encoder(), name)

    def _network(
        self, task: TrainingTask, inputs: np.ndarray, weights: np.ndarray
    ) -> Network:
        """Return the problem in the directions in which curves vary, where smooth functions have many columns."""
        network = super()._network(task, inputs, weights)
        if isinstance(self.encoder_, CurveShapes) or inputs.shape[1] <= NARROW:
            return network
        seen_inputs = inputs if network.span is None else inputs @ network.span
        variances = np.linalg.eigvalsh(
            (seen_inputs.T * weights) @ seen_inputs.astype(np.float64)
        )
        rest = np.cumsum(np.maximum(variances, 0.0))
        seen = int(np.count_nonzero(rest > LITTLE * rest[-1]))
        return replace(network, num_directions=max(NARROW, seen))

    def _solver_name(self, num_columns: int) -> str:
        if self.solver != "auto":
            return self.solver
        return "mfld" if self.warm_start or num_columns > NARROW else "psdca"

    def _default_effort(self) -> float:
        """Return an effort whose time does not grow with the columns: the work of a gradient does."""
        return DEFAULT_EFFORT * min(1.0, NARROW / self.network_.num_coordinates)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing == "interpolate"
        tags.input_tags.three_d_array = True
        return tags


CURVE_CONSTRAINTS: dict[str, list[Any]] = {
    "solver": one_of("auto", *SOLVERS),
    "encoder": one_of("auto", *get_args(EncoderName)),
}


class FunctionalMeanFieldRegressor(CurveEstimator, MeanFieldRegressor):  # pyright: ignore[reportIncompatibleVariableOverride]
    """Least squares on curves, by a network whose weights are functions; trained to its global optimum.

    Minimises over laws q of neurons (a, theta, b), theta a function on the domain D of the curves,

        1/(2n) sum_i |E_q h(theta, x_i) - y_i|^2 + T KL(q || prior),    prior: theta ~ N(0, C), C of finite trace

    (Nishikawa, Suzuki, Nitanda, Wu, NeurIPS 2022), targets standardised, curves centred and of mean square norm 1 once
    encoded. `certificate()` bounds the global optimum of the training, and neither grid nor number of modes
    changes it much: what there is to learn from a smooth curve is in its first modes.

    Args:
        solver: "psdca", the paper's dual ascent, a curve at a time, or another of `MeanFieldRegressor`; "auto" is
            "psdca" up to 64 columns, and "mfld" beyond, where moves of single curves take long, or with `warm_start`.
        encoder: "basis", coefficients of smooth functions, in which a place, a level or a curvature counts;
            "convolutions", short patterns wherever they occur: the 9,996 features of MiniRocket and a few thousand of
            Hydra; "shapelets", the least distances of a curve from 2,000 short pieces of training curves, their places
            and numbers; "signatures", iterated integrals over windows, in which the order of events counts. All but
            the basis are seen in the span of the training curves (the network's prior is Gaussian, so that the span
            leaves objective, certificate and predictions as they are), or for more than 128 curves in their 128, or
            256, principal directions, unless all have clearly smaller errors. "auto" takes the basis or convolutions,
            by the smaller leave-one-out error in the kernel limit.
        basis, num_modes, grid, derivative, decay, whiten, channels, smoothing, missing: of the encoder, see
            `CurveCoefficients`. derivative=2 suits spectra, whose shape matters and whose level does not.
        output_scale: R; "auto" is 3, at which the few directions that matter in curves are learned.
        num_particles, temperature, relative_step_size, num_steps, batch_size, neuron, prior_precision, validation,
            stop, warm_start, checkpoint, resume, devices, progress, random_state: see `MeanFieldRegressor`.

    Attributes:
        encoder_: the fitted `CurveCoefficients` or `CurveShapes`; its columns are the network's inputs.
        encoder_errors_: leave-one-out error of each encoder, in the regression that chooses the temperature; None
            where the encoder was passed.
        solver_: the solver of the fit.
        particles_, dual_, history_, temperature_, n_iter_, converged_, leave_one_out_: see `MeanFieldRegressor`.

    Raises:
        ValueError, TypeError: what `CurveCoefficients` and `MeanFieldRegressor` refuse: curves of different lengths
            without times, a grid that does not increase, NaN, times outside the training domain.

    Example:
        >>> t = np.linspace(0, 1, 60)
        >>> heights, rates = np.random.default_rng(0).uniform(0.5, 1.5, size=(2, 80, 1))
        >>> X, y = heights * np.sin(4 * rates * t), (heights * rates)[:, 0]
        >>> model = FunctionalMeanFieldRegressor(grid=t, random_state=0).fit(X[:60], y[:60])
        >>> model.score(X[60:], y[60:]) > 0.9
        True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = (
        MeanFieldRegressor._parameter_constraints | CURVE_CONSTRAINTS
    )
    automatic: ClassVar[Automatic] = Automatic(
        output_scale=3.0, num_steps_multiplier=NUM_STEPS_MULTIPLIER, proposal="pcnl"
    )

    @overload
    def predict(
        self,
        X: AnyCurves,
        grid: ArrayLike | None = None,
        *,
        return_std: Literal[False] = False,
    ) -> np.ndarray: ...
    @overload
    def predict(
        self, X: AnyCurves, grid: ArrayLike | None = None, *, return_std: Literal[True]
    ) -> tuple[np.ndarray, np.ndarray]: ...
    def predict(
        self, X: AnyCurves, grid: ArrayLike | None = None, *, return_std: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return (n,) or (n, C), in the units of the targets, as `MeanFieldRegressor` does; `grid` as in `outputs`."""
        return self._predicted(self._columns(X, grid=grid), return_std)


class FunctionalMeanFieldClassifier(CurveEstimator, MeanFieldClassifier):  # pyright: ignore[reportIncompatibleVariableOverride]
    """Classes of curves, by a network whose weights are functions.

    Parameters and attributes are those of `FunctionalMeanFieldRegressor`, with `classes_` as in `MeanFieldClassifier`.
    The loss is that of `MeanFieldClassifier`. temperature="auto" is 0.15 times the leave-one-out optimum, which is for
    squares and was too hot for labels of a few dozen curves; output_scale="auto" is 10.

    Example:
        >>> t = np.linspace(0, 1, 60)
        >>> phases = np.random.default_rng(0).uniform(0, 2, size=(80, 1))
        >>> X, y = np.sin(4 * t + phases), np.where(phases[:, 0] < 1, "early", "late")
        >>> model = FunctionalMeanFieldClassifier(grid=t, random_state=0).fit(X[:60], y[:60])
        >>> model.score(X[60:], y[60:]) > 0.9
        True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = (
        MeanFieldClassifier._parameter_constraints | CURVE_CONSTRAINTS
    )
    automatic: ClassVar[Automatic] = Automatic(
        10.0, LABELS_TEMPERATURE, NUM_STEPS_MULTIPLIER, "pcnl"
    )

    def decision_function(
        self, X: AnyCurves, grid: ArrayLike | None = None
    ) -> np.ndarray:
        """Return the network's outputs: (n,), positive for `classes_[1]`, or (n, C)."""
        return self.outputs(X, grid)

    def predict_proba(self, X: AnyCurves, grid: ArrayLike | None = None) -> np.ndarray:
        """Return (n, C), rows summing to one."""
        return probabilities(self.outputs(X, grid))

    def predict(self, X: AnyCurves, grid: ArrayLike | None = None) -> np.ndarray:
        """Return (n,) labels."""
        return self._labels(self.outputs(X, grid))


@dataclass(eq=False, repr=False)
class GraphEstimator(ChosenEncoder):
    """Parameters of both estimators on graphs."""

    solver: str = "auto"
    _: KW_ONLY
    encoder: GraphEncoderName | Auto = "auto"
    heat_times: int | ArrayLike = 16
    wl_depth: int = 1
    wl_components: int = 32
    node_labels: str | None = "label"
    edge_labels: str | None = None
    node_features: str | None = None
    edge_features: str | None = None

    learn_scales: ClassVar[bool] = False  # pyright: ignore[reportIncompatibleVariableOverride]
    encoder_names: ClassVar[tuple[str, ...]] = get_args(GraphEncoderName)
    scaling: ClassVar[Any] = property(lambda self: self._scaling())  # pyright: ignore[reportIncompatibleVariableOverride]

    def _scaling(self) -> Scaling:
        """Return "global" of coordinates of a span, whose sizes count, and "columns" of columns of different units."""
        return (
            "global"
            if isinstance(getattr(self, "encoder_", None), SpanColumns)
            else "columns"
        )

    def _make_encoder(self) -> GraphFeatures:
        return GraphFeatures(
            **{field.name: getattr(self, field.name) for field in fields(GraphFeatures)}
        )

    def _make_shapes(self, name: str) -> GraphShapes:
        return GraphShapes(self._make_encoder())

    def _training_rows(
        self,
        X: AnyGraphs,
        y: ArrayLike,
        sample_weight: ArrayLike | None,
        groups: ArrayLike | None = None,
    ) -> DistinctRows:
        """Return the rows as every estimator does, of graphs that are read once for all encoders."""
        return super()._training_rows(
            self._make_encoder().as_graphs(X), y, sample_weight, groups
        )

    def _solver_name(self, num_columns: int) -> str:
        if self.solver != "auto":
            return self.solver
        many = isinstance(self.encoder_, SpanColumns) and num_columns > NARROW
        return "mfld" if self.warm_start or many else "psdca"

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags


GRAPH_CONSTRAINTS: dict[str, list[Any]] = {
    "solver": one_of("auto", *SOLVERS),
    "encoder": one_of("auto", *get_args(GraphEncoderName)),
}


class GraphMeanFieldRegressor(GraphEstimator, MeanFieldRegressor):  # pyright: ignore[reportIncompatibleVariableOverride]
    """Least squares on graphs, such as molecules, by a network trained to its global optimum.

    Objective, certificate and figures are those of `MeanFieldRegressor`, on the columns of `GraphFeatures`, each over
    its deviation. The heat traces of a graph converge where the graph is refined.

    Args:
        solver: "psdca", dual ascent, a graph at a time, or another of `MeanFieldRegressor`; "auto" is "mfld" on more
            than 64 columns of convolutions and with `warm_start`, and "psdca" otherwise.
        encoder: "patterns", counts of labels and neighbourhoods on their principal axes, heat traces and sizes;
            "convolutions", random layers of messages along edges, pooled over nodes, in the span of the training
            graphs, as for curves; "auto" takes the one of the smaller leave-one-out error in the kernel limit.
        heat_times, wl_depth, wl_components, node_labels, edge_labels, node_features, edge_features: of the encoders,
            see `GraphFeatures`.
        num_particles, temperature, relative_step_size, num_steps, batch_size, neuron, output_scale, prior_precision,
            validation, stop, warm_start, checkpoint, resume, devices, progress, random_state: see
            `MeanFieldRegressor`.

    Attributes:
        encoder_: the fitted `GraphFeatures` or `GraphShapes`; its columns are the network's inputs.
        encoder_name_, encoder_errors_: its name, and leave-one-out error of each; None where the encoder was passed.
        particles_, dual_, history_, temperature_, n_iter_, converged_, leave_one_out_: see `MeanFieldRegressor`.

    Raises:
        ValueError, TypeError: what `GraphFeatures` and `MeanFieldRegressor` refuse: a graph without nodes, labels that
            do not fit.

    Example:
        >>> import numpy as np
        >>> rings = [[(i, (i + 1) % n) for i in range(n)] for n in range(3, 33)]
        >>> model = GraphMeanFieldRegressor(num_particles=100, random_state=0)
        >>> model.fit(rings[::2], np.arange(30.0)[::2]).score(rings[1::2], np.arange(30.0)[1::2]) > 0.9
        True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = (
        MeanFieldRegressor._parameter_constraints | GRAPH_CONSTRAINTS
    )


class GraphMeanFieldClassifier(GraphEstimator, MeanFieldClassifier):  # pyright: ignore[reportIncompatibleVariableOverride]
    """Classes of graphs, by a network trained to its global optimum.

    Parameters and attributes are those of `GraphMeanFieldRegressor`, with `classes_` as in `MeanFieldClassifier`.
    temperature="auto" is 0.15 times the leave-one-out optimum, as for curves.

    Example:
        >>> rings, paths = ([[(i, (i + 1) % n) for i in range(n - cut)] for n in range(4, 24)] for cut in (0, 1))
        >>> kinds = ["ring"] * 20 + ["path"] * 20
        >>> model = GraphMeanFieldClassifier(num_particles=100, random_state=0)
        >>> model.fit(rings + paths, kinds).score(rings + paths, kinds) > 0.9
        True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = (
        MeanFieldClassifier._parameter_constraints | GRAPH_CONSTRAINTS
    )
    automatic: ClassVar[Automatic] = Automatic(
        10.0, LABELS_TEMPERATURE, NUM_STEPS_MULTIPLIER
    )
