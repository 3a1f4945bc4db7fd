"""Certificates, kernel limit and figures of a fitted mean-field network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data

from langevax.figures import charts
from langevax.meanfield import Certificate, certify
from langevax.meanfield.kernel_limit import features_of, prior_particles
from langevax.problems.neurons import Neuron, Tanh, TanhTanh
from langevax.renamed import refuse_former
from langevax.run.options import Run
from langevax.sklearn.baselines import LinearPart
from langevax.sklearn.parameters import RandomState, run_of
from langevax.sklearn.stopping import at_rows
from langevax.sklearn.table import Standardiser, Table, in_buckets, padded
from langevax.sklearn.training import Network, outputs, root_key

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class MeanFieldInspection:
    """Certificates, kernel limit and `plot_*` methods, each of which returns the axes it drew on."""

    prior_precision: float
    _seed: Callable[..., int]
    _column_names: Callable[[], list[str]]
    _network_columns: Callable[[Sequence[str]], Sequence[str]]
    network_: Network
    row_places_: np.ndarray
    run: Run | None
    neuron_: Tanh | TanhTanh
    standardiser_: Standardiser
    particles_: np.ndarray
    clouds_: np.ndarray
    solver_: str
    converged_: bool
    temperature_: float
    linear_part_: LinearPart | None

    @refuse_former
    def certificate(
        self,
        effort: float | None = None,
        *,
        cpu_seconds: float | None = None,
        random_state: RandomState = None,
        run: Run | None = None,
    ) -> Certificate:
        """Bound the least training objective from both sides; see `langevax.meanfield.certify`.

        In units of the loss of standardised targets, at the temperature of the fit. The interval is about all networks
        of this kind; where a path was followed, the search goes on from its end. Entries of the result are those of the
        training rows: `output_error(model.outputs(X))` bounds how far the outputs of this fit are from the best ones.

        Args:
            effort: gradients of one neuron at one row that may be spent, 3e9 by default: about half a minute, and
                longer beyond 64 columns. It ends sooner where the interval is narrow.
            cpu_seconds: instead of `effort`, converted by a rate that is measured; `effort` of the result repeats it.
            random_state: of the walks; None uses the estimator's.
            run: a `langevax.Run`, of which only `progress` counts. None shows what the estimator's does.

        Raises:
            AttributeError: a model that was loaded, which has no training rows; `attach_rows` returns them.
            ValueError: as in `certify`.

        Example:
            >>> from sklearn.datasets import load_diabetes
            >>> from langevax.sklearn import MeanFieldRegressor
            >>> X, y = load_diabetes(return_X_y=True)
            >>> model = MeanFieldRegressor(num_particles=100, temperature=0.2, random_state=0).fit(X, y)
            >>> certificate = model.certificate()
            >>> certificate.trustworthy, certificate.width < 0.05
            (True, True)
        """
        network = self._fitted_network()
        places = self.row_places_
        risk = network.risk(self.temperature_)
        dual = None
        if self.solver_ == "path" and self.converged_:
            last = self.clouds_.reshape(-1, self.clouds_.shape[-1])
            z = outputs(self.neuron_, last, network.inputs)
            z = jnp.asarray(padded(z, len(risk.targets)))
            dual = jax.vmap(risk.loss.derivative)(z, risk.targets)
        result = certify(
            risk,
            self.temperature_,
            key=root_key(self._seed(random_state)),
            effort=effort,
            cpu_seconds=cpu_seconds,
            clouds=[network.rotated(self.particles_)],
            dual=dual,
            run=run_of(self.run).unsaved() if run is None else run,
        )
        return at_rows(result, places)

    def kernel_limit(
        self, num_features: int = 4000, random_state: RandomState = None
    ) -> Pipeline:
        """Return the kernel machine, not fitted, that the network tends to as output_scale grows at fixed n T / R^2.

        Random features of the prior, then ridge regression with alpha = n T, or logistic regression with
        C = 1 / (n T). Fit it on the same table: the network's score above it is the gain of feature learning.

        Args:
            num_features: random features of the kernel.
            random_state: of the features; None is that of the estimator.

        Raises:
            AttributeError: a fit with a linear part.
        """
        check_is_fitted(self)
        if self.linear_part_ is not None:
            raise AttributeError(
                "the network of this fit is trained on the residuals of a linear model, and has no kernel machine of "
                "its own; fit with linear_part=False."
            )
        network = self._fitted_network()
        penalty = float(network.weights.sum()) * self.temperature_
        features = NeuronFeatures(
            network.task.neuron,
            self.standardiser_,
            self.prior_precision,
            num_features,
            self._seed(random_state),
        )
        if hasattr(self, "classes_"):
            machine: BaseEstimator = LogisticRegression(
                C=1 / penalty, fit_intercept=False, max_iter=2000
            )
        else:
            machine = TransformedTargetRegressor(
                Ridge(penalty, fit_intercept=False), transformer=StandardScaler()
            )
        return Pipeline([("features", features), ("machine", machine)])

    def plot_particles(
        self, features: tuple[int, int] | None = None, axes: "Axes | None" = None
    ) -> "Axes":
        """Plot the neurons in the plane of two weights.

        Args:
            features: two columns; by default those the outputs depend on most.
            axes: of Matplotlib; by default those of a new figure.

        Example:
            >>> import matplotlib, numpy as np
            >>> matplotlib.use("agg")
            >>> from langevax.sklearn import MeanFieldRegressor
            >>> X = np.random.default_rng(0).normal(size=(60, 3))
            >>> model = MeanFieldRegressor(num_particles=50, temperature=0.1, random_state=0).fit(X, X[:, 1] - X[:, 2])
            >>> model.plot_particles().get_xlabel() in ("weight of x1", "weight of x2")
            True
        """
        check_is_fitted(self)
        weights, outer = self._inner_and_outer_weights()
        if features is None:
            slopes = np.abs(outer @ weights) / len(weights)
            first, second = np.argsort(-slopes, kind="stable")[
                [0, min(1, len(slopes) - 1)]
            ]
        else:
            first, second = features
        names = self._network_columns(self._column_names())
        labels = {
            "xlabel": f"weight of {names[first]}",
            "ylabel": f"weight of {names[second]}",
        }
        axes = charts.new_axes(axes)
        x = weights[:, first]
        y = weights[:, second]
        charts.particles(
            axes, x, y, outer, outer_label="outer weight", title="The neurons", **labels
        )
        return axes

    def _inner_and_outer_weights(self) -> tuple[np.ndarray, np.ndarray]:
        """Return each neuron's weights of the columns (N, d), and its outer weight (N,), the largest of several."""
        num_columns = len(self.standardiser_.mean)
        weights = self.particles_[:, self.neuron_.input_weights(num_columns)]
        num_outer = self.particles_.shape[1] - num_columns - 1
        if num_outer == 0:
            return weights, np.full(len(weights), float(self.neuron_.scale))
        outer = float(self.neuron_.scale) * np.tanh(self.particles_[:, :num_outer])
        return weights, outer[np.arange(len(outer)), np.abs(outer).argmax(1)]

    def _fitted_network(self) -> Network:
        check_is_fitted(self)
        if not hasattr(self, "network_"):
            raise AttributeError(
                "a model that was loaded has no training rows to certify it on; pass them to model.attach_rows(X, y)."
            )
        return self.network_


@dataclass(eq=False, repr=False)
class NeuronFeatures(TransformerMixin, BaseEstimator):
    """Features `h(theta_r, x) / sqrt(num_features)` of neurons from the prior; inner products tend to E[h(x) h(x')]."""

    neuron: Neuron
    standardiser: Standardiser
    prior_precision: float
    num_features: int
    random_state: int

    def fit(self, X: Table, y: ArrayLike | None = None) -> Self:
        """Count the columns."""
        validate_data(self, X, dtype=np.float64)
        return self

    def transform(self, X: Table) -> np.ndarray:
        """Return (n, num_features) float32."""
        X = validate_data(self, X, dtype=np.float64, reset=False)
        inputs = in_buckets(self.standardiser(X))
        key = root_key(self.random_state)
        variance = 1 / self.prior_precision
        particles = prior_particles(
            self.neuron,
            X.shape[1],
            inputs.shape[1],
            variance,
            self.num_features,
            inputs.dtype,
            key=key,
        )
        features = features_of(self.neuron, particles, inputs)
        return np.asarray(features).T[: len(X)] / np.float32(np.sqrt(self.num_features))

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_features_in_")
